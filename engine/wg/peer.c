/*
 * peer: owns a peer and everything embedded in it. A peer lives from wg_peer_add() to
 * wg_peer_remove(); meanwhile it is in its device's list and in the table by public key.
 */
#include "engine/wg/peer.h"

#include "engine/wg/container.h"
#include "engine/wg/interface.h"
#include "engine/wg/messages.h"
#include "engine/wg/transport.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

/* Indices that a peer may have at a time: a handshake and three sessions. */
#define INDICES_PER_PEER 4

_Static_assert(sizeof(((struct wg_device *)0)->peers_hash_key) == crypto_shorthash_KEYBYTES,
               "SipHash");

/* --- Finding -------------------------------------------------------------------------------- */

static uint32_t key_hash(const struct wg_device *device, const uint8_t public_key[WG_KEY_LEN])
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, public_key, WG_KEY_LEN, device->peers_hash_key);
    return load_le32(hash);
}

struct wg_peer *wg_peer_find(struct wg_device *device, const uint8_t public_key[WG_KEY_LEN])
{
    struct table_node *node = table_first(&device->peers_by_key, key_hash(device, public_key));
    for (; node; node = table_next(node)) {
        struct wg_peer *peer = container_of(node, struct wg_peer, by_key);
        if (memcmp(peer->handshake.remote_static, public_key, WG_KEY_LEN) == 0)
            return peer;
    }
    return NULL;
}

/* Its counters or its endpoint have changed: wg_device_next_changed() tells of it. */
static void note_change(struct wg_peer *peer)
{
    if (peer->changed)
        return;
    peer->changed = true;
    TAILQ_INSERT_TAIL(&peer->device->changed, peer, change);
}

/* --- Life ----------------------------------------------------------------------------------- */

/* Room for one more peer in everything that must not fail later. 0 or -ENOMEM. */
static int reserve_room(struct wg_device *device)
{
    const size_t count = device->peers_count + 1;
    int error = table_reserve(&device->peers_by_key, count);
    if (error == 0)
        error = indices_reserve(&device->indices, count * INDICES_PER_PEER);
    if (error == 0)
        error = heap_reserve(&device->deadlines, count - device->deadlines.count);
    return error;
}

int wg_peer_add(struct wg_device *device, const uint8_t public_key[WG_KEY_LEN], void *ctx,
                struct wg_peer **out)
{
    if (device->has_keys && memcmp(public_key, device->keys.public_key, WG_KEY_LEN) == 0)
        return -EINVAL;
    if (wg_peer_find(device, public_key))
        return -EEXIST;
    if (reserve_room(device) < 0)
        return -ENOMEM;
    struct wg_peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return -ENOMEM;
    peer->device = device;
    peer->ctx = ctx;
    handshake_init(&peer->handshake, public_key);
    cookie_maker_init(&peer->cookies, public_key);
    wg_timers_init(&peer->timers);
    staged_init(&peer->staged, &device->staged);

    table_insert(&device->peers_by_key, &peer->by_key, key_hash(device, public_key));
    peer->next = device->peers;
    if (peer->next)
        peer->next->prev = peer;
    device->peers = peer;
    device->peers_count++;
    *out = peer;
    return 0;
}

void wg_peer_remove(struct wg_peer *peer)
{
    struct wg_device *device = peer->device;

    wg_timers_stop(peer);
    if (peer->changed)
        TAILQ_REMOVE(&device->changed, peer, change);
    wg_peer_forget_handshake(peer);
    keypairs_clear(&peer->keypairs, &device->indices);
    allowedips_remove_owner(&device->allowed, &peer->allowed);
    staged_clear(&peer->staged);
    table_remove(&device->peers_by_key, &peer->by_key);
    if (peer->prev)
        peer->prev->next = peer->next;
    else
        device->peers = peer->next;
    if (peer->next)
        peer->next->prev = peer->prev;
    device->peers_count--;

    handshake_fini(&peer->handshake);
    cookie_maker_fini(&peer->cookies);
    free(peer);
}

/* --- Configuration -------------------------------------------------------------------------- */

void *wg_peer_ctx(const struct wg_peer *peer)
{
    return peer->ctx;
}

const uint8_t *wg_peer_public_key(const struct wg_peer *peer)
{
    return peer->handshake.remote_static;
}

void wg_peer_set_preshared_key(struct wg_peer *peer, const uint8_t key[WG_KEY_LEN])
{
    if (key)
        memcpy(peer->handshake.preshared_key, key, WG_KEY_LEN);
    else
        sodium_memzero(peer->handshake.preshared_key, WG_KEY_LEN);
}

void wg_peer_set_endpoint(struct wg_peer *peer, const union inet_sockaddr *remote)
{
    if (inet_sockaddr_equal(&peer->endpoint.remote, remote))
        return;
    peer->endpoint = (struct wg_endpoint){.remote = *remote};
    note_change(peer);
    if (wg_peer_has_endpoint(peer))
        wg_timers_kick(peer);
}

bool wg_peer_offer_endpoint(struct wg_peer *peer, const union inet_sockaddr *remote)
{
    const uint64_t now = wg_device_now(peer->device);
    if (wg_peer_has_endpoint(peer) && peer->received_at != 0 &&
        now < peer->received_at + WG_NEW_HANDSHAKE_TIME)
        return false;
    wg_peer_set_endpoint(peer, remote);
    return true;
}

const struct wg_endpoint *wg_peer_endpoint(const struct wg_peer *peer)
{
    return &peer->endpoint;
}

const uint8_t *wg_peer_received_timestamp(const struct wg_peer *peer)
{
    return peer->handshake.received_timestamp;
}

void wg_peer_refuse_until(struct wg_peer *peer, const uint8_t timestamp[TAI64N_LEN])
{
    if (tai64n_after(timestamp, peer->handshake.received_timestamp))
        memcpy(peer->handshake.received_timestamp, timestamp, TAI64N_LEN);
}

void wg_peer_send_keepalive(struct wg_peer *peer)
{
    wg_timers_keepalive_wanted(peer);
}

void wg_peer_set_keepalive(struct wg_peer *peer, uint16_t seconds)
{
    wg_timers_set_persistent(peer, seconds);
}

int wg_peer_allow(struct wg_peer *peer, const struct inet_prefix *prefix)
{
    return allowedips_insert(&peer->device->allowed, prefix, &peer->allowed);
}

void wg_peer_disallow_all(struct wg_peer *peer)
{
    allowedips_remove_owner(&peer->device->allowed, &peer->allowed);
}

const struct wg_peer_stats *wg_peer_stats(const struct wg_peer *peer)
{
    return &peer->stats;
}

struct wg_peer *wg_device_next_changed(struct wg_device *device)
{
    struct wg_peer *peer = TAILQ_FIRST(&device->changed);
    if (peer) {
        TAILQ_REMOVE(&device->changed, peer, change);
        peer->changed = false;
    }
    return peer;
}

/* --- For the rest of the folder ------------------------------------------------------------- */

bool wg_peer_has_endpoint(const struct wg_peer *peer)
{
    return peer->endpoint.remote.sa.sa_family != AF_UNSPEC;
}

void wg_peer_roam(struct wg_peer *peer, const struct wg_endpoint *from)
{
    bool moved = !inet_sockaddr_equal(&peer->endpoint.remote, &from->remote);
    peer->endpoint = *from;
    if (!moved)
        return;
    note_change(peer);
    wg_peer_tell(peer, WG_EVENT_ENDPOINT_CHANGED);
}

void wg_peer_clear_source(struct wg_peer *peer)
{
    peer->endpoint.local = (struct inet_addr){.family = AF_UNSPEC};
    peer->endpoint.local_ifindex = 0;
}

void wg_peer_count_received(struct wg_peer *peer, size_t len)
{
    struct wg_peer_stats *all = &peer->device->stats;
    peer->received_at = wg_device_now(peer->device);
    peer->stats.rx_bytes += len;
    peer->stats.rx_packets++;
    all->rx_bytes += len;
    all->rx_packets++;
    note_change(peer);
}

void wg_peer_count_sent(struct wg_peer *peer, size_t len)
{
    struct wg_peer_stats *all = &peer->device->stats;
    peer->stats.tx_bytes += len;
    peer->stats.tx_packets++;
    all->tx_bytes += len;
    all->tx_packets++;
    note_change(peer);
}

void wg_peer_count_unanswered(struct wg_peer *peer)
{
    peer->stats.unanswered++;
    note_change(peer);
}

void wg_peer_count_given_up(struct wg_peer *peer)
{
    peer->stats.handshakes_given_up++;
    peer->device->stats.handshakes_given_up++;
    note_change(peer);
}

void wg_peer_forget_handshake(struct wg_peer *peer)
{
    indices_remove(&peer->device->indices, &peer->handshake_index);
    handshake_forget(&peer->handshake);
}

void wg_peer_key_changed(struct wg_peer *peer)
{
    bool was_live = peer->keypairs.current &&
                    keypair_can_send(peer->keypairs.current, wg_device_now(peer->device));

    wg_peer_forget_handshake(peer);
    handshake_key_changed(&peer->handshake);
    keypairs_expire_sending(&peer->keypairs);
    peer->handshake_sent_at = 0;
    if (was_live)
        wg_timers_renewal_wanted(peer);
    wg_timers_kick(peer);
}

void wg_peer_session_ready(struct wg_peer *peer)
{
    struct wg_device *device = peer->device;
    struct timespec wall;

    device->ops->wall_clock(device->ctx, &wall);
    peer->stats.handshakes++;
    peer->stats.unanswered = 0;
    peer->stats.last_handshake_unix_ns =
        (int64_t)wall.tv_sec * (int64_t)WG_SECOND + (int64_t)wall.tv_nsec;
    device->stats.handshakes++;
    peer->stats.last_handshake_at = wg_device_now(device);
    device->stats.last_handshake_unix_ns = peer->stats.last_handshake_unix_ns;
    device->stats.last_handshake_at = peer->stats.last_handshake_at;
    note_change(peer);
    wg_timers_handshake_complete(peer);
    wg_peer_tell(peer, WG_EVENT_HANDSHAKE_DONE);
    if (peer->timers.unanswered) {
        peer->timers.unanswered = false;
        wg_peer_tell(peer, WG_EVENT_HEARD_AGAIN);
    }
}

void wg_peer_tell(struct wg_peer *peer, enum wg_event event)
{
    peer->device->ops->event(peer->device->ctx, peer, event);
}
