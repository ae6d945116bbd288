/*
 * sockets: what control binds on behalf of the workers: listeners of forwards and outer UDP
 * sockets of tunnels. Non-blocking, close-on-exec.
 *
 * A worker holds duplicates of these descriptors and drops them a moment after control closed its
 * own. A port must nevertheless be free as soon as its object was deleted: the close functions
 * here see to that, and whoever binds passes on which ports were released. They may be called while
 * a descriptor waits to be sent to a worker (base/descriptor.h).
 */
#ifndef MANYTUN_SERVER_SOCKETS_H
#define MANYTUN_SERVER_SOCKETS_H

#include "base/inet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connections that the kernel keeps for a listener while nobody accepts. */
#define SOCKETS_BACKLOG 4096

/*
 * Descriptors below the process's limit that no listener and no outer socket takes: however many
 * forwards there are, the API can be reached to delete one. Beyond it, -EMFILE.
 */
#define SOCKETS_DESCRIPTORS_RESERVED 64

/* What is asked of the kernel for an outer socket, each way, in bytes. */
#define SOCKETS_UDP_BUFFER (4 << 20)

/* The port that a socket is bound to; 0 = none. */
uint16_t sockets_port(int fd);
/* Returns a listener and its port in *bound (port 0: any that is free), or -errno. */
int sockets_listen(const struct inet_addr *address, uint16_t port, uint16_t *bound);
/* Ends the listening itself, for every duplicate, so that the port can be bound again at once. */
void sockets_close_listener(int listener);

/* UDP ports that were released lately, and may still be held by a worker. Zeroed = empty. */
#define SOCKETS_RELEASED_MAX     256
#define SOCKETS_RELEASED_SECONDS 60

struct sockets_released {
    struct {
        uint16_t port;
        uint64_t until; /* monotonic seconds */
    } items[SOCKETS_RELEASED_MAX];
    size_t next; /* the oldest, overwritten by the next */
};

/*
 * Binds the outer sockets of a tunnel: [0] IPv4 and [1] IPv6, on one port. address AF_UNSPEC means
 * the wildcard of both families, of which the host may lack one; else only the address's family
 * is bound. What there is none of is -1. Port 0 chooses one that is free in both.
 * 0 with *bound set, or -errno and sockets untouched.
 */
int sockets_bind_udp(const struct inet_addr *address, uint16_t port,
                     const struct sockets_released *released, int sockets[2], uint16_t *bound);
/* Whether the host has a route to that address. Nothing is sent. True also when it cannot tell. */
bool sockets_has_route(const union inet_sockaddr *to);
/* Closes both, makes them -1, and notes the port in *released. */
void sockets_close_udp(int sockets[2], uint16_t port, struct sockets_released *released);

#endif
