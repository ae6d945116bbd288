/*
 * input: TCP segments. They stay in the receive batch, but for a SYN, which is copied: lwIP reads
 * malformed options behind its end.
 */
#include "engine/stack/input.h"

#include "engine/stack/conn.h"
#include "engine/stack/internal.h"
#include "engine/stack/listener.h"

#include <string.h>

/* Zero bytes behind a copy: lwIP may read that far, and takes them for the end of options. */
#define OPTIONS_TAILROOM 64

static struct pbuf *copy_segment(struct stack *stack, const struct segment *segment)
{
    size_t len = segment->header_len + segment->data_len;
    struct pbuf *p;

    if (len > UINT16_MAX - OPTIONS_TAILROOM)
        return NULL;
    p = pbuf_alloc(PBUF_RAW, (u16_t)(len + OPTIONS_TAILROOM), PBUF_RAM);
    if (p == NULL) {
        stack->stats.out_of_memory++;
        return NULL;
    }
    memcpy(p->payload, segment->header, len);
    memset((uint8_t *)p->payload + len, 0, OPTIONS_TAILROOM);
    p->len = p->tot_len = (u16_t)len;
    return p;
}

static struct pbuf *borrow_segment(struct stack *stack, const struct segment *segment)
{
    size_t len = segment->header_len + segment->data_len;
    struct pbuf *p = pbuf_alloc_reference(segment->header, (u16_t)len, PBUF_REF);

    if (p == NULL)
        stack->stats.out_of_memory++;
    return p;
}

/* False: the segment is not taken, and that was dealt with. */
static bool is_taken(struct stack_conn *conn, enum acceptance acceptance)
{
    if (acceptance == ACCEPTANCE_TAKE)
        return true;
    conn->stack->stats.rx_dropped[STACK_DROP_UNACCEPTABLE]++;
    if (acceptance == ACCEPTANCE_CHALLENGE)
        conn_challenge(conn);
    return false;
}

static void input_conn(struct stack_conn *conn, struct segment *segment)
{
    struct pbuf *p;

    if (conn->lists.active != NULL &&
        !is_taken(conn, acceptance_of_ack(conn->lists.active, segment)))
        return;
    if (merge_add(conn, segment))
        return;
    merge_flush(conn);
    if (conn->lists.active != NULL &&
        !is_taken(conn, acceptance_of_seq(&conn->acceptance, conn->lists.active, segment)))
        return;
    sender_note(&conn->sender, segment);
    /* What may fill a hole is acknowledged at once (RFC 5681, 4.2); lwIP would delay it. */
    if (!reassembly_is_empty(&conn->receiver.queue))
        conn->ack_due = true;
    conn_take_early(conn, segment);
    p = (segment->flags & PACKET_SYN) != 0 ? copy_segment(conn->stack, segment)
                                           : borrow_segment(conn->stack, segment);
    if (p != NULL)
        conn_input(conn, p);
}

/* Lets lwIP answer with a RST, as it does for what it does not know (RFC 9293, 3.10.7.1). */
static void input_stranger(struct stack *stack, const struct packet *packet,
                           const struct segment *segment)
{
    struct swap_lists none = {0};
    struct swap swap;
    struct pbuf *p;

    stack->stats.rx_dropped[STACK_DROP_PROTOCOL]++;
    if ((segment->flags & PACKET_RST) != 0)
        return;
    if (!rate_take(&stack->reset_rate, stack_now(stack))) {
        stack->stats.limits[STACK_LIMIT_RESETS]++;
        return;
    }
    p = borrow_segment(stack, segment);
    if (p == NULL)
        return;
    swap_enter(&swap, &stack->swap, &none, NULL, stack_now(stack));
    swap_tcp_input(&swap, p, &packet->flow);
    swap_leave(&swap);
}

static void input_listener(struct stack *stack, struct stack_listener *listener,
                           const struct flow *flow, const struct segment *segment)
{
    struct pbuf *p = copy_segment(stack, segment);

    if (p != NULL)
        listener_input(listener, flow, p);
}

static bool is_new_syn(const struct segment *segment)
{
    return (segment->flags & (PACKET_SYN | PACKET_ACK | PACKET_RST | PACKET_FIN)) == PACKET_SYN;
}

/* A SYN beyond the old connection's sequence numbers ends its TIME_WAIT (RFC 9293, 3.6.1). */
static bool reopens(const struct stack_conn *conn, const struct segment *segment)
{
    const struct tcp_pcb *pcb = conn->lists.time_wait;

    return pcb != NULL && conn->ops == NULL && is_new_syn(segment) &&
           TCP_SEQ_GT(segment->seq, pcb->rcv_nxt);
}

bool input_is_taken_elsewhere(struct stack *stack, const struct packet *packet)
{
    size_t len = (size_t)(packet->payload - packet->ip) + packet->payload_len;

    return stack->ops.stranger != NULL && stack->ops.stranger(stack->ctx, packet->ip, len);
}

void input_tcp(struct stack *stack, struct packet *packet)
{
    struct stack_listener *listener;
    struct conntable_node *node;
    struct stack_conn *conn = NULL;
    struct segment segment;

    if (!packet_parse_tcp(packet, &segment)) {
        stack->stats.rx_dropped[STACK_DROP_MALFORMED]++;
        return;
    }
    node = conntable_find(&stack->table, &packet->flow);
    if (node != NULL)
        conn = conn_from_node(node);
    listener = is_new_syn(&segment) ? listener_find(stack, &packet->flow) : NULL;
    if (conn == NULL && listener == NULL && input_is_taken_elsewhere(stack, packet))
        return;
    if ((segment.flags & PACKET_SYN) == 0)
        segment_take_options(&segment);
    if (conn != NULL && listener != NULL && reopens(conn, &segment)) {
        conn_kill(conn, 0);
        conn = NULL;
    }
    if (conn != NULL)
        input_conn(conn, &segment);
    else if (listener != NULL)
        input_listener(stack, listener, &packet->flow, &segment);
    else
        input_stranger(stack, packet, &segment);
}
