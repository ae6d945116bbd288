/*
 * spec_diff: what differs between two definitions of one thing, so that a change touches only what
 * it must.
 */
#ifndef MANYTUN_BASE_SPEC_DIFF_H
#define MANYTUN_BASE_SPEC_DIFF_H

#include "base/spec.h"

enum spec_tunnel_change {
    SPEC_TUNNEL_KEY = 1 << 0,    /* private_key */
    SPEC_TUNNEL_STACK = 1 << 1,  /* addresses or mtu: needs another virtual TCP/IP stack */
    SPEC_TUNNEL_LISTEN = 1 << 2, /* listen_address or listen_port */
    SPEC_TUNNEL_PEERS = 1 << 3,  /* a peer, or their order */
    SPEC_TUNNEL_REQUIRED = 1 << 4,
    SPEC_TUNNEL_CONGESTION = 1 << 5, /* congestion_control */
};

/* The changes from one to the other, enum spec_tunnel_change; 0 = none. Names are not compared. */
unsigned spec_tunnel_diff(const struct spec_tunnel *before, const struct spec_tunnel *after);
bool spec_forward_equal(const struct spec_forward *a, const struct spec_forward *b);

bool spec_peer_equal(const struct spec_peer *a, const struct spec_peer *b);
bool spec_peer_same_endpoint(const struct spec_peer *a, const struct spec_peer *b);
bool spec_peer_same_allowed_ips(const struct spec_peer *a, const struct spec_peer *b);

/* The peers of a tunnel by their public keys; borrows them. Zeroed = of no tunnel. */
struct spec_peer_index {
    const struct spec_peer **peers;
    size_t count;
};

/* 0 or -ENOMEM; then the index is empty. */
int spec_peer_index_init(struct spec_peer_index *index, const struct spec_tunnel *tunnel);
void spec_peer_index_fini(struct spec_peer_index *index);
const struct spec_peer *spec_peer_index_find(const struct spec_peer_index *index,
                                             const uint8_t public_key[SPEC_KEY_LEN]);

#endif
