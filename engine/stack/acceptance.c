/* acceptance: owns the time of the last challenge, and where the peer said that its stream ends. */
#include "engine/stack/acceptance.h"

#include "engine/stack/packet.h"

#include <lwip/priv/tcp_priv.h>

#define HEADER_FLAGS 13

/* Before that lwIP checks all that there is to check. */
static bool is_synchronised(const struct tcp_pcb *pcb)
{
    return pcb->state >= ESTABLISHED;
}

enum acceptance acceptance_of_ack(const struct tcp_pcb *pcb, const struct segment *segment)
{
    const uint32_t in_flight = pcb->snd_nxt - pcb->lastack;

    if (!is_synchronised(pcb) || (segment->flags & (PACKET_RST | PACKET_SYN)) != 0)
        return ACCEPTANCE_TAKE; /* they go by their sequence numbers */
    if ((segment->flags & PACKET_ACK) == 0)
        return ACCEPTANCE_DROP;
    /* From the largest window before what is acknowledged to what was sent (RFC 5961, 5.2). */
    return pcb->snd_nxt - segment->ack <= in_flight + pcb->snd_wnd_max ? ACCEPTANCE_TAKE
                                                                       : ACCEPTANCE_CHALLENGE;
}

/* RFC 5961, 3.2: only the very number that is expected ends the connection. */
static enum acceptance of_reset(const struct tcp_pcb *pcb, const struct segment *segment)
{
    if (segment->seq == pcb->rcv_nxt)
        return ACCEPTANCE_TAKE;
    return segment->seq - pcb->rcv_nxt <= pcb->rcv_wnd ? ACCEPTANCE_CHALLENGE : ACCEPTANCE_DROP;
}

/*
 * What a peer sends again begins no further back than a window that it was given, and what
 * it sends when it has filled the present one, or has probed it, is no further ahead than a segment
 * behind that.
 */
static bool is_near(const struct tcp_pcb *pcb, const struct segment *segment)
{
    const uint32_t behind = TCP_WND_MAX(pcb);

    return segment->seq - (pcb->rcv_nxt - behind) <= behind + pcb->rcv_wnd + UINT16_MAX;
}

/* Only the first len bytes are left, and no FIN. */
static void cut(struct segment *segment, size_t len)
{
    if (segment->data_len > len)
        segment->data_len = len;
    segment->flags &= (uint8_t)~PACKET_FIN;
    segment->header[HEADER_FLAGS] = segment->flags;
}

static bool has_fin(const struct segment *segment)
{
    return (segment->flags & PACKET_FIN) != 0;
}

/* The stream ends at the first FIN that was told of: no other FIN counts, and no data behind it. */
static bool fit_stream(struct acceptance_state *state, struct segment *segment)
{
    const uint32_t behind = segment->seq + (uint32_t)segment->data_len;

    if (!state->end_known) {
        state->end_known = has_fin(segment);
        state->end = behind;
    } else if (TCP_SEQ_GT(segment->seq, state->end)) {
        return false;
    } else if (TCP_SEQ_GT(behind, state->end) || (has_fin(segment) && behind != state->end)) {
        cut(segment, state->end - segment->seq);
    }
    return true;
}

enum acceptance acceptance_of_seq(struct acceptance_state *state, const struct tcp_pcb *pcb,
                                  struct segment *segment)
{
    const size_t len = segment->data_len + has_fin(segment);
    const uint32_t at = segment->seq - pcb->rcv_nxt;

    if (!is_synchronised(pcb))
        return ACCEPTANCE_TAKE;
    if ((segment->flags & PACKET_RST) != 0)
        return of_reset(pcb, segment);
    if ((segment->flags & PACKET_SYN) != 0)
        return ACCEPTANCE_CHALLENGE; /* RFC 5961, 4.2 */
    if (!is_near(pcb, segment))
        return ACCEPTANCE_CHALLENGE;
    if (len == 0)
        return ACCEPTANCE_TAKE;
    if (TCP_SEQ_GT(segment->seq, pcb->rcv_nxt)) {
        /* What begins in order lwIP cuts itself, and what is old it answers. */
        if (at >= pcb->rcv_wnd)
            return ACCEPTANCE_CHALLENGE;
        if (len > pcb->rcv_wnd - at)
            cut(segment, pcb->rcv_wnd - at);
    } else if (!state->end_known) {
        return ACCEPTANCE_TAKE;
    }
    return fit_stream(state, segment) ? ACCEPTANCE_TAKE : ACCEPTANCE_CHALLENGE;
}

bool acceptance_may_challenge(struct acceptance_state *state, uint64_t now)
{
    if (now < state->challenge_at)
        return false;
    state->challenge_at = now + ACCEPTANCE_CHALLENGE_NS;
    return true;
}
