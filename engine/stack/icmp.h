/*
 * icmp: what routers and hosts inside the tunnel say about segments that we have sent.
 *
 * Anybody in the tunnel can send such messages, so one is believed only when it quotes a segment
 * of a live connection that is in flight (RFC 5927, 4.1). Then
 *   - "fragmentation needed" and "packet too big" make the connection's segments smaller, and those
 *     of later connections to the same address (RFC 1191, RFC 8201, pmtu.h);
 *   - "unreachable" ends a connection that is not established yet; one that is goes on, and lives
 * or dies by its timers (RFC 1122, 4.2.3.9; RFC 5927, 5.2).
 */
#ifndef MANYTUN_ENGINE_STACK_ICMP_H
#define MANYTUN_ENGINE_STACK_ICMP_H

#include "engine/stack/packet.h"

#include <stdbool.h>

struct stack;

/* No path is believed to take less: every IPv4 host takes as much, and IPv6 links must. */
#define ICMP_MTU_MIN_IP4 576
#define ICMP_MTU_MIN_IP6 1280

/*
 * packet is ICMP or ICMPv6 for one of the stack's addresses. False: it is no such message, or not
 * to be believed, or about another stack's connection.
 */
bool icmp_input(struct stack *stack, const struct packet *packet);

#endif
