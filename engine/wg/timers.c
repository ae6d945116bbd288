/*
 * timers: owns the deadlines of peers.
 *
 * Setting a timer moves its peer in the device's heap only when that makes the peer due earlier;
 * stopping or postponing one leaves the heap alone. So the packet path rarely touches the heap; a
 * peer may come up early and is then put back where it belongs.
 */
#include "engine/wg/timers.h"

#include "engine/wg/container.h"
#include "engine/wg/exchange.h"
#include "engine/wg/interface.h"
#include "engine/wg/messages.h"
#include "engine/wg/peer.h"
#include "engine/wg/transport.h"

static uint64_t peer_now(const struct wg_peer *peer)
{
    return wg_device_now(peer->device);
}

/* A random time up to REKEY_JITTER_MAX, so that two peers that start together come apart. */
static uint64_t jitter(const struct wg_peer *peer)
{
    uint32_t random;
    wg_device_random(peer->device, &random, sizeof(random));
    return random * WG_REKEY_JITTER_MAX >> 32;
}

static bool timer_pending(const struct wg_peer *peer, enum wg_timer timer)
{
    return peer->timers.due[timer] != WG_NEVER;
}

static void timer_stop(struct wg_peer *peer, enum wg_timer timer)
{
    peer->timers.due[timer] = WG_NEVER;
}

static void timer_set(struct wg_peer *peer, enum wg_timer timer, uint64_t due)
{
    struct heap_node *node = &peer->timers.node;
    peer->timers.due[timer] = due;
    if (node->position == 0 || due < node->key)
        heap_set(&peer->device->deadlines, node, due);
}

static void timer_set_if_stopped(struct wg_peer *peer, enum wg_timer timer, uint64_t due)
{
    if (!timer_pending(peer, timer))
        timer_set(peer, timer, due);
}

void wg_timers_init(struct wg_timers *timers)
{
    *timers = (struct wg_timers){0};
    for (int i = 0; i < WG_TIMER_COUNT; i++)
        timers->due[i] = WG_NEVER;
}

void wg_timers_stop(struct wg_peer *peer)
{
    for (int i = 0; i < WG_TIMER_COUNT; i++)
        peer->timers.due[i] = WG_NEVER;
    heap_remove(&peer->device->deadlines, &peer->timers.node);
}

/* --- Facts ---------------------------------------------------------------------------------- */

static void postpone_persistent(struct wg_peer *peer)
{
    uint64_t interval = peer->timers.persistent_seconds * WG_SECOND;
    if (interval)
        timer_set(peer, WG_TIMER_PERSISTENT, peer_now(peer) + interval);
}

void wg_timers_data_sent(struct wg_peer *peer)
{
    /* The jitter is the session's: random numbers cost too much to draw them per packet. */
    timer_set_if_stopped(peer, WG_TIMER_NEW_HANDSHAKE,
                         peer_now(peer) + WG_NEW_HANDSHAKE_TIME + peer->timers.session_jitter);
}

void wg_timers_data_received(struct wg_peer *peer)
{
    if (timer_pending(peer, WG_TIMER_KEEPALIVE))
        peer->timers.need_another_keepalive = true;
    else
        timer_set(peer, WG_TIMER_KEEPALIVE, peer_now(peer) + WG_KEEPALIVE_TIMEOUT);
}

void wg_timers_any_sent(struct wg_peer *peer)
{
    timer_stop(peer, WG_TIMER_KEEPALIVE);
    postpone_persistent(peer);
}

void wg_timers_any_received(struct wg_peer *peer)
{
    timer_stop(peer, WG_TIMER_NEW_HANDSHAKE);
    postpone_persistent(peer);
}

void wg_timers_initiation_wanted(struct wg_peer *peer)
{
    peer->timers.attempts_began_at = peer_now(peer);
}

void wg_timers_initiation_sent(struct wg_peer *peer)
{
    wg_peer_count_unanswered(peer);
    timer_set(peer, WG_TIMER_RETRANSMIT, peer_now(peer) + WG_REKEY_TIMEOUT + jitter(peer));
}

void wg_timers_initiation_deferred(struct wg_peer *peer, uint64_t until)
{
    /* Every packet that waits comes by here, and random numbers cost too much for that. */
    if (!timer_pending(peer, WG_TIMER_RETRANSMIT))
        timer_set(peer, WG_TIMER_RETRANSMIT, until + jitter(peer));
}

void wg_timers_session_derived(struct wg_peer *peer)
{
    peer->timers.session_jitter = jitter(peer);
    timer_set(peer, WG_TIMER_ZERO_KEYS, peer_now(peer) + WG_ZERO_KEYS_TIME);
}

void wg_timers_handshake_complete(struct wg_peer *peer)
{
    timer_stop(peer, WG_TIMER_RETRANSMIT);
}

void wg_timers_flush_wanted(struct wg_peer *peer, uint64_t at)
{
    timer_set_if_stopped(peer, WG_TIMER_FLUSH, at);
}

void wg_timers_keepalive_wanted(struct wg_peer *peer)
{
    timer_set(peer, WG_TIMER_KEEPALIVE, peer_now(peer));
}

void wg_timers_renewal_wanted(struct wg_peer *peer)
{
    wg_timers_initiation_wanted(peer);
    timer_set(peer, WG_TIMER_RETRANSMIT, peer_now(peer));
}

void wg_timers_set_persistent(struct wg_peer *peer, uint16_t seconds)
{
    bool was_off = peer->timers.persistent_seconds == 0;
    peer->timers.persistent_seconds = seconds;
    if (seconds == 0)
        timer_stop(peer, WG_TIMER_PERSISTENT);
    else if (was_off)
        timer_set(peer, WG_TIMER_PERSISTENT, peer_now(peer));
    else
        postpone_persistent(peer);
}

void wg_timers_kick(struct wg_peer *peer)
{
    if (timer_pending(peer, WG_TIMER_RETRANSMIT))
        timer_set(peer, WG_TIMER_RETRANSMIT, peer_now(peer));
    if (peer->staged.first)
        timer_set(peer, WG_TIMER_FLUSH, peer_now(peer));
    if (peer->timers.persistent_seconds)
        timer_set(peer, WG_TIMER_PERSISTENT, peer_now(peer));
}

/* --- What to do when a timer is due --------------------------------------------------------- */

/* No answer for REKEY_ATTEMPT_TIME: the packets that wait are lost; new ones will start over. */
static void give_up(struct wg_peer *peer)
{
    struct wg_device *device = peer->device;
    size_t lost = staged_clear(&peer->staged);
    if (!wg_peer_has_endpoint(peer))
        device->drops[WG_DROP_NO_ENDPOINT] += lost;
    else
        device->drops[WG_DROP_STAGED_OVERFLOW] += lost;
    timer_stop(peer, WG_TIMER_KEEPALIVE);
    timer_stop(peer, WG_TIMER_FLUSH);
    timer_set_if_stopped(peer, WG_TIMER_ZERO_KEYS, peer_now(peer) + WG_ZERO_KEYS_TIME);
    wg_peer_count_given_up(peer);
    wg_peer_tell(peer, WG_EVENT_HANDSHAKE_GAVE_UP);
}

static void retransmit_due(struct wg_peer *peer)
{
    if (peer_now(peer) >= peer->timers.attempts_began_at + WG_REKEY_ATTEMPT_TIME) {
        give_up(peer);
        return;
    }
    wg_peer_clear_source(peer);
    wg_exchange_retry(peer);
}

static void keepalive_due(struct wg_peer *peer)
{
    if (wg_transport_send_keepalive(peer) < 0) {
        timer_set(peer, WG_TIMER_KEEPALIVE, peer_now(peer) + WG_SEND_RETRY);
        return;
    }
    if (peer->timers.need_another_keepalive) {
        peer->timers.need_another_keepalive = false;
        timer_set(peer, WG_TIMER_KEEPALIVE, peer_now(peer) + WG_KEEPALIVE_TIMEOUT);
    }
}

static void new_handshake_due(struct wg_peer *peer)
{
    peer->timers.unanswered = true;
    wg_peer_clear_source(peer);
    wg_exchange_initiate(peer);
}

static void zero_keys_due(struct wg_peer *peer)
{
    wg_peer_forget_handshake(peer);
    keypairs_clear(&peer->keypairs, &peer->device->indices);
}

static void persistent_due(struct wg_peer *peer)
{
    postpone_persistent(peer);
    if (wg_transport_send_keepalive(peer) < 0)
        timer_set(peer, WG_TIMER_PERSISTENT, peer_now(peer) + WG_SEND_RETRY);
}

static void flush_due(struct wg_peer *peer)
{
    wg_transport_flush(peer);
}

static void (*const timer_due[WG_TIMER_COUNT])(struct wg_peer *peer) = {
    [WG_TIMER_ZERO_KEYS] = zero_keys_due,   [WG_TIMER_RETRANSMIT] = retransmit_due,
    [WG_TIMER_KEEPALIVE] = keepalive_due,   [WG_TIMER_NEW_HANDSHAKE] = new_handshake_due,
    [WG_TIMER_PERSISTENT] = persistent_due, [WG_TIMER_FLUSH] = flush_due,
};

/* --- The device's clock --------------------------------------------------------------------- */

static uint64_t earliest(const struct wg_timers *timers)
{
    uint64_t due = WG_NEVER;
    for (int i = 0; i < WG_TIMER_COUNT; i++)
        if (timers->due[i] < due)
            due = timers->due[i];
    return due;
}

static void peer_expire(struct wg_peer *peer, uint64_t now)
{
    for (int i = 0; i < WG_TIMER_COUNT; i++) {
        if (peer->timers.due[i] > now)
            continue;
        peer->timers.due[i] = WG_NEVER;
        timer_due[i](peer);
    }
    uint64_t due = earliest(&peer->timers);
    if (due == WG_NEVER)
        heap_remove(&peer->device->deadlines, &peer->timers.node);
    else
        heap_set(&peer->device->deadlines, &peer->timers.node, due);
}

uint64_t wg_timers_deadline(const struct wg_device *device)
{
    struct heap_node *first = heap_first(&device->deadlines);
    return first ? first->key : WG_NEVER;
}

void wg_timers_expire(struct wg_device *device)
{
    const uint64_t now = wg_device_now(device);
    for (int i = 0; i < WG_PEERS_PER_TURN; i++) {
        struct heap_node *first = heap_first(&device->deadlines);
        if (!first || first->key > now)
            break;
        struct wg_timers *timers = container_of(first, struct wg_timers, node);
        peer_expire(container_of(timers, struct wg_peer, timers), now);
    }
}
