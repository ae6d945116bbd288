/*
 * transport: owns no state; works on the keypairs, the staged packets and the endpoint of peers.
 *
 * Facts are reported to the timers only after a message was handed over or verified.
 */
#include "engine/wg/transport.h"

#include "engine/wg/container.h"
#include "engine/wg/ecn.h"
#include "engine/wg/exchange.h"
#include "engine/wg/interface.h"
#include "engine/wg/messages.h"
#include "engine/wg/packet.h"
#include "engine/wg/peer.h"

#include <errno.h>

/* --- Sending -------------------------------------------------------------------------------- */

/* The session to send on, or NULL. */
static struct keypair *sending_keypair(const struct wg_peer *peer)
{
    struct keypair *keypair = peer->keypairs.current;
    if (!keypair || !wg_peer_has_endpoint(peer) ||
        !keypair_can_send(keypair, wg_device_now(peer->device)))
        return NULL;
    return keypair;
}

/* The length of a packet with its padding, which does not make it longer than the mtu. */
static size_t padded_len(const struct wg_device *device, size_t len)
{
    size_t padded = (len + WG_PADDING - 1) / WG_PADDING * WG_PADDING;
    if (padded <= device->mtu)
        return padded;
    return len > device->mtu ? len : device->mtu;
}

static uint8_t *gather(uint8_t *out, const struct iovec *pieces, int count)
{
    for (int i = 0; i < count; i++) {
        memcpy(out, pieces[i].iov_base, pieces[i].iov_len);
        out += pieces[i].iov_len;
    }
    return out;
}

/* One message to be sealed; no pieces = a keepalive. */
struct outgoing {
    const struct iovec *pieces;
    int count;
    size_t len;
    uint8_t tos; /* of the outer datagram */
};

/* Encrypts one message into reserved room and hands it over. 0 or -EAGAIN (no room). */
static int seal(struct wg_peer *peer, struct keypair *keypair, const struct outgoing *packet)
{
    struct wg_device *device = peer->device;
    const size_t padded = padded_len(device, packet->len);
    uint8_t *room =
        device->ops->reserve(device->ctx, &peer->endpoint, padded + DATA_OVERHEAD, packet->tos);
    if (!room)
        return -EAGAIN;

    const uint64_t counter = keypair->send_counter++;
    uint8_t *body = room + DATA_CIPHERTEXT;
    const uint8_t *plain = body;
    store_le32(room + MESSAGE_TYPE, MESSAGE_DATA);
    store_le32(room + DATA_RECEIVER, keypair->remote_index);
    store_le64(room + DATA_COUNTER, counter);
    if (packet->count == 1 && packet->len == padded) {
        plain = packet->pieces[0].iov_base;
    } else {
        uint8_t *end = gather(body, packet->pieces, packet->count);
        memset(end, 0, padded - packet->len);
    }
    aead_seal(&keypair->send, counter, NULL, plain, padded, body);
    device->ops->commit(device->ctx);

    wg_peer_count_sent(peer, padded + DATA_OVERHEAD);
    wg_timers_any_sent(peer);
    if (packet->len > 0)
        wg_timers_data_sent(peer);
    if (keypair_stale_after_send(keypair, wg_device_now(device)))
        wg_exchange_initiate(peer);
    return 0;
}

/* Sends what is staged on a session there is. 0, or -EAGAIN: some is left, and will be tried. */
static int flush_on_sessions(struct wg_peer *peer)
{
    while (peer->staged.first) {
        struct keypair *keypair = sending_keypair(peer);
        if (!keypair)
            return -EAGAIN;
        struct staged_packet *packet = peer->staged.first;
        const struct iovec piece = {.iov_base = packet->data, .iov_len = packet->len};
        struct outgoing outgoing = {.pieces = &piece, .count = 1, .len = packet->len};
        struct packet_info info;
        if (packet_info_read(&info, packet->data, packet->len) == 0)
            outgoing.tos = ecn_encapsulate(info.tos);
        if (seal(peer, keypair, &outgoing) < 0) {
            wg_timers_flush_wanted(peer, wg_device_now(peer->device) + WG_SEND_RETRY);
            return -EAGAIN;
        }
        staged_pop(&peer->staged);
    }
    return 0;
}

static void stage(struct wg_peer *peer, const struct iovec *pieces, int count, size_t len)
{
    struct wg_device *device = peer->device;
    device->drops[WG_DROP_STAGED_OVERFLOW] += staged_push(&peer->staged, pieces, count, len);
}

int wg_transport_send(struct wg_peer *peer, const struct packet_info *info,
                      const struct iovec *pieces, int count, size_t len)
{
    /* What is staged goes first, which may use up the session's last message. */
    const bool flushed = !sending_keypair(peer) || flush_on_sessions(peer) == 0;
    struct keypair *keypair = sending_keypair(peer);
    if (!keypair) {
        stage(peer, pieces, count, len);
        wg_exchange_initiate(peer);
        return 0;
    }
    if (!flushed)
        return -EAGAIN;
    const struct outgoing outgoing = {
        .pieces = pieces,
        .count = count,
        .len = len,
        .tos = ecn_encapsulate(info->tos),
    };
    return seal(peer, keypair, &outgoing);
}

void wg_transport_flush(struct wg_peer *peer)
{
    if (!peer->staged.first)
        return;
    if (sending_keypair(peer))
        flush_on_sessions(peer);
    else
        wg_exchange_initiate(peer);
}

int wg_transport_send_keepalive(struct wg_peer *peer)
{
    static const struct outgoing keepalive;
    struct keypair *keypair = sending_keypair(peer);
    if (!keypair) {
        wg_exchange_initiate(peer);
        return 0;
    }
    return seal(peer, keypair, &keepalive);
}

/* --- Receiving ------------------------------------------------------------------------------ */

/* The session that a message is addressed to, or NULL. */
static struct keypair *receiving_keypair(const struct wg_device *device, const uint8_t *message)
{
    struct index_entry *entry = indices_find(&device->indices, load_le32(message + DATA_RECEIVER));
    if (!entry || entry->kind != INDEX_KEYPAIR)
        return NULL;
    return container_of(entry, struct keypair, entry);
}

/* Decrypts a message in place and takes its counter, or drops it. */
static bool open_message(struct wg_device *device, struct keypair *keypair, uint8_t *message,
                         size_t len)
{
    const uint64_t counter = load_le64(message + DATA_COUNTER);
    uint8_t *body = message + DATA_CIPHERTEXT;

    if (!keypair_can_receive(keypair, counter, wg_device_now(device))) {
        wg_device_drop(device, WG_DROP_EXPIRED_KEY);
        return false;
    }
    if (aead_open(&keypair->receive, counter, NULL, body, len - DATA_CIPHERTEXT, body) < 0) {
        wg_device_drop(device, WG_DROP_BAD_TAG);
        return false;
    }
    if (!replay_accept(&keypair->replay, counter)) {
        wg_device_drop(device, WG_DROP_REPLAYED);
        return false;
    }
    return true;
}

/* Inner sources that nobody may use, whatever the allowed IPs say. */
static bool source_is_impossible(const struct wg_device *device, const struct inet_addr *source)
{
    if (inet_addr_is_loopback(source) || inet_addr_is_multicast(source) ||
        inet_addr_is_broadcast(source) || inet_addr_is_unspecified(source))
        return true;
    for (size_t i = 0; i < device->addresses_count; i++)
        if (inet_addr_equal(&device->addresses[i], source))
            return true;
    return false;
}

static void deliver(struct wg_peer *peer, uint8_t tos, uint8_t *packet, size_t len)
{
    struct wg_device *device = peer->device;
    struct packet_info info;

    if (packet_info_read(&info, packet, len) < 0 || info.len > len) {
        wg_device_drop(device, WG_DROP_BAD_PACKET);
        return;
    }
    if (source_is_impossible(device, &info.source) ||
        allowedips_find(&device->allowed, &info.source) != &peer->allowed) {
        wg_device_drop(device, WG_DROP_BAD_SOURCE);
        return;
    }
    if (!ecn_decapsulate(packet, tos)) {
        wg_device_drop(device, WG_DROP_CONGESTED);
        return;
    }
    device->ops->deliver(device->ctx, peer, packet, info.len);
}

void wg_transport_receive(struct wg_device *device, const struct wg_endpoint *from, uint8_t tos,
                          uint8_t *message, size_t len)
{
    struct keypair *keypair = receiving_keypair(device, message);
    if (!keypair) {
        wg_device_drop(device, WG_DROP_UNKNOWN_INDEX);
        return;
    }
    if (!open_message(device, keypair, message, len))
        return;

    struct wg_peer *peer = keypair->entry.peer;
    wg_peer_count_received(peer, len);
    wg_peer_roam(peer, from);
    wg_timers_any_received(peer); /* before anything is sent, which this is no answer to */
    if (keypairs_confirm(&peer->keypairs, keypair, &device->indices)) {
        wg_peer_session_ready(peer);
        wg_transport_flush(peer);
    }
    if (keypair_stale_after_receive(peer->keypairs.current, wg_device_now(device)))
        wg_exchange_initiate(peer);
    if (len == DATA_OVERHEAD)
        return;
    wg_timers_data_received(peer);
    deliver(peer, tos, message + DATA_CIPHERTEXT, len - DATA_OVERHEAD);
}
