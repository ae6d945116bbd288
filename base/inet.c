/*
 * inet: owns no state; the text forms are those of RFC 4291, RFC 5952 and RFC 1123.
 *
 * inet_pton() is the parser underneath: it takes exactly four decimal parts without leading zeros,
 * and no zone.
 */
#include "base/inet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define LABEL_LEN_MAX     63 /* octets of one label of a host name */
#define HOST_NAME_LEN_MAX 253

/* ::ffff:0:0/96, the IPv4-mapped IPv6 addresses (RFC 4291, 2.5.5.2). */
static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* --- Addresses ------------------------------------------------------------------------------ */

size_t inet_addr_len(sa_family_t family)
{
    return family == AF_INET ? 4 : 16;
}

bool inet_addr_equal(const struct inet_addr *a, const struct inet_addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool is_mapped(const struct inet_addr *addr)
{
    return addr->family == AF_INET6 &&
           memcmp(addr->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

bool inet_addr_is_loopback(const struct inet_addr *addr)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    if (addr->family == AF_INET)
        return addr->bytes[0] == 127;
    if (is_mapped(addr))
        return addr->bytes[12] == 127;
    return addr->family == AF_INET6 && memcmp(addr->bytes, loopback6, 16) == 0;
}

bool inet_addr_is_multicast(const struct inet_addr *addr)
{
    if (addr->family == AF_INET)
        return (addr->bytes[0] & 0xf0) == 0xe0;
    if (is_mapped(addr))
        return (addr->bytes[12] & 0xf0) == 0xe0;
    return addr->family == AF_INET6 && addr->bytes[0] == 0xff;
}

bool inet_addr_is_broadcast(const struct inet_addr *addr)
{
    static const uint8_t ones[4] = {0xff, 0xff, 0xff, 0xff};
    return (addr->family == AF_INET && memcmp(addr->bytes, ones, sizeof(ones)) == 0) ||
           (is_mapped(addr) && memcmp(addr->bytes + 12, ones, sizeof(ones)) == 0);
}

bool inet_addr_is_unspecified(const struct inet_addr *addr)
{
    static const uint8_t zero[16];
    return addr->family != AF_UNSPEC && memcmp(addr->bytes, zero, sizeof(zero)) == 0;
}

int inet_addr_parse(const char *text, struct inet_addr *out)
{
    struct inet_addr addr = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    if (inet_pton(addr.family, text, addr.bytes) != 1)
        return -EINVAL;
    *out = addr;
    return 0;
}

const char *inet_addr_print(const struct inet_addr *addr, char buf[INET_ADDR_TEXT])
{
    if (addr->family == AF_UNSPEC || !inet_ntop(addr->family, addr->bytes, buf, INET_ADDR_TEXT))
        buf[0] = '\0';
    return buf;
}

/* --- Numbers -------------------------------------------------------------------------------- */

/* Parses a decimal number of digits only, without leading zeros, at most max. 0 or -EINVAL. */
static int number_parse(const char *text, unsigned max, unsigned *out)
{
    unsigned value = 0;
    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
        return -EINVAL;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9')
            return -EINVAL;
        value = value * 10 + (unsigned)(*p - '0');
        if (value > max)
            return -EINVAL;
    }
    *out = value;
    return 0;
}

int inet_port_parse(const char *text, uint16_t *out)
{
    unsigned value;
    if (number_parse(text, UINT16_MAX, &value) < 0)
        return -EINVAL;
    *out = (uint16_t)value;
    return 0;
}

/* --- Prefixes ------------------------------------------------------------------------------- */

static unsigned family_bits(sa_family_t family)
{
    return (unsigned)inet_addr_len(family) * 8;
}

int inet_prefix_parse(const char *text, struct inet_prefix *out)
{
    char copy[INET_PREFIX_TEXT];
    struct inet_prefix prefix;
    size_t len = strlen(text);

    if (len >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text, len + 1);
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = '\0';
    if (inet_addr_parse(copy, &prefix.addr) < 0)
        return -EINVAL;
    unsigned bits = family_bits(prefix.addr.family);
    if (slash && number_parse(slash + 1, bits, &bits) < 0)
        return -EINVAL;
    prefix.bits = (uint8_t)bits;
    *out = prefix;
    return 0;
}

const char *inet_prefix_print(const struct inet_prefix *prefix, char buf[INET_PREFIX_TEXT])
{
    char addr[INET_ADDR_TEXT];
    snprintf(buf, INET_PREFIX_TEXT, "%s/%u", inet_addr_print(&prefix->addr, addr), prefix->bits);
    return buf;
}

/* The mask of byte number i of a prefix of this length. */
static uint8_t prefix_mask_byte(unsigned bits, size_t i)
{
    if (bits >= (i + 1) * 8)
        return 0xff;
    if (bits <= i * 8)
        return 0;
    return (uint8_t)(0xff00u >> (bits - i * 8));
}

void inet_prefix_mask(struct inet_prefix *prefix)
{
    for (size_t i = 0; i < sizeof(prefix->addr.bytes); i++)
        prefix->addr.bytes[i] &= prefix_mask_byte(prefix->bits, i);
}

/* --- Socket addresses ----------------------------------------------------------------------- */

socklen_t inet_sockaddr_len(const union inet_sockaddr *sa)
{
    switch (sa->sa.sa_family) {
    case AF_INET:
        return sizeof(sa->in);
    case AF_INET6:
        return sizeof(sa->in6);
    default:
        return sizeof(sa->sa.sa_family);
    }
}

void inet_sockaddr_make(union inet_sockaddr *out, const struct inet_addr *addr, uint16_t port)
{
    memset(out, 0, sizeof(*out));
    out->sa.sa_family = addr->family;
    if (addr->family == AF_INET) {
        memcpy(&out->in.sin_addr, addr->bytes, 4);
        out->in.sin_port = htons(port);
    } else if (addr->family == AF_INET6) {
        memcpy(&out->in6.sin6_addr, addr->bytes, 16);
        out->in6.sin6_port = htons(port);
    }
}

void inet_sockaddr_split(const union inet_sockaddr *sa, struct inet_addr *addr, uint16_t *port)
{
    memset(addr, 0, sizeof(*addr));
    *port = 0;
    if (sa->sa.sa_family == AF_INET) {
        addr->family = AF_INET;
        memcpy(addr->bytes, &sa->in.sin_addr, 4);
        *port = ntohs(sa->in.sin_port);
    } else if (sa->sa.sa_family == AF_INET6) {
        const uint8_t *bytes = sa->in6.sin6_addr.s6_addr;
        bool mapped = memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
        addr->family = mapped ? AF_INET : AF_INET6;
        memcpy(addr->bytes, mapped ? bytes + 12 : bytes, mapped ? 4 : 16);
        *port = ntohs(sa->in6.sin6_port);
    }
}

bool inet_sockaddr_equal(const union inet_sockaddr *a, const union inet_sockaddr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    switch (a->sa.sa_family) {
    case AF_INET:
        return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    case AF_INET6:
        return a->in6.sin6_port == b->in6.sin6_port &&
               a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0;
    default:
        return a->sa.sa_family == AF_UNSPEC;
    }
}

/* A name that an interface can have, of the characters that names of interfaces are made of. */
static bool zone_valid(const char *zone)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_.";
    const size_t len = strlen(zone);
    return len > 0 && len < INET_ZONE_TEXT && strspn(zone, allowed) == len;
}

/* "%eth0" of an address of one link, else nothing. The number of an interface that is gone, or
 * whose name has other characters: the kernel lets it have any, and what is printed goes into JSON.
 */
static void print_zone(const union inet_sockaddr *sa, char out[INET_ZONE_TEXT + 1])
{
    const uint32_t zone = sa->sa.sa_family == AF_INET6 ? sa->in6.sin6_scope_id : 0;
    out[0] = '\0';
    if (zone == 0)
        return;
    out[0] = '%';
    if (!if_indextoname(zone, out + 1) || !zone_valid(out + 1))
        snprintf(out + 1, INET_ZONE_TEXT, "%u", (unsigned)zone);
}

const char *inet_sockaddr_print(const union inet_sockaddr *sa, char buf[INET_SOCKADDR_TEXT])
{
    char text[INET_ADDR_TEXT];
    char zone[INET_ZONE_TEXT + 1];
    struct inet_addr addr;
    uint16_t port;

    inet_sockaddr_split(sa, &addr, &port);
    inet_addr_print(&addr, text);
    if (addr.family == AF_INET6) {
        print_zone(sa, zone);
        snprintf(buf, INET_SOCKADDR_TEXT, "[%s%s]:%u", text, zone, port);
    } else {
        snprintf(buf, INET_SOCKADDR_TEXT, "%s:%u", text, port);
    }
    return buf;
}

/* --- Zones ------------------------------------------------------------------------------------ */

/* Splits "fe80::1%eth0". Addresses of wider scope have no zone (RFC 4007, 6). 0 or -EINVAL. */
static int zoned_parse(const char *text, struct inet_addr *addr, const char **zone)
{
    char copy[INET_ADDR_TEXT];
    const char *percent = strchr(text, '%');
    const size_t len = percent ? (size_t)(percent - text) : sizeof(copy);

    if (len >= sizeof(copy) || !zone_valid(percent + 1))
        return -EINVAL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_addr_parse(copy, addr) < 0 || addr->family != AF_INET6 || addr->bytes[0] != 0xfe ||
        (addr->bytes[1] & 0xc0) != 0x80)
        return -EINVAL;
    *zone = percent + 1;
    return 0;
}

int inet_sockaddr_make_zoned(union inet_sockaddr *out, const char *text, uint16_t port)
{
    struct inet_addr addr;
    const char *zone;

    if (zoned_parse(text, &addr, &zone) < 0)
        return -EINVAL;
    const unsigned index = if_nametoindex(zone);
    if (index == 0)
        return -ENODEV;
    inet_sockaddr_make(out, &addr, port);
    out->in6.sin6_scope_id = index;
    return 0;
}

/* --- Host names ----------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_label_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* A label that a resolver could take for a part of a numeric address: "10" or "0x7f". */
static bool label_is_number(const char *label, size_t len)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    if (len >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
        return strspn(label + 2, hex) >= len - 2;
    for (size_t i = 0; i < len; i++)
        if (!is_digit(label[i]))
            return false;
    return true;
}

static bool label_valid(const char *label, size_t len)
{
    if (len == 0 || len > LABEL_LEN_MAX || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_label_char(label[i]))
            return false;
    return true;
}

bool inet_host_valid(const char *host)
{
    struct inet_addr addr;
    const char *zone;
    if (inet_addr_parse(host, &addr) == 0 || zoned_parse(host, &addr, &zone) == 0)
        return true;
    size_t len = strlen(host);
    if (len > 0 && host[len - 1] == '.')
        len--; /* the root's dot */
    if (len == 0 || len > HOST_NAME_LEN_MAX)
        return false;
    const char *label = host;
    const char *end = host + len;
    for (;;) {
        const char *dot = memchr(label, '.', (size_t)(end - label));
        size_t label_len = (size_t)((dot ? dot : end) - label);
        if (!label_valid(label, label_len))
            return false;
        if (!dot) /* a name that ends in a number is a misspelt address, never a name */
            return !label_is_number(label, label_len);
        label = dot + 1;
    }
}

int inet_host_port_parse(const char *text, char host[INET_HOST_TEXT], uint16_t *port)
{
    char copy[INET_HOST_TEXT];
    const char *colon = strrchr(text, ':');
    if (!colon)
        return -EINVAL;
    bool bracketed = text[0] == '[';
    const char *begin = bracketed ? text + 1 : text;
    const char *end = bracketed ? colon - 1 : colon;
    if (end <= begin || (bracketed && *end != ']') || (size_t)(end - begin) >= sizeof(copy))
        return -EINVAL;
    size_t len = (size_t)(end - begin);
    memcpy(copy, begin, len);
    copy[len] = '\0';

    bool is_v6 = strchr(copy, ':') != NULL;
    if (is_v6 != bracketed || !inet_host_valid(copy))
        return -EINVAL;
    uint16_t value;
    if (inet_port_parse(colon + 1, &value) < 0)
        return -EINVAL;
    memcpy(host, copy, len + 1);
    *port = value;
    return 0;
}

const char *inet_host_port_print(const char *host, uint16_t port, char buf[INET_HOST_PORT_TEXT])
{
    bool bracketed = strchr(host, ':') != NULL;
    snprintf(buf, INET_HOST_PORT_TEXT, bracketed ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
    return buf;
}
