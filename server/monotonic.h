/*
 * monotonic: the clock that control measures intervals with. It never goes back, runs on while the
 * machine is suspended, and is the workers' (engine/clock.h), so that times in their counters can
 * be compared with it. The wall clock is for people.
 */
#ifndef MANYTUN_SERVER_MONOTONIC_H
#define MANYTUN_SERVER_MONOTONIC_H

#include <stdint.h>
#include <time.h>

#define MONOTONIC_NS_PER_S  UINT64_C(1000000000)
#define MONOTONIC_NS_PER_MS UINT64_C(1000000)

/* Nanoseconds since the machine was started. */
static inline uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * MONOTONIC_NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
