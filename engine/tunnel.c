/*
 * tunnel: owns one device, one stack, one pair of outer sockets, and one timer that stands for the
 * deadlines of all of them.
 */
#include "engine/tunnel.h"

#include "engine/clock.h"
#include "engine/stack/stack.h"
#include "engine/udp.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

/* How stale the shared counters may get while there is traffic. */
#define PUBLISH_INTERVAL (200 * CLOCK_NS_PER_MS)

/* What a worker before this one had counted. */
struct totals {
    uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets, handshakes, dropped_in, dropped_out;
};

struct tunnel {
    struct turn *turn;
    struct turn_item end_of_turn;
    struct counters_tunnel *counters;
    struct totals before;
    const struct tunnel_ops *ops;
    void *ctx;

    struct udp *udp;
    struct wg_device *device;
    struct stack *stack;
    struct wg_peer **peers;
    size_t peers_count;

    struct event *timer;
    uint64_t timer_at;   /* when the timer fires; WG_NEVER = not set */
    uint64_t publish_at; /* when the counters are published next; WG_NEVER = they are up to date */
};

/* --- Between the parts ------------------------------------------------------------------------ */

static uint8_t *device_reserve(void *ctx, const struct wg_endpoint *to, size_t len, uint8_t tos)
{
    struct tunnel *tunnel = ctx;
    tunnel_touch(tunnel);
    return udp_reserve(tunnel->udp, to, len, tos);
}

static void device_commit(void *ctx)
{
    struct tunnel *tunnel = ctx;
    udp_commit(tunnel->udp);
}

static void device_deliver(void *ctx, struct wg_peer *peer, uint8_t *packet, size_t len)
{
    (void)peer;
    struct tunnel *tunnel = ctx;
    stack_receive(tunnel->stack, packet, len);
}

static void device_event(void *ctx, struct wg_peer *peer, enum wg_event event)
{
    struct tunnel *tunnel = ctx;
    tunnel->ops->event(tunnel->ctx, wg_peer_public_key(peer), event);
}

static uint64_t device_now(void *ctx)
{
    (void)ctx;
    return clock_now();
}

static void device_wall_clock(void *ctx, struct timespec *out)
{
    (void)ctx;
    clock_gettime(CLOCK_REALTIME, out);
}

static void device_random(void *ctx, void *out, size_t len)
{
    (void)ctx;
    randombytes_buf(out, len);
}

static const struct wg_device_ops device_ops = {
    .reserve = device_reserve,
    .commit = device_commit,
    .deliver = device_deliver,
    .event = device_event,
    .now = device_now,
    .wall_clock = device_wall_clock,
    .random = device_random,
};

static int stack_output(void *ctx, const struct iovec *pieces, int count, size_t len)
{
    struct tunnel *tunnel = ctx;
    return wg_device_send(tunnel->device, pieces, count, len);
}

static const struct stack_ops stack_ops = {.output = stack_output, .now = device_now};

static void udp_datagram(void *ctx, const struct wg_endpoint *from, uint8_t *data, size_t len)
{
    struct tunnel *tunnel = ctx;
    wg_device_receive(tunnel->device, from, data, len);
}

static void udp_received(void *ctx)
{
    struct tunnel *tunnel = ctx;
    stack_flush(tunnel->stack);
    tunnel_touch(tunnel);
}

static void udp_writable(void *ctx)
{
    struct tunnel *tunnel = ctx;
    stack_resume(tunnel->stack);
    tunnel_touch(tunnel);
}

static const struct udp_ops udp_ops = {.datagram = udp_datagram,
                                       .received = udp_received,
                                       .writable = udp_writable};

/* --- Counters --------------------------------------------------------------------------------- */

static void read_totals(const struct counters_tunnel *counters, struct totals *out)
{
    *out = (struct totals){
        .rx_bytes = counter_get(&counters->rx_bytes),
        .tx_bytes = counter_get(&counters->tx_bytes),
        .rx_packets = counter_get(&counters->rx_packets),
        .tx_packets = counter_get(&counters->tx_packets),
        .handshakes = counter_get(&counters->handshakes),
        .dropped_in = counter_get(&counters->dropped_in),
        .dropped_out = counter_get(&counters->dropped_out),
    };
}

static void publish(struct tunnel *tunnel)
{
    struct wg_peer_stats sum = {0};
    for (size_t i = 0; i < tunnel->peers_count; i++) {
        const struct wg_peer_stats *stats = wg_peer_stats(tunnel->peers[i]);
        sum.rx_bytes += stats->rx_bytes;
        sum.tx_bytes += stats->tx_bytes;
        sum.rx_packets += stats->rx_packets;
        sum.tx_packets += stats->tx_packets;
        sum.handshakes += stats->handshakes;
        if (stats->last_handshake_unix_ns > sum.last_handshake_unix_ns)
            sum.last_handshake_unix_ns = stats->last_handshake_unix_ns;
    }
    uint64_t dropped_in = 0, dropped_out = 0;
    for (enum wg_drop reason = 0; reason < WG_DROP_COUNT; reason++) {
        uint64_t drops = wg_device_drops(tunnel->device, reason);
        *(reason >= WG_DROP_NO_ROUTE ? &dropped_out : &dropped_in) += drops;
    }
    struct counters_tunnel *counters = tunnel->counters;
    const struct totals *before = &tunnel->before;
    counter_set(&counters->rx_bytes, before->rx_bytes + sum.rx_bytes);
    counter_set(&counters->tx_bytes, before->tx_bytes + sum.tx_bytes);
    counter_set(&counters->rx_packets, before->rx_packets + sum.rx_packets);
    counter_set(&counters->tx_packets, before->tx_packets + sum.tx_packets);
    counter_set(&counters->handshakes, before->handshakes + sum.handshakes);
    if (sum.last_handshake_unix_ns > 0)
        counter_set(&counters->last_handshake_unix_ns, (uint64_t)sum.last_handshake_unix_ns);
    counter_set(&counters->dropped_in, before->dropped_in + dropped_in);
    counter_set(&counters->dropped_out, before->dropped_out + dropped_out);
    counter_set(&counters->connections, stack_stats(tunnel->stack)->connections);
}

/* --- Time ------------------------------------------------------------------------------------- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Sets the timer to the next deadline. One that is set too early is left: it costs less to wake. */
static void set_timer(struct tunnel *tunnel)
{
    uint64_t at =
        min_u64(min_u64(wg_device_deadline(tunnel->device), stack_deadline(tunnel->stack)),
                tunnel->publish_at);
    if (at >= tunnel->timer_at)
        return;
    uint64_t now = clock_now();
    uint64_t wait_us = at > now ? (at - now) / 1000 + 1 : 0;
    struct timeval timeout = {.tv_sec = (time_t)(wait_us / 1000000),
                              .tv_usec = (suseconds_t)(wait_us % 1000000)};
    tunnel->timer_at = at;
    event_add(tunnel->timer, &timeout);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct tunnel *tunnel = arg;
    clock_refresh();
    tunnel->timer_at = WG_NEVER;
    if (wg_device_deadline(tunnel->device) <= clock_now())
        wg_device_expire(tunnel->device);
    if (stack_deadline(tunnel->stack) <= clock_now())
        stack_expire(tunnel->stack);
    if (tunnel->publish_at <= clock_now()) {
        publish(tunnel);
        tunnel->publish_at = WG_NEVER;
    }
    set_timer(tunnel);
}

static void on_end_of_turn(struct turn_item *item)
{
    struct tunnel *tunnel = (struct tunnel *)((char *)item - offsetof(struct tunnel, end_of_turn));
    udp_flush(tunnel->udp);
    if (tunnel->publish_at == WG_NEVER)
        tunnel->publish_at = clock_now() + PUBLISH_INTERVAL;
    set_timer(tunnel);
}

void tunnel_touch(struct tunnel *tunnel)
{
    turn_defer(tunnel->turn, &tunnel->end_of_turn);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static int add_peer(struct tunnel *tunnel, const struct spec_peer *spec)
{
    struct wg_peer *peer;
    int error = wg_peer_add(tunnel->device, spec->public_key, NULL, &peer);
    if (error)
        return error;
    tunnel->peers[tunnel->peers_count++] = peer;
    if (spec->has_preshared_key)
        wg_peer_set_preshared_key(peer, spec->preshared_key);
    for (size_t i = 0; i < spec->allowed_ips_count; i++) {
        error = wg_peer_allow(peer, &spec->allowed_ips[i]);
        if (error)
            return error;
    }
    struct inet_addr addr;
    if (inet_addr_parse(spec->endpoint_host, &addr) == 0) {
        union inet_sockaddr remote;
        inet_sockaddr_make(&remote, &addr, spec->endpoint_port);
        wg_peer_set_endpoint(peer, &remote);
    }
    wg_peer_set_keepalive(peer, spec->keepalive_seconds);
    return 0;
}

static int make_parts(struct tunnel *tunnel, const struct tunnel_config *config)
{
    const struct spec_tunnel *spec = config->spec;
    struct inet_addr addresses[SPEC_ADDRESSES_MAX];
    for (size_t i = 0; i < spec->addresses_count; i++)
        addresses[i] = spec->addresses[i].addr;
    struct stack_config stack_config = {.addresses = addresses,
                                        .addresses_count = spec->addresses_count,
                                        .mtu = spec->mtu};

    tunnel->timer = evtimer_new(config->base, on_timer, tunnel);
    tunnel->peers = calloc(spec->peers_count ? spec->peers_count : 1, sizeof(*tunnel->peers));
    if (!tunnel->timer || !tunnel->peers)
        return -ENOMEM;
    int error = stack_new(&stack_config, &stack_ops, tunnel, &tunnel->stack);
    if (error)
        return error;
    error = wg_device_new(&device_ops, tunnel, &tunnel->device);
    if (error)
        return error;
    wg_device_set_mtu(tunnel->device, spec->mtu);
    error = wg_device_set_addresses(tunnel->device, addresses, spec->addresses_count);
    if (error)
        return error;
    return udp_new(config->base, config->sockets, &udp_ops, tunnel, config->worker_counters,
                   &tunnel->udp);
}

static void close_sockets(const int sockets[2])
{
    for (int i = 0; i < 2; i++) {
        if (sockets[i] >= 0)
            close(sockets[i]);
    }
}

int tunnel_new(const struct tunnel_config *config, struct tunnel **out)
{
    struct tunnel *tunnel = calloc(1, sizeof(*tunnel));
    if (!tunnel) {
        close_sockets(config->sockets);
        return -ENOMEM;
    }
    tunnel->turn = config->turn;
    tunnel->end_of_turn.run = on_end_of_turn;
    tunnel->counters = config->counters;
    read_totals(config->counters, &tunnel->before);
    tunnel->ops = config->ops;
    tunnel->ctx = config->ctx;
    tunnel->timer_at = WG_NEVER;
    tunnel->publish_at = WG_NEVER;

    int error = make_parts(tunnel, config);
    if (!error) {
        wg_device_set_private_key(tunnel->device, config->spec->private_key);
        for (size_t i = 0; i < config->spec->peers_count && !error; i++)
            error = add_peer(tunnel, &config->spec->peers[i]);
    }
    if (error) {
        if (!tunnel->udp)
            close_sockets(config->sockets);
        tunnel_free(tunnel);
        return error;
    }
    tunnel_touch(tunnel);
    *out = tunnel;
    return 0;
}

void tunnel_free(struct tunnel *tunnel)
{
    if (!tunnel)
        return;
    stack_free(tunnel->stack);
    if (tunnel->udp)
        udp_flush(tunnel->udp);
    wg_device_free(tunnel->device);
    udp_free(tunnel->udp);
    turn_cancel(tunnel->turn, &tunnel->end_of_turn);
    if (tunnel->timer)
        event_free(tunnel->timer);
    free(tunnel->peers);
    free(tunnel);
}

struct stack *tunnel_stack(struct tunnel *tunnel)
{
    return tunnel->stack;
}

int tunnel_set_endpoint(struct tunnel *tunnel, const uint8_t public_key[WG_KEY_LEN],
                        const union inet_sockaddr *remote)
{
    struct wg_peer *peer = wg_peer_find(tunnel->device, public_key);
    if (!peer)
        return -ENOENT;
    wg_peer_set_endpoint(peer, remote);
    tunnel_touch(tunnel);
    return 0;
}
