/*
 * relay: a network address translator between clients and one target, with a bad path each way.
 *
 * Each client address gets a socket of its own towards the target, as behind NAT; only the target
 * is heard on it. Up is from a client to the target, down is back.
 */
#ifndef MANYTUN_TESTS_RELAY_RELAY_H
#define MANYTUN_TESTS_RELAY_RELAY_H

#include "base/inet.h"
#include "tests/relay/path.h"

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_FLOWS_MAX 16 /* clients; datagrams of more are ignored */
#define RELAY_POLL_MAX  (RELAY_FLOWS_MAX + 1)

enum relay_direction { RELAY_UP, RELAY_DOWN, RELAY_DIRECTIONS };

struct relay_flow {
    union inet_sockaddr client;
    int fd; /* towards the target */
};

struct relay {
    int listener;
    union inet_sockaddr target;
    struct relay_flow flows[RELAY_FLOWS_MAX]; /* in the order in which they came */
    unsigned flows_count;
    struct path paths[RELAY_DIRECTIONS];
    uint64_t refused[RELAY_DIRECTIONS]; /* forwarded, but the kernel did not take them */
};

/*
 * Listens. The same seed and the same arrivals give the same fate to every datagram. 0, or a
 * negative errno; relay_free() takes NULL too.
 */
int relay_new(const union inet_sockaddr *listen, const union inet_sockaddr *target, uint64_t seed,
              struct relay **out);
void relay_free(struct relay *relay);

/* Fills in what is to be polled; how many. */
size_t relay_poll(const struct relay *relay, struct pollfd out[RELAY_POLL_MAX]);
/* When relay_forward() has something to do; PATH_NEVER: only after something was received. */
uint64_t relay_deadline(const struct relay *relay);
/* Receives what there is on descriptors from relay_poll() that are readable. */
void relay_receive(struct relay *relay, const struct pollfd *polled, size_t count, uint64_t now);
/* Sends what has arrived by now. */
void relay_forward(struct relay *relay, uint64_t now);

/*
 * Sends a datagram of anybody's making at once, past the path: to the target, or to the client that
 * came first. from: an address of this host to send it from; NULL: the one that the receiver knows.
 * 0, or a negative errno: -ENOTCONN: there is no client yet.
 */
int relay_inject(struct relay *relay, enum relay_direction direction,
                 const union inet_sockaddr *from, const uint8_t *data, size_t len);
/*
 * Gives every client a new port towards the target, as a translator does that has forgotten it;
 * what comes to the old one is lost. address: to be used from now on; NULL: the system's choice.
 * 0, or a negative errno: then some may still have the old one.
 */
int relay_rebind(struct relay *relay, const struct inet_addr *address);
/* Datagrams that the kernel dropped because the relay did not keep up. */
uint64_t relay_missed(const struct relay *relay, enum relay_direction direction);
/* The address that the target sees for a flow. 0 or a negative errno. */
int relay_outside(const struct relay *relay, unsigned flow, union inet_sockaddr *out);

#endif
