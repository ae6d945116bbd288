/*
 * input: one received packet to where it belongs: a connection, a listener, or the answer that is
 * due to a stranger.
 */
#ifndef MANYTUN_ENGINE_STACK_INPUT_H
#define MANYTUN_ENGINE_STACK_INPUT_H

#include "engine/stack/packet.h"

#include <stdbool.h>

struct stack;

/* packet has passed packet_parse() and is for one of the stack's addresses. */
void input_tcp(struct stack *stack, struct packet *packet);
/* Whether another stack took the packet, which is about no connection of this one. */
bool input_is_taken_elsewhere(struct stack *stack, const struct packet *packet);

#endif
