/*
 * rtt: the estimators are those of RFC 6298, section 2.
 */
#include "engine/stack/rtt.h"

static void update_min(struct rtt *rtt, uint32_t sample_us, uint32_t now_us)
{
    if (now_us - rtt->window_us > RTT_MIN_WINDOW_US) {
        rtt->min_us = rtt->next_min_us;
        rtt->next_min_us = sample_us;
        rtt->window_us = now_us;
    }
    if (sample_us < rtt->next_min_us)
        rtt->next_min_us = sample_us;
    if (sample_us < rtt->min_us)
        rtt->min_us = sample_us;
}

void rtt_sample(struct rtt *rtt, uint32_t sample_us, uint32_t now_us)
{
    uint32_t deviation;

    if (sample_us == 0)
        sample_us = 1;
    rtt->latest_us = sample_us;
    if (rtt->smoothed_us == 0) {
        rtt->smoothed_us = sample_us;
        rtt->variation_us = sample_us / 2;
        rtt->min_us = rtt->next_min_us = sample_us;
        rtt->window_us = now_us;
        return;
    }
    deviation =
        sample_us > rtt->smoothed_us ? sample_us - rtt->smoothed_us : rtt->smoothed_us - sample_us;
    rtt->variation_us = (uint32_t)((UINT64_C(3) * rtt->variation_us + deviation) / 4);
    rtt->smoothed_us = (uint32_t)((UINT64_C(7) * rtt->smoothed_us + sample_us) / 8);
    if (rtt->smoothed_us == 0)
        rtt->smoothed_us = 1;
    update_min(rtt, sample_us, now_us);
}

uint32_t rtt_timeout_us(const struct rtt *rtt)
{
    uint64_t variation = UINT64_C(4) * rtt->variation_us;
    uint64_t timeout;

    if (rtt->smoothed_us == 0)
        return 0;
    if (variation < RTT_VARIATION_MIN_US)
        variation = RTT_VARIATION_MIN_US;
    timeout = rtt->smoothed_us + variation;
    return timeout < UINT32_MAX ? (uint32_t)timeout : UINT32_MAX;
}
