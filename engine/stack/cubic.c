/*
 * cubic: slow start ─▶ conservative slow start ─▶ congestion avoidance, whose epochs begin at the
 * end of a recovery. The names are those of RFC 9438 and RFC 9406.
 */
#include "engine/stack/cubic.h"

#include "engine/stack/congestion.h"

#include <math.h>

/* RFC 9438, 4.6 and 5. */
#define C    0.4
#define BETA 0.7
/* Of Reno with that beta (4.3). */
#define ALPHA (3.0 * (1.0 - BETA) / (1.0 + BETA))

/* RFC 9406, 4.3. */
#define MIN_RTT_THRESH_US  4000
#define MAX_RTT_THRESH_US  16000
#define MIN_RTT_DIVISOR    8
#define N_RTT_SAMPLE       8
#define CSS_GROWTH_DIVISOR 4
#define CSS_ROUNDS         5
/*
 * L: segments by which one acknowledgment may open the window. The RFC's 8 are for peers that
 * acknowledge every second segment; those that merge what they receive acknowledge up to 64 KB.
 */
#define ACK_SEGMENTS_MAX 45

static double segments(const struct congestion *congestion, uint32_t bytes)
{
    return (double)bytes / congestion->mss;
}

double cubic_k(double max, double epoch)
{
    return max > epoch ? cbrt((max - epoch) / C) : 0;
}

/* W_cubic(t) in segments, t seconds after the epoch began (RFC 9438, 4.2). */
static double window_at(const struct cubic *cubic, double t)
{
    double d = t - cubic->k;

    return C * d * d * d + cubic->window_max;
}

/*
 * --- Slow start ------------------------------------------------------------------------------
 *
 * HyStart++ is for the first one, that knows nothing of the path (RFC 9406, 4.3).
 */

static void begin_round(struct cubic *cubic, const struct congestion_ack *ack)
{
    cubic->round_end = ack->delivered_total + ack->pipe;
    cubic->last_min_us = cubic->round_min_us;
    cubic->round_min_us = 0;
    cubic->samples = 0;
}

/* True when the path's queue has begun to grow. */
static bool is_delayed(const struct cubic *cubic)
{
    uint32_t thresh = cubic->last_min_us / MIN_RTT_DIVISOR;

    if (thresh < MIN_RTT_THRESH_US)
        thresh = MIN_RTT_THRESH_US;
    if (thresh > MAX_RTT_THRESH_US)
        thresh = MAX_RTT_THRESH_US;
    return cubic->samples >= N_RTT_SAMPLE && cubic->last_min_us > 0 &&
           cubic->round_min_us >= cubic->last_min_us + thresh;
}

static void hystart(struct congestion *congestion, const struct congestion_ack *ack)
{
    struct cubic *cubic = &congestion->cubic;

    if (ack->rtt_us > 0) {
        if (cubic->samples < N_RTT_SAMPLE)
            cubic->samples++;
        if (cubic->round_min_us == 0 || ack->rtt_us < cubic->round_min_us)
            cubic->round_min_us = ack->rtt_us;
    }
    if (!cubic->conservative && is_delayed(cubic)) {
        cubic->conservative = true;
        cubic->base_min_us = cubic->round_min_us;
        cubic->css_rounds = 0;
    } else if (cubic->conservative && cubic->samples >= N_RTT_SAMPLE &&
               cubic->round_min_us < cubic->base_min_us) {
        cubic->conservative = false;
    }
    if ((int32_t)(ack->delivered_total - cubic->round_end) < 0)
        return;
    if (cubic->conservative && ++cubic->css_rounds >= CSS_ROUNDS)
        congestion->threshold = congestion->window;
    begin_round(cubic, ack);
}

static void slow_start(struct congestion *congestion, const struct congestion_ack *ack)
{
    uint32_t increase = ack->delivered;

    if (increase > congestion->mss * ACK_SEGMENTS_MAX)
        increase = congestion->mss * ACK_SEGMENTS_MAX;
    if (congestion->cubic.conservative)
        increase /= CSS_GROWTH_DIVISOR;
    congestion->window += increase;
}

/* --- Congestion avoidance -------------------------------------------------------------------- */

static void begin_epoch(struct congestion *congestion, const struct congestion_ack *ack)
{
    struct cubic *cubic = &congestion->cubic;
    double window = segments(congestion, congestion->window);

    cubic->in_epoch = true;
    cubic->epoch_us = ack->now_us;
    cubic->window_epoch = cubic->window_est = window;
    cubic->fraction = 0;
    if (cubic->window_max < window)
        cubic->window_max = window;
    cubic->k = cubic_k(cubic->window_max, window);
}

/* What Reno's window would be, with the same average (4.3). */
static void grow_estimate(struct cubic *cubic, double acked, double window)
{
    double alpha = cubic->window_est >= cubic->window_prior ? 1 : ALPHA;

    cubic->window_est += alpha * acked / window;
}

static void avoid(struct congestion *congestion, const struct congestion_ack *ack)
{
    struct cubic *cubic = &congestion->cubic;
    double window, acked, elapsed, target, grown;

    if (!cubic->in_epoch)
        begin_epoch(congestion, ack);
    window = segments(congestion, congestion->window) + cubic->fraction;
    acked = segments(congestion, ack->delivered);
    elapsed = (double)(ack->now_us - cubic->epoch_us) * 1e-6;
    grow_estimate(cubic, acked, window);
    if (window_at(cubic, elapsed) < cubic->window_est) {
        grown = cubic->window_est > window ? cubic->window_est - window : 0;
    } else {
        target = window_at(cubic, elapsed + ack->srtt_us * 1e-6);
        if (target > 1.5 * window)
            target = 1.5 * window;
        grown = target > window ? (target - window) / window * acked : 0;
    }
    cubic->fraction += grown;
    grown = floor(cubic->fraction);
    cubic->fraction -= grown;
    congestion->window += (uint32_t)grown * congestion->mss;
}

/* --- What happens ---------------------------------------------------------------------------- */

static void open(struct congestion *congestion, uint64_t now_us)
{
    congestion->cubic = (struct cubic){.last_us = now_us, .used_us = now_us};
}

/*
 * A window that nobody uses is no longer what the path is known to take. It goes down, and slow
 * start brings it back to three quarters of what it was (RFC 2861, 3.2; RFC 7661, 4.4.2).
 */
static void decay(struct congestion *congestion, uint32_t window)
{
    if (window >= congestion->window)
        return;
    if (congestion->threshold != CONGESTION_NO_THRESHOLD &&
        congestion->threshold < congestion->window / 4 * 3)
        congestion->threshold = congestion->window / 4 * 3;
    congestion->window = window;
    congestion->cubic.in_epoch = false;
}

/* Less than the window is on the way, for a timeout by now: it goes down half of the way to that.
 */
static void validate(struct congestion *congestion, const struct congestion_ack *ack)
{
    struct cubic *cubic = &congestion->cubic;
    uint32_t least = congestion_initial_window(congestion->mss);

    if (ack->prior_pipe > cubic->used)
        cubic->used = ack->prior_pipe;
    if (ack->timeout_us == 0 || ack->now_us - cubic->used_us < ack->timeout_us)
        return;
    if (cubic->used > least)
        least = cubic->used;
    decay(congestion, congestion->window / 2 + least / 2);
    cubic->used_us = ack->now_us;
    cubic->used = 0;
}

/* Half for each timeout, down to a first window (RFC 5681, 4.1). */
static void restart(struct congestion *congestion, uint64_t idle_us, uint32_t timeout_us)
{
    uint32_t least = congestion_initial_window(congestion->mss);
    uint32_t window = congestion->window;

    for (; idle_us >= timeout_us && window > least; idle_us -= timeout_us)
        window = window / 2 > least ? window / 2 : least;
    decay(congestion, window);
}

/* Only a window that was in use says anything about the path (RFC 7661). */
static bool was_used(const struct congestion *congestion, const struct congestion_ack *ack)
{
    if (congestion->window < congestion->threshold)
        return congestion->window < 2 * ack->prior_pipe;
    return ack->prior_pipe + 3 * congestion->mss > congestion->window;
}

static void acked(struct congestion *congestion, const struct congestion_ack *ack)
{
    struct cubic *cubic = &congestion->cubic;
    uint64_t idle_us = ack->now_us - cubic->last_us;
    bool slow = congestion->window < congestion->threshold;

    cubic->last_us = ack->now_us;
    if (ack->recovering && congestion->prr.prior > 0) {
        congestion->window =
            prr_window(&congestion->prr, ack->delivered, ack->pipe, congestion->threshold,
                       congestion->mss, ack->advanced && ack->lost == 0);
        return;
    }
    if (congestion->threshold == CONGESTION_NO_THRESHOLD && !ack->recovering)
        hystart(congestion, ack);
    /* The time of a window that nobody uses does not count (RFC 9438, 4.2). */
    if (!was_used(congestion, ack)) {
        cubic->epoch_us += idle_us;
        if (!ack->recovering)
            validate(congestion, ack);
        return;
    }
    cubic->used_us = ack->now_us;
    cubic->used = 0;
    /* Nor does the time before what is acknowledged was sent, when all before had been by then. */
    if (ack->rtt_us > 0 && idle_us > ack->rtt_us)
        cubic->epoch_us += idle_us - ack->rtt_us;
    if (slow)
        slow_start(congestion, ack);
    else
        avoid(congestion, ack);
    if (congestion->window > CONGESTION_WINDOW_MAX)
        congestion->window = CONGESTION_WINDOW_MAX;
}

/* 4.6 and 4.7. */
static void reduce(struct congestion *congestion)
{
    struct cubic *cubic = &congestion->cubic;
    double window = segments(congestion, congestion->window);

    congestion->prior.window = congestion->window;
    congestion->prior.threshold = congestion->threshold;
    cubic->prior_max = cubic->window_max;
    cubic->window_prior = window;
    cubic->window_max = window < cubic->window_max ? window * (1 + BETA) / 2 : window;
    cubic->in_epoch = false;
    cubic->conservative = false;
    congestion->threshold = (uint32_t)lround(congestion->window * BETA);
    if (congestion->threshold < 2 * congestion->mss)
        congestion->threshold = 2 * congestion->mss;
}

static void loss(struct congestion *congestion, uint32_t pipe, uint64_t now_us)
{
    (void)now_us;
    if (congestion->prr.prior > 0)
        congestion->window = congestion->threshold; /* where the recovery before is going to */
    reduce(congestion);
    prr_begin(&congestion->prr, pipe);
}

static void recovered(struct congestion *congestion, uint64_t now_us)
{
    (void)now_us;
    if (congestion->prr.prior > 0)
        congestion->window = congestion->threshold;
    congestion->prr.prior = 0;
}

static void timeout(struct congestion *congestion, uint32_t pipe, uint64_t now_us)
{
    (void)pipe;
    (void)now_us;
    if (congestion->prr.prior > 0)
        congestion->window = congestion->threshold; /* the loss before has reduced it already */
    else
        reduce(congestion);
    congestion->prr.prior = 0;
    congestion->cubic.window_max = 0; /* 4.8: the next epoch begins at its own window */
    congestion->cubic.in_epoch = false;
    congestion->window = congestion->mss;
}

static void undo(struct congestion *congestion, uint64_t now_us)
{
    (void)now_us;
    congestion->prr.prior = 0;
    if (congestion->window < congestion->prior.window)
        congestion->window = congestion->prior.window;
    congestion->threshold = congestion->prior.threshold;
    congestion->cubic.window_max = congestion->cubic.prior_max;
    congestion->cubic.in_epoch = false;
}

/*
 * What is counted in segments is as many bytes as before. The curve is of segments, too, and goes
 * on from here by another one.
 */
static void resize(struct congestion *congestion, uint32_t mss)
{
    struct cubic *cubic = &congestion->cubic;
    double ratio = (double)congestion->mss / mss;

    cubic->window_max *= ratio;
    cubic->window_prior *= ratio;
    cubic->prior_max *= ratio;
    cubic->in_epoch = false;
}

const struct congestion_control cubic_control = {
    .open = open,
    .acked = acked,
    .loss = loss,
    .recovered = recovered,
    .timeout = timeout,
    .restart = restart,
    .undo = undo,
    .resize = resize,
};
