/*
 * spec: names, keys, the list of errors, and what must hold between the fields of a definition.
 */
#include "base/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 4096

#define IPV6_MTU_MIN 1280 /* RFC 8200, section 5 */

void spec_errors_add(struct spec_errors *errors, const char *pointer, const char *code,
                     const char *format, ...)
{
    if (errors->count == SPEC_ERRORS_MAX)
        return;
    struct spec_error *error = &errors->items[errors->count++];
    snprintf(error->pointer, sizeof(error->pointer), "%s", pointer);
    error->code = code;
    error->line = 0;
    error->column = 0;
    error->document = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(error->detail, sizeof(error->detail), format, args);
    va_end(args);
}

/* What does not fit is cut off at the end. */
static void prefix_pointer(char *pointer, size_t size, const char *prefix)
{
    size_t prefix_len = strnlen(prefix, size - 1);
    size_t len = strnlen(pointer, size - 1 - prefix_len);
    memmove(pointer + prefix_len, pointer, len);
    memcpy(pointer, prefix, prefix_len);
    pointer[prefix_len + len] = '\0';
}

void spec_errors_place(struct spec_errors *errors, size_t first, const struct spec_place *place)
{
    char prefix[sizeof(errors->items[0].pointer)] = "";
    if (place->list != NULL)
        snprintf(prefix, sizeof(prefix), "%.20s/%zu", place->list, place->index);
    for (size_t i = first; i < errors->count; i++) {
        struct spec_error *error = &errors->items[i];
        prefix_pointer(error->pointer, sizeof(error->pointer), prefix);
        error->document = place->document;
    }
}

/* --- Life cycle ----------------------------------------------------------------------------- */

void spec_tunnel_fini(struct spec_tunnel *tunnel)
{
    for (size_t i = 0; i < tunnel->peers_count; i++)
        free(tunnel->peers[i].allowed_ips);
    if (tunnel->peers != NULL)
        sodium_memzero(tunnel->peers, tunnel->peers_count * sizeof(*tunnel->peers));
    free(tunnel->peers);
    sodium_memzero(tunnel, sizeof(*tunnel));
}

int spec_peer_copy(struct spec_peer *out, const struct spec_peer *peer)
{
    struct inet_prefix *allowed_ips = NULL;
    if (peer->allowed_ips_count > 0) {
        allowed_ips = calloc(peer->allowed_ips_count, sizeof(*allowed_ips));
        if (allowed_ips == NULL)
            return -ENOMEM;
        memcpy(allowed_ips, peer->allowed_ips, peer->allowed_ips_count * sizeof(*allowed_ips));
    }
    *out = *peer;
    out->allowed_ips = allowed_ips;
    return 0;
}

int spec_tunnel_copy(struct spec_tunnel *out, const struct spec_tunnel *tunnel)
{
    struct spec_tunnel copy = *tunnel;
    copy.peers = NULL;
    copy.peers_count = 0;
    if (tunnel->peers_count > 0) {
        copy.peers = calloc(tunnel->peers_count, sizeof(*copy.peers));
        if (copy.peers == NULL) {
            spec_tunnel_fini(&copy);
            return -ENOMEM;
        }
    }
    while (copy.peers_count < tunnel->peers_count) {
        size_t i = copy.peers_count++;
        if (spec_peer_copy(&copy.peers[i], &tunnel->peers[i]) < 0) {
            spec_tunnel_fini(&copy);
            return -ENOMEM;
        }
    }
    *out = copy;
    sodium_memzero(&copy, sizeof(copy));
    return 0;
}

void spec_peer_fini(struct spec_peer *peer)
{
    free(peer->allowed_ips);
    sodium_memzero(peer, sizeof(*peer));
}

/* Makes room behind the last peer, by copying: realloc() would leave keys behind. */
static int grow_peers(struct spec_tunnel *tunnel)
{
    if (tunnel->peers_count == SPEC_PEERS_MAX)
        return -E2BIG;
    struct spec_peer *peers = calloc(tunnel->peers_count + 1, sizeof(*peers));
    if (peers == NULL)
        return -ENOMEM;
    if (tunnel->peers_count > 0) {
        memcpy(peers, tunnel->peers, tunnel->peers_count * sizeof(*peers));
        sodium_memzero(tunnel->peers, tunnel->peers_count * sizeof(*peers));
    }
    free(tunnel->peers);
    tunnel->peers = peers;
    tunnel->peers_count++;
    return 0;
}

int spec_tunnel_set_peer(struct spec_tunnel *tunnel, size_t place, struct spec_peer *peer)
{
    int rc = place == tunnel->peers_count ? grow_peers(tunnel) : 0;
    if (rc < 0)
        return rc;
    spec_peer_fini(&tunnel->peers[place]);
    tunnel->peers[place] = *peer;
    sodium_memzero(peer, sizeof(*peer));
    return 0;
}

void spec_tunnel_remove_peer(struct spec_tunnel *tunnel, size_t place)
{
    spec_peer_fini(&tunnel->peers[place]);
    tunnel->peers_count--;
    memmove(&tunnel->peers[place], &tunnel->peers[place + 1],
            (tunnel->peers_count - place) * sizeof(*tunnel->peers));
    /* What was last is not wiped with the others any more. */
    sodium_memzero(&tunnel->peers[tunnel->peers_count], sizeof(*tunnel->peers));
}

/* --- Validation ------------------------------------------------------------------------------ */

/* Something of a peer that must not be anywhere else in the tunnel, as comparable bytes. */
struct unique {
    uint8_t bytes[SPEC_NAME_MAX + 1];
    size_t peer;
    size_t item; /* which of the peer's, where it has several */
};

struct unique_list {
    struct unique *items;
    size_t count;
};

static int compare_unique(const void *a, const void *b)
{
    const struct unique *left = a;
    const struct unique *right = b;
    int order = memcmp(left->bytes, right->bytes, sizeof(left->bytes));
    if (order != 0)
        return order;
    if (left->peer != right->peer)
        return left->peer < right->peer ? -1 : 1;
    return left->item < right->item ? -1 : left->item > right->item;
}

/* Sorts the list and reports what two different peers have in common. */
static void report_shared(struct unique_list *list, struct spec_errors *errors,
                          void (*report)(struct spec_errors *errors, const struct unique *again,
                                         const struct unique *first))
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(*list->items), compare_unique);
    for (size_t i = 1; i < list->count; i++) {
        const struct unique *first = &list->items[i - 1];
        const struct unique *again = &list->items[i];
        if (first->peer != again->peer &&
            memcmp(first->bytes, again->bytes, sizeof(first->bytes)) == 0)
            report(errors, again, first);
    }
}

static void report_name(struct spec_errors *errors, const struct unique *again,
                        const struct unique *first)
{
    char pointer[64];
    snprintf(pointer, sizeof(pointer), "/peers/%zu/name", again->peer);
    spec_errors_add(errors, pointer, "duplicate", "peer %zu of this tunnel has the same name",
                    first->peer);
}

static void report_key(struct spec_errors *errors, const struct unique *again,
                       const struct unique *first)
{
    char pointer[64];
    snprintf(pointer, sizeof(pointer), "/peers/%zu/public_key", again->peer);
    spec_errors_add(errors, pointer, "duplicate", "peer %zu of this tunnel has the same key",
                    first->peer);
}

static void report_prefix(struct spec_errors *errors, const struct unique *again,
                          const struct unique *first)
{
    char pointer[64];
    snprintf(pointer, sizeof(pointer), "/peers/%zu/allowed_ips/%zu", again->peer, again->item);
    spec_errors_add(errors, pointer, "duplicate",
                    "peer %zu of this tunnel has the same allowed IPs", first->peer);
}

static void prefix_bytes(const struct inet_prefix *prefix, uint8_t *out)
{
    out[0] = prefix->addr.family == AF_INET6;
    out[1] = prefix->bits;
    memcpy(out + 2, prefix->addr.bytes, sizeof(prefix->addr.bytes));
}

/* The list is made anew for each kind; its memory is large enough for the largest. */
static void check_uniqueness(const struct spec_tunnel *tunnel, struct unique *memory,
                             struct spec_errors *errors)
{
    struct unique_list names = {.items = memory};
    for (size_t i = 0; i < tunnel->peers_count; i++) {
        struct unique *item = &names.items[names.count++];
        *item = (struct unique){.peer = i};
        memcpy(item->bytes, tunnel->peers[i].name, strlen(tunnel->peers[i].name));
    }
    report_shared(&names, errors, report_name);

    struct unique_list keys = {.items = memory};
    for (size_t i = 0; i < tunnel->peers_count; i++) {
        struct unique *item = &keys.items[keys.count++];
        *item = (struct unique){.peer = i};
        memcpy(item->bytes, tunnel->peers[i].public_key, SPEC_KEY_LEN);
    }
    report_shared(&keys, errors, report_key);

    struct unique_list prefixes = {.items = memory};
    for (size_t i = 0; i < tunnel->peers_count; i++) {
        for (size_t n = 0; n < tunnel->peers[i].allowed_ips_count; n++) {
            struct unique *item = &prefixes.items[prefixes.count++];
            *item = (struct unique){.peer = i, .item = n};
            prefix_bytes(&tunnel->peers[i].allowed_ips[n], item->bytes);
        }
    }
    report_shared(&prefixes, errors, report_prefix);
}

static int check_peers(const struct spec_tunnel *tunnel, struct spec_errors *errors)
{
    if (tunnel->peers_count == 0)
        return 0;
    uint8_t public_key[SPEC_KEY_LEN];
    crypto_scalarmult_base(public_key, tunnel->private_key);
    size_t allowed_ips = 0;
    for (size_t i = 0; i < tunnel->peers_count; i++) {
        allowed_ips += tunnel->peers[i].allowed_ips_count;
        if (memcmp(tunnel->peers[i].public_key, public_key, SPEC_KEY_LEN) != 0)
            continue;
        char pointer[64];
        snprintf(pointer, sizeof(pointer), "/peers/%zu/public_key", i);
        spec_errors_add(errors, pointer, "own_key",
                        "this is the tunnel's own public key; the peer's is needed here");
    }
    if (allowed_ips > SPEC_TUNNEL_ALLOWED_IPS_MAX)
        spec_errors_add(errors, "/peers", "too_many",
                        "the peers of a tunnel may have at most %d allowed IPs together",
                        SPEC_TUNNEL_ALLOWED_IPS_MAX);
    size_t room = allowed_ips > tunnel->peers_count ? allowed_ips : tunnel->peers_count;
    struct unique *memory = calloc(room, sizeof(*memory));
    if (memory == NULL)
        return -ENOMEM;
    check_uniqueness(tunnel, memory, errors);
    free(memory);
    return 0;
}

static void check_addresses(const struct spec_tunnel *tunnel, struct spec_errors *errors)
{
    bool has_ipv6 = false;
    for (size_t i = 0; i < tunnel->addresses_count; i++) {
        const struct inet_addr *addr = &tunnel->addresses[i].addr;
        has_ipv6 |= addr->family == AF_INET6;
        for (size_t n = 0; n < i; n++) {
            if (!inet_addr_equal(addr, &tunnel->addresses[n].addr))
                continue;
            char pointer[64];
            snprintf(pointer, sizeof(pointer), "/addresses/%zu", i);
            spec_errors_add(errors, pointer, "duplicate", "address %zu is the same", n);
            break;
        }
    }
    if (has_ipv6 && tunnel->mtu < IPV6_MTU_MIN)
        spec_errors_add(errors, "/mtu", "out_of_range",
                        "a tunnel with an IPv6 address needs an MTU of at least %d", IPV6_MTU_MIN);
}

int spec_tunnel_check(const struct spec_tunnel *tunnel, struct spec_errors *errors)
{
    size_t before = errors->count;
    check_addresses(tunnel, errors);
    int rc = check_peers(tunnel, errors);
    if (rc < 0)
        return rc;
    return errors->count > before ? -EINVAL : 0;
}

int spec_forward_check(const struct spec_forward *forward, struct spec_errors *errors)
{
    size_t before = errors->count;
    if (forward->direction != SPEC_LOCAL)
        spec_errors_add(errors, "/direction", "not_supported",
                        "remote forwards are not supported; the direction must be \"local\"");
    if (forward->protocol != SPEC_TCP)
        spec_errors_add(errors, "/protocol", "not_supported",
                        "UDP forwards are not supported; the protocol must be \"tcp\"");
    return errors->count > before ? -EINVAL : 0;
}

bool spec_tunnel_has_family(const struct spec_tunnel *tunnel, sa_family_t family)
{
    for (size_t i = 0; i < tunnel->addresses_count; i++) {
        if (tunnel->addresses[i].addr.family == family)
            return true;
    }
    return false;
}

void spec_forward_check_tunnel(const struct spec_forward *forward, const struct spec_tunnel *tunnel,
                               struct spec_errors *errors)
{
    sa_family_t family = forward->target_address.family;
    if (tunnel == NULL)
        spec_errors_add(errors, "/tunnel", "unknown_tunnel", "there is no tunnel \"%s\"",
                        forward->tunnel);
    else if (!spec_tunnel_has_family(tunnel, family))
        spec_errors_add(errors, "/target/host", "no_address_of_family",
                        "the tunnel has no %s address to reach it from",
                        family == AF_INET6 ? "IPv6" : "IPv4");
}

/* --- Pieces ---------------------------------------------------------------------------------- */

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool spec_name_valid(const char *name)
{
    size_t len = strlen(name);
    if (len < 1 || len > SPEC_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_name_byte(name[i]) && name[i] != '-')
            return false;
    }
    return name[0] != '-' && name[len - 1] != '-';
}

static int parse_key(const char *text, size_t len, uint8_t out[SPEC_KEY_LEN])
{
    if (len != SPEC_KEY_TEXT - 1)
        return -EINVAL;
    uint8_t key[SPEC_KEY_LEN];
    char printed[SPEC_KEY_TEXT];
    size_t key_len = 0;
    const char *end = NULL;
    int rc = -EINVAL;
    /* libsodium takes some bytes outside ASCII for digits: only the key's own text is the key. */
    if (sodium_base642bin(key, sizeof(key), text, len, NULL, &key_len, &end,
                          sodium_base64_VARIANT_ORIGINAL) == 0 &&
        key_len == SPEC_KEY_LEN && end == text + len &&
        sodium_memcmp(text, spec_key_print(key, printed), len) == 0) {
        memcpy(out, key, SPEC_KEY_LEN);
        rc = 0;
    }
    sodium_memzero(key, sizeof(key));
    sodium_memzero(printed, sizeof(printed));
    return rc;
}

int spec_key_parse(const char *text, uint8_t out[SPEC_KEY_LEN])
{
    return parse_key(text, strlen(text), out);
}

char *spec_key_print(const uint8_t key[SPEC_KEY_LEN], char buf[SPEC_KEY_TEXT])
{
    return sodium_bin2base64(buf, SPEC_KEY_TEXT, key, SPEC_KEY_LEN, sodium_base64_VARIANT_ORIGINAL);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The key in len bytes of a file, without the white space around it. */
static int parse_key_text(const char *text, size_t len, uint8_t out[SPEC_KEY_LEN])
{
    while (len > 0 && is_space(text[0])) {
        text++;
        len--;
    }
    while (len > 0 && is_space(text[len - 1]))
        len--;
    return parse_key(text, len, out);
}

/* Reads until the end of the file or size bytes. Returns the length or -errno. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t n = read(fd, buf + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

bool spec_key_file_shared(const struct stat *st)
{
    const uid_t user = geteuid();
    bool is_lent = user != 0 && user != st->st_uid;
    return (st->st_mode & (is_lent ? S_IWGRP | S_IRWXO : S_IRWXG | S_IRWXO)) != 0;
}

int spec_key_read_file(const char *path, uint8_t out[SPEC_KEY_LEN], bool *shared)
{
    /* Non-blocking: opening a FIFO must not wait for somebody to write into it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    char text[KEY_FILE_MAX + 1] = "";
    struct stat st;
    ssize_t n;
    if (fstat(fd, &st) < 0)
        n = -errno;
    else if (!S_ISREG(st.st_mode))
        n = -EINVAL;
    else
        n = read_all(fd, text, sizeof(text));
    close(fd);
    int rc = (int)n;
    if (n >= 0)
        rc = n > KEY_FILE_MAX ? -EINVAL : parse_key_text(text, (size_t)n, out);
    if (rc == 0)
        *shared = spec_key_file_shared(&st);
    sodium_memzero(text, sizeof(text));
    return rc;
}

const char *spec_source_name(enum spec_source source)
{
    return source == SPEC_SOURCE_FILE ? "file" : "api";
}

const char *spec_protocol_name(enum spec_protocol protocol)
{
    return protocol == SPEC_UDP ? "udp" : "tcp";
}

const char *spec_direction_name(enum spec_direction direction)
{
    return direction == SPEC_REMOTE ? "remote" : "local";
}

const char *spec_congestion_name(enum spec_congestion congestion)
{
    return congestion == SPEC_BBR ? "bbr" : "cubic";
}
