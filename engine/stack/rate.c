/*
 * rate: the bucket is kept as the time at which it is full again, so that nothing has to run to
 * refill it.
 */
#include "engine/stack/rate.h"

#define NS_PER_SECOND UINT64_C(1000000000)

void rate_init(struct rate *rate, uint32_t per_second)
{
    rate->interval_ns = NS_PER_SECOND / per_second;
    rate->burst_ns = rate->interval_ns * per_second;
    rate->full_at = 0;
}

bool rate_take(struct rate *rate, uint64_t now)
{
    uint64_t full_at = rate->full_at > now ? rate->full_at : now;

    if (full_at + rate->interval_ns > now + rate->burst_ns)
        return false;
    rate->full_at = full_at + rate->interval_ns;
    return true;
}
