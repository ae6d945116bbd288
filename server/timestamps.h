/*
 * timestamps: how far ahead of the clock the timestamps of a tunnel's initiations may go before
 * the next time is written to disk (wg_device_limit_timestamps, engine/wg/timestamps.h).
 *
 * A peer takes no initiation whose timestamp is not later than the last one. So what may have been
 * sent has to survive a crash and a clock that is set back; but a write per handshake would be too
 * much. Instead a time ahead is written, which no timestamp passes, and after a restart all are
 * later than it. It costs one row a minute for a tunnel that makes handshakes, none for others, and
 * all rows of a second are one transaction.
 *
 * A clock that is right is thereby ahead of the timestamps again after two minutes at the most. One
 * that was set back is not waited for: the reserve is a small step then, so that restarts one after
 * the other do not lead away from it.
 *
 * No clock and no state: plain times, in nanoseconds since 1970.
 */
#ifndef MANYTUN_SERVER_TIMESTAMPS_H
#define MANYTUN_SERVER_TIMESTAMPS_H

#include <stdbool.h>
#include <stdint.h>

#define TIMESTAMPS_NS_PER_S UINT64_C(1000000000)
/* Ahead of the clock, and at least after what was sent (600 initiations to one peer). */
#define TIMESTAMPS_AHEAD (120 * TIMESTAMPS_NS_PER_S)
#define TIMESTAMPS_STEP  (10 * TIMESTAMPS_NS_PER_S)
/* From one timestamp to the next, at the most (2^24 ns, rounded up). */
#define TIMESTAMPS_LEAST (17 * TIMESTAMPS_NS_PER_S / 1000)

/* The bound to write, when `sent` may have been sent. */
static inline uint64_t timestamps_reserve(uint64_t now_ns, uint64_t sent_ns)
{
    const uint64_t ahead = now_ns + TIMESTAMPS_AHEAD;
    const uint64_t step = sent_ns + TIMESTAMPS_STEP;
    return ahead > step ? ahead : step;
}

/* Whether half of the reserve, or more, is used up. */
static inline bool timestamps_are_short(uint64_t now_ns, uint64_t sent_ns, uint64_t until_ns)
{
    return until_ns < now_ns + TIMESTAMPS_AHEAD / 2 || until_ns < sent_ns + TIMESTAMPS_STEP / 2;
}

/* Whether there may be none left to send, after which nothing that is sent tells of it. */
static inline bool timestamps_are_used_up(uint64_t sent_ns, uint64_t until_ns)
{
    return until_ns < sent_ns + TIMESTAMPS_LEAST;
}

#endif
