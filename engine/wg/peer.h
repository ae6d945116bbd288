/*
 * peer: struct wg_peer, as the files of this folder share it. The functions that users call are in
 * device.h.
 */
#ifndef MANYTUN_ENGINE_WG_PEER_H
#define MANYTUN_ENGINE_WG_PEER_H

#include "engine/wg/allowedips.h"
#include "engine/wg/cookie.h"
#include "engine/wg/device.h"
#include "engine/wg/handshake.h"
#include "engine/wg/indices.h"
#include "engine/wg/keypair.h"
#include "engine/wg/staged.h"
#include "engine/wg/table.h"
#include "engine/wg/timers.h"

#include <sys/queue.h>

struct wg_peer {
    struct wg_device *device;
    void *ctx;            /* the user's */
    struct wg_peer *next; /* in the device's list */
    struct wg_peer *prev; /* NULL: the first */
    struct table_node by_key;
    TAILQ_ENTRY(wg_peer) change; /* in the device's queue, while changed */
    bool changed;

    struct handshake handshake;
    struct index_entry handshake_index; /* ours, while a handshake is going on */
    uint32_t handshake_remote_index;
    uint64_t handshake_sent_at;     /* the last initiation or response; 0 = long ago */
    uint64_t initiation_refused_at; /* the sending side was full then; 0 = never */
    struct cookie_maker cookies;
    struct keypairs keypairs;

    struct wg_endpoint endpoint;
    uint64_t received_at; /* the last authentic message; 0 = never */
    struct allowedips_owner allowed;
    struct staged staged;
    struct wg_timers timers;
    struct wg_peer_stats stats;
};

bool wg_peer_has_endpoint(const struct wg_peer *peer);
/* An authenticated message came from there: answers go there from now on. */
void wg_peer_roam(struct wg_peer *peer, const struct wg_endpoint *from);
/* The local address that was talked to may not work any more: any will do. */
void wg_peer_clear_source(struct wg_peer *peer);
/* An initiation was sent, or could not be: see struct wg_peer_stats. */
void wg_peer_count_unanswered(struct wg_peer *peer);
void wg_peer_count_given_up(struct wg_peer *peer);
/* Counts an authenticated message. */
void wg_peer_count_received(struct wg_peer *peer, size_t len);
void wg_peer_count_sent(struct wg_peer *peer, size_t len);
/* Drops the handshake that is going on, and its index. */
void wg_peer_forget_handshake(struct wg_peer *peer);
/* Our private key has changed. */
void wg_peer_key_changed(struct wg_peer *peer);
/* A session may carry data. */
void wg_peer_session_ready(struct wg_peer *peer);
void wg_peer_tell(struct wg_peer *peer, enum wg_event event);

#endif
