/*
 * capture: the last datagrams of each kind, kept to be looked at and to be sent again.
 *
 * The kind is the first byte, which is the message type in WireGuard: so that a handshake is still
 * there after any amount of data.
 */
#ifndef MANYTUN_TESTS_RELAY_CAPTURE_H
#define MANYTUN_TESTS_RELAY_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#define CAPTURE_KINDS     5    /* 0 stands for every other first byte, and for the empty datagram */
#define CAPTURE_DATAGRAMS 64   /* of each kind; a power of two */
#define CAPTURE_BYTES     2048 /* of a datagram; longer ones are not kept */

struct captured {
    size_t len;
    uint8_t data[CAPTURE_BYTES];
};

struct capture {
    struct captured datagrams[CAPTURE_KINDS][CAPTURE_DATAGRAMS];
    uint64_t counts[CAPTURE_KINDS]; /* captured so far */
};

/* A zeroed struct capture is empty. */
void capture_add(struct capture *capture, const uint8_t *data, size_t len);
/* How many of a kind there are. */
size_t capture_count(const struct capture *capture, unsigned kind);
/* One of them, 0 being the oldest that is kept; number < capture_count(). */
const struct captured *capture_at(const struct capture *capture, unsigned kind, size_t number);

#endif
