/*
 * timestamps: which timestamp the next initiation to a peer has (section 5.4.2).
 *
 * A responder takes no initiation that is not later than the last one, and remembers that for good.
 * So each is the wall-clock time or, when the clock was set back, the smallest step after the last.
 * For that to hold across a crash, the user of the device keeps on disk a time that no timestamp
 * passes, and sets it here as the bound; after a restart all are later than that time. A clock that
 * jumps beyond the bound is not followed before the user has moved it: then, too, each timestamp is
 * a step after the last.
 */
#ifndef MANYTUN_ENGINE_WG_TIMESTAMPS_H
#define MANYTUN_ENGINE_WG_TIMESTAMPS_H

#include "engine/wg/tai64n.h"

#include <stdint.h>
#include <time.h>

struct timestamps {
    uint8_t after[TAI64N_LEN]; /* all are later than this */
    uint8_t until[TAI64N_LEN]; /* and none is later than this */
};

/* Without bounds. */
void timestamps_init(struct timestamps *timestamps);
/* In nanoseconds since 1970; UINT64_MAX = no bound. What was given out stays given out. */
void timestamps_limit(struct timestamps *timestamps, uint64_t after_unix_ns,
                      uint64_t until_unix_ns);
/*
 * Moves last, the peer's last timestamp, to the next one. 0, or -EAGAIN: it would be beyond the
 * bound; nothing has changed.
 */
int timestamps_next(const struct timestamps *timestamps, const struct timespec *wall,
                    uint8_t last[TAI64N_LEN]);

#endif
