/*
 * spec_from_json: definitions from JSON. Objects are read by tables of their fields; every problem
 * is noted with its pointer and reading goes on, so that all are reported at once.
 */
#include "base/json.h"
#include "base/log.h"
#include "base/spec.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- The machinery ---------------------------------------------------------------------------- */

struct reader {
    struct spec_errors *errors;
    char pointer[sizeof(((struct spec_error *)0)->pointer)]; /* of the value being read */
    bool invalid;
    bool no_memory;
};

struct field {
    const char *name;
    bool required;
    /* Reads value into the member at offset of the struct. */
    void (*read)(struct reader *r, const cJSON *value, const struct field *field, void *member);
    size_t offset;
    int64_t min, max; /* of an integer */
};

#define FIELDS(table) (table), sizeof(table) / sizeof((table)[0])

#define note(r, code, ...)                                                                         \
    do {                                                                                           \
        (r)->invalid = true;                                                                       \
        spec_errors_add((r)->errors, (r)->pointer, code, __VA_ARGS__);                             \
    } while (0)

/* Goes down into a member; returns what leave() needs to come back. */
static size_t enter(struct reader *r, const char *name)
{
    size_t length = strlen(r->pointer);
    json_pointer_append(r->pointer, sizeof(r->pointer), name);
    return length;
}

static size_t enter_item(struct reader *r, size_t index)
{
    char name[24];
    snprintf(name, sizeof(name), "%zu", index);
    return enter(r, name);
}

static void leave(struct reader *r, size_t length)
{
    r->pointer[length] = '\0';
}

static const struct field *find_field(const struct field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    }
    return NULL;
}

static void read_object(struct reader *r, const cJSON *json, const struct field *fields,
                        size_t count, void *out)
{
    if (!cJSON_IsObject(json)) {
        note(r, "invalid_type", "must be an object");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const cJSON *value = json_member(json, fields[i].name);
        if (value == NULL && !fields[i].required)
            continue;
        size_t length = enter(r, fields[i].name);
        if (value == NULL)
            note(r, "required", "is required");
        else
            fields[i].read(r, value, &fields[i], (char *)out + fields[i].offset);
        leave(r, length);
    }
    for (const cJSON *item = json->child; item != NULL; item = item->next) {
        if (find_field(fields, count, item->string) != NULL)
            continue;
        size_t length = enter(r, item->string);
        note(r, "unknown_field", "there is no such field");
        leave(r, length);
    }
}

/* The text of a string, or NULL with the problem noted. */
static const char *read_text(struct reader *r, const cJSON *value)
{
    if (cJSON_IsString(value))
        return value->valuestring;
    note(r, "invalid_type", "must be a string");
    return NULL;
}

/* The number of items, or -1 with the problem noted. */
static int read_array(struct reader *r, const cJSON *value, size_t max)
{
    if (!cJSON_IsArray(value)) {
        note(r, "invalid_type", "must be an array");
        return -1;
    }
    int count = cJSON_GetArraySize(value);
    if ((size_t)count > max) {
        note(r, "too_many", "has %d items; at most %zu are allowed", count, max);
        return -1;
    }
    return count;
}

/* --- Kinds of values -------------------------------------------------------------------------- */

static bool read_integer(struct reader *r, const cJSON *value, const struct field *field,
                         int64_t *out)
{
    if (!cJSON_IsNumber(value)) {
        note(r, "invalid_type", "must be an integer");
        return false;
    }
    if (!json_integer(value, field->min, field->max, out)) {
        note(r, "out_of_range", "must be an integer from %lld to %lld", (long long)field->min,
             (long long)field->max);
        return false;
    }
    return true;
}

static void read_u16(struct reader *r, const cJSON *value, const struct field *field, void *member)
{
    int64_t integer;
    uint16_t *out = member;
    if (read_integer(r, value, field, &integer))
        *out = (uint16_t)integer;
}

static void read_u32(struct reader *r, const cJSON *value, const struct field *field, void *member)
{
    int64_t integer;
    uint32_t *out = member;
    if (read_integer(r, value, field, &integer))
        *out = (uint32_t)integer;
}

static void read_bool(struct reader *r, const cJSON *value, const struct field *field, void *member)
{
    (void)field;
    bool *out = member;
    if (cJSON_IsBool(value))
        *out = cJSON_IsTrue(value);
    else
        note(r, "invalid_type", "must be true or false");
}

static void read_name(struct reader *r, const cJSON *value, const struct field *field, void *member)
{
    (void)field;
    const char *text = read_text(r, value);
    if (text == NULL)
        return;
    if (spec_name_valid(text))
        memcpy(member, text, strlen(text) + 1);
    else
        note(r, "invalid_name",
             "must be 1 to %d characters of a-z, 0-9 and '-', not '-' at either end",
             SPEC_NAME_MAX);
}

static void read_key(struct reader *r, const cJSON *value, const struct field *field, void *member)
{
    (void)field;
    const char *text = read_text(r, value);
    if (text != NULL && spec_key_parse(text, member) < 0)
        note(r, "invalid_key", "must be a WireGuard key: 32 bytes in base64, 44 characters");
}

static void read_key_file(struct reader *r, const cJSON *value, const struct field *field,
                          void *member)
{
    (void)field;
    const char *path = read_text(r, value);
    if (path == NULL)
        return;
    if (path[0] != '/') {
        note(r, "invalid_path", "must be an absolute path");
        return;
    }
    bool shared = false;
    int rc = spec_key_read_file(path, member, &shared);
    if (rc == -EINVAL)
        note(r, "invalid_key", "the file must hold one WireGuard key in base64 and nothing else");
    else if (rc < 0)
        note(r, "unreadable_file", "the file cannot be read: %s", strerror(-rc));
    else if (shared)
        log_warn("the key file %s can be read by other users", path);
}

static bool is_host_address(const struct inet_addr *addr)
{
    return !inet_addr_is_unspecified(addr) && !inet_addr_is_multicast(addr);
}

/* An address to listen on: the unspecified one means all. */
static void read_listen_address(struct reader *r, const cJSON *value, const struct field *field,
                                void *member)
{
    (void)field;
    const char *text = read_text(r, value);
    struct inet_addr addr;
    if (text == NULL)
        return;
    if (inet_addr_parse(text, &addr) < 0 || inet_addr_is_multicast(&addr))
        note(r, "invalid_address", "must be an IP address of this host, or 0.0.0.0 or ::");
    else
        memcpy(member, &addr, sizeof(addr));
}

static void read_target_host(struct reader *r, const cJSON *value, const struct field *field,
                             void *member)
{
    (void)field;
    const char *text = read_text(r, value);
    struct inet_addr addr;
    if (text == NULL)
        return;
    if (inet_addr_parse(text, &addr) < 0) {
        if (inet_host_valid(text) && strchr(text, ':') == NULL)
            note(r, "not_supported",
                 "must be an IP address: names are not resolved through the tunnel");
        else
            note(r, "invalid_address", "must be an IP address");
    } else if (!is_host_address(&addr)) {
        note(r, "invalid_address", "must be the IP address of one host");
    } else {
        memcpy(member, &addr, sizeof(addr));
    }
}

static void read_choice(struct reader *r, const cJSON *value, const char *first, const char *second,
                        int *out)
{
    const char *text = read_text(r, value);
    if (text == NULL)
        return;
    if (strcmp(text, first) == 0)
        *out = 0;
    else if (strcmp(text, second) == 0)
        *out = 1;
    else
        note(r, "invalid_value", "must be \"%s\" or \"%s\"", first, second);
}

static void read_direction(struct reader *r, const cJSON *value, const struct field *field,
                           void *member)
{
    (void)field;
    enum spec_direction *out = member;
    int choice = *out == SPEC_REMOTE;
    read_choice(r, value, spec_direction_name(SPEC_LOCAL), spec_direction_name(SPEC_REMOTE),
                &choice);
    *out = choice ? SPEC_REMOTE : SPEC_LOCAL;
}

static void read_protocol(struct reader *r, const cJSON *value, const struct field *field,
                          void *member)
{
    (void)field;
    enum spec_protocol *out = member;
    int choice = *out == SPEC_UDP;
    read_choice(r, value, spec_protocol_name(SPEC_TCP), spec_protocol_name(SPEC_UDP), &choice);
    *out = choice ? SPEC_UDP : SPEC_TCP;
}

static void read_congestion(struct reader *r, const cJSON *value, const struct field *field,
                            void *member)
{
    (void)field;
    enum spec_congestion *out = member;
    int choice = *out == SPEC_BBR;
    read_choice(r, value, spec_congestion_name(SPEC_CUBIC), spec_congestion_name(SPEC_BBR),
                &choice);
    *out = choice ? SPEC_BBR : SPEC_CUBIC;
}

/* --- A peer ----------------------------------------------------------------------------------- */

static void read_endpoint(struct reader *r, const cJSON *value, const struct field *field,
                          void *member)
{
    (void)field;
    struct spec_peer *peer = member;
    const char *text = read_text(r, value);
    char host[INET_HOST_TEXT];
    uint16_t port;
    if (text == NULL)
        return;
    if (inet_host_port_parse(text, host, &port) < 0 || port == 0) {
        note(r, "invalid_endpoint",
             "must be \"host:port\" with a port from 1 to 65535; an IPv6 address in brackets");
        return;
    }
    struct inet_addr addr;
    if (inet_addr_parse(host, &addr) == 0 && !is_host_address(&addr)) {
        note(r, "invalid_endpoint", "the address must be that of one host");
        return;
    }
    memcpy(peer->endpoint_host, host, sizeof(host));
    peer->endpoint_port = port;
}

static void read_allowed_ips(struct reader *r, const cJSON *value, const struct field *field,
                             void *member)
{
    (void)field;
    struct spec_peer *peer = member;
    int count = read_array(r, value, SPEC_ALLOWED_IPS_MAX);
    if (count <= 0)
        return;
    peer->allowed_ips = calloc((size_t)count, sizeof(*peer->allowed_ips));
    if (peer->allowed_ips == NULL) {
        r->no_memory = true;
        return;
    }
    const cJSON *item;
    size_t index = 0;
    cJSON_ArrayForEach(item, value)
    {
        size_t length = enter_item(r, index++);
        const char *text = read_text(r, item);
        struct inet_prefix prefix;
        if (text != NULL && inet_prefix_parse(text, &prefix) < 0) {
            note(r, "invalid_prefix", "must be an IP prefix such as 192.0.2.0/24 or 2001:db8::/64");
        } else if (text != NULL) {
            inet_prefix_mask(&prefix);
            peer->allowed_ips[peer->allowed_ips_count++] = prefix;
        }
        leave(r, length);
    }
}

static const struct field peer_fields[] = {
    {"name", false, read_name, offsetof(struct spec_peer, name), 0, 0},
    {"public_key", true, read_key, offsetof(struct spec_peer, public_key), 0, 0},
    {"preshared_key", false, read_key, offsetof(struct spec_peer, preshared_key), 0, 0},
    {"preshared_key_file", false, read_key_file, offsetof(struct spec_peer, preshared_key), 0, 0},
    {"endpoint", false, read_endpoint, 0, 0, 0},
    {"allowed_ips", false, read_allowed_ips, 0, 0, 0},
    {"keepalive_seconds", false, read_u16, offsetof(struct spec_peer, keepalive_seconds), 0, 65535},
};

/* A secret comes inline or from a file. True when it is there. */
static bool check_secret(struct reader *r, const cJSON *json, const char *name, const char *file)
{
    bool is_inline = json_member(json, name) != NULL;
    bool is_file = json_member(json, file) != NULL;
    if (is_inline && is_file) {
        size_t length = enter(r, file);
        note(r, "conflict", "give either %s or %s", name, file);
        leave(r, length);
    }
    return is_inline || is_file;
}

static void read_peer(struct reader *r, const cJSON *json, struct spec_peer *peer)
{
    read_object(r, json, FIELDS(peer_fields), peer);
    peer->has_preshared_key = check_secret(r, json, "preshared_key", "preshared_key_file");
}

static int compare_name_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Names the peers that have none "peer-N": their place, or the next number that is free. */
static void name_peers(struct reader *r, struct spec_tunnel *tunnel)
{
    char(*taken)[SPEC_NAME_MAX + 1] = calloc(tunnel->peers_count + 1, sizeof(*taken));
    if (taken == NULL) {
        r->no_memory = true;
        return;
    }
    size_t taken_count = 0;
    for (size_t i = 0; i < tunnel->peers_count; i++) {
        if (tunnel->peers[i].name[0] != '\0')
            memcpy(taken[taken_count++], tunnel->peers[i].name, sizeof(*taken));
    }
    qsort(taken, taken_count, sizeof(*taken), compare_name_text);
    size_t number = 0;
    for (size_t i = 0; i < tunnel->peers_count; i++) {
        char *name = tunnel->peers[i].name;
        if (name[0] != '\0')
            continue;
        number = number > i ? number + 1 : i + 1;
        snprintf(name, SPEC_NAME_MAX + 1, "peer-%zu", number);
        while (bsearch(name, taken, taken_count, sizeof(*taken), compare_name_text) != NULL)
            snprintf(name, SPEC_NAME_MAX + 1, "peer-%zu", ++number);
    }
    free(taken);
}

/* --- A tunnel --------------------------------------------------------------------------------- */

static void read_peers(struct reader *r, const cJSON *value, const struct field *field,
                       void *member)
{
    (void)field;
    struct spec_tunnel *tunnel = member;
    int count = read_array(r, value, SPEC_PEERS_MAX);
    if (count <= 0)
        return;
    tunnel->peers = calloc((size_t)count, sizeof(*tunnel->peers));
    if (tunnel->peers == NULL) {
        r->no_memory = true;
        return;
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, value)
    {
        size_t index = tunnel->peers_count++;
        size_t length = enter_item(r, index);
        read_peer(r, item, &tunnel->peers[index]);
        leave(r, length);
    }
    name_peers(r, tunnel);
}

static void read_addresses(struct reader *r, const cJSON *value, const struct field *field,
                           void *member)
{
    (void)field;
    struct spec_tunnel *tunnel = member;
    int count = read_array(r, value, SPEC_ADDRESSES_MAX);
    if (count == 0)
        note(r, "required", "at least one address is needed");
    if (count <= 0)
        return;
    const cJSON *item;
    size_t index = 0;
    cJSON_ArrayForEach(item, value)
    {
        size_t length = enter_item(r, index++);
        const char *text = read_text(r, item);
        struct inet_prefix prefix;
        if (text != NULL &&
            (inet_prefix_parse(text, &prefix) < 0 || !is_host_address(&prefix.addr))) {
            note(r, "invalid_address",
                 "must be the address of the tunnel's own end, such as 10.9.0.2/32");
        } else if (text != NULL) {
            tunnel->addresses[tunnel->addresses_count++] = prefix;
        }
        leave(r, length);
    }
}

static const struct field tunnel_fields[] = {
    {"name", true, read_name, offsetof(struct spec_tunnel, name), 0, 0},
    {"private_key", false, read_key, offsetof(struct spec_tunnel, private_key), 0, 0},
    {"private_key_file", false, read_key_file, offsetof(struct spec_tunnel, private_key), 0, 0},
    {"addresses", true, read_addresses, 0, 0, 0},
    {"mtu", false, read_u16, offsetof(struct spec_tunnel, mtu), SPEC_MTU_MIN, SPEC_MTU_MAX},
    {"congestion_control", false, read_congestion, offsetof(struct spec_tunnel, congestion_control),
     0, 0},
    {"listen_port", false, read_u16, offsetof(struct spec_tunnel, listen_port), 0, 65535},
    {"listen_address", false, read_listen_address, offsetof(struct spec_tunnel, listen_address), 0,
     0},
    {"required", false, read_bool, offsetof(struct spec_tunnel, required), 0, 0},
    {"peers", false, read_peers, 0, 0, 0},
};

int spec_tunnel_from_json(const cJSON *json, struct spec_tunnel *out, struct spec_errors *errors)
{
    struct reader r = {.errors = errors};
    struct spec_tunnel tunnel = {.mtu = SPEC_MTU_DEFAULT};
    read_object(&r, json, FIELDS(tunnel_fields), &tunnel);
    if (cJSON_IsObject(json) && !check_secret(&r, json, "private_key", "private_key_file")) {
        size_t length = enter(&r, "private_key");
        note(&r, "required", "is required (or private_key_file)");
        leave(&r, length);
    }
    int rc = 0;
    if (r.no_memory)
        rc = -ENOMEM;
    else if (r.invalid)
        rc = -EINVAL;
    else
        rc = spec_tunnel_check(&tunnel, errors);
    if (rc < 0) {
        spec_tunnel_fini(&tunnel);
        memset(out, 0, sizeof(*out));
        return rc;
    }
    *out = tunnel;
    sodium_memzero(&tunnel, sizeof(tunnel));
    return 0;
}

/* --- A forward -------------------------------------------------------------------------------- */

static const struct field listen_fields[] = {
    {"address", false, read_listen_address, offsetof(struct spec_forward, listen_address), 0, 0},
    {"port", false, read_u16, offsetof(struct spec_forward, listen_port), 0, 65535},
};

static const struct field target_fields[] = {
    {"host", true, read_target_host, offsetof(struct spec_forward, target_address), 0, 0},
    {"port", true, read_u16, offsetof(struct spec_forward, target_port), 1, 65535},
};

static void read_listen(struct reader *r, const cJSON *value, const struct field *field,
                        void *member)
{
    (void)field;
    read_object(r, value, FIELDS(listen_fields), member);
}

static void read_target(struct reader *r, const cJSON *value, const struct field *field,
                        void *member)
{
    (void)field;
    read_object(r, value, FIELDS(target_fields), member);
}

static const struct field forward_fields[] = {
    {"name", false, read_name, offsetof(struct spec_forward, name), 0, 0},
    {"tunnel", true, read_name, offsetof(struct spec_forward, tunnel), 0, 0},
    {"direction", false, read_direction, offsetof(struct spec_forward, direction), 0, 0},
    {"protocol", false, read_protocol, offsetof(struct spec_forward, protocol), 0, 0},
    {"listen", false, read_listen, 0, 0, 0},
    {"target", true, read_target, 0, 0, 0},
    {"enabled", false, read_bool, offsetof(struct spec_forward, enabled), 0, 0},
    {"connect_timeout_seconds", false, read_u32,
     offsetof(struct spec_forward, connect_timeout_seconds), 1, SPEC_CONNECT_TIMEOUT_MAX},
    {"idle_timeout_seconds", false, read_u32, offsetof(struct spec_forward, idle_timeout_seconds),
     0, SPEC_IDLE_TIMEOUT_MAX},
};

int spec_forward_from_json(const cJSON *json, struct spec_forward *out, struct spec_errors *errors)
{
    struct reader r = {.errors = errors};
    struct spec_forward forward = {
        .listen_address = {.family = AF_INET, .bytes = {127, 0, 0, 1}},
        .enabled = true,
        .connect_timeout_seconds = SPEC_CONNECT_TIMEOUT_DEFAULT,
    };
    memset(out, 0, sizeof(*out));
    read_object(&r, json, FIELDS(forward_fields), &forward);
    /* The check speaks of values that were read; a value that was not is its default. */
    if (spec_forward_check(&forward, errors) < 0 || r.invalid)
        return -EINVAL;
    *out = forward;
    return 0;
}
