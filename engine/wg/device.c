/*
 * device: owns a device, and dispatches what comes in to the files that know what to do.
 */
#include "engine/wg/device.h"

#include "engine/wg/container.h"
#include "engine/wg/exchange.h"
#include "engine/wg/interface.h"
#include "engine/wg/messages.h"
#include "engine/wg/packet.h"
#include "engine/wg/peer.h"
#include "engine/wg/timers.h"
#include "engine/wg/transport.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#define MTU_DEFAULT 1420

/* --- Life ----------------------------------------------------------------------------------- */

int wg_device_new(const struct wg_device_ops *ops, void *ctx, struct wg_device **out)
{
    uint8_t key[RATELIMIT_KEY_LEN];
    struct wg_device *device = calloc(1, sizeof(*device));
    if (!device)
        return -ENOMEM;
    timestamps_init(&device->timestamps);
    device->ops = ops;
    device->ctx = ctx;
    device->mtu = MTU_DEFAULT;
    TAILQ_INIT(&device->changed);
    indices_init(&device->indices, ops->random, ctx);
    wg_device_random(device, device->peers_hash_key, sizeof(device->peers_hash_key));
    wg_device_random(device, key, sizeof(key));
    ratelimit_init(&device->ratelimit, key);
    *out = device;
    return 0;
}

void wg_device_free(struct wg_device *device)
{
    if (!device)
        return;
    while (device->peers)
        wg_peer_remove(device->peers);
    handshake_queue_fini(&device->handshakes);
    allowedips_fini(&device->allowed);
    indices_fini(&device->indices);
    table_fini(&device->peers_by_key);
    heap_fini(&device->deadlines);
    ratelimit_fini(&device->ratelimit);
    free(device->addresses);
    sodium_memzero(device, sizeof(*device));
    free(device);
}

/* --- Configuration -------------------------------------------------------------------------- */

void wg_device_set_private_key(struct wg_device *device, const uint8_t key[WG_KEY_LEN])
{
    if (device->has_keys && sodium_memcmp(device->keys.private_key, key, WG_KEY_LEN) == 0)
        return;
    noise_keys_init(&device->keys, key);
    device->has_keys = true;
    cookie_checker_init(&device->cookies, device->keys.public_key);

    struct wg_peer *self = wg_peer_find(device, device->keys.public_key);
    if (self)
        wg_peer_remove(self);
    for (struct wg_peer *peer = device->peers; peer; peer = peer->next)
        wg_peer_key_changed(peer);
}

int wg_device_set_addresses(struct wg_device *device, const struct inet_addr *addresses,
                            size_t count)
{
    struct inet_addr *copy = NULL;
    if (count > 0) {
        copy = calloc(count, sizeof(*copy));
        if (!copy)
            return -ENOMEM;
        memcpy(copy, addresses, count * sizeof(*copy));
    }
    free(device->addresses);
    device->addresses = copy;
    device->addresses_count = count;
    return 0;
}

void wg_device_sockets_moved(struct wg_device *device)
{
    const uint64_t now = wg_device_now(device);
    for (struct wg_peer *peer = device->peers; peer; peer = peer->next) {
        const struct keypair *keypair = peer->keypairs.current;
        wg_peer_clear_source(peer);
        if (keypair && keypair_can_send(keypair, now))
            wg_timers_keepalive_wanted(peer);
    }
}

void wg_device_limit_timestamps(struct wg_device *device, uint64_t after_unix_ns,
                                uint64_t until_unix_ns)
{
    timestamps_limit(&device->timestamps, after_unix_ns, until_unix_ns);
}

void wg_device_set_mtu(struct wg_device *device, uint16_t mtu)
{
    device->mtu = mtu;
}

/* --- What comes in -------------------------------------------------------------------------- */

static void receive_handshake(struct wg_device *device, const struct wg_endpoint *from, uint8_t tos,
                              uint8_t *message, size_t len)
{
    (void)tos;
    wg_exchange_receive(device, from, message, len);
}

static void receive_cookie(struct wg_device *device, const struct wg_endpoint *from, uint8_t tos,
                           uint8_t *message, size_t len)
{
    (void)from; /* a cookie says nothing about where the peer is */
    (void)tos;
    (void)len;
    wg_exchange_receive_cookie(device, message);
}

/* What each type of message must look like, and where it goes. */
static const struct {
    size_t len_min;
    size_t len_max;
    void (*receive)(struct wg_device *device, const struct wg_endpoint *from, uint8_t tos,
                    uint8_t *message, size_t len);
} message_types[] = {
    [MESSAGE_INITIATION] = {INITIATION_LEN, INITIATION_LEN, receive_handshake},
    [MESSAGE_RESPONSE] = {RESPONSE_LEN, RESPONSE_LEN, receive_handshake},
    [MESSAGE_COOKIE_REPLY] = {COOKIE_REPLY_LEN, COOKIE_REPLY_LEN, receive_cookie},
    [MESSAGE_DATA] = {DATA_OVERHEAD, SIZE_MAX, wg_transport_receive},
};

#define MESSAGE_TYPES_COUNT (sizeof(message_types) / sizeof(message_types[0]))

void wg_device_receive(struct wg_device *device, const struct wg_endpoint *from, uint8_t tos,
                       uint8_t *datagram, size_t len)
{
    const uint32_t type = len >= MESSAGE_TYPE_LEN ? load_le32(datagram + MESSAGE_TYPE) : 0;

    if (type >= MESSAGE_TYPES_COUNT || !message_types[type].receive ||
        len < message_types[type].len_min || len > message_types[type].len_max) {
        wg_device_drop(device, WG_DROP_MALFORMED);
        return;
    }
    message_types[type].receive(device, from, tos, datagram, len);
}

/* --- What goes out -------------------------------------------------------------------------- */

bool wg_device_has_route(const struct wg_device *device, const struct inet_addr *destination)
{
    return allowedips_find(&device->allowed, destination) != NULL;
}

int wg_device_send(struct wg_device *device, const struct iovec *pieces, int count, size_t len)
{
    struct packet_info info;

    if (len > WG_PACKET_MAX)
        return -EMSGSIZE;
    if (count < 1 || packet_info_read(&info, pieces[0].iov_base, pieces[0].iov_len) < 0)
        return -EINVAL;
    struct allowedips_owner *owner = allowedips_find(&device->allowed, &info.destination);
    if (!owner) {
        wg_device_drop(device, WG_DROP_NO_ROUTE);
        return -EHOSTUNREACH;
    }
    struct wg_peer *peer = container_of(owner, struct wg_peer, allowed);
    return wg_transport_send(peer, &info, pieces, count, len);
}

/* --- Time ----------------------------------------------------------------------------------- */

uint64_t wg_device_deadline(const struct wg_device *device)
{
    return device->handshakes.count > 0 ? 0 : wg_timers_deadline(device);
}

void wg_device_expire(struct wg_device *device)
{
    wg_exchange_work(device);
    wg_timers_expire(device);
}

/* --- Counters ------------------------------------------------------------------------------- */

const struct wg_peer_stats *wg_device_stats(const struct wg_device *device)
{
    return &device->stats;
}

size_t wg_device_staged(const struct wg_device *device)
{
    return device->staged;
}

uint64_t wg_device_drops(const struct wg_device *device, enum wg_drop reason)
{
    return device->drops[reason];
}

size_t wg_device_queued_handshakes(const struct wg_device *device)
{
    return device->handshakes.count;
}
