/*
 * stack_conn: what an owner does with its connection (the connection half of stack.h).
 *
 * None of these tells the owner anything before it returns: what lwIP did on the way is recorded
 * and told by the stack's next stack_flush() or stack_expire(), which is then due at once.
 */
#include "engine/stack/conn.h"
#include "engine/stack/internal.h"
#include "engine/stack/ports.h"

#include <errno.h>
#include <string.h>

/* lwIP takes 16-bit lengths. */
#define LWIP_LENGTH_MAX 65535

/* --- Connecting ------------------------------------------------------------------------------ */

static const struct inet_addr *find_source(const struct stack *stack, sa_family_t family)
{
    for (size_t i = 0; i < stack->addresses_count; i++) {
        if (stack->addresses[i].family == family)
            return &stack->addresses[i];
    }
    return NULL;
}

static bool same_destination(const struct flow *a, const struct flow *b)
{
    return a->remote_port == b->remote_port && a->family == b->family &&
           memcmp(a->remote, b->remote, sizeof(a->remote)) == 0 &&
           memcmp(a->local, b->local, sizeof(a->local)) == 0;
}

/* The oldest connection in TIME_WAIT, to this destination if one is given; NULL if none. */
static struct stack_conn *find_time_wait(struct stack *stack, const struct flow *destination)
{
    struct stack_conn *conn;

    TAILQ_FOREACH(conn, &stack->time_wait, time_wait_link)
    {
        if (conn->ops == NULL &&
            (destination == NULL || same_destination(&conn->node.flow, destination)))
            return conn;
    }
    return NULL;
}

bool stack_make_room(struct stack *stack)
{
    bool full = stack->stats.connections >= STACK_CONNECTIONS_MAX;
    struct stack_conn *conn;

    if (!full && quota_has_room(&stack_quotas.connections, stack->stats.connections))
        return true;
    conn = find_time_wait(stack, NULL);
    if (conn == NULL) {
        stack->stats.limits[full ? STACK_LIMIT_CONNECTIONS : STACK_LIMIT_CONNECTIONS_PROCESS]++;
        return false;
    }
    conn_kill(conn, 0);
    return true;
}

static int pick_port(struct stack *stack, struct flow *flow)
{
    struct stack_conn *conn;

    if (ports_pick(&stack->table, stack->reserved_ports, flow) == 0)
        return 0;
    conn = find_time_wait(stack, flow);
    if (conn == NULL) {
        stack->stats.limits[STACK_LIMIT_PORTS]++;
        return -EADDRNOTAVAIL;
    }
    flow->local_port = conn->node.flow.local_port;
    conn_kill(conn, 0);
    return 0;
}

static int open_pcb(struct stack_conn *conn)
{
    struct swap swap;
    struct tcp_pcb *pcb;
    err_t err = ERR_MEM;

    conn_enter(conn, &swap);
    pcb = swap_tcp_new(&swap, &conn->node.flow);
    if (pcb != NULL) {
        conn_adopt_pcb(conn, pcb);
        err = swap_tcp_connect(&swap, pcb, &conn->node.flow, conn_on_connected);
    }
    conn_leave(conn, &swap);
    return err == ERR_OK ? 0 : -ENOMEM;
}

int stack_connect(struct stack *stack, const struct inet_addr *addr, uint16_t port,
                  const struct stack_conn_ops *ops, void *ctx, struct stack_conn **out)
{
    const struct inet_addr *source = find_source(stack, addr->family);
    struct flow flow = {.family = addr->family, .remote_port = port};
    struct stack_conn *conn;
    int error;

    if (source == NULL)
        return -EAFNOSUPPORT;
    if (stack->freeing || !stack_make_room(stack))
        return -ENFILE;
    memcpy(flow.local, source->bytes, packet_address_len(&flow));
    memcpy(flow.remote, addr->bytes, packet_address_len(&flow));
    error = pick_port(stack, &flow);
    if (error != 0)
        return error;
    conn = conn_new(stack, &flow);
    if (conn == NULL)
        return -ENOMEM;
    error = open_pcb(conn);
    if (error != 0) {
        stack->stats.out_of_memory++;
        return error;
    }
    stack_conn_attach(conn, ops, ctx);
    *out = conn;
    return 0;
}

void stack_conn_attach(struct stack_conn *conn, const struct stack_conn_ops *ops, void *ctx)
{
    conn->attached = true;
    conn->ops = ops;
    conn->ctx = ctx;
}

/* --- Reading --------------------------------------------------------------------------------- */

int stack_conn_peek(const struct stack_conn *conn, struct iovec *pieces, int max)
{
    return rxqueue_peek(&conn->rx, pieces, max);
}

size_t stack_conn_pending(const struct stack_conn *conn)
{
    return conn->rx.len;
}

bool stack_conn_at_eof(const struct stack_conn *conn)
{
    return conn->eof && conn->rx.len == 0;
}

/* How far to open the window of a connection that can still receive. */
static size_t window_update(struct stack_conn *conn, size_t consumed)
{
    const struct tcp_pcb *pcb = conn->lists.active;
    const struct window_read read = {
        .taken = consumed,
        .pending = conn->rx.len,
        .now = stack_now(conn->stack),
        .rtt_us = conn->sender.rtt.smoothed_us,
    };
    bool limited = false;
    size_t update;

    if (pcb == NULL || conn->eof)
        return 0;
    update = window_take(&conn->window, pcb, &read, &limited);
    if (limited)
        conn->stack->stats.limits[STACK_LIMIT_RECEIVE_WINDOW]++;
    return update;
}

void stack_conn_consume(struct stack_conn *conn, size_t len)
{
    struct swap swap;
    size_t update;

    rxqueue_consume(&conn->rx, len);
    update = window_update(conn, len);
    conn_enter(conn, &swap);
    if (update > 0)
        swap_tcp_recved(&swap, (uint32_t)update);
    conn_leave(conn, &swap);
}

/* --- Writing --------------------------------------------------------------------------------- */

/* Not before the handshake: lwIP cannot cope when it then learns that segments must be smaller. */
static bool is_writable_state(const struct tcp_pcb *pcb)
{
    return pcb != NULL && (pcb->state == ESTABLISHED || pcb->state == CLOSE_WAIT);
}

/* The size of the segments that tcp_write() makes. */
static size_t segment_size(const struct tcp_pcb *pcb)
{
    size_t half_window = pcb->snd_wnd_max / 2;

    return half_window > 0 && half_window < pcb->mss ? half_window : pcb->mss;
}

size_t conn_send_space(const struct stack_conn *conn)
{
    const struct tcp_pcb *pcb = conn->lists.active;
    size_t limit, queued, slots;
    bool limited = false;

    if (!is_writable_state(pcb) || conn->fin_wanted || (pcb->flags & TF_CLOSEPEND) != 0)
        return 0;
    limit = sendqueue_limit(&conn->sendqueue, sender_queue(&conn->sender, pcb), &limited);
    if (limited)
        conn->stack->stats.limits[STACK_LIMIT_SEND_QUEUE]++;
    queued = TCP_SND_BUF - pcb->snd_buf;
    /* Two pieces of a write may be shorter than a segment: those at its ends. */
    slots =
        pcb->snd_queuelen + 2 < TCP_SND_QUEUELEN ? TCP_SND_QUEUELEN - pcb->snd_queuelen - 2u : 0;
    if (queued >= limit)
        return 0;
    limit -= queued;
    return limit < slots * segment_size(pcb) ? limit : slots * segment_size(pcb);
}

size_t stack_conn_send_space(struct stack_conn *conn)
{
    size_t space = conn_send_space(conn);

    /* Room may also have shrunk without a write: a loss shrinks the congestion window. */
    if (space < TCP_SNDLOWAT)
        conn->write_wait = true;
    return space;
}

static err_t write_parts(struct swap *swap, const uint8_t *data, size_t len)
{
    /* Whole segments, so that no short one ends up in the middle. */
    size_t segment = segment_size(swap_pcb(swap));
    size_t part_max = LWIP_LENGTH_MAX - LWIP_LENGTH_MAX % segment;
    err_t err = ERR_OK;

    while (len > 0 && err == ERR_OK) {
        size_t part = len < part_max ? len : part_max;
        uint8_t flags = TCP_WRITE_FLAG_COPY;

        if (part < len)
            flags |= TCP_WRITE_FLAG_MORE;
        err = swap_tcp_write(swap, data, (uint16_t)part, flags);
        data += part;
        len -= part;
    }
    return err;
}

int stack_conn_write(struct stack_conn *conn, const void *data, size_t len)
{
    struct swap swap;
    err_t err;

    if (!is_writable_state(conn->lists.active))
        return -EPIPE;
    conn_enter(conn, &swap);
    err = write_parts(&swap, data, len);
    sender_output(&conn->sender, &swap);
    conn_leave(conn, &swap);
    if (err != ERR_OK) {
        conn->stack->stats.out_of_memory++;
        return -ENOMEM;
    }
    stack_conn_send_space(conn); /* notes that the owner is to be told of new room */
    return 0;
}

void stack_conn_shutdown(struct stack_conn *conn)
{
    struct swap swap;

    if (!conn->connected) {
        conn->fin_wanted = true;
        return;
    }
    conn->fin_wanted = false;
    if (conn->lists.active == NULL)
        return;
    conn_enter(conn, &swap);
    swap_tcp_shutdown_tx(&swap);
    conn_leave(conn, &swap);
}

/* --- The end --------------------------------------------------------------------------------- */

static void detach(struct stack_conn *conn)
{
    struct stack *stack = conn->stack;

    conn->ops = NULL;
    conn->events = 0;
    conn->progress_at = stack_now(stack);
    receiver_clear(&conn->receiver);
    rxqueue_clear(&conn->rx);
    window_close(&conn->window);
    merge_clear(conn);
    if (conn->is_ready) {
        conn->is_ready = false;
        TAILQ_REMOVE(&stack->ready, conn, ready_link);
    }
}

void stack_conn_close(struct stack_conn *conn)
{
    bool unread = conn->rx.len > 0 || conn->merge.count > 0;
    struct tcp_pcb *pcb = conn->lists.active;
    struct swap swap;

    detach(conn);
    if (unread) {
        conn_kill(conn, 0);
        return;
    }
    conn_enter(conn, &swap);
    if (pcb != NULL) {
        /* lwIP takes a window that is not at its maximum for unread bytes. */
        pcb->rcv_wnd = TCP_WND_MAX(pcb);
        swap_tcp_close(&swap);
    }
    conn_leave(conn, &swap);
}

void stack_conn_abort(struct stack_conn *conn)
{
    detach(conn);
    conn_kill(conn, 0);
}
