/*
 * receiver: no state beside the queue but what has to last while one segment is processed.
 */
#include "engine/stack/receiver.h"

#include "engine/stack/swap.h"

#include <errno.h>
#include <string.h>

/* Most bytes in a segment that is made for lwIP, whose lengths are 16 bits. */
#define FEED_MAX 65000

/* Kept segments may cost so many times the window: small ones cost more than their bytes. */
#define COST_PER_WINDOW 2

#define HEADER_FLAGS 13

void receiver_clear(struct receiver *receiver)
{
    reassembly_clear(&receiver->queue);
}

static bool can_receive(const struct tcp_pcb *pcb)
{
    return pcb != NULL &&
           (pcb->state == ESTABLISHED || pcb->state == FIN_WAIT_1 || pcb->state == FIN_WAIT_2);
}

/* --- Taking ---------------------------------------------------------------------------------- */

static bool is_early(const struct tcp_pcb *pcb, const struct segment *segment)
{
    bool has_fin = (segment->flags & PACKET_FIN) != 0;

    return can_receive(pcb) && (segment->data_len > 0 || has_fin) &&
           (segment->flags & (PACKET_SYN | PACKET_RST | PACKET_ACK)) == PACKET_ACK &&
           TCP_SEQ_GT(segment->seq, pcb->rcv_nxt);
}

static void note_old(struct receiver *receiver, const struct tcp_pcb *pcb,
                     const struct segment *segment)
{
    const uint32_t end = segment->seq + (uint32_t)segment->data_len;

    receiver->is_old = can_receive(pcb) && (pcb->flags & TF_SACK) != 0 && segment->data_len > 0 &&
                       (segment->flags & (PACKET_SYN | PACKET_RST)) == 0 &&
                       !TCP_SEQ_GT(end, pcb->rcv_nxt);
    receiver->old = (struct sack_block){segment->seq, end};
}

int receiver_take_early(struct receiver *receiver, const struct tcp_pcb *pcb,
                        struct segment *segment)
{
    int error;

    note_old(receiver, pcb, segment);
    if (!is_early(pcb, segment))
        return 0;
    error = reassembly_add(&receiver->queue, segment->seq, segment->header + segment->header_len,
                           segment->data_len, (size_t)pcb->rcv_wnd * COST_PER_WINDOW);
    if (error == 0 && (segment->flags & PACKET_FIN) != 0)
        reassembly_add_end(&receiver->queue, segment->seq + (uint32_t)segment->data_len);
    segment->data_len = 0;
    segment->flags &= (uint8_t)~PACKET_FIN;
    segment->header[HEADER_FLAGS] &= (uint8_t)~PACKET_FIN;
    receiver->is_early = true;
    return error;
}

/* --- Around lwIP ----------------------------------------------------------------------------- */

static void tell_blocks(const struct receiver *receiver, struct tcp_pcb *pcb)
{
    struct sack_block blocks[LWIP_TCP_MAX_SACK_NUM];
    int count = 0;

    if ((pcb->flags & TF_SACK) != 0)
        count = reassembly_blocks(&receiver->queue, blocks, LWIP_TCP_MAX_SACK_NUM);
    memset(pcb->rcv_sacks, 0, sizeof(pcb->rcv_sacks));
    for (int i = 0; i < count; i++) {
        pcb->rcv_sacks[i].left = blocks[i].left;
        pcb->rcv_sacks[i].right = blocks[i].right;
    }
}

/* lwIP answers what is old at once, and then tells of this first (RFC 2883, 4). */
static void tell_old(const struct receiver *receiver, struct tcp_pcb *pcb)
{
    memmove(&pcb->rcv_sacks[1], &pcb->rcv_sacks[0],
            sizeof(pcb->rcv_sacks) - sizeof(pcb->rcv_sacks[0]));
    pcb->rcv_sacks[0].left = receiver->old.left;
    pcb->rcv_sacks[0].right = receiver->old.right;
}

/*
 * While something is missing each segment with data is acknowledged at once (RFC 5681, 4.2), with
 * what is behind the holes, which lwIP does not know of. So it must not do that by itself.
 */
void receiver_before_input(struct receiver *receiver, struct swap *swap)
{
    struct tcp_pcb *pcb = swap_pcb(swap);

    receiver->is_delayed = false;
    if (receiver->is_old && pcb != NULL)
        tell_old(receiver, pcb);
    if (pcb == NULL || (reassembly_is_empty(&receiver->queue) && !receiver->is_early))
        return;
    receiver->next = pcb->rcv_nxt;
    receiver->is_delayed = (pcb->flags & TF_ACK_DELAY) != 0;
    tcp_clear_flags(pcb, TF_ACK_DELAY);
}

static struct pbuf *make_segment(const struct tcp_pcb *pcb, struct pbuf *data, uint8_t flags)
{
    struct pbuf *p = pbuf_alloc(PBUF_RAW, PACKET_TCP_HEADER, PBUF_RAM);
    struct tcp_hdr header = {
        .src = lwip_htons(pcb->remote_port),
        .dest = lwip_htons(pcb->local_port),
        .seqno = lwip_htonl(pcb->rcv_nxt),
        .ackno = lwip_htonl(pcb->lastack),
    };

    if (p == NULL)
        return NULL;
    TCPH_HDRLEN_FLAGS_SET(&header, PACKET_TCP_HEADER / 4, flags);
    memcpy(p->payload, &header, sizeof(header));
    if (data != NULL)
        pbuf_cat(p, data);
    return p;
}

/* It tells nothing of the peer's window, and its acknowledgment is ours to send. */
static void input_made(struct swap *swap, struct pbuf *p, const struct flow *flow)
{
    struct tcp_pcb *pcb = swap_pcb(swap);
    uint32_t wl1 = pcb->snd_wl1, wl2 = pcb->snd_wl2;

    pcb->snd_wl1 = pcb->rcv_nxt;
    pcb->snd_wl2 = pcb->lastack;
    tcp_clear_flags(pcb, TF_ACK_DELAY);
    swap_tcp_input(swap, p, flow);
    pcb = swap_pcb(swap);
    if (pcb == NULL)
        return;
    pcb->snd_wl1 = wl1;
    pcb->snd_wl2 = wl2;
}

/* Hands what is in order by now to lwIP. -ENOMEM: it is lost, and the peer has to send it again. */
static int feed(struct receiver *receiver, struct swap *swap, const struct flow *flow)
{
    struct tcp_pcb *pcb;

    while (can_receive(pcb = swap_pcb(swap))) {
        struct pbuf *data = reassembly_take(&receiver->queue, pcb->rcv_nxt, FEED_MAX);
        bool is_end = data == NULL && reassembly_ends_at(&receiver->queue, pcb->rcv_nxt);
        struct pbuf *p;

        if (data == NULL && !is_end)
            return 0;
        p = make_segment(pcb, data, is_end ? TCP_ACK | TCP_FIN : TCP_ACK);
        if (p == NULL) {
            if (data != NULL)
                pbuf_free(data);
            return -ENOMEM;
        }
        input_made(swap, p, flow);
    }
    return 0;
}

int receiver_after_input(struct receiver *receiver, struct swap *swap, const struct flow *flow)
{
    struct tcp_pcb *pcb;
    bool early = receiver->is_early;
    int error;

    pcb = swap_pcb(swap);
    if (receiver->is_old && can_receive(pcb))
        tell_blocks(receiver, pcb); /* and not of it again */
    receiver->is_old = false;
    receiver->is_early = false;
    if (!early && reassembly_is_empty(&receiver->queue))
        return 0;
    error = feed(receiver, swap, flow);
    pcb = swap_pcb(swap);
    if (!can_receive(pcb)) {
        receiver_clear(receiver);
        return error;
    }
    tell_blocks(receiver, pcb);
    if (early || (pcb->rcv_nxt != receiver->next && !reassembly_is_empty(&receiver->queue)))
        swap_tcp_send_ack(swap);
    else if (receiver->is_delayed)
        tcp_set_flags(pcb, TF_ACK_DELAY);
    return error;
}
