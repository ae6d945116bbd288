/*
 * handshake_queue: handshake messages that wait to be worked off, so that their computations never
 * come before data: at most WG_HANDSHAKE_QUEUE_MAX, first in, first out.
 *
 * All devices of a process share its time. So those that wait are also counted together: a flood
 * that is spread over the ports of a thousand devices, with a little for each, is load all the
 * same.
 */
#ifndef MANYTUN_ENGINE_WG_HANDSHAKE_QUEUE_H
#define MANYTUN_ENGINE_WG_HANDSHAKE_QUEUE_H

#include "engine/wg/device.h"
#include "engine/wg/messages.h"

#include <stddef.h>
#include <stdint.h>

struct queued_handshake {
    struct queued_handshake *next;
    struct wg_endpoint from;
    size_t len;
    uint8_t message[INITIATION_LEN];
};

/* Zero-initialised = empty. */
struct handshake_queue {
    struct queued_handshake *first;
    struct queued_handshake *last;
    size_t count;
};

/* Copies a message of at most INITIATION_LEN bytes to the end. 0, -ENOBUFS (full) or -ENOMEM. */
int handshake_queue_push(struct handshake_queue *queue, const struct wg_endpoint *from,
                         const uint8_t *message, size_t len);
/* Takes out the first message, which the caller frees; NULL when empty. */
struct queued_handshake *handshake_queue_pop(struct handshake_queue *queue);
void handshake_queue_fini(struct handshake_queue *queue);
/* The messages in all queues of the process. */
size_t handshake_queue_total(void);

#endif
