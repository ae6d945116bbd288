/*
 * conn: owns struct stack_conn from conn_new() until it is unused and its turn is over.
 *
 * lwIP frees pcbs by itself. That shows as empty lists after a swap, and in every case here that
 * is the one sign that is acted upon; the error callback only adds the reason.
 */
#include "engine/stack/conn.h"

#include "engine/stack/internal.h"
#include "engine/stack/listener.h"
#include "engine/stack/resegment.h"
#include "engine/stack/sendwindow.h"

#include <errno.h>
#include <stdlib.h>

/*
 * A peer may not make us cut smaller segments than this by announcing a tiny MSS, nor a tiny window
 * (RFC 9293, 3.8.6.2.1): lwIP cuts them to half of the largest window. What does not fit into the
 * window waits for it, or is sent in parts by lwIP's persist timer.
 */
#define SEND_MSS_MIN 64

/* After so many timeouts in a row a path is tried with packets that nearly every one takes. */
#define BLACK_HOLE_TIMEOUTS 4
#define BLACK_HOLE_MTU      1280 /* as IPv6 links must */

/* The longest time between retransmissions. */
#define RTO_TICKS_MAX (60000 / TCP_SLOW_INTERVAL)

/* A closed connection that gets nothing acknowledged for this long is aborted. */
#define LINGER_NS (UINT64_C(180) * 1000 * 1000 * 1000)

/* --- Life ------------------------------------------------------------------------------------ */

/* From here on nobody finds it; the memory stays until the end of the turn. */
static void bury(struct stack_conn *conn)
{
    struct stack *stack = conn->stack;

    conn->is_dead = true;
    timers_remove(&stack->timers, conn);
    merge_clear(conn);
    receiver_clear(&conn->receiver);
    rxqueue_clear(&conn->rx);
    window_close(&conn->window);
    sendqueue_update(&conn->sendqueue, 0);
    sender_fini(&conn->sender);
    if (conn->is_ready)
        TAILQ_REMOVE(&stack->ready, conn, ready_link);
    if (conn->is_blocked)
        TAILQ_REMOVE(&stack->blocked, conn, blocked_link);
    if (conn->is_time_wait)
        TAILQ_REMOVE(&stack->time_wait, conn, time_wait_link);
    conntable_remove(&stack->table, &conn->node);
    quota_put(&stack_quotas.connections, &stack->stats.connections);
    LIST_REMOVE(conn, all_link);
    LIST_INSERT_HEAD(&stack->dead, conn, all_link);
}

static void bury_if_unused(struct stack_conn *conn)
{
    if (!conn->is_dead && conn->ops == NULL && conn->listener == NULL && conn_pcb(conn) == NULL)
        bury(conn);
}

void conn_free_dead(struct stack *stack)
{
    struct stack_conn *conn;

    while ((conn = LIST_FIRST(&stack->dead)) != NULL) {
        LIST_REMOVE(conn, all_link);
        free(conn);
    }
}

struct stack_conn *conn_new(struct stack *stack, const struct flow *flow)
{
    struct stack_conn *conn;

    if (stack->freeing)
        return NULL;
    if (!stack->telling)
        conn_free_dead(stack);
    conn = calloc(1, sizeof(*conn));
    if (conn == NULL || timers_reserve(&stack->timers, stack->stats.connections + 1) != 0) {
        stack->stats.out_of_memory++;
        free(conn);
        return NULL;
    }
    conn->stack = stack;
    conn->node.flow = *flow;
    conntable_insert(&stack->table, &conn->node);
    LIST_INSERT_HEAD(&stack->all, conn, all_link);
    quota_take(&stack_quotas.connections, &stack->stats.connections);
    return conn;
}

/* --- What lwIP tells ------------------------------------------------------------------------- */

static uint16_t mss_of(const struct stack_conn *conn, uint16_t mtu)
{
    return (uint16_t)(mtu - (conn->node.flow.family == AF_INET
                                 ? PACKET_IP4_HEADER + PACKET_TCP_HEADER
                                 : PACKET_IP6_HEADER + PACKET_TCP_HEADER));
}

/* lwIP starts small, and believes whatever MSS the peer announces. */
static void tune_pcb(struct stack_conn *conn, struct tcp_pcb *pcb)
{
    struct stack *stack = conn->stack;
    uint16_t mtu =
        pmtu_find(&stack->pmtu, &conn->node.flow, stack->swap.netif.mtu, stack_now(stack));
    uint16_t mss_max = mss_of(conn, mtu);

    if (pcb->mss > mss_max)
        pcb->mss = mss_max;
    if (pcb->mss < SEND_MSS_MIN)
        pcb->mss = SEND_MSS_MIN;
    if (pcb->snd_wnd_max < 2 * SEND_MSS_MIN)
        pcb->snd_wnd_max = 2 * SEND_MSS_MIN;
    sender_open(&conn->sender, pcb, conn->stack->congestion, stack_now(conn->stack));
}

err_t conn_on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct stack_conn *conn = arg;

    (void)err;
    conn->connected = true;
    conn->events |= CONN_CONNECTED;
    tune_pcb(conn, pcb);
    window_open(pcb);
    return ERR_OK;
}

err_t conn_on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct stack_conn *conn = arg;

    if (pcb == NULL || err != ERR_OK)
        return ERR_VAL;
    pcb->listener = NULL; /* it may be closed before this connection */
    conn->connected = true;
    conn->events |= CONN_ACCEPTED;
    window_open(pcb);
    return ERR_OK;
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct stack_conn *conn = arg;

    (void)pcb;
    (void)err;
    conn->events |= CONN_READABLE;
    if (p == NULL)
        conn->eof = true;
    else
        rxqueue_append(&conn->rx, p);
    return ERR_OK;
}

static void on_error(void *arg, err_t err)
{
    struct stack_conn *conn = arg;

    if (conn->error != 0)
        return;
    if (err == ERR_RST)
        conn->error = conn->connected ? -ECONNRESET : -ECONNREFUSED;
    else if (err != ERR_CLSD) /* which is the last acknowledgment of an orderly end */
        conn->error = -ETIMEDOUT;
}

void conn_adopt_pcb(struct stack_conn *conn, struct tcp_pcb *pcb)
{
    tcp_arg(pcb, conn);
    tcp_recv(pcb, on_recv);
    tcp_err(pcb, on_error);
    tcp_nagle_disable(pcb);
}

/* --- Around lwIP ----------------------------------------------------------------------------- */

void conn_enter(struct stack_conn *conn, struct swap *swap)
{
    struct stack *stack = conn->stack;

    stack->current = conn;
    swap_enter(swap, &stack->swap, &conn->lists, NULL, stack_now(stack));
}

static void queue_ready(struct stack_conn *conn)
{
    if (conn->is_ready)
        return;
    conn->is_ready = true;
    conn->turn = conn->stack->turn;
    TAILQ_INSERT_TAIL(&conn->stack->ready, conn, ready_link);
}

static bool is_over(const struct stack_conn *conn)
{
    if (conn->lists.active != NULL)
        return false;
    return conn->error != 0 || conn->rx.len == 0;
}

/* Worth a write; with nothing queued any room is, or a peer with a tiny window could stall it. */
static bool has_room(const struct stack_conn *conn)
{
    size_t space = conn_send_space(conn);

    return space >= TCP_SNDLOWAT || (space > 0 && conn->lists.active->snd_queuelen == 0);
}

static bool is_detached(const struct stack_conn *conn)
{
    return conn->ops == NULL && conn->listener == NULL;
}

static void note_progress(struct stack_conn *conn, uint64_t now)
{
    const struct tcp_pcb *pcb = conn->lists.active;

    if (pcb == NULL || pcb->lastack == conn->lastack)
        return;
    conn->lastack = pcb->lastack;
    conn->progress_at = now;
}

/* Draws the conclusions from what lwIP did. */
static void settle(struct stack_conn *conn, uint64_t now)
{
    struct stack *stack = conn->stack;

    if (conn->lists.time_wait != NULL && !conn->is_time_wait) {
        conn->is_time_wait = true;
        TAILQ_INSERT_TAIL(&stack->time_wait, conn, time_wait_link);
    }
    if (conn->listener != NULL && conn_pcb(conn) == NULL && !conn->connected)
        listener_release(conn);
    note_progress(conn, now);
    timers_update(&stack->timers, conn, now);
    timers_set_alarm(&stack->timers, conn, sender_alarm_at(&conn->sender));
    if (conn->write_wait && has_room(conn)) {
        conn->write_wait = false;
        conn->events |= CONN_WRITABLE;
    }
    if (is_over(conn))
        conn->events |= CONN_OVER;
    if (conn->events != 0 && (conn->ops != NULL || conn->listener != NULL))
        queue_ready(conn);
    bury_if_unused(conn);
}

static uint32_t queued_bytes(const struct stack_conn *conn)
{
    return conn->lists.active != NULL ? TCP_SND_BUF - conn->lists.active->snd_buf : 0;
}

void conn_leave(struct stack_conn *conn, struct swap *swap)
{
    uint64_t now = swap->now;

    swap_leave(swap);
    conn->stack->current = NULL;
    sendqueue_update(&conn->sendqueue, queued_bytes(conn));
    settle(conn, now);
}

/* Nobody reads what comes after the owner has gone, or after the end. */
void conn_take_early(struct stack_conn *conn, struct segment *segment)
{
    int error;

    if (is_detached(conn) || conn->eof)
        return;
    error = receiver_take_early(&conn->receiver, conn->lists.active, segment);
    if (error == -ENOBUFS)
        conn->stack->stats.limits[STACK_LIMIT_REASSEMBLY]++;
    else if (error != 0)
        conn->stack->stats.out_of_memory++;
}

void conn_input(struct stack_conn *conn, struct pbuf *p)
{
    struct swap swap;

    conn_enter(conn, &swap);
    sender_before_input(&conn->sender, &swap, p);
    receiver_before_input(&conn->receiver, &swap);
    sendwindow_input(&swap, p, &conn->node.flow);
    if (receiver_after_input(&conn->receiver, &swap, &conn->node.flow) != 0)
        conn->stack->stats.out_of_memory++;
    sender_after_input(&conn->sender, &swap);
    conn_leave(conn, &swap);
}

static void acknowledge(struct stack_conn *conn)
{
    struct swap swap;

    conn_enter(conn, &swap);
    tcp_ack_now(swap_pcb(&swap));
    sender_output(&conn->sender, &swap);
    conn_leave(conn, &swap);
}

void conn_challenge(struct stack_conn *conn)
{
    if (acceptance_may_challenge(&conn->acceptance, stack_now(conn->stack)))
        acknowledge(conn);
}

void conn_kill(struct stack_conn *conn, int error)
{
    struct swap swap;

    if (conn->error == 0)
        conn->error = error;
    conn_enter(conn, &swap);
    if (swap_pcb(&swap) != NULL)
        swap_tcp_abort(&swap);
    conn_leave(conn, &swap);
}

void conn_limit_mtu(struct stack_conn *conn, uint16_t mtu)
{
    const struct tcp_pcb *pcb = conn->lists.active;
    struct swap swap;

    /* One that is being made follows when it is established: tune_pcb(). */
    if (pcb == NULL || pcb->state < ESTABLISHED || pcb->mss <= mss_of(conn, mtu))
        return;
    conn_enter(conn, &swap);
    if (resegment(&conn->sender, &swap, mss_of(conn, mtu)) != 0)
        conn->stack->stats.out_of_memory++;
    conn_leave(conn, &swap);
}

/*
 * Nothing gets through: the segments may be too long for the path, and whoever says so not be heard
 * (RFC 2923, 2.1). Where it was something else this costs little.
 */
static void suspect_black_hole(struct stack_conn *conn, struct swap *swap)
{
    const struct tcp_pcb *pcb = swap_pcb(swap);
    uint16_t mss = mss_of(conn, BLACK_HOLE_MTU);

    if (pcb == NULL || pcb->state < ESTABLISHED || pcb->nrtx < BLACK_HOLE_TIMEOUTS ||
        pcb->mss <= mss || pcb->persist_backoff > 0)
        return;
    if (resegment(&conn->sender, swap, mss) != 0)
        conn->stack->stats.out_of_memory++;
}

/*
 * RFC 6298 wants SYNs backed off too (5.5), which lwIP leaves out, and allows a limit of a minute
 * (2.5), without which lwIP goes up to an hour.
 */
static void adjust_timeout(struct tcp_pcb *pcb)
{
    if (pcb->state == SYN_SENT && pcb->nrtx > 0)
        pcb->rto = (s16_t)(LWIP_TCP_RTO_TIME / TCP_SLOW_INTERVAL << pcb->nrtx);
    if (pcb->rto > RTO_TICKS_MAX)
        pcb->rto = RTO_TICKS_MAX;
}

/*
 * lwIP ends a connection by the time since it heard the peer, however few probes it has sent. Those
 * that fell into a time in which nothing ran, as while the machine was suspended, are not left out:
 * the next one is due only now.
 */
static void make_up_for_probes(struct tcp_pcb *pcb, uint64_t now)
{
    const uint32_t due_ms = pcb->keep_idle + pcb->keep_cnt_sent * pcb->keep_intvl;
    const uint32_t due = due_ms / TCP_SLOW_INTERVAL + 1;
    const uint32_t ticks = swap_ticks(now);

    if (ticks - pcb->tmr >= due + pcb->keep_intvl / TCP_SLOW_INTERVAL)
        pcb->tmr = ticks - due;
}

/*
 * Who waits for an acknowledgment does not ask besides (RFC 9293, 3.8.4), which in lwIP would end
 * the connection long before it is done with sending again.
 */
static void ask_when_idle(struct tcp_pcb *pcb, uint64_t now)
{
    if (pcb == NULL)
        return;
    if (pcb->unacked == NULL && pcb->unsent == NULL) {
        ip_set_option(pcb, SOF_KEEPALIVE);
        make_up_for_probes(pcb, now);
    } else {
        ip_reset_option(pcb, SOF_KEEPALIVE);
    }
}

/* lwIP keeps alive only connections that are open both ways. */
static void keep_half_closed_alive(struct stack_conn *conn, struct swap *swap)
{
    struct tcp_pcb *pcb = swap_pcb(swap);
    uint32_t idle_ms;

    if (pcb == NULL || pcb->state != FIN_WAIT_2 || conn->ops == NULL)
        return;
    idle_ms = (swap_ticks(swap->now) - pcb->tmr) * TCP_SLOW_INTERVAL;
    if (idle_ms <= pcb->keep_idle + pcb->keep_cnt_sent * pcb->keep_intvl)
        return;
    if (pcb->keep_cnt_sent >= pcb->keep_cnt) {
        conn->error = -ETIMEDOUT;
        swap_tcp_abort(swap);
    } else if (swap_tcp_keepalive(swap) == ERR_OK) {
        pcb->keep_cnt_sent++;
    }
}

/*
 * A closed connection delivers what was written for as long as the peer acknowledges, and
 * LINGER_NS longer. lwIP's own limit counts from the last packet before the close, so that time is
 * moved along; what it has for FIN_WAIT_2 then counts from there.
 */
static bool lingers_too_long(struct stack_conn *conn, uint64_t now)
{
    struct tcp_pcb *pcb = conn->lists.active;

    if (!is_detached(conn) || pcb == NULL)
        return false;
    if (pcb->state != FIN_WAIT_2)
        pcb->tmr = swap_ticks(now);
    return now - conn->progress_at > LINGER_NS;
}

/*
 * lwIP gives up half a minute after the last packet when only the acknowledgment of the FIN is
 * missing, and also of what was written before it. The limits on sending again are for that.
 */
static void wait_for_last_ack(struct stack_conn *conn, uint64_t now)
{
    struct tcp_pcb *pcb = conn->lists.active;

    if (pcb != NULL && pcb->state == LAST_ACK)
        pcb->tmr = swap_ticks(now);
}

/* Most fast ticks find nothing to do, and need not enter lwIP to learn that. */
static bool wants_fast_tick(const struct stack_conn *conn)
{
    const struct tcp_pcb *pcb = conn->lists.active;

    return pcb != NULL && (pcb->flags & (TF_ACK_DELAY | TF_CLOSEPEND)) != 0;
}

void conn_hurry(struct stack_conn *conn)
{
    struct tcp_pcb *pcb = conn->lists.active;

    if (pcb != NULL && pcb->nrtx > 0 && pcb->rtime >= 0)
        pcb->rtime = pcb->rto;
}

void conn_tick(struct stack_conn *conn, bool slow)
{
    struct swap swap;

    if (!slow && !wants_fast_tick(conn))
        return;
    if (lingers_too_long(conn, stack_now(conn->stack))) {
        conn_kill(conn, 0);
        return;
    }
    wait_for_last_ack(conn, stack_now(conn->stack));
    conn_enter(conn, &swap);
    swap_tcp_fasttmr(&swap);
    if (slow) {
        ask_when_idle(swap_pcb(&swap), swap.now);
        swap_tcp_slowtmr(&swap);
        sender_slow_timer(&conn->sender, &swap);
        if (swap_pcb(&swap) != NULL)
            adjust_timeout(swap_pcb(&swap));
        suspect_black_hole(conn, &swap);
        keep_half_closed_alive(conn, &swap);
    }
    conn_leave(conn, &swap);
}

void conn_alarm(struct stack_conn *conn)
{
    struct swap swap;

    conn_enter(conn, &swap);
    sender_alarm(&conn->sender, &swap);
    conn_leave(conn, &swap);
}

/* --- Telling the owner ----------------------------------------------------------------------- */

static void tell_accepted(struct stack_conn *conn)
{
    struct stack_listener *listener = conn->listener;

    if (conn_pcb(conn) != NULL)
        tune_pcb(conn, conn_pcb(conn));
    listener_release(conn);
    listener_tell_accepted(listener, conn);
    if (!conn->attached)
        conn_kill(conn, 0);
}

/* One acknowledgment for a merged segment, with the window that the owner has opened by now. */
static void send_due_ack(struct stack_conn *conn)
{
    if (!conn->ack_due)
        return;
    conn->ack_due = false;
    if (conn->lists.active != NULL && (conn->lists.active->flags & TF_ACK_DELAY) != 0)
        acknowledge(conn);
}

/* A loss may have taken the room again since it was recorded. */
static void tell_writable(struct stack_conn *conn)
{
    if (conn->ops == NULL)
        return;
    if (has_room(conn))
        conn->ops->writable(conn->ctx);
    else
        conn->write_wait = true;
}

static void tell_over(struct stack_conn *conn)
{
    const struct stack_conn_ops *ops = conn->ops;

    conn->ops = NULL;
    conn->progress_at = stack_now(conn->stack);
    receiver_clear(&conn->receiver);
    rxqueue_clear(&conn->rx);
    window_close(&conn->window);
    ops->closed(conn->ctx, conn->error);
}

static void tell(struct stack_conn *conn, unsigned events)
{
    if ((events & CONN_ACCEPTED) != 0 && conn->listener != NULL)
        tell_accepted(conn);
    if ((events & CONN_CONNECTED) != 0 && conn->ops != NULL)
        conn->ops->connected(conn->ctx);
    if (conn->fin_wanted && conn->connected && conn->ops != NULL)
        stack_conn_shutdown(conn);
    if ((events & CONN_READABLE) != 0 && conn->ops != NULL)
        conn->ops->readable(conn->ctx);
    if (rxqueue_keep(&conn->rx) != 0) {
        conn->stack->stats.out_of_memory++;
        conn_kill(conn, -ENOMEM);
    }
    send_due_ack(conn);
    if ((events & CONN_WRITABLE) != 0)
        tell_writable(conn);
    if (conn->ops != NULL && is_over(conn))
        tell_over(conn);
}

void conn_dispatch(struct stack_conn *conn)
{
    unsigned events = conn->events;

    conn->events = 0;
    tell(conn, events);
    bury_if_unused(conn);
}
