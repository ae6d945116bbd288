/*
 * timers: when to send handshakes and keepalives, and when to forget keys (section 6).
 *
 * The rest of the folder reports facts; what follows from them is decided here. A peer is in its
 * device's heap of deadlines while a timer of it runs.
 */
#ifndef MANYTUN_ENGINE_WG_TIMERS_H
#define MANYTUN_ENGINE_WG_TIMERS_H

#include "base/heap.h"

#include <stdbool.h>
#include <stdint.h>

struct wg_device;
struct wg_peer;

/* Of those that are due together, as after a suspension, the first is done first. */
enum wg_timer {
    WG_TIMER_ZERO_KEYS,     /* forget all keys; before the others begin anything new */
    WG_TIMER_RETRANSMIT,    /* send the initiation again, or give up */
    WG_TIMER_KEEPALIVE,     /* acknowledge data that was not answered */
    WG_TIMER_NEW_HANDSHAKE, /* our data was not answered: start over */
    WG_TIMER_PERSISTENT,    /* persistent keepalive */
    WG_TIMER_FLUSH,         /* try again to send what is staged */
    WG_TIMER_COUNT
};

struct wg_timers {
    uint64_t due[WG_TIMER_COUNT]; /* WG_NEVER = not pending */
    /* In the heap with a key that is not after the earliest of due; see timers.c. */
    struct heap_node node;
    uint64_t session_jitter;     /* added to the time after which silence starts a handshake */
    uint64_t attempts_began_at;  /* when the present series of initiations was asked for */
    bool need_another_keepalive; /* more data came in while a keepalive was pending */
    bool unanswered;             /* NEW_HANDSHAKE was due, and no session was made since */
    uint16_t persistent_seconds; /* 0 = off */
};

void wg_timers_init(struct wg_timers *timers);
/* Stops all timers. */
void wg_timers_stop(struct wg_peer *peer);

/* --- Facts ---------------------------------------------------------------------------------- */

/* A message with data, not a keepalive, was sent or received. */
void wg_timers_data_sent(struct wg_peer *peer);
void wg_timers_data_received(struct wg_peer *peer);
/* Any authenticated message was sent or received: data, keepalive or handshake. */
void wg_timers_any_sent(struct wg_peer *peer);
void wg_timers_any_received(struct wg_peer *peer);
/* An initiation is wanted for a new reason, not because an earlier one was not answered. */
void wg_timers_initiation_wanted(struct wg_peer *peer);
void wg_timers_initiation_sent(struct wg_peer *peer);
/* An initiation is wanted but may not be sent before this time. */
void wg_timers_initiation_deferred(struct wg_peer *peer, uint64_t until);
void wg_timers_session_derived(struct wg_peer *peer);
/* A session may carry data: the response came in, or the initiator used the session. */
void wg_timers_handshake_complete(struct wg_peer *peer);
/* Packets are staged that could be sent, now or as soon as the sending side has room. */
void wg_timers_flush_wanted(struct wg_peer *peer, uint64_t at);

void wg_timers_set_persistent(struct wg_peer *peer, uint16_t seconds);
/* A keepalive is wanted at once. */
void wg_timers_keepalive_wanted(struct wg_peer *peer);
/* The session there was cannot be used any more, and a new one is wanted at once. */
void wg_timers_renewal_wanted(struct wg_peer *peer);
/* Something that sending needed is there now (a key, an endpoint): whatever waited is tried. */
void wg_timers_kick(struct wg_peer *peer);

/* --- The device's clock --------------------------------------------------------------------- */

/* When wg_timers_expire() has something to do; WG_NEVER = nothing. */
uint64_t wg_timers_deadline(const struct wg_device *device);
/* Does what is due, for a bounded number of peers. */
void wg_timers_expire(struct wg_device *device);

#endif
