/*
 * bridge: inner IP packets between two workers that have the same tunnel, during a takeover.
 *
 * The older worker has handed the tunnel's peers and sockets over, and keeps its virtual TCP stack
 * for the connections that are open. What that stack sends goes over the bridge to the newer
 * worker, which encrypts it; what comes for a connection that the newer one does not know goes
 * back.
 *
 *   older → newer, first     HELLO, PEERS (where they are), PORTS (which local ports are in use)
 *   newer → older            GONE (the connections of a forward are to end)
 *   both ways, then          PACKET
 *
 * A SOCK_SEQPACKET socket pair carries one of them per frame. The two ends may be of different
 * versions of the program: the number in HELLO says so, and the bridge is given up.
 */
#ifndef MANYTUN_ENGINE_BRIDGE_H
#define MANYTUN_ENGINE_BRIDGE_H

#include "base/inet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct bridge;
struct event_base;

/* Changes with every change of the frames. */
#define BRIDGE_VERSION 3

#define BRIDGE_KEY_LEN    32
#define BRIDGE_TIME_LEN   12
#define BRIDGE_PORT_BYTES (65536 / 8) /* one bit per port, the lowest in each byte first */
/* Frames in one turn, before others get theirs. */
#define BRIDGE_RX_BATCH 32
/* Asked of the kernel for what is under way. */
#define BRIDGE_BUFFER (4 << 20)

/* Where a peer is, and the timestamp (TAI64N) of the newest initiation that was taken from it. */
struct bridge_peer {
    uint8_t public_key[BRIDGE_KEY_LEN];
    uint8_t timestamp[BRIDGE_TIME_LEN]; /* zeros = there was none */
    union inet_sockaddr remote;
    uint8_t live; /* 1 = there was a session: one is to be made at once */
};

/* peer and ports are for the newer end, gone for the older: NULL at the other, a breach there. */
struct bridge_ops {
    void (*peer)(void *ctx, const struct bridge_peer *peer);
    void (*ports)(void *ctx, const uint8_t ports[BRIDGE_PORT_BYTES]);
    /* A forward is gone; name is a string. */
    void (*gone)(void *ctx, const char *name);
    /* It may be changed, and stays readable until received() returns. */
    void (*packet)(void *ctx, uint8_t *packet, size_t len);
    /* The batch is over. */
    void (*received)(void *ctx);
    /* After bridge_send() had returned -EAGAIN: there is room again. */
    void (*writable)(void *ctx);
    /* The other end is gone (0), or not of our kind (-EPROTO). Called once; free it here or later.
     */
    void (*closed)(void *ctx, int error);
};

/* Takes over fd, also when it fails. 0 or -ENOMEM. */
int bridge_new(struct event_base *base, int fd, const struct bridge_ops *ops, void *ctx,
               struct bridge **out);
/* No callback comes after. NULL is allowed. */
void bridge_free(struct bridge *bridge);

/*
 * What the older end says first. peers, of malloc(), is taken over, also when this fails: those
 * that the socket has no room for are sent when it has. 0 or -errno.
 */
int bridge_introduce(struct bridge *bridge, struct bridge_peer *peers, size_t count,
                     const uint8_t ports[BRIDGE_PORT_BYTES]);
/* Whether peers still wait to be sent. */
bool bridge_is_introducing(const struct bridge *bridge);
/* Says that a forward is gone. 0 or -errno: the other end will not hear of it. */
int bridge_send_gone(struct bridge *bridge, const char *name);
/* Works off what has come, without waiting for the loop. It may be closed after. */
void bridge_receive(struct bridge *bridge);
/* One inner packet in pieces. 0; -EAGAIN = full, see writable(); or -errno: it is dropped. */
int bridge_send(struct bridge *bridge, const struct iovec *pieces, int count);

#endif
