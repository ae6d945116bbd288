/*
 * tunnel: owns one device, one stack, one pair of outer sockets, and one timer that stands for the
 * deadlines of all of them; a copy of its definition, to know what an update changes; its peers
 * (tunnel_peers.c); and its bridges (tunnel_takeover.c). Once it is handed over, device and udp are
 * NULL.
 */
#include "engine/tunnel_internal.h"

#include "base/log.h"
#include "base/spec_diff.h"
#include "engine/bridge.h"
#include "engine/clock.h"
#include "engine/stack/stack.h"
#include "engine/tunnel_peers.h"
#include "engine/udp.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How stale the shared counters may get while there is traffic. */
#define PUBLISH_INTERVAL (200 * CLOCK_NS_PER_MS)

/* How often roaming is told of, per tunnel. */
#define ROAMING_EVENT_INTERVAL CLOCK_NS_PER_S

static_assert(TAI64N_LEN == COUNTERS_TIMESTAMP_LEN, "timestamps have room");
static_assert(WG_DROP_COUNT <= COUNTERS_DROP_REASONS, "each reason has a counter");
static_assert(STACK_DROP_COUNT <= COUNTERS_STACK_REASONS, "each reason has a counter");
static_assert(STACK_LIMIT_COUNT <= COUNTERS_STACK_LIMITS, "each limit has a counter");

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
    if (!LIST_EMPTY(&tunnel->taps)) { /* before the stack changes it */
        const struct iovec piece = {.iov_base = packet, .iov_len = len};
        tap_packet(&tunnel->taps, &piece, len);
    }
    stack_receive(tunnel->stack, packet, len);
}

static void device_event(void *ctx, struct wg_peer *peer, enum wg_event event)
{
    struct tunnel *tunnel = ctx;
    if (event == WG_EVENT_HEARD_AGAIN) {
        stack_hurry(tunnel->stack);
        return;
    }
    if (event == WG_EVENT_ENDPOINT_CHANGED) {
        /* A peer can change its endpoint with every packet; people want to know once. */
        if (clock_now() < tunnel->next_roaming_event_at)
            return;
        tunnel->next_roaming_event_at = clock_now() + ROAMING_EVENT_INTERVAL;
    }
    tunnel_touch(tunnel); /* which publishes the counters, also when nothing is sent */
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

/* At once: the next worker must know of it, however this one ends. */
static void device_timestamp(void *ctx, uint64_t unix_ns)
{
    struct tunnel *tunnel = ctx;
    if (unix_ns > counter_get(&tunnel->counters->latest_timestamp_unix_ns))
        counter_set(&tunnel->counters->latest_timestamp_unix_ns, unix_ns);
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
    .timestamp = device_timestamp,
    .random = device_random,
};

int tunnel_output(struct tunnel *tunnel, const struct iovec *pieces, int count, size_t len)
{
    if (tunnel->device) {
        int error = wg_device_send(tunnel->device, pieces, count, len);
        if (!error && !LIST_EMPTY(&tunnel->taps))
            tap_packet(&tunnel->taps, pieces, len);
        return error;
    }
    return tunnel->newer ? bridge_send(tunnel->newer, pieces, count) : -EPIPE;
}

static int stack_output(void *ctx, const struct iovec *pieces, int count, size_t len)
{
    return tunnel_output(ctx, pieces, count, len);
}

/* A connection that this stack does not know may be the older worker's. */
static bool stack_stranger(void *ctx, const uint8_t *packet, size_t len)
{
    struct tunnel *tunnel = ctx;
    struct iovec piece = {.iov_base = (void *)packet, .iov_len = len};
    if (!tunnel->older)
        return false;
    bridge_send(tunnel->older, &piece, 1); /* what does not fit is lost, as any packet may be */
    return true;
}

static const struct stack_ops stack_ops = {
    .output = stack_output,
    .now = device_now,
    .stranger = stack_stranger,
};

static void udp_datagram(void *ctx, const struct wg_endpoint *from, uint8_t tos, uint8_t *data,
                         size_t len)
{
    struct tunnel *tunnel = ctx;
    wg_device_receive(tunnel->device, from, tos, data, len);
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

static void publish_stack(struct tunnel *tunnel)
{
    const struct stack_stats *stats = stack_stats(tunnel->stack);
    counter_set(&tunnel->counters->connections, stats->connections);
    const struct stack_stats *before = &tunnel->stack_before;
    struct counters_worker *counters = tunnel->worker_counters;
    for (enum stack_drop reason = 0; reason < STACK_DROP_COUNT; reason++)
        counter_add(&counters->stack_dropped[reason],
                    stats->rx_dropped[reason] - before->rx_dropped[reason]);
    for (enum stack_limit limit = 0; limit < STACK_LIMIT_COUNT; limit++)
        counter_add(&counters->stack_limits[limit], stats->limits[limit] - before->limits[limit]);
    counter_add(&counters->stack_out_of_memory, stats->out_of_memory - before->out_of_memory);
    tunnel->stack_before = *stats;
}

void tunnel_publish(struct tunnel *tunnel)
{
    publish_stack(tunnel);
    if (!tunnel->device)
        return;
    tunnel_peers_publish(tunnel);
    const struct wg_peer_stats *sum = wg_device_stats(tunnel->device);
    uint64_t dropped_in = 0, dropped_out = 0;
    for (enum wg_drop reason = 0; reason < WG_DROP_COUNT; reason++) {
        uint64_t drops = wg_device_drops(tunnel->device, reason);
        counter_add(&tunnel->worker_counters->dropped[reason], drops - tunnel->drops[reason]);
        tunnel->drops[reason] = drops;
        *(reason >= WG_DROP_NO_ROUTE ? &dropped_out : &dropped_in) += drops;
    }
    struct counters_tunnel *counters = tunnel->counters;
    const struct totals *before = &tunnel->before;
    counter_set(&counters->staged_packets, wg_device_staged(tunnel->device));
    counter_set(&counters->queued_handshakes, wg_device_queued_handshakes(tunnel->device));
    counter_set(&counters->rx_bytes, before->rx_bytes + sum->rx_bytes);
    counter_set(&counters->tx_bytes, before->tx_bytes + sum->tx_bytes);
    counter_set(&counters->rx_packets, before->rx_packets + sum->rx_packets);
    counter_set(&counters->tx_packets, before->tx_packets + sum->tx_packets);
    counter_set(&counters->handshakes, before->handshakes + sum->handshakes);
    if (sum->last_handshake_unix_ns > 0)
        counter_set(&counters->last_handshake_unix_ns, (uint64_t)sum->last_handshake_unix_ns);
    counter_set(&counters->dropped_in, before->dropped_in + dropped_in);
    counter_set(&counters->dropped_out, before->dropped_out + dropped_out);
}

/* --- Time ------------------------------------------------------------------------------------- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t device_deadline(const struct tunnel *tunnel)
{
    return tunnel->device ? wg_device_deadline(tunnel->device) : WG_NEVER;
}

/*
 * Sets the timer to the next deadline. One that is set too early is left: it costs less to wake.
 * What the device has to do now waits in line with the work of other tunnels.
 */
static void set_timer(struct tunnel *tunnel)
{
    uint64_t device_at = device_deadline(tunnel);
    if (device_at <= clock_now()) {
        turn_queue_work(tunnel->turn, &tunnel->work);
        device_at = WG_NEVER;
    }
    uint64_t at = min_u64(min_u64(device_at, stack_deadline(tunnel->stack)), tunnel->publish_at);
    if (at >= tunnel->timer_at)
        return;
    uint64_t now = clock_now();
    uint64_t wait_us = at > now ? (at - now) / 1000 + 1 : 0;
    struct timeval timeout = {.tv_sec = (time_t)(wait_us / 1000000),
                              .tv_usec = (suseconds_t)(wait_us % 1000000)};
    if (event_add(tunnel->timer, &timeout) == 0)
        tunnel->timer_at = at;
    else /* memory ran out; nothing else may ever come to set it: in the next turn */
        turn_queue_work(tunnel->turn, &tunnel->work);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct tunnel *tunnel = arg;
    clock_refresh();
    tunnel->timer_at = WG_NEVER;
    if (stack_deadline(tunnel->stack) <= clock_now())
        stack_expire(tunnel->stack);
    if (tunnel->publish_at <= clock_now()) {
        tunnel_publish(tunnel);
        tunnel->publish_at = WG_NEVER;
    }
    set_timer(tunnel);
}

static void on_work(struct turn_item *item)
{
    struct tunnel *tunnel = (struct tunnel *)((char *)item - offsetof(struct tunnel, work));
    if (device_deadline(tunnel) <= clock_now())
        wg_device_expire(tunnel->device);
    set_timer(tunnel); /* which puts it at the end of the line if there is more */
}

static void on_end_of_turn(struct turn_item *item)
{
    struct tunnel *tunnel = (struct tunnel *)((char *)item - offsetof(struct tunnel, end_of_turn));
    if (tunnel->udp)
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

static enum stack_congestion congestion_of(const struct spec_tunnel *spec)
{
    return spec->congestion_control == SPEC_BBR ? STACK_BBR : STACK_CUBIC;
}

/* A stack with the definition's addresses, of which the device is told. */
static int make_stack(struct tunnel *tunnel, const struct spec_tunnel *spec, struct stack **out)
{
    struct inet_addr addresses[SPEC_ADDRESSES_MAX];
    for (size_t i = 0; i < spec->addresses_count; i++)
        addresses[i] = spec->addresses[i].addr;
    struct stack_config config = {.addresses = addresses,
                                  .addresses_count = spec->addresses_count,
                                  .mtu = spec->mtu,
                                  .congestion = congestion_of(spec)};
    struct stack *stack;
    int error = stack_new(&config, &stack_ops, tunnel, &stack);
    if (error)
        return error;
    error = wg_device_set_addresses(tunnel->device, addresses, spec->addresses_count);
    if (error) {
        stack_free(stack);
        return error;
    }
    wg_device_set_mtu(tunnel->device, spec->mtu);
    *out = stack;
    return 0;
}

/* All but the peers. */
static void copy_definition(struct tunnel *tunnel, const struct spec_tunnel *spec)
{
    tunnel->spec = *spec;
    tunnel->spec.peers = NULL;
    tunnel->spec.peers_count = 0;
}

static int make_parts(struct tunnel *tunnel, const struct tunnel_config *config)
{
    const struct spec_tunnel *spec = config->spec;
    tunnel->timer = evtimer_new(config->base, on_timer, tunnel);
    if (!tunnel->timer)
        return -ENOMEM;
    copy_definition(tunnel, spec);
    int error = wg_device_new(&device_ops, tunnel, &tunnel->device);
    if (!error)
        error = make_stack(tunnel, spec, &tunnel->stack);
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
    tunnel->work.run = on_work;
    tunnel->counters = config->counters;
    tunnel->worker_counters = config->worker_counters;
    read_totals(config->counters, &tunnel->before);
    tunnel->ops = config->ops;
    tunnel->ctx = config->ctx;
    tunnel->timer_at = WG_NEVER;
    tunnel->publish_at = WG_NEVER;

    int error = make_parts(tunnel, config);
    if (!error) {
        tunnel_limit_timestamps(tunnel, config->timestamps_after, config->timestamps_until);
        const struct tunnel_change all = {.spec = config->spec};
        error = tunnel_peers_change(tunnel, &all);
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
    tap_free_all(&tunnel->taps);
    tunnel_peers_free(tunnel);
    udp_free(tunnel->udp);
    bridge_free(tunnel->older);
    bridge_free(tunnel->newer);
    turn_cancel(&tunnel->end_of_turn);
    turn_cancel(&tunnel->work);
    if (tunnel->timer)
        event_free(tunnel->timer);
    spec_tunnel_fini(&tunnel->spec);
    free(tunnel->introduced);
    free(tunnel->peers);
    free(tunnel);
}

/* --- Changes ---------------------------------------------------------------------------------- */

static int update_stack(struct tunnel *tunnel, const struct spec_tunnel *spec)
{
    struct stack *stack;
    int error = make_stack(tunnel, spec, &stack);
    if (error)
        return error;
    publish_stack(tunnel);
    tunnel->stack_before = (struct stack_stats){0};
    stack_free(tunnel->stack);
    tunnel->stack = stack;
    bridge_free(tunnel->older); /* those of older workers end, too */
    tunnel->older = NULL;
    return 0;
}

static int update_sockets(struct tunnel *tunnel, const int sockets[2])
{
    struct udp *udp;
    int error = udp_new(event_get_base(tunnel->timer), sockets, &udp_ops, tunnel,
                        tunnel->worker_counters, &udp);
    if (error) {
        close_sockets(sockets);
        return error;
    }
    udp_free(tunnel->udp);
    tunnel->udp = udp;
    wg_device_sockets_moved(tunnel->device);
    stack_resume(tunnel->stack); /* it may have waited for the other sockets */
    return 0;
}

int tunnel_update(struct tunnel *tunnel, const struct tunnel_change *change)
{
    const struct spec_tunnel *spec = change->spec;
    int moved = 0, restacked = 0, peered = 0;
    if (change->sockets[0] >= 0 || change->sockets[1] >= 0)
        moved = update_sockets(tunnel, change->sockets);
    tunnel_touch(tunnel);
    unsigned changes = spec_tunnel_diff(&tunnel->spec, spec);
    if (changes & SPEC_TUNNEL_STACK)
        restacked = update_stack(tunnel, spec);
    if (changes & SPEC_TUNNEL_CONGESTION)
        stack_set_congestion(tunnel->stack, congestion_of(spec));
    peered = tunnel_peers_change(tunnel, change);
    copy_definition(tunnel, spec);
    if (restacked) /* the next update must not take it for done */
        tunnel->spec.mtu = 0;
    if (moved)
        return moved;
    return restacked ? restacked : peered;
}

/* --- Use -------------------------------------------------------------------------------------- */

struct stack *tunnel_stack(struct tunnel *tunnel)
{
    return tunnel->stack;
}

bool tunnel_has_route(const struct tunnel *tunnel, const struct inet_addr *address)
{
    return tunnel->device == NULL || wg_device_has_route(tunnel->device, address);
}

int tunnel_capture(struct tunnel *tunnel, int fd, uint64_t max_bytes)
{
    const struct tap_config config = {
        .base = event_get_base(tunnel->timer),
        .turn = tunnel->turn,
        .fd = fd,
        .max_bytes = max_bytes,
        .counters = tunnel->worker_counters,
    };
    if (!tunnel->device) {
        close(fd);
        return -ENOTCONN;
    }
    return tap_new(&tunnel->taps, &config);
}

void tunnel_limit_timestamps(struct tunnel *tunnel, uint64_t after_unix_ns, uint64_t until_unix_ns)
{
    if (tunnel->device)
        wg_device_limit_timestamps(tunnel->device, after_unix_ns, until_unix_ns);
}
