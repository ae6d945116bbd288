/*
 * replay: the sliding window that lets each counter of a session through once (section 5.4.6; the
 * bitmap of RFC 6479).
 */
#ifndef MANYTUN_ENGINE_WG_REPLAY_H
#define MANYTUN_ENGINE_WG_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_BITS      8192
#define REPLAY_WORD_BITS 64
/* How far behind the greatest counter one may be: a word is lost to sliding whole words. */
#define REPLAY_WINDOW (REPLAY_BITS - REPLAY_WORD_BITS)

/* Zero-initialised = nothing received. */
struct replay {
    uint64_t next; /* the greatest counter received plus 1; 0 = none */
    uint64_t words[REPLAY_BITS / REPLAY_WORD_BITS];
};

/*
 * Takes the counter of an authenticated message. False when it was taken before, is too old to
 * tell, or is at the limit of a session.
 */
bool replay_accept(struct replay *replay, uint64_t counter);

#endif
