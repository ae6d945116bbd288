/*
 * interface: struct wg_device, as the files of this folder share it. Users include device.h.
 */
#ifndef MANYTUN_ENGINE_WG_INTERFACE_H
#define MANYTUN_ENGINE_WG_INTERFACE_H

#include "base/heap.h"
#include "engine/wg/allowedips.h"
#include "engine/wg/cookie.h"
#include "engine/wg/device.h"
#include "engine/wg/handshake_queue.h"
#include "engine/wg/indices.h"
#include "engine/wg/noise.h"
#include "engine/wg/ratelimit.h"
#include "engine/wg/table.h"
#include "engine/wg/timestamps.h"

#include <sys/queue.h>

TAILQ_HEAD(wg_peer_queue, wg_peer);

struct wg_device {
    const struct wg_device_ops *ops;
    void *ctx; /* of ops */

    struct noise_keys keys;
    bool has_keys;               /* a private key was set */
    struct inet_addr *addresses; /* our own inside the tunnel */
    size_t addresses_count;
    uint16_t mtu;
    struct timestamps timestamps; /* of initiations */

    struct wg_peer *peers; /* all of them, a list */
    size_t peers_count;
    struct wg_peer_queue changed; /* peers, see wg_device_next_changed() */
    struct wg_peer_stats stats;   /* of all peers */
    size_t staged;                /* packets, of all peers */
    struct table peers_by_key;
    uint8_t peers_hash_key[16]; /* of the hash in that table */
    struct allowedips allowed;
    struct indices indices;
    struct heap deadlines; /* of the peers that wait for something: timers.c */

    struct handshake_queue handshakes; /* received, not yet worked off */
    uint64_t loaded_until;             /* under load until then; 0 = never was */
    uint64_t batch_at;                 /* when a cookie was last asked for, */
    unsigned batch;                    /* how often at that time, */
    unsigned long_batches;             /* and how many long batches in a row were before that */
    struct cookie_checker cookies;
    struct ratelimit ratelimit;

    uint64_t drops[WG_DROP_COUNT];
};

static inline uint64_t wg_device_now(const struct wg_device *device)
{
    return device->ops->now(device->ctx);
}

static inline void wg_device_random(const struct wg_device *device, void *out, size_t len)
{
    device->ops->random(device->ctx, out, len);
}

static inline void wg_device_drop(struct wg_device *device, enum wg_drop reason)
{
    device->drops[reason]++;
}

#endif
