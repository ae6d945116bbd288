/*
 * packet: the little that WireGuard must know of the IP packets it carries (RFC 791, RFC 8200):
 * version, length, addresses and the ECN bits.
 */
#ifndef MANYTUN_ENGINE_WG_PACKET_H
#define MANYTUN_ENGINE_WG_PACKET_H

#include "base/inet.h"

#include <stddef.h>
#include <stdint.h>

struct packet_info {
    size_t len; /* in the header: that of the whole packet */
    struct inet_addr source;
    struct inet_addr destination;
    uint8_t tos; /* TOS or traffic class */
};

/*
 * Reads the IP header at the start of len bytes; packet_info.len may be longer than len, not
 * shorter than a header. 0 or -EINVAL.
 */
int packet_info_read(struct packet_info *out, const uint8_t *data, size_t len);

#endif
