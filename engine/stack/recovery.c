/*
 * recovery: the states of a sender, and what was too early of them.
 *
 *   open ──a loss──▶ recovery ──point acknowledged──▶ open
 *     │                 │                              ▲
 *     └────timeout──────┴──────────▶ loss ─────────────┘
 */
#include "engine/stack/recovery.h"

#include "engine/stack/sender.h"
#include "engine/stack/swap.h"

static void mark_beginning(struct sender *sender, const struct tcp_pcb *pcb, uint64_t now_us)
{
    sender->begin = pcb->lastack;
    sender->begin_us = (uint32_t)now_us;
    sender->point = pcb->snd_nxt;
}

static void begin(struct sender *sender, const struct tcp_pcb *pcb, uint32_t prior_pipe,
                  uint64_t now_us)
{
    sender->state = SENDER_RECOVERY;
    mark_beginning(sender, pcb, now_us);
    sender->undo_left = 0;
    sender->probing = false;
    sender->partial = false;
    sender->congestion.control->loss(&sender->congestion, prior_pipe, now_us);
}

/*
 * Without SACK what fills the last hole may leave little on the way: what the window has room for
 * then does not leave in one burst, but slow start goes on to where it was (RFC 6582, 3.2, step 3).
 */
static void end(struct sender *sender, uint64_t now_us)
{
    struct congestion *congestion = &sender->congestion;

    sender->state = SENDER_OPEN;
    congestion->control->recovered(congestion, now_us);
    if (!sender->has_sack)
        congestion_limit_burst(congestion, sender->flight.pipe);
    rack_recovered(&sender->rack);
}

static void undo(struct sender *sender, uint64_t now_us)
{
    sender->congestion.control->undo(&sender->congestion, now_us);
    sender->state = SENDER_OPEN;
    sender->undo_left = 0;
    sender->doubted = false;
}

/* Whether the peer got something twice that the last recovery may have sent again. */
static bool is_of_recovery(const struct sender *sender, const struct flight_sample *sample)
{
    return sample->duplicate && flight_after(sample->twice, sender->begin) &&
           !flight_after(sample->twice, sender->point);
}

/*
 * When every retransmission was for something that had arrived it was reordering, or a timeout that
 * came too soon. It shows in an acknowledgment that comes too soon to be for the retransmission (as
 * in RFC 8985, 6.2, step 2), and once more in what the peer reports of duplicates.
 */
static void note_needless(struct sender *sender, const struct flight_sample *sample,
                          uint64_t now_us)
{
    uint32_t needless = sample->needless;

    sender->proved += needless;
    if (sample->duplicate && sender->proved > 0)
        sender->proved--;
    else if (is_of_recovery(sender, sample))
        needless++;
    if (needless == 0 || sender->undo_left == 0)
        return;
    sender->undo_left -= needless < sender->undo_left ? needless : sender->undo_left;
    if (sender->undo_left > 0)
        return;
    undo(sender, now_us);
    rack_widen(&sender->rack);
}

/*
 * The first acknowledgment after a timeout tells of a segment that was sent only once, before it:
 * the timeout was too early (F-RTO, RFC 5682, 3.1; decided at once, as nothing new was sent yet).
 */
static void check_timeout(struct sender *sender, const struct flight_sample *sample,
                          uint64_t now_us)
{
    if (!sender->doubted || sample->delivered == 0)
        return;
    sender->doubted = false;
    if (!sample->once)
        return;
    flight_found(&sender->flight);
    undo(sender, now_us);
}

/*
 * The probe was acknowledged. When it was a retransmission, and the peer got nothing twice, the
 * segment was lost and the probe has repaired it: still a sign of congestion (7.4.2). That is known
 * when more is acknowledged: what acknowledges no more than the probe may be for the first one.
 */
static void check_probe(struct sender *sender, const struct tcp_pcb *pcb,
                        const struct flight_sample *sample, uint64_t now_us)
{
    bool twice = sender->repeats || (sample->duplicate && sample->twice == sender->probe_end);

    if (!sender->probing || flight_after(sender->probe_end, pcb->lastack))
        return;
    if (sender->probe_resent && !twice && sender->probe_end == pcb->lastack)
        return;
    sender->probing = false;
    if (!sender->probe_resent || twice || sender->state != SENDER_OPEN)
        return;
    sender->congestion.control->loss(&sender->congestion, sample->prior_pipe, now_us);
    sender->congestion.control->recovered(&sender->congestion, now_us);
}

/*
 * What was sent since the recovery began is lost, too, for the first time or again: one more sign
 * of congestion, and no more than one per round trip (RFC 5681, 4.3). After a timeout the window is
 * of one segment, and the threshold stays as it is (RFC 5681, 3.1). What an acknowledgment of the
 * same batch had sent just before has the time of the beginning, too.
 */
static bool is_lost_again(const struct sender *sender)
{
    const struct rack *rack = &sender->rack;

    if (!sender->has_sack || rack->lost_us != sender->begin_us)
        return sender->has_sack && flight_after(rack->lost_us, sender->begin_us);
    return rack->lost_resent || flight_after(rack->lost_end, sender->point);
}

void recovery_lost(struct sender *sender, const struct tcp_pcb *pcb, uint32_t prior_pipe,
                   uint64_t now_us)
{
    if (sender->state == SENDER_OPEN || (sender->state == SENDER_RECOVERY && is_lost_again(sender)))
        begin(sender, pcb, prior_pipe, now_us);
}

void recovery_acked(struct sender *sender, const struct tcp_pcb *pcb,
                    const struct flight_sample *sample, uint64_t now_us)
{
    check_probe(sender, pcb, sample, now_us);
    check_timeout(sender, sample, now_us);
    note_needless(sender, sample, now_us);
    if (sender->state != SENDER_OPEN && !flight_after(sender->point, pcb->lastack))
        end(sender, now_us);
}

void recovery_timed_out(struct sender *sender, const struct tcp_pcb *pcb, uint64_t now_us)
{
    /* What lwIP has sent just now; in a recovery it was counted, with those before. */
    if (sender->state == SENDER_OPEN)
        sender->undo_left = 1;
    sender->doubted = sender->has_sack && sender->state == SENDER_OPEN && pcb->nrtx <= 1;
    sender->state = SENDER_LOSS;
    mark_beginning(sender, pcb, now_us);
    sender->probing = false;
}
