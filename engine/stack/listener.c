/*
 * listener: owns struct stack_listener and the connections that are not accepted yet, which are on
 * its list from the SYN until accepted() was told or they failed.
 */
#include "engine/stack/listener.h"

#include "engine/stack/conn.h"
#include "engine/stack/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct stack_listener {
    struct stack *stack;
    struct tcp_pcb_listen *pcb;
    struct flow flow; /* the local end */
    const struct stack_listen_ops *ops;
    void *ctx;
    struct conn_list pending;
    LIST_ENTRY(stack_listener) link;
};

struct stack_listener *listener_find(const struct stack *stack, const struct flow *flow)
{
    struct stack_listener *listener;

    LIST_FOREACH(listener, &stack->listeners, link)
    {
        if (listener->flow.local_port == flow->local_port &&
            listener->flow.family == flow->family &&
            memcmp(listener->flow.local, flow->local, sizeof(flow->local)) == 0)
            return listener;
    }
    return NULL;
}

int stack_listen(struct stack *stack, const struct inet_addr *addr, uint16_t port,
                 const struct stack_listen_ops *ops, void *ctx, struct stack_listener **out)
{
    struct flow flow = {.family = addr->family, .local_port = port};
    struct swap_lists none = {0};
    struct stack_listener *listener;
    struct swap swap;

    memcpy(flow.local, addr->bytes, sizeof(flow.local));
    if (port == 0 || !stack_is_local(stack, &flow))
        return -EADDRNOTAVAIL;
    if (listener_find(stack, &flow) != NULL)
        return -EADDRINUSE;
    listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return -ENOMEM;
    swap_enter(&swap, &stack->swap, &none, NULL, stack_now(stack));
    listener->pcb = swap_tcp_listen(&swap, &flow, STACK_SYN_RECEIVED_MAX);
    swap_leave(&swap);
    if (listener->pcb == NULL) {
        free(listener);
        return -ENOMEM;
    }
    tcp_accept((struct tcp_pcb *)listener->pcb, conn_on_accept);
    listener->stack = stack;
    listener->flow = flow;
    listener->ops = ops;
    listener->ctx = ctx;
    LIST_INIT(&listener->pending);
    LIST_INSERT_HEAD(&stack->listeners, listener, link);
    *out = listener;
    return 0;
}

void stack_unlisten(struct stack_listener *listener)
{
    struct stack *stack = listener->stack;
    struct swap_lists none = {0};
    struct stack_conn *conn;
    struct swap swap;

    /* First those that are half open: lwIP would follow their pointer to the listener. */
    while ((conn = LIST_FIRST(&listener->pending)) != NULL) {
        listener_release(conn);
        conn_kill(conn, 0);
    }
    swap_enter(&swap, &stack->swap, &none, listener->pcb, stack_now(stack));
    swap_tcp_close_listener(&swap, listener->pcb);
    swap_leave(&swap);
    LIST_REMOVE(listener, link);
    free(listener);
}

static bool has_room(const struct stack_listener *listener)
{
    struct stack_stats *stats = &listener->stack->stats;

    if (listener->pcb->accepts_pending >= STACK_SYN_RECEIVED_MAX) {
        stats->limits[STACK_LIMIT_HALF_OPEN]++;
        return false;
    }
    if (!quota_has_room(&stack_quotas.half_open, stats->half_open)) {
        stats->limits[STACK_LIMIT_HALF_OPEN_PROCESS]++;
        return false;
    }
    return true;
}

static void hold(struct stack_listener *listener, struct stack_conn *conn)
{
    conn->listener = listener;
    LIST_INSERT_HEAD(&listener->pending, conn, listener_link);
    quota_take(&stack_quotas.half_open, &listener->stack->stats.half_open);
}

void listener_release(struct stack_conn *conn)
{
    quota_put(&stack_quotas.half_open, &conn->stack->stats.half_open);
    LIST_REMOVE(conn, listener_link);
    conn->listener = NULL;
}

void listener_input(struct stack_listener *listener, const struct flow *flow, struct pbuf *p)
{
    struct stack *stack = listener->stack;
    struct stack_conn *conn;
    struct swap swap;

    if (!has_room(listener) || !stack_make_room(stack) || (conn = conn_new(stack, flow)) == NULL) {
        pbuf_free(p);
        return;
    }
    hold(listener, conn);
    stack->current = conn;
    swap_enter(&swap, &stack->swap, &conn->lists, listener->pcb, stack_now(stack));
    swap_tcp_input(&swap, p, flow);
    if (swap_pcb(&swap) != NULL)
        conn_adopt_pcb(conn, swap_pcb(&swap));
    conn_leave(conn, &swap);
}

void listener_tell_accepted(struct stack_listener *listener, struct stack_conn *conn)
{
    const struct flow *flow = &conn->node.flow;
    struct inet_addr peer = {.family = flow->family};

    memcpy(peer.bytes, flow->remote, sizeof(peer.bytes));
    listener->ops->accepted(listener->ctx, conn, &peer, flow->remote_port);
}
