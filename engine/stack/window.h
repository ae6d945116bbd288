/*
 * window: how much a peer may send before our reader has taken it.
 *
 * A connection starts with a small receive window, which grows to some times what its reader takes
 * in a round trip: as fast as the sender's own slow start, and as far as the path can use. So it is
 * not what limits a path with a long delay, and not what fills memory on a short one. A reader that
 * does not read keeps the small window; what all windows have grown is bounded in a process, and no
 * connection takes more than a share of what is left of that.
 */
#ifndef MANYTUN_ENGINE_STACK_WINDOW_H
#define MANYTUN_ENGINE_STACK_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tcp_pcb;

/* Bytes. The largest window of a connection is TCP_WND (lwipopts.h). */
#define WINDOW_INITIAL    65536
#define WINDOW_GROWTH_MAX (UINT64_C(1024) * 1024 * 1024) /* of all connections in the process */
#define WINDOW_SHARE      32 /* one connection gets at most this part of what is left */

/*
 * The window is so many times what is taken in a round trip: twice for the sender's slow start,
 * and as much again for what waits behind a hole until that is filled.
 */
#define WINDOW_ROUNDS 4
/* Shorter round trips are not told from the time that the reader needs; and when none is known. */
#define WINDOW_RTT_MIN_US     1000
#define WINDOW_RTT_DEFAULT_US 100000

/* Embedded in a connection; all zero before window_open(). */
struct window {
    uint32_t grown;      /* beyond WINDOW_INITIAL */
    size_t taken;        /* in this round trip */
    uint64_t round_ends; /* nanoseconds */
};

/* What the reader did. */
struct window_read {
    size_t taken;
    size_t pending;  /* left by it */
    uint64_t now;    /* monotonic nanoseconds */
    uint32_t rtt_us; /* of the connection; 0 = not known */
};

/* Sets the first window of a pcb whose handshake has just been completed, before it is announced.
 */
void window_open(struct tcp_pcb *pcb);
/*
 * Returns by how much to open the window after a read: what was taken, and more when the window
 * has become too small. *limited is set when WINDOW_GROWTH_MAX was in the way.
 */
size_t window_take(struct window *window, const struct tcp_pcb *pcb, const struct window_read *read,
                   bool *limited);
/* Gives the growth back. */
void window_close(struct window *window);

#endif
