/*
 * timestamps: owns a device's bounds; what each peer was sent last is the peer's.
 */
#include "engine/wg/timestamps.h"

#include "engine/wg/messages.h"

#include <errno.h>
#include <string.h>

void timestamps_init(struct timestamps *timestamps)
{
    *timestamps = (struct timestamps){0};
    memset(timestamps->until, 0xff, sizeof(timestamps->until));
}

static void make_unix_ns(uint8_t out[TAI64N_LEN], uint64_t unix_ns)
{
    const struct timespec wall = {.tv_sec = (time_t)(unix_ns / WG_SECOND),
                                  .tv_nsec = (long)(unix_ns % WG_SECOND)};
    tai64n_make(out, &wall);
}

void timestamps_limit(struct timestamps *timestamps, uint64_t after_unix_ns, uint64_t until_unix_ns)
{
    make_unix_ns(timestamps->after, after_unix_ns);
    make_unix_ns(timestamps->until, until_unix_ns);
    if (until_unix_ns == UINT64_MAX)
        memset(timestamps->until, 0xff, sizeof(timestamps->until));
}

int timestamps_next(const struct timestamps *timestamps, const struct timespec *wall,
                    uint8_t last[TAI64N_LEN])
{
    const uint8_t *before = tai64n_after(timestamps->after, last) ? timestamps->after : last;
    uint8_t next[TAI64N_LEN];
    tai64n_make(next, wall);
    if (!tai64n_after(next, before) || tai64n_after(next, timestamps->until)) {
        memcpy(next, before, TAI64N_LEN);
        tai64n_advance(next);
    }
    if (tai64n_after(next, timestamps->until))
        return -EAGAIN;
    memcpy(last, next, TAI64N_LEN);
    return 0;
}
