/*
 * echo: answers ICMP and ICMPv6 echo requests (RFC 792, RFC 4443), at a bounded rate. All other
 * ICMP is dropped: nothing here needs it, and neighbour discovery has no meaning in a tunnel.
 */
#ifndef MANYTUN_ENGINE_STACK_ECHO_H
#define MANYTUN_ENGINE_STACK_ECHO_H

#include "engine/stack/packet.h"

struct stack;

/* Replies per second and stack. */
#define ECHO_RATE 1000

/* packet is ICMP or ICMPv6 for one of the stack's addresses; it is changed. */
void echo_input(struct stack *stack, struct packet *packet);

#endif
