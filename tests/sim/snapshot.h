/*
 * snapshot: everything that a device knows about its peers, byte for byte, so that a test can say
 * that a datagram changed nothing of it.
 */
#ifndef MANYTUN_TESTS_SIM_SNAPSHOT_H
#define MANYTUN_TESTS_SIM_SNAPSHOT_H

#include "tests/sim/network.h"

#define SNAPSHOT_PEERS_MAX 8
#define SESSIONS_PER_PEER  3

struct snapshot {
    size_t count;
    size_t indices;
    size_t deadlines;
    struct {
        const struct wg_peer *at;
        struct wg_peer peer;
        struct keypair sessions[SESSIONS_PER_PEER];
    } peers[SNAPSHOT_PEERS_MAX];
};

/* The sessions of a peer, in a fixed order; NULL where there is none. */
static inline void peer_sessions(const struct wg_peer *peer,
                                 const struct keypair *out[SESSIONS_PER_PEER])
{
    out[0] = peer->keypairs.current;
    out[1] = peer->keypairs.previous;
    out[2] = peer->keypairs.next;
}

static inline void snapshot_take(struct snapshot *snapshot, const struct wg_device *device)
{
    snapshot->count = 0;
    snapshot->indices = device->indices.table.count;
    snapshot->deadlines = device->deadlines.count;
    for (const struct wg_peer *peer = device->peers; peer; peer = peer->next) {
        const struct keypair *sessions[SESSIONS_PER_PEER];
        assert_true(snapshot->count < SNAPSHOT_PEERS_MAX);
        size_t i = snapshot->count++;
        snapshot->peers[i].at = peer;
        memcpy(&snapshot->peers[i].peer, peer, sizeof(*peer));
        peer_sessions(peer, sessions);
        for (size_t j = 0; j < SESSIONS_PER_PEER; j++)
            if (sessions[j])
                memcpy(&snapshot->peers[i].sessions[j], sessions[j], sizeof(*sessions[j]));
    }
}

/* Asserts that nothing has changed but what is only computed once: the secret of two static keys.
 */
static inline void snapshot_check(struct snapshot *snapshot, const struct wg_device *device)
{
    size_t i = 0;
    assert_int_equal(device->indices.table.count, snapshot->indices);
    assert_int_equal(device->deadlines.count, snapshot->deadlines);
    for (const struct wg_peer *peer = device->peers; peer; peer = peer->next, i++) {
        const struct keypair *sessions[SESSIONS_PER_PEER];
        assert_true(i < snapshot->count);
        assert_ptr_equal(snapshot->peers[i].at, peer);
        struct handshake *before = &snapshot->peers[i].peer.handshake;
        memcpy(before->static_static, peer->handshake.static_static, X25519_LEN);
        before->static_static_known = peer->handshake.static_static_known;
        assert_memory_equal(&snapshot->peers[i].peer, peer, sizeof(*peer));
        peer_sessions(peer, sessions);
        for (size_t j = 0; j < SESSIONS_PER_PEER; j++)
            if (sessions[j])
                assert_memory_equal(&snapshot->peers[i].sessions[j], sessions[j],
                                    sizeof(*sessions[j]));
    }
    assert_int_equal(i, snapshot->count);
}

#endif
