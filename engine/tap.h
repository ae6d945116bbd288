/*
 * tap: copies the inner packets of a tunnel to whoever captures them, over a socket (tap_frame.h).
 *
 * Packets are gathered, and sent at the end of the turn of the event loop, or when a frame is full.
 * A reader that is too slow never holds the tunnel back: what neither the frame nor the socket has
 * room for is left out, and counted.
 */
#ifndef MANYTUN_ENGINE_TAP_H
#define MANYTUN_ENGINE_TAP_H

#include "base/counters.h"
#include "engine/turn.h"

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

/* Asked of the kernel for what the reader has not taken yet. */
#define TAP_BUFFER (1 << 20)

struct tap;

LIST_HEAD(tap_list, tap);

struct tap_config {
    struct event_base *base;
    struct turn *turn;
    int fd;             /* taken over, also on failure */
    uint64_t max_bytes; /* of the capture file that the records make, its header included */
    struct counters_worker *counters;
};

/*
 * Begins a capture, which is in the list from here on. It ends when the reader wants it to or is
 * gone, or when max_bytes are reached: it then leaves the list and frees itself, but not within
 * tap_packet(). 0 or -ENOMEM.
 */
int tap_new(struct tap_list *taps, const struct tap_config *config);
/* Ends them all, with what the sockets take of what was not sent yet. */
void tap_free_all(struct tap_list *taps);

/* One inner packet, in pieces of len bytes together, to all of them. */
void tap_packet(struct tap_list *taps, const struct iovec *pieces, size_t len);

#endif
