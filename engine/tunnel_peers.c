/*
 * tunnel_peers: owns the context of each peer: its definition, to know what a change changes, its
 * place in the tunnel's list, and where it is counted.
 */
#include "engine/tunnel_peers.h"

#include "base/spec_diff.h"
#include "engine/tunnel_internal.h"
#include "engine/wg/device.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

struct peer {
    struct spec_peer spec;
    bool is_complete;               /* the device has all of spec; else it is set anew */
    size_t place;                   /* in tunnel->peers */
    struct counters_peer *counters; /* NULL = nowhere but in its tunnel */
    /* What was counted there before. */
    uint64_t rx_bytes, tx_bytes, handshakes, handshakes_given_up;
};

/* --- Counters --------------------------------------------------------------------------------- */

static void publish_peer(const struct wg_peer *wg)
{
    const struct peer *before = wg_peer_ctx(wg);
    const struct wg_peer_stats *stats = wg_peer_stats(wg);
    struct counters_peer *counters = before->counters;
    if (!counters)
        return;
    counter_set(&counters->rx_bytes, before->rx_bytes + stats->rx_bytes);
    counter_set(&counters->tx_bytes, before->tx_bytes + stats->tx_bytes);
    counter_set(&counters->handshakes, before->handshakes + stats->handshakes);
    counter_set(&counters->handshakes_given_up,
                before->handshakes_given_up + stats->handshakes_given_up);
    counter_set(&counters->unanswered, stats->unanswered);
    if (stats->last_handshake_unix_ns > 0)
        counter_set(&counters->last_handshake_unix_ns, (uint64_t)stats->last_handshake_unix_ns);
    if (stats->last_handshake_at > 0)
        counter_set(&counters->last_handshake_at, stats->last_handshake_at);
    counters_set_endpoint(counters, &wg_peer_endpoint(wg)->remote);
    counters_set_timestamp(counters, wg_peer_received_timestamp(wg));
}

void tunnel_peers_publish(struct tunnel *tunnel)
{
    const struct wg_peer *wg;
    while ((wg = wg_device_next_changed(tunnel->device)))
        publish_peer(wg);
}

int tunnel_count_peer(struct tunnel *tunnel, const uint8_t public_key[WG_KEY_LEN],
                      struct counters_peer *counters)
{
    struct wg_peer *wg = tunnel_find_peer(tunnel, public_key);
    if (!wg)
        return -ENOENT;
    struct peer *peer = wg_peer_ctx(wg);
    if (peer->counters == counters) /* what is there is its own: not to be counted twice */
        return 0;
    peer->counters = counters;
    peer->rx_bytes = counter_get(&counters->rx_bytes);
    peer->tx_bytes = counter_get(&counters->tx_bytes);
    peer->handshakes = counter_get(&counters->handshakes);
    peer->handshakes_given_up = counter_get(&counters->handshakes_given_up);
    /* What an earlier worker, or an earlier run of the service, has taken. */
    uint8_t timestamp[COUNTERS_TIMESTAMP_LEN];
    if (counters_get_timestamp(counters, timestamp))
        wg_peer_refuse_until(wg, timestamp);
    publish_peer(wg);
    return 0;
}

/* --- Definitions ------------------------------------------------------------------------------ */

static int allow(struct wg_peer *wg, const struct spec_peer *spec)
{
    int error = 0;
    for (size_t i = 0; i < spec->allowed_ips_count && !error; i++)
        error = wg_peer_allow(wg, &spec->allowed_ips[i]);
    return error;
}

/* Where the definition says that the peer is; control looks names up. */
static void set_endpoint(struct wg_peer *wg, const struct spec_peer *spec)
{
    struct inet_addr addr;
    if (inet_addr_parse(spec->endpoint_host, &addr) != 0)
        return;
    union inet_sockaddr remote;
    inet_sockaddr_make(&remote, &addr, spec->endpoint_port);
    wg_peer_set_endpoint(wg, &remote);
}

static int make_room(struct tunnel *tunnel)
{
    if (tunnel->peers_count < tunnel->peers_room)
        return 0;
    size_t room = tunnel->peers_room > 0 ? 2 * tunnel->peers_room : 1;
    struct wg_peer **peers = realloc(tunnel->peers, room * sizeof(struct wg_peer *));
    if (!peers)
        return -ENOMEM;
    tunnel->peers = peers;
    tunnel->peers_room = room;
    return 0;
}

static int add_peer(struct tunnel *tunnel, const struct spec_peer *spec, struct wg_peer **out)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return -ENOMEM;
    int error = make_room(tunnel);
    if (!error)
        error = wg_peer_add(tunnel->device, spec->public_key, peer, out);
    if (error) {
        free(peer);
        return error;
    }
    peer->place = tunnel->peers_count++;
    tunnel->peers[peer->place] = *out;
    return 0;
}

static void remove_peer(struct tunnel *tunnel, struct wg_peer *wg)
{
    struct peer *peer = wg_peer_ctx(wg);
    struct wg_peer *last = tunnel->peers[--tunnel->peers_count];
    struct peer *moved = wg_peer_ctx(last);
    tunnel->peers[peer->place] = last;
    moved->place = peer->place;
    wg_peer_remove(wg);
    spec_peer_fini(&peer->spec);
    free(peer);
}

/* Sets what differs from what the device has. */
static int define_peer(struct wg_peer *wg, const struct spec_peer *before,
                       const struct spec_peer *after)
{
    wg_peer_set_preshared_key(wg, after->has_preshared_key ? after->preshared_key : NULL);
    if (!before || before->keepalive_seconds != after->keepalive_seconds)
        wg_peer_set_keepalive(wg, after->keepalive_seconds);
    if (!before || !spec_peer_same_endpoint(before, after))
        set_endpoint(wg, after);
    if (before && spec_peer_same_allowed_ips(before, after))
        return 0;
    wg_peer_disallow_all(wg);
    return allow(wg, after);
}

static int set_peer(struct tunnel *tunnel, const struct spec_peer *spec)
{
    struct wg_peer *wg = wg_peer_find(tunnel->device, spec->public_key);
    struct spec_peer copy;
    int error = wg ? 0 : add_peer(tunnel, spec, &wg);
    if (!error)
        error = spec_peer_copy(&copy, spec);
    if (error)
        return error;
    struct peer *peer = wg_peer_ctx(wg);
    error = define_peer(wg, peer->is_complete ? &peer->spec : NULL, &copy);
    spec_peer_fini(&peer->spec);
    peer->spec = copy;
    peer->is_complete = !error;
    sodium_memzero(&copy, sizeof(copy));
    return error;
}

void tunnel_forget_peers(struct tunnel *tunnel, const uint8_t (*public_keys)[WG_KEY_LEN],
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct wg_peer *wg = tunnel_find_peer(tunnel, public_keys[i]);
        if (wg)
            remove_peer(tunnel, wg);
    }
}

int tunnel_peers_change(struct tunnel *tunnel, const struct tunnel_change *change)
{
    tunnel_forget_peers(tunnel, change->gone, change->gone_count);
    /* In between: the new key's public key may have been a peer's, and the old one's may become. */
    wg_device_set_private_key(tunnel->device, change->spec->private_key);
    int first = 0;
    for (size_t i = 0; i < change->spec->peers_count; i++) {
        int error = set_peer(tunnel, &change->spec->peers[i]);
        first = first ? first : error;
    }
    return first;
}

void tunnel_peers_free(struct tunnel *tunnel)
{
    while (tunnel->peers_count > 0)
        remove_peer(tunnel, tunnel->peers[tunnel->peers_count - 1]);
    wg_device_free(tunnel->device);
    tunnel->device = NULL;
}

/* --- Where they are --------------------------------------------------------------------------- */

struct wg_peer *tunnel_find_peer(const struct tunnel *tunnel, const uint8_t public_key[WG_KEY_LEN])
{
    return tunnel->device ? wg_peer_find(tunnel->device, public_key) : NULL;
}

int tunnel_set_endpoint(struct tunnel *tunnel, const uint8_t public_key[WG_KEY_LEN],
                        const union inet_sockaddr *remote, bool offered)
{
    struct wg_peer *wg = tunnel_find_peer(tunnel, public_key);
    if (!wg)
        return -ENOENT;
    if (offered)
        wg_peer_offer_endpoint(wg, remote);
    else
        wg_peer_set_endpoint(wg, remote);
    tunnel_touch(tunnel);
    return 0;
}
