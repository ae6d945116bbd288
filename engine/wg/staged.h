/*
 * staged: the packets of one peer that wait for a session: copies, in order, at most
 * WG_STAGED_MAX. What all queues of the process hold is bounded, too, by WG_STAGED_BYTES_MAX, and
 * no queue takes more than a share of what is left of that: peers that never answer, however many
 * they are, leave room for one that does.
 */
#ifndef MANYTUN_ENGINE_WG_STAGED_H
#define MANYTUN_ENGINE_WG_STAGED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct staged_packet {
    struct staged_packet *next;
    size_t len;
    uint8_t data[];
};

struct staged {
    struct staged_packet *first;
    struct staged_packet *last;
    size_t count;
    size_t bytes;  /* of memory */
    size_t *total; /* packets of all queues that share it */
};

/* An empty queue, whose packets are counted in *total, too. */
void staged_init(struct staged *staged, size_t *total);
/*
 * Copies a packet given in pieces (total length len) to the end. Returns how many packets were
 * lost: the oldest ones when there were too many, or this one when there is no memory for it.
 */
size_t staged_push(struct staged *staged, const struct iovec *pieces, int count, size_t len);
/* Drops the first packet; there must be one. */
void staged_pop(struct staged *staged);
/* Drops all; returns how many there were. */
size_t staged_clear(struct staged *staged);

#endif
