/*
 * sockets: UDP sockets with large buffers, and batches of datagrams through them.
 */
#ifndef MANYTUN_TESTS_RELAY_SOCKETS_H
#define MANYTUN_TESTS_RELAY_SOCKETS_H

#include "base/inet.h"

#include <stddef.h>
#include <stdint.h>

#define SOCKETS_BATCH        64
#define SOCKETS_DATAGRAM_MAX 65536

/* A batch that was received: the datagrams and where they are from. */
struct received {
    size_t lens[SOCKETS_BATCH];
    union inet_sockaddr from[SOCKETS_BATCH];
    uint8_t data[SOCKETS_BATCH][SOCKETS_DATAGRAM_MAX];
};

/* One datagram to be sent; to: NULL on a connected socket. */
struct outgoing {
    const union inet_sockaddr *to;
    const uint8_t *data;
    size_t len;
};

/* "192.0.2.1:80" or "[2001:db8::1]:80". 0 or -EINVAL. */
int sockets_parse(const char *text, union inet_sockaddr *out);
/*
 * A non-blocking socket: bound to `local`, connected to `remote`; NULL: not so. At least one is
 * given. The descriptor, or a negative errno.
 */
int sockets_open(const union inet_sockaddr *local, const union inet_sockaddr *remote);
/* The address that it is bound to. 0 or a negative errno. */
int sockets_name(int fd, union inet_sockaddr *out);
/* How many datagrams came while its buffer was full. */
uint64_t sockets_missed(int fd);
/* Receives what there is, up to a batch; how many. What the network reports as an error is 0. */
size_t sockets_receive(int fd, struct received *out);
/* Sends up to a batch; how many the kernel took. Those that it refuses are skipped. */
size_t sockets_send(int fd, const struct outgoing *datagrams, size_t count);

#endif
