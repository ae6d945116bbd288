/*
 * internal: struct stack, for the files of this folder.
 */
#ifndef MANYTUN_ENGINE_STACK_INTERNAL_H
#define MANYTUN_ENGINE_STACK_INTERNAL_H

#include "engine/stack/conn.h"
#include "engine/stack/conntable.h"
#include "engine/stack/isn.h"
#include "engine/stack/pmtu.h"
#include "engine/stack/quota.h"
#include "engine/stack/rate.h"
#include "engine/stack/stack.h"
#include "engine/stack/swap.h"
#include "engine/stack/timers.h"

#include <sys/queue.h>

LIST_HEAD(conn_list, stack_conn);
TAILQ_HEAD(conn_queue, stack_conn);
LIST_HEAD(listener_list, stack_listener);

struct stack {
    struct stack_ops ops;
    void *ctx;
    struct swap_stack swap;
    struct isn isn;
    struct inet_addr addresses[STACK_ADDRESSES_MAX];
    size_t addresses_count;
    enum stack_congestion congestion; /* of connections that are established from now on */

    struct conntable table;
    uint8_t *reserved_ports; /* STACK_PORT_BYTES, or NULL = none */
    struct conn_list all;
    struct conn_list dead;       /* to be freed at the end of the turn */
    struct conn_queue ready;     /* have something to tell their owners */
    uint64_t turn;               /* counts the rounds of telling */
    struct conn_queue blocked;   /* output said -EAGAIN */
    struct conn_queue merging;   /* have merged segments waiting */
    struct conn_queue time_wait; /* oldest first */
    struct listener_list listeners;
    struct timers timers;

    struct pmtu pmtu;
    uint16_t ip_id; /* of the next IPv4 packet */
    struct rate echo_rate;
    struct rate reset_rate;
    struct stack_conn *current; /* inside lwIP for this connection */
    bool telling;               /* owners are being told: connections may be in hand */
    bool freeing;               /* stack_free() is running: no new connections */
    struct stack_stats stats;
};

static inline uint64_t stack_now(const struct stack *stack)
{
    return stack->ops.now(stack->ctx);
}

/* True when the address (of the flow's local end) is one of the stack's. */
bool stack_is_local(const struct stack *stack, const struct flow *flow);
/*
 * True when one more connection may be made; the oldest one in TIME_WAIT gives way for it. Else
 * the refusal is counted.
 */
bool stack_make_room(struct stack *stack);

#endif
