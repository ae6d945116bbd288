/*
 * inet: IP addresses, prefixes and socket addresses, parsed strictly and printed canonically.
 *
 * Nothing here resolves names or accepts what inet_aton() would ("10.1", "0x7f.1", "010.0.0.1").
 */
#ifndef MANYTUN_BASE_INET_H
#define MANYTUN_BASE_INET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 address in network byte order; unused bytes are zero, so memcmp() compares. */
struct inet_addr {
    sa_family_t family; /* AF_INET, AF_INET6, or AF_UNSPEC for "none" */
    uint8_t bytes[16];
};

struct inet_prefix {
    struct inet_addr addr; /* host bits may be set: an interface address keeps them */
    uint8_t bits;          /* 0–32 or 0–128 */
};

/* A socket address of either family, without type punning through pointers. */
union inet_sockaddr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* Longest text of each, with the terminating NUL. */
#define INET_ADDR_TEXT     46
#define INET_PREFIX_TEXT   50
#define INET_SOCKADDR_TEXT 72

/* Longest name of an interface, as a zone, with the terminating NUL: IF_NAMESIZE. */
#define INET_ZONE_TEXT 16

/* Longest host name (RFC 1035), with the terminating NUL. */
#define INET_HOST_TEXT 254
/* The same with brackets and a port. */
#define INET_HOST_PORT_TEXT (INET_HOST_TEXT + 8)

/* Length in bytes of an address of this family: 4 or 16. */
size_t inet_addr_len(sa_family_t family);
bool inet_addr_equal(const struct inet_addr *a, const struct inet_addr *b);
bool inet_addr_is_loopback(const struct inet_addr *addr);
bool inet_addr_is_multicast(const struct inet_addr *addr);
bool inet_addr_is_broadcast(const struct inet_addr *addr); /* 255.255.255.255 */
bool inet_addr_is_unspecified(const struct inet_addr *addr);

/* Parses "192.0.2.1" or "2001:db8::1" (no brackets, no zone). Returns 0 or -EINVAL. */
int inet_addr_parse(const char *text, struct inet_addr *out);
/* Writes the canonical text (RFC 5952) and returns buf. */
const char *inet_addr_print(const struct inet_addr *addr, char buf[INET_ADDR_TEXT]);

/* Parses "192.0.2.0/24"; without "/bits" it is a single address. Returns 0 or -EINVAL. */
int inet_prefix_parse(const char *text, struct inet_prefix *out);
const char *inet_prefix_print(const struct inet_prefix *prefix, char buf[INET_PREFIX_TEXT]);
/* Clears the host bits. */
void inet_prefix_mask(struct inet_prefix *prefix);

socklen_t inet_sockaddr_len(const union inet_sockaddr *sa);
void inet_sockaddr_make(union inet_sockaddr *out, const struct inet_addr *addr, uint16_t port);
/* The address and port of sa; an IPv4-mapped IPv6 address comes out as IPv4. */
void inet_sockaddr_split(const union inet_sockaddr *sa, struct inet_addr *addr, uint16_t *port);
bool inet_sockaddr_equal(const union inet_sockaddr *a, const union inet_sockaddr *b);
/*
 * The same from the text of a link-local address with its zone (RFC 4007, 11), which is the name of
 * an interface: "fe80::1%eth0". 0; -EINVAL: it is no such text; -ENODEV: there is no such interface
 * now. out is untouched then.
 */
int inet_sockaddr_make_zoned(union inet_sockaddr *out, const char *text, uint16_t port);
/* "192.0.2.1:80", "[2001:db8::1]:80" or "[fe80::1%eth0]:80". */
const char *inet_sockaddr_print(const union inet_sockaddr *sa, char buf[INET_SOCKADDR_TEXT]);

/*
 * Splits "host:port" where host is a name, an IPv4 address or a bracketed IPv6 address, maybe with
 * a zone, and port is 0–65535 in decimal. The host is validated (inet_host_valid). Returns 0 or
 * -EINVAL.
 */
int inet_host_port_parse(const char *text, char host[INET_HOST_TEXT], uint16_t *port);
/* The reverse: an IPv6 address gets brackets. */
const char *inet_host_port_print(const char *host, uint16_t port, char buf[INET_HOST_PORT_TEXT]);
/* An IP address, one with a zone as in inet_sockaddr_make_zoned(), or a host name of letters,
 * digits, '-', '_' and '.' (RFC 1123 lengths). */
bool inet_host_valid(const char *host);

/* Parses a decimal port, 0–65535, digits only. Returns 0 or -EINVAL. */
int inet_port_parse(const char *text, uint16_t *out);

#endif
