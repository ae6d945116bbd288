/*
 * rxqueue: the received bytes of a connection that its owner has not consumed yet.
 *
 * Pieces arrive as pbufs that may point into the receive batch ("borrowed"). Before the batch ends
 * rxqueue_keep() copies what is left of them, so an idle or fast connection copies nothing and a
 * stalled one holds little more than its bytes, however small the segments were.
 */
#ifndef MANYTUN_ENGINE_STACK_RXQUEUE_H
#define MANYTUN_ENGINE_STACK_RXQUEUE_H

#include <stddef.h>
#include <sys/uio.h>

struct pbuf;

/* Embedded; all zero is a valid, empty queue. */
struct rxqueue {
    struct pbuf *first;
    struct pbuf *last;
    struct pbuf *kept; /* the last piece that is our own and compact; NULL = none */
    size_t room;       /* bytes free behind kept, while it is the last piece */
    size_t len;        /* bytes in all */
};

/* Frees all pieces. */
void rxqueue_clear(struct rxqueue *queue);
/* Takes over a chain of pbufs, each with one reference. */
void rxqueue_append(struct rxqueue *queue, struct pbuf *chain);
/* Fills up to max pieces, oldest first; returns how many. */
int rxqueue_peek(const struct rxqueue *queue, struct iovec *pieces, int max);
/* Drops len bytes (at most queue->len) from the front. */
void rxqueue_consume(struct rxqueue *queue, size_t len);
/* Makes everything in the queue its own. 0, or -ENOMEM with the queue unchanged but valid. */
int rxqueue_keep(struct rxqueue *queue);

#endif
