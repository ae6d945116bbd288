/*
 * conn: one TCP connection: lwIP's pcb and what its owner (struct stack_conn_ops) is to learn.
 *
 *   SYN_RCVD, of a listener ─┐
 *   stack_connect() ─────────┴▶ attached ─close/abort/closed()▶ detached ─pcb gone▶ dead
 *
 * lwIP's callbacks only record facts here. They are told to the owner by conn_dispatch(), when
 * lwIP has returned and its globals are restored. A connection is dead when it has neither an owner
 * nor a pcb; its memory is freed at the end of the turn, so that no code has to ask whether the
 * connection in its hands still exists.
 */
#ifndef MANYTUN_ENGINE_STACK_CONN_H
#define MANYTUN_ENGINE_STACK_CONN_H

#include "engine/stack/acceptance.h"
#include "engine/stack/conntable.h"
#include "engine/stack/merge.h"
#include "engine/stack/receiver.h"
#include "engine/stack/rxqueue.h"
#include "engine/stack/sender.h"
#include "engine/stack/sendqueue.h"
#include "engine/stack/stack.h"
#include "engine/stack/swap.h"
#include "engine/stack/timers.h"
#include "engine/stack/window.h"

#include <sys/queue.h>

/* Facts that wait to be told. */
enum conn_event {
    CONN_ACCEPTED = 1 << 0,
    CONN_CONNECTED = 1 << 1,
    CONN_READABLE = 1 << 2,
    CONN_WRITABLE = 1 << 3,
    CONN_OVER = 1 << 4,
};

struct stack_conn {
    struct conntable_node node; /* first: conn_from_node() */
    struct stack *stack;
    struct swap_lists lists;
    const struct stack_conn_ops *ops; /* NULL = detached */
    void *ctx;
    struct stack_listener *listener; /* until accepted() has been told */

    struct rxqueue rx;
    struct merge merge;
    struct receiver receiver;
    struct window window;
    struct acceptance_state acceptance;
    struct sender sender;
    struct sendqueue sendqueue;
    struct timers_entry timer;
    uint64_t progress_at; /* when a detached connection last got something acknowledged */
    uint32_t lastack;     /* the acknowledgment that progress_at is about */
    int error;            /* for closed() */
    unsigned events;      /* enum conn_event */
    uint64_t turn;        /* in which it became ready; struct stack */

    bool connected;    /* the handshake is complete */
    bool attached;     /* has, or had, an owner */
    bool eof;          /* FIN received */
    bool fin_wanted;   /* stack_conn_shutdown() before the handshake was complete */
    bool write_wait;   /* the owner ran out of send space */
    bool ack_due;      /* a merged segment is to be acknowledged after the owner has read */
    bool is_dead;      /* on the stack's dead list, and on no other */
    bool is_ready;     /* on the stack's ready list */
    bool is_blocked;   /* on the stack's blocked list */
    bool is_merging;   /* on the stack's merging list */
    bool is_time_wait; /* on the stack's TIME_WAIT list */

    LIST_ENTRY(stack_conn) all_link;
    LIST_ENTRY(stack_conn) listener_link;
    TAILQ_ENTRY(stack_conn) ready_link;
    TAILQ_ENTRY(stack_conn) blocked_link;
    TAILQ_ENTRY(stack_conn) merging_link;
    TAILQ_ENTRY(stack_conn) time_wait_link;
};

/* A connection without pcb and owner, not in the table yet; NULL without memory or at the limit. */
struct stack_conn *conn_new(struct stack *stack, const struct flow *flow);
/* Frees the dead ones; not while connections are being worked on. */
void conn_free_dead(struct stack *stack);

static inline struct stack_conn *conn_from_node(struct conntable_node *node)
{
    return (struct stack_conn *)node;
}

/* lwIP's, or NULL when it has freed it. */
static inline struct tcp_pcb *conn_pcb(const struct stack_conn *conn)
{
    return swap_lists_pcb(&conn->lists);
}

/* What stack_conn_send_space() tells, without noting that the owner asked. */
size_t conn_send_space(const struct stack_conn *conn);

/* Around every call of lwIP for this connection. */
void conn_enter(struct stack_conn *conn, struct swap *swap);
void conn_leave(struct stack_conn *conn, struct swap *swap);

/* Connects the pcb with the connection: lwIP's callbacks are recorded from here on. */
void conn_adopt_pcb(struct stack_conn *conn, struct tcp_pcb *pcb);
/* lwIP's callback for tcp_connect(). */
err_t conn_on_connected(void *arg, struct tcp_pcb *pcb, err_t err);
/* lwIP's callback for a listener's pcb. */
err_t conn_on_accept(void *arg, struct tcp_pcb *pcb, err_t err);

/* Takes what of a segment is out of order, before the rest goes to lwIP. */
void conn_take_early(struct stack_conn *conn, struct segment *segment);
/* A segment for lwIP, from the TCP header on; takes p. */
void conn_input(struct stack_conn *conn, struct pbuf *p);
/* A segment that was not acceptable is answered with an ACK, within limits. */
void conn_challenge(struct stack_conn *conn);
/* One run of lwIP's timers, and the limits on detached connections. */
void conn_tick(struct stack_conn *conn, bool slow);
/* A retransmission that has been waited for is due with the next tick. */
void conn_hurry(struct stack_conn *conn);
/* The time of sender_alarm_at() has come. */
void conn_alarm(struct stack_conn *conn);
/* The path takes packets of mtu bytes only. */
void conn_limit_mtu(struct stack_conn *conn, uint16_t mtu);
/* Tells the owner what was recorded. */
void conn_dispatch(struct stack_conn *conn);
/* Ends the connection with a RST; its owner is told error if it is not 0. */
void conn_kill(struct stack_conn *conn, int error);

#endif
