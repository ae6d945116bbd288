/*
 * wgquick: a file becomes the document that the JSON codec reads, and the codec is the judge of its
 * values, so that a file and a request are held to one set of rules. What is here is the syntax,
 * and where each value came from: the codec's errors point into the document, and get the line of
 * what they point at.
 *
 * States of reading: before any section → in [Interface] or a [Peer], or in a section that was an
 * error itself, whose lines are passed over.
 *
 * No text of the file is repeated in an error: a line that is not understood may hold a key.
 */
#include "base/wgquick.h"

#include "base/json.h"
#include "base/spec_diff.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *text;
    size_t len;
};

enum section { SECTION_NONE, SECTION_INTERFACE, SECTION_PEER, SECTION_REFUSED };

/* Where a value of the document is in the file. */
struct origin {
    const char *field; /* "" = the section */
    uint32_t peer;     /* NO_PEER = [Interface] */
    uint32_t item;     /* of a list */
    uint32_t line;
};

#define NO_PEER UINT32_MAX

struct reader {
    struct spec_errors *errors;
    struct spec_errors *warnings;
    cJSON *document;
    cJSON *peers; /* of the document */
    enum section section;
    cJSON *object; /* what the section's keys go into */
    uint32_t peer; /* the number of the section's peer, or NO_PEER */
    uint32_t peers_count;
    size_t items; /* in the section's list: of addresses, or of allowed IPs */
    uint32_t line;
    struct origin *origins;
    size_t origins_count;
    size_t origins_room;
    bool no_memory;
};

struct key {
    enum section section;
    const char *name;
    void (*read)(struct reader *r, const struct key *key, struct slice value); /* NULL = ignored */
    const char *field;                                                         /* of the document */
    const char *ignored;                                                       /* why */
};

/* --- Slices of text --------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trim(struct slice slice)
{
    while (slice.len > 0 && is_blank(slice.text[0])) {
        slice.text++;
        slice.len--;
    }
    while (slice.len > 0 && is_blank(slice.text[slice.len - 1]))
        slice.len--;
    return slice;
}

static bool equals(struct slice slice, const char *text)
{
    return slice.len == strlen(text) && strncasecmp(slice.text, text, slice.len) == 0;
}

/* Takes what is before the first separator, which is dropped; without one, everything. */
static struct slice take_until(struct slice *rest, char separator)
{
    struct slice taken = *rest;
    const char *end = rest->len > 0 ? memchr(rest->text, separator, rest->len) : NULL;
    if (end == NULL) {
        *rest = (struct slice){rest->text + rest->len, 0};
        return taken;
    }
    taken.len = (size_t)(end - rest->text);
    *rest = (struct slice){end + 1, rest->len - taken.len - 1};
    return taken;
}

/* --- Notes ------------------------------------------------------------------------------------ */

static void __attribute__((format(printf, 4, 5)))
note(const struct reader *r, struct spec_errors *list, const char *code, const char *format, ...)
{
    char detail[sizeof(list->items[0].detail)];
    size_t before = list->count;
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    spec_errors_add(list, "", code, "%s", detail);
    if (list->count > before)
        list->items[before].line = r->line;
}

static void add_origin(struct reader *r, const char *field, size_t item)
{
    if (r->origins_count == r->origins_room) {
        size_t room = r->origins_room > 0 ? 2 * r->origins_room : 64;
        struct origin *origins = realloc(r->origins, room * sizeof(*origins));
        if (origins == NULL) {
            r->no_memory = true;
            return;
        }
        r->origins = origins;
        r->origins_room = room;
    }
    r->origins[r->origins_count++] = (struct origin){field, r->peer, (uint32_t)item, r->line};
}

/* Reads "/123" of a pointer. Returns what is behind it, or NULL when it is something else. */
static const char *read_index(const char *pointer, uint32_t *out)
{
    if (pointer[0] != '/' || pointer[1] < '0' || pointer[1] > '9')
        return NULL;
    char *end;
    *out = (uint32_t)strtoul(pointer + 1, &end, 10);
    return end;
}

/* The line of what a pointer points at, or of what that is in. */
static size_t find_line(const struct reader *r, const char *pointer)
{
    static const char peers[] = "/peers";
    uint32_t peer = NO_PEER;
    uint32_t item = 0;
    if (strncmp(pointer, peers, strlen(peers)) == 0) {
        const char *rest = read_index(pointer + strlen(peers), &peer);
        pointer = rest != NULL ? rest : pointer;
    }
    const char *field = pointer + (pointer[0] == '/');
    size_t field_len = strcspn(field, "/");
    read_index(field + field_len, &item);

    size_t line = 1;
    unsigned best = 0;
    for (size_t i = 0; i < r->origins_count; i++) {
        const struct origin *origin = &r->origins[i];
        unsigned likeness = 0;
        if (origin->peer == peer && origin->field[0] == '\0')
            likeness = 1;
        else if (origin->peer == peer && strlen(origin->field) == field_len &&
                 memcmp(origin->field, field, field_len) == 0)
            likeness = origin->item == item ? 3 : 2;
        if (likeness > best) {
            best = likeness;
            line = origin->line;
        }
    }
    return line;
}

static int compare_lines(const void *a, const void *b)
{
    const struct spec_error *left = a;
    const struct spec_error *right = b;
    return left->line < right->line ? -1 : left->line > right->line;
}

/* Gives the errors from this one on their lines, and sorts them. */
static void place_errors(const struct reader *r, size_t from)
{
    struct spec_error *errors = r->errors->items + from;
    size_t count = r->errors->count - from;
    for (size_t i = 0; i < count; i++) {
        if (errors[i].line == 0)
            errors[i].line = find_line(r, errors[i].pointer);
    }
    qsort(errors, count, sizeof(*errors), compare_lines);
}

/* --- Values ----------------------------------------------------------------------------------- */

/* A value as text for the document, or NULL with the reason noted. */
static cJSON *make_text(struct reader *r, struct slice value)
{
    char text[WGQUICK_VALUE_MAX + 1];
    if (value.len > WGQUICK_VALUE_MAX) {
        note(r, r->errors, "too_long", "the value is too long to be one");
        return NULL;
    }
    memcpy(text, value.text, value.len);
    text[value.len] = '\0';
    cJSON *json = cJSON_CreateString(text);
    sodium_memzero(text, sizeof(text));
    r->no_memory |= json == NULL;
    return json;
}

/* Takes json, NULL = nothing. */
static void add_value(struct reader *r, const char *field, cJSON *json)
{
    if (json == NULL)
        return;
    if (json_member(r->object, field) != NULL) {
        note(r, r->errors, "duplicate", "the section has this key already");
        json_free(json);
    } else if (cJSON_AddItemToObject(r->object, field, json)) {
        add_origin(r, field, 0);
    } else {
        r->no_memory = true;
        json_free(json);
    }
}

static void read_text(struct reader *r, const struct key *key, struct slice value)
{
    add_value(r, key->field, make_text(r, value));
}

/* What is not a number stays text, which the codec refuses. */
static void read_number(struct reader *r, const struct key *key, struct slice value)
{
    char digits[20] = "";
    bool is_number = value.len > 0 && value.len < sizeof(digits);
    for (size_t i = 0; is_number && i < value.len; i++) {
        is_number = value.text[i] >= '0' && value.text[i] <= '9';
        digits[i] = value.text[i];
    }
    if (!is_number) {
        read_text(r, key, value);
        return;
    }
    cJSON *json = cJSON_CreateNumber(strtod(digits, NULL));
    r->no_memory |= json == NULL;
    add_value(r, key->field, json);
}

static void read_number_or_off(struct reader *r, const struct key *key, struct slice value)
{
    read_number(r, key, equals(value, "off") ? (struct slice){"0", 1} : value);
}

/* A list goes on where the key comes again. */
static void read_list(struct reader *r, const struct key *key, struct slice value)
{
    cJSON *list = cJSON_GetObjectItemCaseSensitive(r->object, key->field);
    if (list == NULL) {
        list = cJSON_AddArrayToObject(r->object, key->field);
        r->no_memory |= list == NULL;
    }
    while (value.len > 0 && !r->no_memory) {
        struct slice item = trim(take_until(&value, ','));
        if (item.len == 0) {
            note(r, r->errors, "invalid_line", "there is nothing between two commas");
            continue;
        }
        cJSON *json = make_text(r, item);
        if (json != NULL && cJSON_AddItemToArray(list, json))
            add_origin(r, key->field, r->items++);
    }
    if (r->items == 0)
        add_origin(r, key->field, 0);
}

/* --- Lines ------------------------------------------------------------------------------------ */

static const struct key keys[] = {
    {SECTION_INTERFACE, "PrivateKey", read_text, "private_key", NULL},
    {SECTION_INTERFACE, "Address", read_list, "addresses", NULL},
    {SECTION_INTERFACE, "ListenPort", read_number, "listen_port", NULL},
    {SECTION_INTERFACE, "MTU", read_number, "mtu", NULL},
    {SECTION_INTERFACE, "DNS", NULL, NULL, "names are not resolved through the tunnel"},
    {SECTION_INTERFACE, "Table", NULL, NULL, "no routes are made"},
    {SECTION_INTERFACE, "PreUp", NULL, NULL, "commands of a file are never run"},
    {SECTION_INTERFACE, "PostUp", NULL, NULL, "commands of a file are never run"},
    {SECTION_INTERFACE, "PreDown", NULL, NULL, "commands of a file are never run"},
    {SECTION_INTERFACE, "PostDown", NULL, NULL, "commands of a file are never run"},
    {SECTION_INTERFACE, "SaveConfig", NULL, NULL, "the file is never written"},
    {SECTION_INTERFACE, "FwMark", NULL, NULL, "packets are not marked"},
    {SECTION_PEER, "PublicKey", read_text, "public_key", NULL},
    {SECTION_PEER, "PresharedKey", read_text, "preshared_key", NULL},
    {SECTION_PEER, "AllowedIPs", read_list, "allowed_ips", NULL},
    {SECTION_PEER, "Endpoint", read_text, "endpoint", NULL},
    {SECTION_PEER, "PersistentKeepalive", read_number_or_off, "keepalive_seconds", NULL},
};

static const struct key *find_key(struct slice name)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (equals(name, keys[i].name))
            return &keys[i];
    }
    return NULL;
}

static void read_assignment(struct reader *r, struct slice line)
{
    if (r->section == SECTION_REFUSED)
        return;
    if (memchr(line.text, '=', line.len) == NULL) {
        note(r, r->errors, "invalid_line", "must be [Interface], [Peer] or KEY = VALUE");
        return;
    }
    const struct key *key = find_key(trim(take_until(&line, '=')));
    if (key == NULL)
        note(r, r->errors, "unknown_field", "there is no such key");
    else if (r->section == SECTION_NONE)
        note(r, r->errors, "misplaced", "a section, [Interface] or [Peer], must come first");
    else if (key->section != r->section)
        note(r, r->errors, "misplaced",
             key->section == SECTION_PEER ? "this key belongs in a [Peer] section"
                                          : "this key belongs in the [Interface] section");
    else if (key->read == NULL)
        note(r, r->warnings, "ignored", "%s is ignored: %s", key->name, key->ignored);
    else
        key->read(r, key, trim(line));
}

static void begin_peer(struct reader *r)
{
    cJSON *peer = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(r->peers, peer)) {
        cJSON_Delete(peer);
        r->no_memory = true;
        return;
    }
    r->section = SECTION_PEER;
    r->object = peer;
    r->peer = r->peers_count++;
    add_origin(r, "", 0);
}

static void begin_interface(struct reader *r)
{
    r->peer = NO_PEER;
    if (r->object == NULL) {
        r->section = SECTION_INTERFACE;
        r->object = r->document;
        add_origin(r, "", 0);
    } else {
        note(r, r->errors, "misplaced", "[Interface] must be the first section, and the only one");
    }
}

static void read_section(struct reader *r, struct slice line)
{
    r->section = SECTION_REFUSED;
    r->items = 0;
    if (equals(line, "[Interface]"))
        begin_interface(r);
    else if (equals(line, "[Peer]"))
        begin_peer(r);
    else
        note(r, r->errors, "unknown_section", "a section is [Interface] or [Peer]");
}

/* A name for people as one of ours: "Anna's phone" → "anna-s-phone". False if nothing is left. */
static bool make_name(struct slice text, char out[SPEC_NAME_MAX + 1])
{
    size_t len = 0;
    for (size_t i = 0; i < text.len && len < SPEC_NAME_MAX; i++) {
        char c = text.text[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            out[len++] = c;
        else if (len > 0 && out[len - 1] != '-')
            out[len++] = '-';
    }
    while (len > 0 && out[len - 1] == '-')
        len--;
    out[len] = '\0';
    return len > 0;
}

static void read_comment(struct reader *r, struct slice text)
{
    if (r->section != SECTION_PEER || json_member(r->object, "name") != NULL ||
        memchr(text.text, '=', text.len) == NULL)
        return;
    struct slice key = trim(take_until(&text, '='));
    char name[SPEC_NAME_MAX + 1];
    if ((!equals(key, "Name") && !equals(key, "friendly_name")) || !make_name(trim(text), name))
        return;
    cJSON *json = cJSON_CreateString(name);
    r->no_memory |= json == NULL;
    add_value(r, "name", json);
}

static bool is_text(struct slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        if ((unsigned char)line.text[i] < ' ' && line.text[i] != '\t')
            return false;
    }
    return true;
}

static void read_line(struct reader *r, struct slice line)
{
    line = trim(line);
    if (!is_text(line)) {
        note(r, r->errors, "invalid_text", "the line holds control characters");
    } else if (line.len > 0 && line.text[0] == '#') {
        read_comment(r, (struct slice){line.text + 1, line.len - 1});
    } else {
        line = trim(take_until(&line, '#'));
        if (line.len > 0 && line.text[0] == '[')
            read_section(r, line);
        else if (line.len > 0)
            read_assignment(r, line);
    }
}

static void read_lines(struct reader *r, struct slice text)
{
    static const char bom[] = "\xef\xbb\xbf"; /* what some editors put before UTF-8 */
    if (text.len >= strlen(bom) && memcmp(text.text, bom, strlen(bom)) == 0)
        text = (struct slice){text.text + strlen(bom), text.len - strlen(bom)};
    while (text.len > 0 && !r->no_memory) {
        r->line++;
        read_line(r, take_until(&text, '\n'));
    }
}

/* --- Hidden secrets --------------------------------------------------------------------------- */

static bool is_hidden(const cJSON *json)
{
    return cJSON_IsString(json) && strcmp(json->valuestring, WGQUICK_HIDDEN) == 0;
}

static int reveal(cJSON *object, const char *field, const uint8_t key[SPEC_KEY_LEN])
{
    char text[SPEC_KEY_TEXT];
    cJSON *json = cJSON_CreateString(spec_key_print(key, text));
    sodium_memzero(text, sizeof(text));
    if (cJSON_ReplaceItemInObjectCaseSensitive(object, field, json))
        return 0;
    json_free(json);
    return -ENOMEM;
}

static int reveal_preshared_key(cJSON *json, const struct spec_peer_index *present)
{
    const cJSON *public_key = json_member(json, "public_key");
    uint8_t key[SPEC_KEY_LEN];
    if (!is_hidden(json_member(json, "preshared_key")) || !cJSON_IsString(public_key) ||
        spec_key_parse(public_key->valuestring, key) < 0)
        return 0;
    const struct spec_peer *peer = spec_peer_index_find(present, key);
    return peer != NULL && peer->has_preshared_key
               ? reveal(json, "preshared_key", peer->preshared_key)
               : 0;
}

/* What is hidden and not known stays as it is, and is no key. */
static int reveal_secrets(const struct reader *r, const struct spec_tunnel *present)
{
    struct spec_peer_index index;
    int rc = spec_peer_index_init(&index, present);
    if (rc == 0 && is_hidden(json_member(r->document, "private_key")))
        rc = reveal(r->document, "private_key", present->private_key);
    cJSON *peer;
    cJSON_ArrayForEach(peer, r->peers)
    {
        if (rc == 0)
            rc = reveal_preshared_key(peer, &index);
    }
    spec_peer_index_fini(&index);
    return rc;
}

/* --- A file ----------------------------------------------------------------------------------- */

static int read_document(struct reader *r, const struct wgquick_source *source)
{
    r->document = cJSON_CreateObject();
    if (r->document == NULL || cJSON_AddStringToObject(r->document, "name", source->name) == NULL)
        return -ENOMEM;
    r->peers = cJSON_AddArrayToObject(r->document, "peers");
    if (r->peers == NULL)
        return -ENOMEM;
    read_lines(r, (struct slice){source->text, source->len});
    if (r->no_memory)
        return -ENOMEM;
    return source->present != NULL ? reveal_secrets(r, source->present) : 0;
}

int wgquick_read(const struct wgquick_source *source, struct spec_tunnel *out,
                 struct spec_errors *errors, struct spec_errors *warnings)
{
    struct reader r = {.errors = errors, .warnings = warnings, .peer = NO_PEER};
    size_t before = errors->count;
    memset(out, 0, sizeof(*out));
    if (source->len > WGQUICK_TEXT_MAX) {
        spec_errors_add(errors, "", "too_long", "a file may have at most %d bytes",
                        WGQUICK_TEXT_MAX);
        return -EINVAL;
    }
    int rc = read_document(&r, source);
    if (rc == 0)
        rc = spec_tunnel_from_json(r.document, out, errors);
    if (rc == 0 && errors->count > before) {
        spec_tunnel_fini(out);
        rc = -EINVAL;
    }
    place_errors(&r, before);
    json_free(r.document);
    free(r.origins);
    return rc;
}

/* --- Printing --------------------------------------------------------------------------------- */

static void print_prefixes(FILE *file, const char *key, const struct inet_prefix *prefixes,
                           size_t count)
{
    char text[INET_PREFIX_TEXT];
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%s%s", i == 0 ? key : ", ", inet_prefix_print(&prefixes[i], text));
    if (count > 0)
        fputc('\n', file);
}

static void print_peer(FILE *file, const struct spec_peer *peer)
{
    char key[SPEC_KEY_TEXT];
    char endpoint[INET_HOST_PORT_TEXT];
    fprintf(file, "\n[Peer]\n# Name = %s\nPublicKey = %s\n", peer->name,
            spec_key_print(peer->public_key, key));
    if (peer->has_preshared_key)
        fputs("PresharedKey = " WGQUICK_HIDDEN "\n", file);
    print_prefixes(file, "AllowedIPs = ", peer->allowed_ips, peer->allowed_ips_count);
    if (peer->endpoint_host[0] != '\0')
        fprintf(file, "Endpoint = %s\n",
                inet_host_port_print(peer->endpoint_host, peer->endpoint_port, endpoint));
    if (peer->keepalive_seconds > 0)
        fprintf(file, "PersistentKeepalive = %u\n", (unsigned)peer->keepalive_seconds);
}

static void print_tunnel(FILE *file, const struct spec_tunnel *tunnel)
{
    fputs("[Interface]\nPrivateKey = " WGQUICK_HIDDEN "\n", file);
    print_prefixes(file, "Address = ", tunnel->addresses, tunnel->addresses_count);
    if (tunnel->listen_port != 0)
        fprintf(file, "ListenPort = %u\n", (unsigned)tunnel->listen_port);
    fprintf(file, "MTU = %u\n", (unsigned)tunnel->mtu);
    for (size_t i = 0; i < tunnel->peers_count; i++)
        print_peer(file, &tunnel->peers[i]);
}

char *wgquick_print(const struct spec_tunnel *tunnel)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    if (file == NULL)
        return NULL;
    print_tunnel(file, tunnel);
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
