/*
 * ecn: explicit congestion notification through the tunnel (RFC 6040, normal mode). The ECN field
 * is the lower two bits of an IP header's TOS byte or traffic class; the upper six, the DSCP, tell
 * about the packet inside and are never copied out.
 */
#ifndef MANYTUN_ENGINE_WG_ECN_H
#define MANYTUN_ENGINE_WG_ECN_H

#include <stdbool.h>
#include <stdint.h>

enum ecn {
    ECN_NOT_ECT = 0, /* the transport does not know ECN */
    ECN_ECT_1 = 1,
    ECN_ECT_0 = 2,
    ECN_CE = 3, /* congestion experienced */
    ECN_MASK = 3,
};

/* The TOS byte of the datagram around a packet with this one (RFC 6040, 4.1). */
static inline uint8_t ecn_encapsulate(uint8_t inner_tos)
{
    return inner_tos & ECN_MASK;
}

/*
 * Gives an IP packet with a whole header the ECN field that follows from its own and from the TOS
 * byte of the datagram it came in (RFC 6040, 4.2), and an IPv4 header the checksum for it. False,
 * with the packet as it was: congestion was experienced by a packet whose transport would not hear
 * of it, so it must be dropped.
 */
bool ecn_decapsulate(uint8_t *packet, uint8_t outer_tos);

#endif
