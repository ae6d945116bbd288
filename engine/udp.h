/*
 * udp: the outer sockets of a tunnel: datagrams in and out, in batches.
 *
 * In: recvmmsg() with UDP_GRO into buffers that all sockets of the worker share; each datagram is
 * handed to the owner where it lies. Out: datagrams are written straight into a batch (udp_reserve,
 * udp_commit), runs of equal size to one endpoint become one UDP_SEGMENT send, and udp_flush()
 * sends the batch once per loop turn. A batch that the kernel does not take is kept and stays
 * bounded: udp_reserve() then says so by returning NULL, until ops->writable.
 */
#ifndef MANYTUN_ENGINE_UDP_H
#define MANYTUN_ENGINE_UDP_H

#include "base/counters.h"
#include "engine/wg/device.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Datagrams in one recvmmsg(), and how often that is repeated before others get a turn. */
#define UDP_RX_BATCH  32
#define UDP_RX_ROUNDS 4

/* Bytes and sends in one outgoing batch. */
#define UDP_TX_BATCH_BYTES 262144
#define UDP_TX_BATCH_SENDS 128

/* Empty batches that are kept for reuse, per worker. */
#define UDP_TX_POOL_MAX 16

struct udp;

struct udp_ops {
    /*
     * One datagram, with the TOS byte (or traffic class) of its IP header, 0 if the socket does
     * not tell. It may be changed, and stays readable until received() returns.
     */
    void (*datagram)(void *ctx, const struct wg_endpoint *from, uint8_t tos, uint8_t *data,
                     size_t len);
    /* The batch is over: let go of its buffers. */
    void (*received)(void *ctx);
    /* After udp_reserve() had returned NULL: there is room again. */
    void (*writable)(void *ctx);
};

/*
 * Takes over the sockets ([0] IPv4, [1] IPv6, -1 = none) on success. 0 or -ENOMEM.
 */
int udp_new(struct event_base *base, const int sockets[2], const struct udp_ops *ops, void *ctx,
            struct counters_worker *counters, struct udp **out);
/* Sends what the kernel takes, then closes the sockets. NULL is allowed. */
void udp_free(struct udp *udp);

/*
 * Room for one datagram of len bytes; NULL when the batch is full. One of a family without a socket
 * is lost when the batch is sent, as what the kernel refuses is (udp_tx_errors): waiting for room
 * would not help it. So is one that there is no memory for.
 */
uint8_t *udp_reserve(struct udp *udp, const struct wg_endpoint *to, size_t len, uint8_t tos);
/* Adds the datagram reserved last to the batch. */
void udp_commit(struct udp *udp);
/* Sends the batch. */
void udp_flush(struct udp *udp);

/* Frees the shared buffers; no struct udp is left by then. */
void udp_pools_free(void);

#endif
