/*
 * bbr: a congestion control by a model of the path, after BBR (draft-ietf-ccwg-bbr): the
 * bottleneck's bandwidth is the greatest delivery rate seen of late, the path's length the shortest
 * round trip, and what is sent is paced at that bandwidth with about their product on the way. Loss
 * alone is no sign of congestion; only rounds that lose more than BBR_LOSS_PERMILLE bound what may
 * be on the way, so that it lives beside loss-based flows and with short queues.
 *
 * Simplified against the draft: the loss threshold is higher and the short-term bounds follow it,
 * too (random loss of a few per cent does not slow it down); what acknowledgments aggregate is
 * allowed for by a constant share of the window instead of an estimator; there is no ECN part.
 */
#ifndef MANYTUN_ENGINE_STACK_BBR_H
#define MANYTUN_ENGINE_STACK_BBR_H

#include <stdbool.h>
#include <stdint.h>

/* A round that loses more than this, and at least BBR_LOSS_SEGMENTS segments, is congested. */
#define BBR_LOSS_PERMILLE 100
#define BBR_LOSS_SEGMENTS 8
/* With a standing queue this is enough. */
#define BBR_QUEUE_LOSS_PERMILLE 20

struct congestion_control;

extern const struct congestion_control bbr_control;

enum bbr_state {
    BBR_STARTUP,   /* doubles the rate per round until the delivery rate stops growing */
    BBR_DRAIN,     /* empties the queue that this made */
    BBR_DOWN,      /* of a probing cycle: leaves room for others */
    BBR_CRUISE,    /* sends at the bandwidth */
    BBR_REFILL,    /* fills the pipe again, for a round */
    BBR_UP,        /* sends faster, to learn whether there is more */
    BBR_PROBE_RTT, /* sends little, to see the path without our queue */
};

struct bbr {
    uint64_t bandwidth[2]; /* bytes per second: greatest of the present cycle, of the one before */
    uint64_t bandwidth_lo; /* short-term bound; UINT64_MAX = none */
    uint64_t latest_rate;  /* greatest of the present round */
    uint64_t full_rate;    /* what growth is measured against, in startup and up */
    uint32_t inflight_lo;  /* short-term bound; UINT32_MAX = none */
    uint32_t inflight_hi;  /* what the path has proved to take without loss; UINT32_MAX = unknown */
    uint32_t latest_inflight; /* delivered within a round trip, greatest of the present round */
    uint32_t up_step;         /* by which inflight_hi grows per round */

    uint32_t min_rtt_us; /* 0 = unknown */
    uint64_t min_rtt_at_us;
    uint64_t probe_rtt_end_us;
    uint64_t cycle_at_us;   /* when the present cycle began */
    uint32_t cycle_wait_us; /* how long it cruises */

    uint32_t round_end; /* delivered_total that ends the present round */
    uint32_t round_lost;
    uint32_t round_delivered;
    uint32_t round_min_rtt_us; /* 0 = no sample yet */
    uint32_t rounds;           /* in the present state */

    uint8_t state; /* enum bbr_state */
    uint8_t full_rounds;
    bool full; /* the pipe has been filled once */
    bool probe_rtt_timed;
};

#endif
