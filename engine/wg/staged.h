/*
 * staged: the packets of one peer that wait for a session: copies, in order, at most
 * WG_STAGED_MAX.
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

/* Zero-initialised = empty. */
struct staged {
    struct staged_packet *first;
    struct staged_packet *last;
    size_t count;
};

/*
 * Copies a packet given in pieces (total length len) to the end. Returns how many packets were
 * lost: the oldest one when there were too many, or this one when there is no memory.
 */
size_t staged_push(struct staged *staged, const struct iovec *pieces, int count, size_t len);
/* Drops the first packet; there must be one. */
void staged_pop(struct staged *staged);
/* Drops all; returns how many there were. */
size_t staged_clear(struct staged *staged);

#endif
