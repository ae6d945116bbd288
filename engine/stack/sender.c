/*
 * sender: the one place where the scoreboard, loss detection and congestion control meet lwIP. Its
 * states are those of recovery.c.
 *
 * lwIP's own control is kept out of the way: it never sees a third duplicate acknowledgment,
 * measures no round trips, and its congestion window is set here after everything that changes it.
 * lwIP compares that window with all that is outstanding, so it is what is outstanding plus what
 * may be sent.
 */
#include "engine/stack/sender.h"

#include "engine/stack/dupack.h"
#include "engine/stack/recovery.h"
#include "engine/stack/swap.h"

#include <errno.h>
#include <string.h>

/* Reports are not believed after more timeouts in a row: the peer may drop what it reported. */
#define TRUSTED_TIMEOUTS 1

/* How long a peer may hold the acknowledgment of a single segment back (RFC 8985, 7.2). */
#define DELAYED_ACK_US 200000

/* Where a SYN was lost, and so no round trip is known, and lwIP has backed off (RFC 6298, 5.7). */
#define UNKNOWN_TIMEOUT_TICKS (3000 / TCP_SLOW_INTERVAL)
/* With more in flight lwIP does not send by itself. */
#define PIGGYBACK_RECORDS 64

#define US_PER_TICK (TCP_SLOW_INTERVAL * 1000u)

/*
 * Congestion controls have the whole time. What is in flight, which is not for long, has it modulo
 * 2^32: 71 minutes.
 */
static uint64_t to_us(uint64_t ns)
{
    return ns / 1000;
}

static uint32_t to_us32(uint64_t ns)
{
    return (uint32_t)to_us(ns);
}

static uint32_t segment_start(const struct tcp_seg *segment)
{
    return lwip_ntohl(segment->tcphdr->seqno);
}

static uint32_t segment_end(const struct tcp_seg *segment)
{
    return segment_start(segment) + TCP_TCPLEN(segment);
}

/* The pcb, if it is one that data flows on and that is controlled here. */
static struct tcp_pcb *controlled(const struct sender *sender, const struct swap *swap)
{
    struct tcp_pcb *pcb = sender->active ? swap_pcb(swap) : NULL;

    return pcb != NULL && pcb->state != TIME_WAIT ? pcb : NULL;
}

/* --- The round-trip time --------------------------------------------------------------------- */

/* lwIP's timeout is (sa >> 3) + sv, doubled with each timeout. */
static void set_timeout(const struct sender *sender, struct tcp_pcb *pcb)
{
    uint32_t timeout_us = rtt_timeout_us(&sender->rtt);
    uint32_t ticks = timeout_us / US_PER_TICK + (timeout_us % US_PER_TICK != 0);

    if (timeout_us == 0)
        return;
    pcb->sa = 0;
    pcb->sv = (s16_t)(ticks < INT16_MAX ? ticks : INT16_MAX);
    if (pcb->nrtx == 0)
        pcb->rto = pcb->sv;
}

/* --- Life ------------------------------------------------------------------------------------ */

void sender_open(struct sender *sender, struct tcp_pcb *pcb, enum stack_congestion kind,
                 uint64_t now)
{
    congestion_open(&sender->congestion, kind, pcb->mss, to_us(now));
    if (sender->syns >= SENDER_SYNS_LOST)
        sender->congestion.window = pcb->mss;
    pcb->cwnd = sender->congestion.window;
    /* lwIP remembers the timeouts of SYNs, which would be taken for some of data. */
    tcp_clear_flags(pcb, TF_RTO);
    pcb->nrtx = 0;
    sender->active = true;
    sender->has_sack = (pcb->flags & TF_SACK) != 0;
    sender->rack.oldest_only = !sender->has_sack;
    sender->point = pcb->lastack - 1;
    if (sender->handshake_ns != 0)
        rtt_sample(&sender->rtt, to_us32(now - sender->handshake_ns), to_us32(now));
    else
        pcb->rto = pcb->sv = UNKNOWN_TIMEOUT_TICKS;
    set_timeout(sender, pcb);
}

void sender_fini(struct sender *sender)
{
    flight_fini(&sender->flight);
}

uint32_t sender_queue(const struct sender *sender, const struct tcp_pcb *pcb)
{
    /*
     * What the path can use twice over: more would only wait, and cost memory. What has been
     * reported waits for what is missing, and does not use the path.
     */
    uint64_t window = sender->active ? sender->congestion.window : pcb->cwnd;
    uint64_t len = window * 2 + (sender->has_sack ? sender->flight.arrived : 0);
    uint32_t ahead = pcb->snd_nxt - pcb->lastack + SENDER_AHEAD_MAX;

    if (len > ahead)
        len = ahead;
    return len < TCP_SND_BUF ? (uint32_t)len : TCP_SND_BUF;
}

/* --- lwIP's segments ------------------------------------------------------------------------- */

/*
 * A record has lwIP's segment that begins with it, so that this need not be looked for in
 * `unacked`; where none does it has NULL. A cut leaves the beginning where it is, and lwIP frees a
 * segment when all of it is acknowledged, which then reaches into the record: only the oldest
 * one's may be gone, and that is the first of `unacked`.
 */
static struct tcp_seg *segment_of(const struct flight *flight, const struct tcp_pcb *pcb,
                                  uint32_t index)
{
    const struct flight_record *record = flight_at(flight, index);
    struct tcp_seg *segment = index > 0 ? record->segment : NULL;

    if (segment == NULL)
        segment = pcb->unacked;
    while (segment != NULL && !flight_after(segment_end(segment), record->seq))
        segment = segment->next;
    return segment;
}

static struct flight_record *last_record(const struct flight *flight)
{
    return flight_at(flight, flight->count - 1);
}

/* Gives the records from index on the segments that begin with them; returns the next index. */
static uint32_t assign_segments(struct flight *flight, uint32_t index, struct tcp_seg *segments)
{
    for (struct tcp_seg *segment = segments; segment != NULL; segment = segment->next) {
        while (index < flight->count &&
               flight_after(segment_end(segment), flight_at(flight, index)->seq)) {
            struct flight_record *record = flight_at(flight, index++);

            record->segment = segment_start(segment) == record->seq ? segment : NULL;
        }
    }
    return index;
}

/* The record's segment is in `unacked`; after a timeout it may wait in `unsent` to be sent again.
 */
static bool is_sent(const struct tcp_pcb *pcb, const struct flight_record *record)
{
    return pcb->unsent == NULL || flight_after(segment_start(pcb->unsent), record->seq);
}

/* The last of `unacked` when all that was sent is there; NULL: not known. */
static struct tcp_seg *last_unacked(const struct flight *flight, const struct tcp_pcb *pcb)
{
    struct tcp_seg *last;

    if (flight->count == 0 || pcb->unacked == NULL || pcb->unsent == NULL ||
        flight_after(pcb->snd_nxt, segment_start(pcb->unsent)))
        return NULL;
    last = segment_of(flight, pcb, flight->count - 1);
    while (last != NULL && last->next != NULL)
        last = last->next;
    return last;
}

/* --- What was sent --------------------------------------------------------------------------- */

bool sender_may_send(struct sender *sender)
{
    return !sender->active || flight_reserve(&sender->flight) == 0;
}

static void syn_sent(struct sender *sender, uint64_t now)
{
    sender->handshake_ns = sender->syns > 0 ? 0 : now;
    if (sender->syns < SENDER_SYNS_LOST)
        sender->syns++;
}

void sender_sent(struct sender *sender, const struct tcp_pcb *pcb, const struct pbuf *packet,
                 uint16_t family, uint64_t now)
{
    uint32_t records = sender->flight.count;
    size_t ip_header = family == AF_INET ? PACKET_IP4_HEADER : PACKET_IP6_HEADER;
    const uint8_t *tcp = (const uint8_t *)packet->payload + ip_header;
    struct tcp_hdr header;
    uint32_t len, flags;
    bool again;

    memcpy(&header, tcp, sizeof(header));
    flags = TCPH_FLAGS(&header);
    if ((flags & TCP_SYN) != 0)
        syn_sent(sender, now);
    len = (uint32_t)(packet->tot_len - ip_header - TCPH_HDRLEN_BYTES(&header)) +
          ((flags & TCP_FIN) != 0);
    /* The byte of a zero-window probe is sent again with its segment. */
    if (!sender->active || pcb == NULL || len == 0 || pcb->persist_backoff > 0)
        return;
    again = flight_sent(&sender->flight, lwip_ntohl(header.seqno), len, to_us32(now));
    if (again && sender->state != SENDER_OPEN)
        sender->undo_left++;
    /* One that became longer while it waited to be sent again does not begin with what is new. */
    if (sender->flight.count > records && !again)
        last_record(&sender->flight)->segment = pcb->unsent;
    sender->moved = true;
    sender->sent_ns = now;
    prr_sent(&sender->congestion.prr, len);
    if (sender->congestion.rate != 0)
        pacing_sent(&sender->pacing, sender->congestion.rate, len, now);
}

/* --- Sending --------------------------------------------------------------------------------- */

/* Bytes that may be sent now. */
static uint32_t allowance(const struct sender *sender, uint64_t now)
{
    const struct congestion *congestion = &sender->congestion;
    uint32_t pipe = sender->flight.pipe;
    uint32_t room = congestion->window > pipe ? congestion->window - pipe : 0;
    uint32_t burst;

    if (congestion->rate == 0)
        return room;
    burst = pacing_allowance(&sender->pacing, congestion->rate, congestion->mss, now);
    return room < burst ? room : burst;
}

static void set_window(struct tcp_pcb *pcb, uint32_t room)
{
    pcb->cwnd = pcb->snd_nxt - pcb->lastack + room;
}

/* Sends a record again: one segment, or more when it was cut since. False: output refused it. */
static bool send_again(struct sender *sender, struct swap *swap, struct tcp_pcb *pcb,
                       uint32_t index)
{
    struct flight *flight = &sender->flight;
    uint32_t end = flight_end(flight_at(flight, index));
    struct tcp_seg *segment = segment_of(flight, pcb, index);

    pcb->cwnd = pcb->snd_wnd;
    do {
        if (segment == NULL || swap_tcp_resend(swap, segment) != ERR_OK) {
            flight_lose(flight, flight_at(flight, index));
            return false;
        }
        segment = segment->next;
    } while (segment != NULL && flight_after(end, segment_start(segment)));
    return true;
}

/* Sends lost segments, in order, while they fit into room. */
static void send_lost(struct sender *sender, struct swap *swap, struct tcp_pcb *pcb, uint32_t room)
{
    const struct flight_record *record;
    uint32_t index = 0, len;

    while ((record = flight_first_lost(&sender->flight, &index)) != NULL) {
        len = record->len;
        /* A FIN may make it longer than the smallest window, which has room for one segment. */
        if (len > room && (room == 0 || sender->flight.pipe > 0))
            return;
        if (!is_sent(pcb, record) || !send_again(sender, swap, pcb, index))
            return;
        room -= len < room ? len : room;
    }
}

/* Sends what is new as far as lwIP's window allows. */
static void send_new(const struct sender *sender, struct swap *swap, const struct tcp_pcb *pcb)
{
    struct tcp_seg *last = last_unacked(&sender->flight, pcb);

    if (last != NULL)
        swap_tcp_output_behind(swap, last);
    else
        swap_tcp_output(swap);
}

/* When a tail loss probe is due if nothing arrives (RFC 8985, 7.2); 0 = not before the timeout. */
static uint64_t probe_time(const struct sender *sender, const struct tcp_pcb *pcb, uint64_t now)
{
    uint64_t wait_us = UINT64_C(2) * sender->rtt.smoothed_us;

    if (!sender->has_sack || sender->state != SENDER_OPEN || sender->probing ||
        sender->flight.count == 0 || sender->flight.arrived_count > 0 || wait_us == 0 ||
        pcb->nrtx > 0)
        return 0;
    if (sender->flight.count == 1)
        wait_us += DELAYED_ACK_US;
    return wait_us < rtt_timeout_us(&sender->rtt) ? now + wait_us * 1000 : 0;
}

static void set_alarms(struct sender *sender, const struct tcp_pcb *pcb, uint64_t now)
{
    const struct congestion *congestion = &sender->congestion;
    bool more = pcb->unsent != NULL || sender->flight.lost > 0;
    bool has_window = congestion->window >= sender->flight.pipe + congestion->mss;

    sender->pace_ns = 0;
    if (congestion->rate != 0 && more && has_window && sender->pacing.next_ns > now)
        sender->pace_ns = sender->pacing.next_ns;
    if (!more && has_window)
        flight_app_limited(&sender->flight);
    if (sender->moved)
        sender->probe_ns = probe_time(sender, pcb, now);
    sender->moved = false;
}

/*
 * On a timeout lwIP puts `unacked` in front of `unsent`, and sends a part of it. What has been sent
 * before goes back to where it belongs.
 */
static void take_back(struct tcp_pcb *pcb)
{
    struct tcp_seg **link = &pcb->unacked;

    while (*link != NULL)
        link = &(*link)->next;
    *link = pcb->unsent;
    while (*link != NULL && flight_after(pcb->snd_nxt, segment_start(*link)))
        link = &(*link)->next;
    pcb->unsent = *link;
    *link = NULL;
    if (pcb->unsent == NULL)
        pcb->unsent_oversize = 0;
}

/*
 * The timer ran out while the peer's window was closed, and what it took for lost waits in `unsent`
 * since then. When there is room again it is sent like all that is lost: by our window.
 */
static void reopen(struct sender *sender, struct tcp_pcb *pcb)
{
    const struct flight *flight = &sender->flight;
    uint32_t start;

    if (pcb->unsent == NULL || flight->count == 0)
        return;
    start = segment_start(pcb->unsent);
    if (!flight_after(flight_end(last_record(flight)), start) ||
        start - pcb->lastack + pcb->unsent->len > pcb->snd_wnd)
        return;
    pcb->persist_backoff = 0;
    /* Whatever arrived before was sent before, also by a clock that has gone round since. */
    sender->rack.known = false;
    take_back(pcb);
    if (pcb->rtime < 0)
        pcb->rtime = 0;
}

/* After a pause the window is not sent in one burst. */
static void restart(struct sender *sender, const struct tcp_pcb *pcb, uint64_t now)
{
    uint32_t timeout_us = rtt_timeout_us(&sender->rtt);
    uint64_t idle_us = to_us(now - sender->sent_ns);

    if (sender->flight.count > 0 || pcb->unsent == NULL || sender->sent_ns == 0 ||
        timeout_us == 0 || idle_us < timeout_us)
        return;
    sender->congestion.control->restart(&sender->congestion, idle_us, timeout_us);
    sender->sent_ns = now;
}

void sender_output(struct sender *sender, struct swap *swap)
{
    struct tcp_pcb *pcb = controlled(sender, swap);

    if (pcb == NULL) {
        if (swap_pcb(swap) != NULL)
            swap_tcp_output(swap);
        return;
    }
    restart(sender, pcb, swap->now);
    reopen(sender, pcb);
    send_lost(sender, swap, pcb, allowance(sender, swap->now));
    set_window(pcb, allowance(sender, swap->now));
    send_new(sender, swap, pcb);
    set_alarms(sender, pcb, swap->now);
}

/* --- Acknowledgments ------------------------------------------------------------------------- */

void sender_note(struct sender *sender, const struct segment *segment)
{
    sender->blocks_count = sender->has_sack ? segment->sack_count : 0;
    sender->had_data = segment->data_len > 0 || (segment->flags & PACKET_FIN) != 0;
    memcpy(sender->blocks, segment->sack, sizeof(sender->blocks));
}

/*
 * What is sent again needlessly makes duplicates, too: after a timeout, and until more is
 * acknowledged than had been sent when the last recovery began (RFC 6582, 3.2).
 */
static bool counts_duplicates(const struct sender *sender, const struct tcp_pcb *pcb)
{
    return !sender->has_sack && sender->state != SENDER_LOSS &&
           (sender->state == SENDER_RECOVERY || pcb->lastack != sender->point);
}

void sender_before_input(struct sender *sender, struct swap *swap, const struct pbuf *p)
{
    struct tcp_pcb *pcb = controlled(sender, swap);
    const struct flight *flight = &sender->flight;
    bool is_ack = p->tot_len <= PACKET_TCP_HEADER;

    if (pcb == NULL)
        return;
    /* What is out of order comes here without its data (receiver.h), and is no duplicate. */
    sender->repeats = !sender->had_data && sender->blocks_count == 0 && dupack_is_one(pcb, p);
    if (sender->repeats && counts_duplicates(sender, pcb))
        sender->blocks_count = dupack_block(flight, to_us32(swap->now), &sender->blocks[0]);
    sender->timer = pcb->rtime;
    pcb->rttest = 0;
    pcb->dupacks = 0;
    pcb->bytes_acked = 0;
    pcb->ssthresh = 0;
    /*
     * lwIP sends while it processes: with the window of before, or, where that could be too much,
     * or a long way to the end of `unacked`, nothing, which costs an acknowledgment that could have
     * gone with data.
     */
    if (is_ack || flight->count == 0 || flight->arrived > 0 || flight->lost > 0 ||
        sender->state != SENDER_OPEN || sender->congestion.rate != 0 ||
        flight->count > PIGGYBACK_RECORDS)
        pcb->cwnd = 0;
}

/* The rate of a sample (draft-cheng-iccrg-delivery-rate-estimation, 3.3); 0 = it tells nothing. */
static uint64_t delivery_rate(const struct sender *sender, const struct flight_sample *sample)
{
    uint64_t delivered = sender->flight.delivered - sample->prior_delivered;

    if (sample->delivered == 0 || sample->interval_us == 0 ||
        sample->interval_us < sender->rtt.min_us)
        return 0;
    return delivered * 1000000 / sample->interval_us;
}

static void tell_control(struct sender *sender, const struct flight_sample *sample, uint32_t lost,
                         uint64_t now_us)
{
    const struct congestion_ack ack = {
        .now_us = now_us,
        .delivered = sample->delivered,
        .lost = lost,
        .prior_pipe = sample->prior_pipe,
        .pipe = sender->flight.pipe,
        .rtt_us = sample->rtt_us,
        .srtt_us = sender->rtt.smoothed_us,
        .timeout_us = rtt_timeout_us(&sender->rtt),
        .delivered_total = sender->flight.delivered,
        .prior_delivered = sample->prior_delivered,
        .rate = delivery_rate(sender, sample),
        .advanced = sample->advanced,
        .app_limited = sample->app_limited,
        .recovering = sender->state != SENDER_OPEN,
    };

    sender->congestion.control->acked(&sender->congestion, &ack);
}

/* Without SACK it is not known which segment an acknowledgment is for, but where none was lost. */
static void process_unreported(struct sender *sender, struct flight_sample *sample, uint32_t now_us)
{
    if (sender->blocks_count > 0 || sample->resent)
        sample->rtt_us = 0;
    dupack_acked(&sender->flight, now_us);
}

/*
 * One repair per round trip takes long when much is missing. The timer runs on from the first
 * partial acknowledgment, so that the rest then goes out as in slow start (RFC 6582, 4, impatient).
 */
static void keep_timer(struct sender *sender, struct tcp_pcb *pcb)
{
    if (sender->has_sack || sender->state != SENDER_RECOVERY || pcb->rtime != 0)
        return;
    if (sender->partial)
        pcb->rtime = sender->timer;
    sender->partial = true;
}

/* Marks what is lost, and begins to recover from it. Returns how many bytes. */
static uint32_t find_lost(struct sender *sender, const struct tcp_pcb *pcb, uint32_t prior_pipe,
                          uint64_t now)
{
    uint32_t wait_us;
    uint32_t lost = rack_detect(&sender->rack, &sender->flight, &sender->rtt,
                                sender->state != SENDER_OPEN, to_us32(now), &wait_us);

    sender->reorder_ns = wait_us > 0 ? now + UINT64_C(1000) * wait_us : 0;
    if (lost > 0)
        recovery_lost(sender, pcb, prior_pipe, to_us(now));
    return lost;
}

static void process(struct sender *sender, struct tcp_pcb *pcb, uint64_t now)
{
    uint64_t now_us = to_us(now);
    uint32_t now_us32 = to_us32(now), lost;
    struct flight_sample sample;

    sender->flight.min_rtt_us = sender->rtt.min_us;
    flight_acked(&sender->flight, pcb->lastack, sender->blocks, sender->blocks_count, now_us32,
                 &sample);
    if (!sender->has_sack)
        process_unreported(sender, &sample, now_us32);
    if (sample.delivered > 0)
        sender->moved = true;
    if (sample.rtt_us > 0)
        rtt_sample(&sender->rtt, sample.rtt_us, now_us32);
    set_timeout(sender, pcb);
    rack_update(&sender->rack, &sample, &sender->rtt, now_us32);
    recovery_acked(sender, pcb, &sample, now_us);
    keep_timer(sender, pcb);
    lost = find_lost(sender, pcb, sample.prior_pipe, now);
    /* Whatever is sent next is later than all that has arrived, also by a clock that went round. */
    if (sender->flight.count == 0)
        sender->rack.known = false;
    if (sample.delivered > 0 || lost > 0)
        tell_control(sender, &sample, lost, now_us);
}

void sender_after_input(struct sender *sender, struct swap *swap)
{
    struct tcp_pcb *pcb = controlled(sender, swap);

    if (pcb != NULL) {
        /* lwIP ends its probes when it sends; what it probed with may have been the last. */
        if (pcb->unsent == NULL)
            pcb->persist_backoff = 0;
        if (pcb->mss != sender->congestion.mss)
            congestion_set_mss(&sender->congestion, pcb->mss);
        if (sender->flight.count > 0 || sender->blocks_count > 0 || sender->probing)
            process(sender, pcb, swap->now);
        if (pcb->unsent != NULL || sender->flight.count > 0)
            sender_output(sender, swap);
    }
    sender->blocks_count = 0;
}

int sender_resegment(struct sender *sender, const struct tcp_pcb *pcb, uint16_t mss)
{
    if (!sender->active)
        return 0;
    if (flight_lose_long(&sender->flight, mss) != 0)
        return -ENOMEM;
    assign_segments(&sender->flight, assign_segments(&sender->flight, 0, pcb->unacked),
                    pcb->unsent);
    congestion_set_mss(&sender->congestion, mss);
    return 0;
}

/* --- Timers ---------------------------------------------------------------------------------- */

static void timed_out(struct sender *sender, struct tcp_pcb *pcb, uint64_t now)
{
    tcp_clear_flags(pcb, TF_RTO);
    flight_lose_all(&sender->flight, !sender->has_sack || pcb->nrtx > TRUSTED_TIMEOUTS,
                    to_us32(now));
    /* With the window closed lwIP probes with the first of `unsent`. */
    if (pcb->persist_backoff == 0)
        take_back(pcb);
    /* Of several in a row the first sets the threshold (RFC 5681, 3.1). */
    if (pcb->nrtx <= 1)
        sender->congestion.control->timeout(&sender->congestion, sender->flight.pipe, to_us(now));
    else if (sender->congestion.window > pcb->mss)
        sender->congestion.window = pcb->mss;
    recovery_timed_out(sender, pcb, to_us(now));
    sender->probe_ns = 0;
    sender->reorder_ns = 0;
}

void sender_slow_timer(struct sender *sender, struct swap *swap)
{
    struct tcp_pcb *pcb = controlled(sender, swap);

    if (pcb == NULL)
        return;
    if ((pcb->flags & TF_RTO) != 0)
        timed_out(sender, pcb, swap->now);
    else if (pcb->cwnd != pcb->mss || pcb->nrtx == 0)
        return; /* else lwIP found nothing to send again, and made the window small */
    sender_output(sender, swap);
}

uint64_t sender_alarm_at(const struct sender *sender)
{
    const uint64_t alarms[] = {sender->reorder_ns, sender->probe_ns, sender->pace_ns};
    uint64_t first = 0;

    for (size_t i = 0; i < sizeof(alarms) / sizeof(alarms[0]); i++) {
        if (alarms[i] != 0 && (first == 0 || alarms[i] < first))
            first = alarms[i];
    }
    return first;
}

/* New data if there is any, or the last segment again: what comes back tells what was lost. */
static void send_probe(struct sender *sender, struct swap *swap, struct tcp_pcb *pcb)
{
    struct flight *flight = &sender->flight;
    uint32_t before = pcb->snd_nxt;

    sender->probe_ns = 0;
    if (flight->count == 0)
        return;
    set_window(pcb, pcb->mss);
    send_new(sender, swap, pcb);
    sender->probe_resent = pcb->snd_nxt == before;
    if (sender->probe_resent) {
        struct flight_record *last = flight_at(flight, flight->count - 1);

        flight_lose(flight, last);
        send_lost(sender, swap, pcb, last->len);
    }
    sender->probing = true;
    sender->probe_end = pcb->snd_nxt;
    if (pcb->rtime > 0)
        pcb->rtime = 0;
}

/* What was waited for did not come: an acknowledgment that brings nothing, but tells of losses. */
static void stop_waiting(struct sender *sender, const struct tcp_pcb *pcb, uint64_t now)
{
    const struct flight_sample sample = {.prior_pipe = sender->flight.pipe};
    uint32_t lost = find_lost(sender, pcb, sample.prior_pipe, now);

    if (lost > 0)
        tell_control(sender, &sample, lost, to_us(now));
}

void sender_alarm(struct sender *sender, struct swap *swap)
{
    struct tcp_pcb *pcb = controlled(sender, swap);

    if (pcb == NULL) {
        sender->reorder_ns = sender->probe_ns = sender->pace_ns = 0;
        return;
    }
    if (sender->reorder_ns != 0 && sender->reorder_ns <= swap->now)
        stop_waiting(sender, pcb, swap->now);
    if (sender->probe_ns != 0 && sender->probe_ns <= swap->now)
        send_probe(sender, swap, pcb);
    sender_output(sender, swap);
}
