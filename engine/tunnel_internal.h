/*
 * tunnel_internal: what the files of a tunnel share (tunnel.c, tunnel_peers.c, tunnel_takeover.c).
 * Nobody else includes it.
 */
#ifndef MANYTUN_ENGINE_TUNNEL_INTERNAL_H
#define MANYTUN_ENGINE_TUNNEL_INTERNAL_H

#include "engine/stack/stack.h"
#include "engine/tap.h"
#include "engine/tunnel.h"

#include <sys/uio.h>

struct bridge;
struct bridge_peer;

/* What a worker before this one had counted. */
struct totals {
    uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets, handshakes, dropped_in, dropped_out;
};

struct tunnel {
    struct turn *turn;
    struct turn_item end_of_turn;
    struct turn_item work;   /* what the device has to do */
    struct spec_tunnel spec; /* without its peers, of which tunnel_peers.c has copies */
    struct counters_tunnel *counters;
    struct counters_worker *worker_counters;
    struct totals before;
    uint64_t drops[WG_DROP_COUNT];   /* of the device, that the worker's counters have */
    struct stack_stats stack_before; /* likewise of the stack */
    const struct tunnel_ops *ops;
    void *ctx;

    struct udp *udp;
    struct wg_device *device;
    struct stack *stack;
    struct tap_list taps;           /* who captures */
    struct bridge *older;           /* to the worker before this one, or NULL */
    struct bridge *newer;           /* to the worker after this one, or NULL */
    struct bridge_peer *introduced; /* whom that one is told of; NULL = the tunnel is ours */
    size_t introduced_count;
    struct wg_peer **peers;
    size_t peers_count;
    size_t peers_room;

    struct event *timer;
    uint64_t timer_at; /* when the timer fires; WG_NEVER = not set */
    uint64_t next_roaming_event_at;
    uint64_t publish_at; /* when the counters are published next; WG_NEVER = they are up to date */
};

/* Sends an inner packet to the peers, or to the newer worker. 0, -EAGAIN, or -errno: it is lost. */
int tunnel_output(struct tunnel *tunnel, const struct iovec *pieces, int count, size_t len);
/* NULL also when the tunnel has been handed over, with all its peers. */
struct wg_peer *tunnel_find_peer(const struct tunnel *tunnel, const uint8_t public_key[WG_KEY_LEN]);

#endif
