/* clock: owns the cached time of the one thread that a worker has. */
#include "engine/clock.h"

static uint64_t cached;

void clock_refresh(void)
{
    struct timespec now;
    /* Sessions grow old while the machine is suspended, as they do at the other end. */
    clock_gettime(CLOCK_BOOTTIME, &now);
    cached = (uint64_t)now.tv_sec * CLOCK_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_now(void)
{
    return cached;
}

int64_t clock_unix_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * (int64_t)CLOCK_NS_PER_S + now.tv_nsec;
}
