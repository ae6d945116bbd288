/*
 * window: how much a peer may send before our reader has taken it.
 *
 * A connection starts with a small receive window, which grows by what its reader takes, so it
 * doubles per round trip like the sender's own slow start and is never what limits that. A reader
 * that does not read keeps the small window; what all windows have grown is bounded in a process,
 * and no connection takes more than a share of what is left of that.
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

/* Embedded in a connection; all zero before window_open(). */
struct window {
    uint32_t grown; /* beyond WINDOW_INITIAL */
    size_t taken;   /* since the reader last had nothing left to take */
};

/* Sets the first window of a pcb whose handshake has just been completed, before it is announced.
 */
void window_open(struct tcp_pcb *pcb);
/*
 * The reader has taken len bytes and left pending ones. Returns by how much to open the window:
 * len, and once it has taken everything as much again as that was. *limited is set when
 * WINDOW_GROWTH_MAX was in the way.
 */
size_t window_take(struct window *window, const struct tcp_pcb *pcb, size_t len, size_t pending,
                   bool *limited);
/* Gives the growth back. */
void window_close(struct window *window);

#endif
