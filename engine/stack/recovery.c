/*
 * recovery: the scoreboard is kept in two bits of lwIP's segments that lwIP does not use, so that
 * it is always about exactly what is in flight.
 *
 *   idle ──lwIP's fast retransmit──▶ active ──`point` acknowledged, no reports, timeout──▶ idle
 */
#include "engine/stack/recovery.h"

#include "engine/stack/swap.h"

#include <assert.h>
#include <string.h>

#define SEGMENT_ARRIVED 0x40 /* reported by SACK */
#define SEGMENT_RESENT  0x80 /* in this recovery */
#define SEGMENT_MARKS   (SEGMENT_ARRIVED | SEGMENT_RESENT)
#define SEGMENT_LWIP                                                                               \
    (TF_SEG_OPTS_MSS | TF_SEG_OPTS_TS | TF_SEG_DATA_CHECKSUMMED | TF_SEG_OPTS_WND_SCALE |          \
     TF_SEG_OPTS_SACK_PERM)
static_assert((SEGMENT_MARKS & SEGMENT_LWIP) == 0, "lwIP uses these bits itself");

/* A segment is lost when this many behind it have arrived (RFC 6675, DupThresh). */
#define LOST_AFTER 3

/* Reports are not believed after more timeouts in a row: the peer may drop what it reported. */
#define TRUSTED_TIMEOUTS 1

/* What is in flight, in sequence numbers. */
struct flight {
    uint32_t outstanding; /* sent and not acknowledged */
    uint32_t pipe;        /* of these, what is believed to be on the way */
    unsigned arrived;     /* segments reported by SACK */
};

static uint32_t segment_start(const struct tcp_seg *segment)
{
    return lwip_ntohl(segment->tcphdr->seqno);
}

void recovery_note(struct recovery *recovery, const struct segment *segment)
{
    recovery->blocks_count = segment->sack_count;
    memcpy(recovery->blocks, segment->sack, sizeof(recovery->blocks));
}

/* Marks what the blocks cover; returns how many segments are marked now. */
static unsigned mark_arrived(const struct recovery *recovery, struct tcp_pcb *pcb)
{
    unsigned count = 0;

    for (struct tcp_seg *segment = pcb->unacked; segment != NULL; segment = segment->next) {
        uint32_t start = segment_start(segment);
        uint32_t end = start + TCP_TCPLEN(segment);

        for (int i = 0; i < recovery->blocks_count; i++) {
            const struct sack_block *block = &recovery->blocks[i];

            if (TCP_SEQ_LEQ(block->left, start) && TCP_SEQ_GEQ(block->right, end) &&
                TCP_SEQ_LEQ(block->right, pcb->snd_nxt))
                segment->flags |= SEGMENT_ARRIVED;
        }
        count += (segment->flags & SEGMENT_ARRIVED) != 0;
    }
    return count;
}

static void clear_marks(struct tcp_pcb *pcb, unsigned marks)
{
    struct tcp_seg *segment;

    for (segment = pcb->unacked; segment != NULL; segment = segment->next)
        segment->flags = (uint8_t)(segment->flags & ~marks);
    for (segment = pcb->unsent; segment != NULL; segment = segment->next)
        segment->flags = (uint8_t)(segment->flags & ~marks);
}

/* The first segment in flight is what the peer asks for; arrived counts those before segment. */
static bool is_lost(const struct tcp_seg *first, const struct tcp_seg *segment,
                    const struct flight *flight, unsigned arrived)
{
    if ((segment->flags & SEGMENT_ARRIVED) != 0)
        return false;
    return segment == first || flight->arrived - arrived >= LOST_AFTER;
}

static void measure(const struct tcp_pcb *pcb, struct flight *flight)
{
    const struct tcp_seg *first = pcb->unacked;
    unsigned arrived = 0;

    for (const struct tcp_seg *segment = first; segment != NULL; segment = segment->next) {
        uint32_t len = TCP_TCPLEN(segment);

        flight->outstanding += len;
        if ((segment->flags & SEGMENT_ARRIVED) != 0)
            arrived++;
        else if ((segment->flags & SEGMENT_RESENT) != 0 ||
                 !is_lost(first, segment, flight, arrived))
            flight->pipe += len;
    }
}

/* Takes the segments to send again off `unacked`, as many as fit into the pipe, in order. */
static struct tcp_seg *take_lost(struct tcp_pcb *pcb, struct flight *flight)
{
    struct tcp_seg *taken = NULL, **tail = &taken;
    struct tcp_seg **link = &pcb->unacked;
    const struct tcp_seg *first = pcb->unacked;
    unsigned arrived = 0;

    while (*link != NULL) {
        struct tcp_seg *segment = *link;
        uint32_t len = TCP_TCPLEN(segment);

        arrived += (segment->flags & SEGMENT_ARRIVED) != 0;
        if ((segment->flags & SEGMENT_RESENT) != 0 || !is_lost(first, segment, flight, arrived)) {
            link = &segment->next;
            continue;
        }
        /* The first one is sent in any case: nothing moves before it has arrived. */
        if (segment != first && flight->pipe + len > pcb->ssthresh)
            break;
        flight->pipe += len;
        segment->flags |= SEGMENT_RESENT;
        *link = segment->next;
        segment->next = NULL;
        *tail = segment;
        tail = &segment->next;
    }
    return taken;
}

/* Sends these alone, whatever the congestion window; what output refuses stays first in line. */
static void send_again(struct swap *swap, struct tcp_pcb *pcb, struct tcp_seg *segments)
{
    struct tcp_seg *unsent = pcb->unsent;
    uint16_t oversize = pcb->unsent_oversize;
    uint32_t cwnd = pcb->cwnd;
    struct tcp_seg **tail = &pcb->unsent;

    pcb->unsent = segments;
    pcb->unsent_oversize = 0;
    pcb->cwnd = pcb->snd_wnd;
    swap_tcp_output(swap);
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = unsent;
    pcb->unsent_oversize = unsent != NULL ? oversize : 0;
    pcb->cwnd = cwnd;
    pcb->rttest = 0; /* a retransmission measures nothing (Karn) */
}

static void begin(struct recovery *recovery, struct tcp_pcb *pcb)
{
    recovery->active = true;
    recovery->point = pcb->snd_nxt;
    clear_marks(pcb, SEGMENT_RESENT);
    if (segment_start(pcb->unacked) == pcb->lastack)
        pcb->unacked->flags |= SEGMENT_RESENT; /* by lwIP, unless output refused it */
}

/* True while in recovery. */
static bool update_state(struct recovery *recovery, struct tcp_pcb *pcb, unsigned arrived)
{
    if ((pcb->flags & TF_RTO) != 0)
        return false;
    if (!recovery->active) {
        if ((pcb->flags & TF_INFR) == 0 || pcb->unacked == NULL)
            return false;
        begin(recovery, pcb);
        return true;
    }
    /*
     * Without reports nothing is known about what is behind the acknowledgment. To go on would
     * repair one segment per round trip and keep lwIP's timer from firing.
     */
    if (TCP_SEQ_GEQ(pcb->lastack, recovery->point) || ((pcb->flags & TF_INFR) == 0 && arrived == 0))
        recovery->active = false;
    return recovery->active;
}

/* Puts a segment where its sequence number belongs. */
static void insert_sorted(struct tcp_seg **list, struct tcp_seg *segment)
{
    while (*list != NULL && TCP_SEQ_LT(segment_start(*list), segment_start(segment)))
        list = &(*list)->next;
    segment->next = *list;
    *list = segment;
}

/*
 * On a timeout lwIP puts `unacked` in front of `unsent`, which are then two sorted runs: segments
 * that an earlier timeout left in `unacked` because they had arrived may belong behind those that
 * it left to be sent. Unsorted, the window would seem to be full for ever. True if they were.
 */
static bool sort_unsent(struct tcp_pcb *pcb)
{
    struct tcp_seg **link = &pcb->unsent;
    struct tcp_seg *rest;

    while (*link != NULL && (*link)->next != NULL &&
           TCP_SEQ_LT(segment_start(*link), segment_start((*link)->next)))
        link = &(*link)->next;
    if (*link == NULL || (*link)->next == NULL)
        return false;
    rest = (*link)->next;
    (*link)->next = NULL;
    link = &pcb->unsent;
    while (rest != NULL) {
        struct tcp_seg *segment = rest;

        rest = segment->next;
        while (*link != NULL && TCP_SEQ_LT(segment_start(*link), segment_start(segment)))
            link = &(*link)->next;
        segment->next = *link;
        *link = segment;
    }
    pcb->unsent_oversize = 0; /* of what was the last segment */
    return true;
}

void recovery_timeout(struct recovery *recovery, struct swap *swap)
{
    struct tcp_pcb *pcb = swap_pcb(swap);
    struct tcp_seg **link;

    if (pcb == NULL || pcb->state == TIME_WAIT || (pcb->flags & TF_RTO) == 0)
        return;
    recovery->active = false;
    if (sort_unsent(pcb))
        swap_tcp_output(swap); /* lwIP has tried the wrong one */
    /* Or the next acknowledgment would end a fast recovery, with a large window. */
    tcp_clear_flags(pcb, TF_INFR);
    if (pcb->nrtx > TRUSTED_TIMEOUTS || pcb->persist_backoff > 0) {
        clear_marks(pcb, SEGMENT_MARKS);
        return;
    }
    for (link = &pcb->unsent; *link != NULL;) {
        struct tcp_seg *segment = *link;

        segment->flags = (uint8_t)(segment->flags & ~SEGMENT_RESENT);
        if ((segment->flags & SEGMENT_ARRIVED) == 0) {
            link = &segment->next;
            continue;
        }
        *link = segment->next;
        insert_sorted(&pcb->unacked, segment);
        pcb->unsent_oversize = 0; /* of the last segment, which may be this one */
    }
}

void recovery_run(struct recovery *recovery, struct swap *swap)
{
    struct tcp_pcb *pcb = swap_pcb(swap);
    struct flight flight = {0};
    struct tcp_seg *lost;

    if (pcb == NULL || pcb->state == TIME_WAIT || (pcb->flags & TF_SACK) == 0)
        return;
    if (recovery->blocks_count > 0 || recovery->active)
        flight.arrived = mark_arrived(recovery, pcb);
    recovery->blocks_count = 0;
    if (!update_state(recovery, pcb, flight.arrived))
        return;
    measure(pcb, &flight);
    /* lwIP leaves recovery with any new acknowledgment. */
    tcp_set_flags(pcb, TF_INFR);
    lost = take_lost(pcb, &flight);
    if (lost != NULL)
        send_again(swap, pcb, lost);
    /* lwIP compares with all that is outstanding; what is not on the way must not count. */
    pcb->cwnd = pcb->ssthresh + (flight.outstanding - flight.pipe);
    swap_tcp_output(swap);
}
