/*
 * tunnel_takeover: a tunnel's bridges to the workers before and after its own. `older` carries the
 * connections that the worker before still has; with `newer` the tunnel was handed over, and has
 * neither device nor sockets any more.
 */
#include "engine/tunnel_internal.h"

#include "base/log.h"
#include "engine/bridge.h"
#include "engine/clock.h"
#include "engine/stack/stack.h"
#include "engine/tunnel_peers.h"
#include "engine/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A peer whose handshake is younger has a session. */
#define SESSION_SECONDS 180

/* --- The worker before this one --------------------------------------------------------------- */

static void older_peer(void *ctx, const struct bridge_peer *introduced)
{
    struct tunnel *tunnel = ctx;
    struct wg_peer *peer = tunnel_find_peer(tunnel, introduced->public_key);
    if (!peer)
        return;
    wg_peer_refuse_until(peer, introduced->timestamp);
    wg_peer_offer_endpoint(peer, &introduced->remote); /* it may have called meanwhile */
    if (introduced->live)
        wg_peer_send_keepalive(peer);
}

static void older_ports(void *ctx, const uint8_t ports[BRIDGE_PORT_BYTES])
{
    struct tunnel *tunnel = ctx;
    if (stack_reserve_ports(tunnel->stack, ports) < 0)
        log_about(LOG_LEVEL_WARN, LOG_TUNNEL, tunnel->spec.name,
                  "out of memory: a new connection may meet one of the older worker");
}

static void older_packet(void *ctx, uint8_t *packet, size_t len)
{
    struct iovec piece = {.iov_base = packet, .iov_len = len};
    tunnel_output(ctx, &piece, 1, len); /* what does not fit is lost, as any packet may be */
}

static void bridge_touched(void *ctx)
{
    tunnel_touch(ctx);
}

/* It has no connections any more: their ports are free again. */
static void drop_older(struct tunnel *tunnel)
{
    bridge_free(tunnel->older);
    tunnel->older = NULL;
    stack_reserve_ports(tunnel->stack, NULL);
}

static void older_closed(void *ctx, int error)
{
    struct tunnel *tunnel = ctx;
    if (error)
        log_about(LOG_LEVEL_ERROR, LOG_TUNNEL, tunnel->spec.name,
                  "the connections of the older worker are lost: it is of another version");
    drop_older(tunnel);
}

static const struct bridge_ops older_ops = {
    .peer = older_peer,
    .ports = older_ports,
    .packet = older_packet,
    .received = bridge_touched,
    .writable = bridge_touched,
    .closed = older_closed,
};

int tunnel_adopt(struct tunnel *tunnel, int fd)
{
    int error = bridge_new(event_get_base(tunnel->timer), fd, &older_ops, tunnel, &tunnel->older);
    if (error)
        return error;
    bridge_receive(tunnel->older); /* before a connection is made: which ports are in use */
    return 0;
}

void tunnel_forward_gone(struct tunnel *tunnel, const char *name)
{
    if (tunnel->older && bridge_send_gone(tunnel->older, name) < 0)
        drop_older(tunnel); /* rather all of its connections than none */
}

/* --- The worker after this one ---------------------------------------------------------------- */

static void newer_gone(void *ctx, const char *name)
{
    struct tunnel *tunnel = ctx;
    tunnel->ops->gone(tunnel->ctx, name);
    tunnel_forward_gone(tunnel, name);
}

static void newer_packet(void *ctx, uint8_t *packet, size_t len)
{
    struct tunnel *tunnel = ctx;
    stack_receive(tunnel->stack, packet, len);
}

static void newer_received(void *ctx)
{
    struct tunnel *tunnel = ctx;
    stack_flush(tunnel->stack);
    tunnel_touch(tunnel);
}

static void newer_writable(void *ctx)
{
    struct tunnel *tunnel = ctx;
    stack_resume(tunnel->stack);
    tunnel_touch(tunnel);
}

/* There is no way to the newer worker, or none any more. */
static void sever(struct tunnel *tunnel)
{
    bridge_free(tunnel->newer);
    tunnel->newer = NULL;
    bridge_free(tunnel->older); /* nor can those who came before us send any more */
    tunnel->older = NULL;
    tunnel->ops->severed(tunnel->ctx);
}

static void newer_closed(void *ctx, int error)
{
    (void)error;
    sever(ctx);
}

static const struct bridge_ops newer_ops = {
    .gone = newer_gone,
    .packet = newer_packet,
    .received = newer_received,
    .writable = newer_writable,
    .closed = newer_closed,
};

static size_t list_peers(const struct tunnel *tunnel, struct bridge_peer *out)
{
    size_t count = 0;
    for (size_t i = 0; i < tunnel->peers_count; i++) {
        const struct wg_peer *peer = tunnel->peers[i];
        const struct wg_endpoint *endpoint = wg_peer_endpoint(peer);
        const uint64_t last = wg_peer_stats(peer)->last_handshake_at;
        if (endpoint->remote.sa.sa_family == AF_UNSPEC)
            continue;
        struct bridge_peer *item = &out[count++];
        *item = (struct bridge_peer){.remote = endpoint->remote};
        item->live = last != 0 && clock_now() - last < SESSION_SECONDS * CLOCK_NS_PER_S;
        memcpy(item->public_key, wg_peer_public_key(peer), BRIDGE_KEY_LEN);
        memcpy(item->timestamp, wg_peer_received_timestamp(peer), BRIDGE_TIME_LEN);
    }
    return count;
}

/* Without their device there is nobody to ask any more, and the newer worker may be lost. */
static int remember_peers(struct tunnel *tunnel)
{
    tunnel->introduced = calloc(tunnel->peers_count + 1, sizeof(*tunnel->introduced));
    if (!tunnel->introduced)
        return -ENOMEM;
    tunnel->introduced_count = list_peers(tunnel, tunnel->introduced);
    return 0;
}

static int introduce(struct tunnel *tunnel)
{
    uint8_t ports[BRIDGE_PORT_BYTES];
    const size_t count = tunnel->introduced_count;
    struct bridge_peer *peers = calloc(count + 1, sizeof(*peers));
    if (!peers)
        return -ENOMEM;
    memcpy(peers, tunnel->introduced, count * sizeof(*peers));
    stack_used_ports(tunnel->stack, ports);
    return bridge_introduce(tunnel->newer, peers, count, ports);
}

/* In place of the bridge there is, if any. */
static int build_bridge(struct tunnel *tunnel, int fd)
{
    bridge_free(tunnel->newer);
    tunnel->newer = NULL;
    if (fd < 0)
        return -ENOTCONN;
    int error = bridge_new(event_get_base(tunnel->timer), fd, &newer_ops, tunnel, &tunnel->newer);
    return error ? error : introduce(tunnel);
}

static void give_up_sockets(struct tunnel *tunnel)
{
    tunnel_publish(tunnel);
    udp_flush(tunnel->udp);
    tap_free_all(&tunnel->taps);
    tunnel_peers_free(tunnel);
    udp_free(tunnel->udp);
    tunnel->udp = NULL;
}

/* What was severed has no connection left, and needs no bridge. */
static int hand_over_again(struct tunnel *tunnel, int fd)
{
    if (tunnel->newer)
        return build_bridge(tunnel, fd);
    if (fd >= 0)
        close(fd);
    return 0;
}

static int hand_over_first(struct tunnel *tunnel, int fd)
{
    int error = remember_peers(tunnel);
    if (!error)
        error = build_bridge(tunnel, fd);
    else if (fd >= 0)
        close(fd);
    give_up_sockets(tunnel);
    return error;
}

int tunnel_hand_over(struct tunnel *tunnel, int fd)
{
    const bool was_severed = !tunnel->udp && !tunnel->newer;
    int error = tunnel->udp ? hand_over_first(tunnel, fd) : hand_over_again(tunnel, fd);
    if (tunnel->newer)
        stack_resume(tunnel->stack); /* it may have waited for the sockets, or a full bridge */
    else if (!was_severed)
        sever(tunnel);
    tunnel_touch(tunnel);
    return error;
}

bool tunnel_is_quiet(const struct tunnel *tunnel)
{
    const bool introducing = tunnel->newer && bridge_is_introducing(tunnel->newer);
    return !tunnel->older && !introducing && stack_is_quiet(tunnel->stack);
}
