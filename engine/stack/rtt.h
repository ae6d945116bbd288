/*
 * rtt: the round-trip time of a connection in microseconds, and the retransmission timeout that
 * follows from it (RFC 6298), with the lower bound that Linux has: lwIP's own estimate has a
 * resolution of a tick of its timer, which is more than most round trips.
 */
#ifndef MANYTUN_ENGINE_STACK_RTT_H
#define MANYTUN_ENGINE_STACK_RTT_H

#include <stdint.h>

#define RTT_VARIATION_MIN_US 200000 /* the timeout is at least this much above the average */
#define RTT_MIN_WINDOW_US    60000000

/* Embedded in a connection; all zero = nothing is known. */
struct rtt {
    uint32_t smoothed_us; /* 0 = no sample yet */
    uint32_t variation_us;
    uint32_t latest_us;
    uint32_t min_us;      /* of the present window of RTT_MIN_WINDOW_US and the one before */
    uint32_t next_min_us; /* of the present one */
    uint32_t window_us;   /* when that began */
};

void rtt_sample(struct rtt *rtt, uint32_t sample_us, uint32_t now_us);
/* The retransmission timeout; 0 = no sample yet. */
uint32_t rtt_timeout_us(const struct rtt *rtt);

#endif
