/*
 * bbr: startup ─▶ drain ─▶ (down ─▶ cruise ─▶ refill ─▶ up) over and over, and from anywhere, every
 * few seconds, probe_rtt.
 */
#include "engine/stack/bbr.h"

#include "engine/stack/congestion.h"

#include <sodium.h>

/* Gains in per cent. */
#define STARTUP_GAIN 277
#define DRAIN_GAIN   50
#define DOWN_GAIN    90
#define UP_GAIN      125
#define WINDOW_GAIN  200
/* Of the measured bandwidth, so that no queue grows from rounding. */
#define PACING_MARGIN 99
/* A loss leaves so much of a bound; so much of inflight_hi is used while cruising. */
#define BETA     70
#define HEADROOM 85

/* Startup ends when the rate has not grown by a quarter in three rounds. */
#define FULL_GROWTH 125
#define FULL_ROUNDS 3

/* A queue is standing when a whole round took this much longer than the shortest round trip. */
#define QUEUE_DIVISOR 8
#define QUEUE_MIN_US  2000

#define MIN_RTT_WINDOW_US  10000000
#define PROBE_RTT_US       200000
#define CYCLE_MIN_US       2000000
#define CYCLE_SPREAD_US    1000000
#define WINDOW_SEGMENTS    4  /* the smallest window */
#define AGGREGATE_SEGMENTS 45 /* what one acknowledgment may stand for */

#define NO_BOUND_32 UINT32_MAX
#define NO_BOUND_64 UINT64_MAX

/* Counts of delivered bytes, modulo 2^32. */
static bool is_reached(uint32_t count, uint32_t end)
{
    return (int32_t)(count - end) >= 0;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t max_bandwidth(const struct bbr *bbr)
{
    return max_u64(bbr->bandwidth[0], bbr->bandwidth[1]);
}

static uint64_t bandwidth(const struct bbr *bbr)
{
    uint64_t max = max_bandwidth(bbr);

    return max < bbr->bandwidth_lo ? max : bbr->bandwidth_lo;
}

static uint32_t percent(uint32_t value, uint32_t gain)
{
    uint64_t result = (uint64_t)value * gain / 100;

    return result < CONGESTION_WINDOW_MAX ? (uint32_t)result : CONGESTION_WINDOW_MAX;
}

/* What fills the path at that bandwidth. */
static uint32_t product(const struct bbr *bbr, uint64_t rate)
{
    uint64_t bytes = rate * bbr->min_rtt_us / 1000000;

    return bytes < CONGESTION_WINDOW_MAX ? (uint32_t)bytes : CONGESTION_WINDOW_MAX;
}

/* --- States ---------------------------------------------------------------------------------- */

static void enter(struct bbr *bbr, enum bbr_state state)
{
    bbr->state = (uint8_t)state;
    bbr->rounds = 0;
}

static void clear_short_term(struct bbr *bbr)
{
    bbr->bandwidth_lo = NO_BOUND_64;
    bbr->inflight_lo = NO_BOUND_32;
}

/* A cycle of the bandwidth's filter is one of probing. */
static void begin_cycle(struct bbr *bbr, uint64_t now_us)
{
    enter(bbr, BBR_DOWN);
    bbr->cycle_at_us = now_us;
    bbr->cycle_wait_us = CYCLE_MIN_US + randombytes_uniform(CYCLE_SPREAD_US);
    if (bbr->bandwidth[0] > 0) {
        bbr->bandwidth[1] = bbr->bandwidth[0];
        bbr->bandwidth[0] = 0;
    }
}

static void begin_refill(struct bbr *bbr)
{
    enter(bbr, BBR_REFILL);
    clear_short_term(bbr);
    bbr->up_step = 0;
}

/* What the path takes while cruising, others given some room. */
static uint32_t cruise_limit(const struct bbr *bbr)
{
    return bbr->inflight_hi == NO_BOUND_32 ? NO_BOUND_32 : percent(bbr->inflight_hi, HEADROOM);
}

static void reset_full(struct bbr *bbr)
{
    bbr->full_rate = 0;
    bbr->full_rounds = 0;
}

/* Once per round: true when the bandwidth has stopped growing. */
static bool is_full(struct bbr *bbr, const struct congestion_ack *ack)
{
    if (ack->app_limited)
        return false;
    if (max_bandwidth(bbr) >= bbr->full_rate * FULL_GROWTH / 100) {
        bbr->full_rate = max_bandwidth(bbr);
        bbr->full_rounds = 0;
        return false;
    }
    return ++bbr->full_rounds >= FULL_ROUNDS;
}

/* After so many rounds a Reno flow of this size would have grown back: be no slower to let it. */
static bool is_time_to_probe(const struct congestion *congestion, uint64_t now_us)
{
    const struct bbr *bbr = &congestion->bbr;
    uint32_t reno_rounds = product(bbr, bandwidth(bbr)) / congestion->mss;

    return now_us >= bbr->cycle_at_us + bbr->cycle_wait_us ||
           bbr->rounds >= min_u32(reno_rounds > 0 ? reno_rounds : 1, 63);
}

static bool is_bounded(const struct congestion *congestion, const struct congestion_ack *ack)
{
    return ack->prior_pipe + 2 * congestion->mss >= congestion->bbr.inflight_hi;
}

/* Once per round: the bound was in the way, no harm came of it, and it grows, faster each time. */
static void raise_bound(struct congestion *congestion)
{
    struct bbr *bbr = &congestion->bbr;

    bbr->up_step = bbr->up_step > 0 ? bbr->up_step * 2 : congestion->mss;
    if (bbr->up_step > bbr->inflight_hi / 4)
        bbr->up_step = bbr->inflight_hi / 4;
    bbr->inflight_hi = min_u32(bbr->inflight_hi + bbr->up_step, CONGESTION_WINDOW_MAX);
}

/*
 * Once per round: whether enough has been on the way to show more bandwidth, if there is any. While
 * the bound is in the way little can be told: another flow's queue may be what fills the path.
 */
static bool is_probed(struct congestion *congestion, const struct congestion_ack *ack)
{
    struct bbr *bbr = &congestion->bbr;
    uint32_t bdp = product(bbr, max_bandwidth(bbr));

    if (is_bounded(congestion, ack) && ack->prior_pipe < percent(bdp, WINDOW_GAIN)) {
        raise_bound(congestion);
        return false;
    }
    return is_full(bbr, ack) || ack->prior_pipe >= percent(bdp, UP_GAIN);
}

static void advance(struct congestion *congestion, const struct congestion_ack *ack,
                    bool round_start)
{
    struct bbr *bbr = &congestion->bbr;
    uint32_t bdp = product(bbr, max_bandwidth(bbr));

    switch ((enum bbr_state)bbr->state) {
    case BBR_STARTUP:
        if (round_start && is_full(bbr, ack))
            bbr->full = true;
        if (bbr->full)
            enter(bbr, BBR_DRAIN);
        break;
    case BBR_DRAIN:
        if (ack->pipe <= bdp)
            begin_cycle(bbr, ack->now_us);
        break;
    case BBR_DOWN:
        if (ack->pipe <= min_u32(bdp, cruise_limit(bbr)))
            enter(bbr, BBR_CRUISE);
        else if (is_time_to_probe(congestion, ack->now_us))
            begin_refill(bbr);
        break;
    case BBR_CRUISE:
        if (is_time_to_probe(congestion, ack->now_us))
            begin_refill(bbr);
        break;
    case BBR_REFILL:
        if (bbr->rounds > 0) {
            enter(bbr, BBR_UP);
            reset_full(bbr);
        }
        break;
    case BBR_UP:
        if (round_start && is_probed(congestion, ack))
            begin_cycle(bbr, ack->now_us);
        break;
    case BBR_PROBE_RTT:
        break;
    }
}

/* --- The model ------------------------------------------------------------------------------- */

static bool update_round(struct bbr *bbr, const struct congestion_ack *ack)
{
    if (ack->delivered == 0 || !is_reached(ack->prior_delivered, bbr->round_end))
        return false;
    bbr->round_end = ack->delivered_total;
    bbr->rounds++;
    return true;
}

static void update_bandwidth(struct bbr *bbr, const struct congestion_ack *ack)
{
    uint32_t inflight = ack->delivered_total - ack->prior_delivered;

    if (ack->rate == 0)
        return;
    bbr->latest_rate = max_u64(bbr->latest_rate, ack->rate);
    bbr->latest_inflight = max_u32(bbr->latest_inflight, inflight);
    if (!ack->app_limited || ack->rate >= max_bandwidth(bbr))
        bbr->bandwidth[0] = max_u64(bbr->bandwidth[0], ack->rate);
}

/* Nothing in this round came through as fast as without a queue. */
static bool has_queue(const struct bbr *bbr)
{
    uint32_t margin = max_u32(bbr->min_rtt_us / QUEUE_DIVISOR, QUEUE_MIN_US);

    return bbr->round_min_rtt_us > bbr->min_rtt_us + margin;
}

/* Loss beside a standing queue is that queue's; without one it takes much of it to tell. */
static bool is_congested(const struct congestion *congestion)
{
    const struct bbr *bbr = &congestion->bbr;
    uint64_t sent = (uint64_t)bbr->round_lost + bbr->round_delivered;
    uint64_t permille = sent > 0 ? bbr->round_lost * UINT64_C(1000) / sent : 0;

    if (has_queue(bbr))
        return permille > BBR_QUEUE_LOSS_PERMILLE;
    return permille > BBR_LOSS_PERMILLE && bbr->round_lost >= BBR_LOSS_SEGMENTS * congestion->mss;
}

/* The path does not take what is on the way. */
static void bound(struct congestion *congestion, const struct congestion_ack *ack)
{
    struct bbr *bbr = &congestion->bbr;
    uint32_t bdp = product(bbr, bandwidth(bbr));

    switch ((enum bbr_state)bbr->state) {
    case BBR_STARTUP:
        bbr->full = true;
        bbr->inflight_hi = max_u32(bdp, bbr->latest_inflight);
        break;
    case BBR_REFILL:
    case BBR_UP:
        bbr->inflight_hi =
            max_u32(bbr->latest_inflight, percent(min_u32(ack->prior_pipe, bdp * 2), BETA));
        begin_cycle(bbr, ack->now_us);
        break;
    case BBR_DRAIN:
    case BBR_DOWN:
    case BBR_CRUISE:
    case BBR_PROBE_RTT:
        if (bbr->bandwidth_lo == NO_BOUND_64)
            bbr->bandwidth_lo = max_bandwidth(bbr);
        if (bbr->inflight_lo == NO_BOUND_32)
            bbr->inflight_lo = congestion->window;
        bbr->bandwidth_lo = max_u64(bbr->latest_rate, bbr->bandwidth_lo * BETA / 100);
        bbr->inflight_lo = max_u32(bbr->latest_inflight, percent(bbr->inflight_lo, BETA));
        break;
    }
}

static void end_round(struct congestion *congestion, const struct congestion_ack *ack)
{
    struct bbr *bbr = &congestion->bbr;

    if (is_congested(congestion))
        bound(congestion, ack);
    bbr->round_lost = bbr->round_delivered = 0;
    bbr->latest_rate = 0;
    bbr->latest_inflight = 0;
    bbr->round_min_rtt_us = 0;
}

/* --- The shortest round trip ----------------------------------------------------------------- */

static void leave_probe_rtt(struct bbr *bbr, uint64_t now_us)
{
    bbr->min_rtt_at_us = now_us;
    clear_short_term(bbr);
    if (bbr->full) {
        begin_cycle(bbr, now_us);
        enter(bbr, BBR_CRUISE);
    } else {
        enter(bbr, BBR_STARTUP);
    }
}

static uint32_t probe_rtt_window(const struct congestion *congestion)
{
    const struct bbr *bbr = &congestion->bbr;

    return max_u32(product(bbr, bandwidth(bbr)) / 2, WINDOW_SEGMENTS * congestion->mss);
}

static void update_min_rtt(struct congestion *congestion, const struct congestion_ack *ack)
{
    struct bbr *bbr = &congestion->bbr;
    bool expired = ack->now_us >= bbr->min_rtt_at_us + MIN_RTT_WINDOW_US;

    if (ack->rtt_us > 0 && (bbr->min_rtt_us == 0 || ack->rtt_us <= bbr->min_rtt_us || expired)) {
        bbr->min_rtt_us = ack->rtt_us;
        bbr->min_rtt_at_us = ack->now_us;
    }
    if (expired && bbr->state != BBR_PROBE_RTT) {
        enter(bbr, BBR_PROBE_RTT);
        bbr->probe_rtt_timed = false;
    }
    if (bbr->state != BBR_PROBE_RTT)
        return;
    if (!bbr->probe_rtt_timed && ack->pipe <= probe_rtt_window(congestion)) {
        bbr->probe_rtt_timed = true;
        bbr->probe_rtt_end_us = ack->now_us + PROBE_RTT_US;
    }
    if (bbr->probe_rtt_timed && ack->now_us >= bbr->probe_rtt_end_us)
        leave_probe_rtt(bbr, ack->now_us);
}

/* --- What follows ---------------------------------------------------------------------------- */

static const uint16_t pacing_gains[] = {
    [BBR_STARTUP] = STARTUP_GAIN, [BBR_DRAIN] = DRAIN_GAIN, [BBR_DOWN] = DOWN_GAIN,
    [BBR_CRUISE] = 100,           [BBR_REFILL] = 100,       [BBR_UP] = UP_GAIN,
    [BBR_PROBE_RTT] = 100,
};

/* While nothing is known the first window goes out in a round trip, or in a millisecond. */
static void set_rate(struct congestion *congestion, const struct congestion_ack *ack)
{
    const struct bbr *bbr = &congestion->bbr;
    uint64_t rate = bandwidth(bbr) * pacing_gains[bbr->state] / 100 * PACING_MARGIN / 100;

    if (max_bandwidth(bbr) == 0) {
        uint32_t rtt_us = ack->srtt_us > 0 ? ack->srtt_us : 1000;

        rate = (uint64_t)congestion->window * 1000000 / rtt_us * STARTUP_GAIN / 100;
    }
    if (bbr->full || rate > congestion->rate)
        congestion->rate = max_u64(rate, congestion->mss);
}

static uint32_t window_bound(const struct congestion *congestion)
{
    const struct bbr *bbr = &congestion->bbr;
    uint32_t limit = bbr->inflight_lo;

    switch ((enum bbr_state)bbr->state) {
    case BBR_DOWN:
    case BBR_CRUISE:
        return min_u32(limit, cruise_limit(bbr));
    case BBR_PROBE_RTT:
        return min_u32(limit, probe_rtt_window(congestion));
    case BBR_STARTUP:
    case BBR_DRAIN:
    case BBR_REFILL:
    case BBR_UP:
        break;
    }
    return min_u32(limit, bbr->inflight_hi);
}

static void set_window(struct congestion *congestion, const struct congestion_ack *ack)
{
    const struct bbr *bbr = &congestion->bbr;
    uint32_t gain = bbr->state == BBR_STARTUP ? STARTUP_GAIN : WINDOW_GAIN;
    uint32_t aggregate = AGGREGATE_SEGMENTS * congestion->mss;
    uint32_t target = percent(product(bbr, bandwidth(bbr)), gain);
    uint32_t least = WINDOW_SEGMENTS * congestion->mss;

    target += min_u32(aggregate, target / 2);
    if (bbr->full)
        congestion->window = min_u32(congestion->window + ack->delivered, target);
    else if (congestion->window < target || bbr->min_rtt_us == 0)
        congestion->window += ack->delivered;
    congestion->window = min_u32(congestion->window, window_bound(congestion));
    congestion->window = min_u32(max_u32(congestion->window, least), CONGESTION_WINDOW_MAX);
}

static void acked(struct congestion *congestion, const struct congestion_ack *ack)
{
    struct bbr *bbr = &congestion->bbr;
    bool round_start = update_round(bbr, ack);

    bbr->round_lost += ack->lost;
    bbr->round_delivered += ack->delivered;
    if (ack->rtt_us > 0 && (bbr->round_min_rtt_us == 0 || ack->rtt_us < bbr->round_min_rtt_us))
        bbr->round_min_rtt_us = ack->rtt_us;
    update_bandwidth(bbr, ack);
    if (round_start)
        end_round(congestion, ack);
    advance(congestion, ack, round_start);
    update_min_rtt(congestion, ack);
    set_rate(congestion, ack);
    set_window(congestion, ack);
}

static void open(struct congestion *congestion, uint64_t now_us)
{
    congestion->bbr = (struct bbr){
        .state = BBR_STARTUP,
        .inflight_hi = NO_BOUND_32,
        .min_rtt_at_us = now_us,
        .cycle_at_us = now_us,
    };
    clear_short_term(&congestion->bbr);
    /* Until the first acknowledgment: the window within a millisecond. */
    congestion->rate = (uint64_t)congestion->window * 1000;
}

/* Losses are counted per round; that there is one says nothing. An undo() finds nothing undone. */
static void loss(struct congestion *congestion, uint32_t pipe, uint64_t now_us)
{
    congestion->prior.window = congestion->window;
    (void)pipe;
    (void)now_us;
}

static void recovered(struct congestion *congestion, uint64_t now_us)
{
    (void)congestion;
    (void)now_us;
}

/* A whole window is gone: begin with little on the way, and let acknowledgments bring it back. */
static void timeout(struct congestion *congestion, uint32_t pipe, uint64_t now_us)
{
    (void)now_us;
    congestion->prior.window = congestion->window;
    congestion->window = pipe + congestion->mss;
}

/* What is sent next is paced, at a rate that the path had. */
static void restart(struct congestion *congestion, uint64_t idle_us, uint32_t timeout_us)
{
    (void)congestion;
    (void)idle_us;
    (void)timeout_us;
}

static void undo(struct congestion *congestion, uint64_t now_us)
{
    (void)now_us;
    congestion->window = max_u32(congestion->window, congestion->prior.window);
}

const struct congestion_control bbr_control = {
    .open = open,
    .acked = acked,
    .loss = loss,
    .recovered = recovered,
    .timeout = timeout,
    .restart = restart,
    .undo = undo,
};
