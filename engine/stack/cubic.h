/*
 * cubic: the default congestion control (RFC 9438), with HyStart++ (RFC 9406) to leave slow start
 * before the path's queue overflows, and proportional rate reduction (prr.h) in recovery.
 */
#ifndef MANYTUN_ENGINE_STACK_CUBIC_H
#define MANYTUN_ENGINE_STACK_CUBIC_H

#include <stdbool.h>
#include <stdint.h>

struct congestion_control;

extern const struct congestion_control cubic_control;

struct cubic {
    /* Congestion avoidance. Windows in segments, as the RFC's formulae. */
    double window_max;   /* W_max */
    double window_epoch; /* cwnd_epoch */
    double window_prior; /* cwnd_prior: at the last loss */
    double window_est;   /* W_est: what Reno would have */
    double k;            /* seconds from the epoch's begin to window_max */
    double fraction;     /* of a segment that the window has grown and does not show */
    double prior_max;    /* window_max before the last loss */
    uint64_t epoch_us;
    uint64_t last_us; /* of the last acknowledgment */
    bool in_epoch;
    uint64_t used_us; /* when the window was last used up, or made smaller since nobody uses it */
    uint32_t used;    /* the most that has been on the way since */

    /* HyStart++. */
    bool conservative; /* CSS: the round trip has grown, and slow start slows down */
    uint8_t css_rounds;
    uint8_t samples;       /* of the present round */
    uint32_t round_end;    /* delivered_total that ends it */
    uint32_t round_min_us; /* the shortest round trip of the present round; 0 = none */
    uint32_t last_min_us;  /* of the one before */
    uint32_t base_min_us;  /* when the conservative phase began */
};

/* K of RFC 9438, 4.2: the seconds in which the window grows from epoch to max segments. */
double cubic_k(double max, double epoch);

#endif
