/*
 * rate: a token bucket, for the answers that anybody in a tunnel can make us send.
 */
#ifndef MANYTUN_ENGINE_STACK_RATE_H
#define MANYTUN_ENGINE_STACK_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* Embedded; rate_init() fills the bucket. */
struct rate {
    uint64_t interval_ns; /* one token per */
    uint64_t burst_ns;    /* how far full_at may lie ahead of now */
    uint64_t full_at;     /* when the bucket is full again */
};

/* per_second tokens a second, and at most one second's worth at once. */
void rate_init(struct rate *rate, uint32_t per_second);
/* Takes a token; false when there is none. now is monotonic nanoseconds. */
bool rate_take(struct rate *rate, uint64_t now);

#endif
