/*
 * exchange: owns no state; works on the handshake, the indices and the keypairs of peers, and on
 * the device's queue of handshake messages.
 */
#include "engine/wg/exchange.h"

#include "engine/wg/container.h"
#include "engine/wg/interface.h"
#include "engine/wg/messages.h"
#include "engine/wg/peer.h"
#include "engine/wg/transport.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

_Static_assert(INITIATION_NOISE + HANDSHAKE_INITIATION_LEN == INITIATION_MAC1, "layout");
_Static_assert(RESPONSE_NOISE + HANDSHAKE_RESPONSE_LEN == RESPONSE_MAC1, "layout");

/* --- Sending -------------------------------------------------------------------------------- */

/* Copies a handshake message out. False when the sending side is full. */
static bool send_message(struct wg_device *device, const struct wg_endpoint *to,
                         const uint8_t *message, size_t len)
{
    uint8_t *room = device->ops->reserve(device->ctx, to, len, WG_TOS_HANDSHAKE);
    if (!room)
        return false;
    memcpy(room, message, len);
    device->ops->commit(device->ctx);
    return true;
}

/* Facts about a handshake message to a peer that went out. */
static void message_sent(struct wg_peer *peer, size_t len)
{
    peer->handshake_sent_at = wg_device_now(peer->device);
    wg_peer_count_sent(peer, len);
    wg_timers_any_sent(peer);
}

/* Writes the ephemeral private key of a new handshake. */
static void ephemeral_make(const struct wg_device *device, uint8_t private_key[X25519_LEN])
{
    wg_device_random(device, private_key, X25519_LEN);
    x25519_clamp(private_key);
}

static int create_initiation(struct wg_peer *peer, uint8_t message[INITIATION_LEN])
{
    struct wg_device *device = peer->device;
    uint8_t ephemeral[X25519_LEN];
    struct timespec wall;

    device->ops->wall_clock(device->ctx, &wall);
    int error = timestamps_next(&device->timestamps, &wall, peer->handshake.sent_timestamp);
    if (error)
        return error;
    device->ops->timestamp(device->ctx, tai64n_unix_ns(peer->handshake.sent_timestamp));
    wg_peer_forget_handshake(peer);
    ephemeral_make(device, ephemeral);
    error = handshake_create_initiation(&peer->handshake, &device->keys, ephemeral,
                                        message + INITIATION_NOISE);
    sodium_memzero(ephemeral, sizeof(ephemeral));
    if (error)
        return error;
    indices_insert(&device->indices, &peer->handshake_index, INDEX_HANDSHAKE, peer);
    store_le32(message + MESSAGE_TYPE, MESSAGE_INITIATION);
    store_le32(message + INITIATION_SENDER, index_value(&peer->handshake_index));
    cookie_add_macs(&peer->cookies, message, INITIATION_LEN, wg_device_now(device));
    return 0;
}

/* Not sooner after a handshake message, nor after an initiation that the sending side refused. */
static uint64_t may_initiate_at(const struct wg_peer *peer)
{
    const uint64_t sent = peer->handshake_sent_at ? peer->handshake_sent_at + WG_REKEY_TIMEOUT : 0;
    const uint64_t refused =
        peer->initiation_refused_at ? peer->initiation_refused_at + WG_INITIATION_RETRY : 0;
    return sent > refused ? sent : refused;
}

void wg_exchange_retry(struct wg_peer *peer)
{
    struct wg_device *device = peer->device;
    const uint64_t now = wg_device_now(device);
    const uint64_t at = may_initiate_at(peer);
    uint8_t message[INITIATION_LEN];

    if (now < at) {
        wg_timers_initiation_deferred(peer, at);
        return;
    }
    if (!device->has_keys || !wg_peer_has_endpoint(peer) || create_initiation(peer, message) < 0) {
        /* Until that changes, or until it is given up. */
        wg_peer_count_unanswered(peer);
        wg_timers_initiation_deferred(peer, now + WG_REKEY_TIMEOUT);
        return;
    }
    if (!send_message(device, &peer->endpoint, message, INITIATION_LEN)) {
        /* Not sooner, however many packets want it: each attempt costs a handshake, and moves the
         * timestamp on, which must not run ahead of the clock. */
        peer->initiation_refused_at = now;
        wg_timers_initiation_deferred(peer, now + WG_INITIATION_RETRY);
        return;
    }
    message_sent(peer, INITIATION_LEN);
    wg_timers_initiation_sent(peer);
}

void wg_exchange_initiate(struct wg_peer *peer)
{
    wg_timers_initiation_wanted(peer);
    wg_exchange_retry(peer);
}

/* --- Sessions ------------------------------------------------------------------------------- */

/* Turns a finished handshake into a session. False when there is no memory. */
static bool begin_session(struct wg_peer *peer)
{
    struct indices *indices = &peer->device->indices;
    struct keypair *keypair = keypair_new();
    if (!keypair) {
        wg_peer_forget_handshake(peer);
        return false;
    }
    keypair->initiator = handshake_derive(&peer->handshake, &keypair->send, &keypair->receive);
    keypair->remote_index = peer->handshake_remote_index;
    keypair->created_at = wg_device_now(peer->device);
    indices_inherit(indices, &peer->handshake_index, &keypair->entry);
    keypairs_add(&peer->keypairs, keypair, indices);
    wg_timers_session_derived(peer);
    return true;
}

/* --- Receiving an initiation ---------------------------------------------------------------- */

/* The peer from which an initiation verifiably comes, its handshake advanced; or NULL. */
static struct wg_peer *consume_initiation(struct wg_device *device, const uint8_t *message)
{
    const uint8_t *noise_message = message + INITIATION_NOISE;
    struct handshake_opening opening;
    struct wg_peer *peer = NULL;
    enum wg_drop reason = WG_DROP_HANDSHAKE;

    if (handshake_open_initiation(&opening, &device->keys, noise_message) == 0)
        peer = wg_peer_find(device, opening.remote_static);
    if (peer) {
        int error = handshake_consume_initiation(&peer->handshake, &device->keys, &opening,
                                                 noise_message, wg_device_now(device));
        if (error == -EALREADY)
            reason = WG_DROP_REPLAYED_HANDSHAKE;
        if (error)
            peer = NULL;
    }
    sodium_memzero(&opening, sizeof(opening));
    if (!peer)
        wg_device_drop(device, reason);
    return peer;
}

static void send_response(struct wg_peer *peer)
{
    struct wg_device *device = peer->device;
    uint8_t message[RESPONSE_LEN];
    uint8_t ephemeral[X25519_LEN];

    ephemeral_make(device, ephemeral);
    int error = handshake_create_response(&peer->handshake, ephemeral, message + RESPONSE_NOISE);
    sodium_memzero(ephemeral, sizeof(ephemeral));
    if (error) {
        wg_device_drop(device, WG_DROP_HANDSHAKE);
        return;
    }
    indices_insert(&device->indices, &peer->handshake_index, INDEX_HANDSHAKE, peer);
    store_le32(message + MESSAGE_TYPE, MESSAGE_RESPONSE);
    store_le32(message + RESPONSE_SENDER, index_value(&peer->handshake_index));
    store_le32(message + RESPONSE_RECEIVER, peer->handshake_remote_index);
    cookie_add_macs(&peer->cookies, message, RESPONSE_LEN, wg_device_now(device));
    if (!begin_session(peer))
        return;
    /* When it cannot be sent it is lost like any datagram: the initiator will ask again. */
    if (send_message(device, &peer->endpoint, message, RESPONSE_LEN))
        message_sent(peer, RESPONSE_LEN);
}

static void process_initiation(struct wg_device *device, const struct queued_handshake *received)
{
    struct wg_peer *peer = consume_initiation(device, received->message);
    if (!peer)
        return;
    indices_remove(&device->indices, &peer->handshake_index);
    peer->handshake_remote_index = load_le32(received->message + INITIATION_SENDER);
    wg_peer_count_received(peer, received->len);
    wg_peer_roam(peer, &received->from);
    wg_timers_any_received(peer);
    send_response(peer);
}

/* --- Receiving a response ------------------------------------------------------------------- */

/* The peer whose initiation a response claims to answer, or NULL. */
static struct wg_peer *response_peer(const struct wg_device *device, const uint8_t *message)
{
    struct index_entry *entry =
        indices_find(&device->indices, load_le32(message + RESPONSE_RECEIVER));
    if (!entry || entry->kind != INDEX_HANDSHAKE)
        return NULL;
    return entry->peer;
}

static void process_response(struct wg_device *device, const struct queued_handshake *received)
{
    struct wg_peer *peer = response_peer(device, received->message);
    if (!peer || handshake_consume_response(&peer->handshake, &device->keys,
                                            received->message + RESPONSE_NOISE) < 0) {
        wg_device_drop(device, WG_DROP_HANDSHAKE);
        return;
    }
    peer->handshake_remote_index = load_le32(received->message + RESPONSE_SENDER);
    wg_peer_count_received(peer, received->len);
    wg_peer_roam(peer, &received->from);
    wg_timers_any_received(peer);
    if (!begin_session(peer))
        return;
    wg_peer_session_ready(peer);
    /* The responder may not send on the session before it has heard from us on it. */
    if (peer->staged.first)
        wg_transport_flush(peer);
    else
        wg_timers_keepalive_wanted(peer);
}

/* --- The queue and its guards --------------------------------------------------------------- */

static bool under_load(struct wg_device *device)
{
    const uint64_t now = wg_device_now(device);
    if (device->handshakes.count >= WG_HANDSHAKE_QUEUE_LOADED ||
        handshake_queue_total() >= WG_HANDSHAKES_LOADED)
        device->loaded_until = now + WG_UNDER_LOAD_TIME;
    return now < device->loaded_until;
}

/*
 * Whether there is time for one more cookie. To answer costs more than to read, and who has a
 * session must not suffer from answers to who has none. A batch of datagrams is received at one
 * time of the clock: when they are long again and again, more arrives than is worked off.
 */
static bool has_time_for_cookie(struct wg_device *device)
{
    const uint64_t now = wg_device_now(device);
    if (device->batch_at != now) {
        device->long_batches = device->batch >= WG_BATCH_LONG ? device->long_batches + 1 : 0;
        device->batch_at = now;
        device->batch = 0;
    }
    device->batch++;
    return device->batch <= WG_COOKIES_BEHIND || device->long_batches < WG_LONG_BATCHES_BEHIND;
}

static void send_cookie(struct wg_device *device, const struct wg_endpoint *to,
                        const uint8_t *message, size_t len)
{
    const uint64_t now = wg_device_now(device);
    uint8_t reply[COOKIE_REPLY_LEN];
    uint8_t nonce[XCHACHA_NONCE_LEN];

    if (cookie_checker_stale(&device->cookies, now)) {
        uint8_t secret[HASH_LEN];
        wg_device_random(device, secret, sizeof(secret));
        cookie_checker_renew(&device->cookies, secret, now);
        sodium_memzero(secret, sizeof(secret));
    }
    wg_device_random(device, nonce, sizeof(nonce));
    cookie_create_reply(&device->cookies, message, len, &to->remote, nonce, reply);
    send_message(device, to, reply, sizeof(reply));
}

/* What a sender must pass when there is more to do than can be done. */
static bool passes_load_check(struct wg_device *device, const struct wg_endpoint *from,
                              const uint8_t *message, size_t len)
{
    const uint64_t now = wg_device_now(device);
    struct inet_addr source;
    uint16_t port;

    if (cookie_checker_stale(&device->cookies, now) ||
        !cookie_check_mac2(&device->cookies, message, len, &from->remote)) {
        wg_device_drop(device, WG_DROP_COOKIE_NEEDED);
        if (has_time_for_cookie(device))
            send_cookie(device, from, message, len);
        return false;
    }
    inet_sockaddr_split(&from->remote, &source, &port);
    if (!ratelimit_allow(&device->ratelimit, &source, now)) {
        wg_device_drop(device, WG_DROP_RATE_LIMITED);
        return false;
    }
    return true;
}

void wg_exchange_receive(struct wg_device *device, const struct wg_endpoint *from,
                         const uint8_t *message, size_t len)
{
    if (!device->has_keys) {
        wg_device_drop(device, WG_DROP_HANDSHAKE);
        return;
    }
    if (!cookie_check_mac1(&device->cookies, message, len)) {
        wg_device_drop(device, WG_DROP_BAD_MAC1);
        return;
    }
    if (len == RESPONSE_LEN && !response_peer(device, message)) {
        wg_device_drop(device, WG_DROP_UNKNOWN_INDEX);
        return;
    }
    if (under_load(device) && !passes_load_check(device, from, message, len))
        return;
    if (handshake_queue_push(&device->handshakes, from, message, len) < 0)
        wg_device_drop(device, WG_DROP_RATE_LIMITED);
}

void wg_exchange_work(struct wg_device *device)
{
    for (int i = 0; i < WG_HANDSHAKES_PER_TURN; i++) {
        struct queued_handshake *received = handshake_queue_pop(&device->handshakes);
        if (!received)
            break;
        if (received->len == INITIATION_LEN)
            process_initiation(device, received);
        else
            process_response(device, received);
        free(received);
    }
}

void wg_exchange_receive_cookie(struct wg_device *device, const uint8_t *message)
{
    struct index_entry *entry =
        indices_find(&device->indices, load_le32(message + COOKIE_REPLY_RECEIVER));
    if (!entry) {
        wg_device_drop(device, WG_DROP_UNKNOWN_INDEX);
        return;
    }
    if (cookie_consume_reply(&entry->peer->cookies, message, wg_device_now(device)) < 0)
        wg_device_drop(device, WG_DROP_HANDSHAKE);
}
