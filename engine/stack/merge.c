/*
 * merge: the chain of one connection between stack_receive() and stack_flush(). Its pbufs point
 * into the receive batch; the first one's TCP header is changed to be that of the whole.
 */
#include "engine/stack/merge.h"

#include "engine/stack/conn.h"
#include "engine/stack/internal.h"

#define HEADER_ACK    8
#define HEADER_FLAGS  13
#define HEADER_WINDOW 14

/* The flags that a merged segment may have: anything else means something by itself. */
#define PLAIN_FLAGS (PACKET_ACK | PACKET_PSH)

static bool is_plain_data(const struct segment *segment)
{
    return segment->data_len > 0 && segment->sack_count == 0 &&
           (segment->flags & PACKET_ACK) != 0 && (segment->flags & ~PLAIN_FLAGS) == 0;
}

static bool can_start(const struct stack_conn *conn, const struct segment *segment)
{
    const struct tcp_pcb *pcb = conn->lists.active;

    return pcb != NULL && pcb->state == ESTABLISHED && reassembly_is_empty(&conn->receiver.queue) &&
           segment->seq == pcb->rcv_nxt && segment->data_len <= pcb->rcv_wnd &&
           segment->header_len + segment->data_len <= MERGE_MAX;
}

static bool can_continue(const struct stack_conn *conn, const struct segment *segment)
{
    const struct merge *merge = &conn->merge;
    size_t data_len = merge->len - PACKET_TCP_HEADER + segment->data_len;

    return segment->seq == merge->next_seq && TCP_SEQ_GEQ(segment->ack, merge->ack) &&
           merge->len + segment->data_len <= MERGE_MAX && data_len <= conn->lists.active->rcv_wnd;
}

static bool start(struct stack_conn *conn, const struct segment *segment)
{
    struct merge *merge = &conn->merge;
    size_t len = segment->header_len + segment->data_len;
    struct pbuf *p = pbuf_alloc_reference(segment->header, (u16_t)len, PBUF_REF);

    if (p == NULL)
        return false;
    *merge = (struct merge){
        .first = p,
        .last = p,
        .header = segment->header,
        .len = len,
        .next_seq = segment->seq + (uint32_t)segment->data_len,
        .ack = segment->ack,
        .count = 1,
    };
    conn->is_merging = true;
    TAILQ_INSERT_TAIL(&conn->stack->merging, conn, merging_link);
    return true;
}

static bool append(struct stack_conn *conn, const struct segment *segment)
{
    struct merge *merge = &conn->merge;
    uint8_t *data = segment->header + segment->header_len;
    struct pbuf *p = pbuf_alloc_reference(data, (u16_t)segment->data_len, PBUF_REF);

    if (p == NULL)
        return false;
    merge->last->next = p;
    merge->last = p;
    merge->len += segment->data_len;
    merge->next_seq += (uint32_t)segment->data_len;
    merge->ack = segment->ack;
    merge->count++;
    packet_store32(merge->header + HEADER_ACK, segment->ack);
    packet_store16(merge->header + HEADER_WINDOW, segment->window);
    merge->header[HEADER_FLAGS] |= segment->flags & PACKET_PSH;
    return true;
}

bool merge_add(struct stack_conn *conn, const struct segment *segment)
{
    if (!is_plain_data(segment))
        return false;
    if (conn->merge.count > 0) {
        if (can_continue(conn, segment))
            return append(conn, segment);
        merge_flush(conn);
    }
    return can_start(conn, segment) && start(conn, segment);
}

static struct pbuf *take_chain(struct stack_conn *conn)
{
    struct pbuf *chain = conn->merge.first;

    if (conn->is_merging) {
        conn->is_merging = false;
        TAILQ_REMOVE(&conn->stack->merging, conn, merging_link);
    }
    conn->merge = (struct merge){0};
    return chain;
}

void merge_flush(struct stack_conn *conn)
{
    size_t rest = conn->merge.len;
    unsigned count = conn->merge.count;
    struct pbuf *chain = take_chain(conn);

    if (chain == NULL)
        return;
    for (struct pbuf *p = chain; p != NULL; p = p->next) {
        p->tot_len = (u16_t)rest;
        rest -= p->len;
    }
    if (count > 1)
        conn->ack_due = true;
    conn_input(conn, chain);
}

void merge_clear(struct stack_conn *conn)
{
    struct pbuf *chain = take_chain(conn);

    if (chain != NULL)
        pbuf_free(chain);
}
