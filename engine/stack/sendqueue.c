/*
 * sendqueue: owns the process-wide sum of what queues have grown.
 */
#include "engine/stack/sendqueue.h"

static uint64_t grown_total;

void sendqueue_update(struct sendqueue *queue, uint32_t bytes)
{
    uint32_t grown = bytes > SENDQUEUE_MIN ? bytes - SENDQUEUE_MIN : 0;

    grown_total += grown;
    grown_total -= queue->grown;
    queue->grown = grown;
}

uint32_t sendqueue_limit(const struct sendqueue *queue, uint32_t useful, bool *limited)
{
    uint64_t share = (SENDQUEUE_GROWTH_MAX - grown_total) / SENDQUEUE_SHARE;

    if (useful <= SENDQUEUE_MIN)
        return SENDQUEUE_MIN;
    if (useful - SENDQUEUE_MIN <= share || useful - SENDQUEUE_MIN <= queue->grown)
        return useful;
    *limited = true;
    return SENDQUEUE_MIN + (share > queue->grown ? (uint32_t)share : queue->grown);
}
