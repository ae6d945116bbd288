/*
 * sendqueue: how many bytes that were written may wait in a connection, to be sent or acknowledged.
 *
 * As many as the path can use (sender_queue()), but at least SENDQUEUE_MIN, so that a short
 * exchange never waits for room. What all connections of the process have beyond that minimum is
 * bounded, and none takes more than a share of what is left of that: thousands of fast connections
 * whose peers stop acknowledging together do not take all memory.
 */
#ifndef MANYTUN_ENGINE_STACK_SENDQUEUE_H
#define MANYTUN_ENGINE_STACK_SENDQUEUE_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes. The longest queue of a connection is TCP_SND_BUF (lwipopts.h). */
#define SENDQUEUE_MIN        65536
#define SENDQUEUE_GROWTH_MAX (UINT64_C(512) * 1024 * 1024) /* of all connections in the process */
#define SENDQUEUE_SHARE      32 /* one connection gets at most this part of what is left */

/* Embedded in a connection; zero-initialised = empty. */
struct sendqueue {
    uint32_t grown; /* beyond SENDQUEUE_MIN */
};

/* The queue now holds so many bytes; 0 at its end. */
void sendqueue_update(struct sendqueue *queue, uint32_t bytes);
/*
 * How many bytes may be in the queue when the path can use so many. *limited is set when
 * SENDQUEUE_GROWTH_MAX was in the way.
 */
uint32_t sendqueue_limit(const struct sendqueue *queue, uint32_t useful, bool *limited);

#endif
