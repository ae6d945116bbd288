/*
 * listener: connections that are opened from inside the tunnel.
 */
#ifndef MANYTUN_ENGINE_STACK_LISTENER_H
#define MANYTUN_ENGINE_STACK_LISTENER_H

#include "engine/stack/packet.h"
#include "engine/stack/stack.h"

struct pbuf;

/* The listener for the local end of flow, or NULL. */
struct stack_listener *listener_find(const struct stack *stack, const struct flow *flow);
/* A SYN for it, from the TCP header on; takes p. */
void listener_input(struct stack_listener *listener, const struct flow *flow, struct pbuf *p);
/* A connection is its listener's no more: its owner is about to be told, or it has failed. */
void listener_release(struct stack_conn *conn);
/* Hands an open connection to the listener's owner, who attaches to it or not. */
void listener_tell_accepted(struct stack_listener *listener, struct stack_conn *conn);

#endif
