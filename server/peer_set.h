/*
 * peer_set: the peers of a supervised tunnel: where each is counted, and where it is, as far as
 * its endpoint is a name that has to be looked up: at first, and again when the peer does not
 * answer (endpoint.h). A peer without a slot is looked up once only.
 *
 * A change of the tunnel makes a new set, which takes over from the present one what stays: the
 * slots and the addresses of peers that are in both. The two-step life of a change:
 *
 *   peer_set_new(before)  ─▶ peer_set_replace(before, set)     the worker has been told
 *                         └▶ peer_set_discard(set)             nothing has happened
 */
#ifndef MANYTUN_SERVER_PEER_SET_H
#define MANYTUN_SERVER_PEER_SET_H

#include "base/counters.h"
#include "base/spec.h"
#include "server/resolver.h"
#include "server/sighting.h"
#include "server/worker_link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer_set;

/* Whose peers they are; the set keeps a copy. */
struct peer_set_owner {
    struct event_base *base;
    struct worker_link *link;
    struct resolver *resolver;
    uint32_t tunnel_slot;
    /* What the name of a peer stands for has become something else. Not when it is first known. */
    void (*readdressed)(void *ctx, const struct spec_peer *peer, const struct resolved *resolved);
    void *ctx;
};

/*
 * The set of a definition, of which the peers are borrowed. sockets tell which families can be
 * used. before is the present set, or NULL; with look_up_all its addresses are not taken over. A
 * peer for which there is no slot left is not counted by itself. 0 or -ENOMEM.
 */
int peer_set_new(const struct peer_set_owner *owner, const struct spec_tunnel *spec,
                 const int sockets[2], const struct peer_set *before, bool look_up_all,
                 struct peer_set **out);
/* How often peers whose endpoint is a name are looked at. */
#define PEER_SET_LOOK_MS 1000
/* Frees a set that came to nothing: the worker has not heard of it. NULL is allowed. */
void peer_set_discard(struct peer_set *set);

/*
 * The worker has the peers of set: tells it what it does not know of them, and lets go of the slots
 * that only the set before had, which is freed. before may be NULL.
 */
void peer_set_replace(struct peer_set *before, struct peer_set *set);
/* The worker has just been told of the tunnel, and knows nothing of the set. */
void peer_set_tell(struct peer_set *set);
/* The worker was told to remove the tunnel: frees the set and its slots. */
void peer_set_remove(struct peer_set *set);

/*
 * What an earlier run of the service has seen of a peer, for a set of which no worker has been told
 * yet: where it is looked for first, and which of its initiations are refused.
 */
void peer_set_restore(struct peer_set *set, size_t index, const struct sighting *sighting);

/* What of a handshake is news: that its end is another than that of the one before. */
enum peer_news {
    PEER_NO_NEWS,
    PEER_ANSWERS,       /* the first one, by this definition of its endpoint */
    PEER_ANSWERS_AGAIN, /* after one that was not answered */
    PEER_SILENT,        /* a series of initiations was not answered */
};

/* Notes how a handshake with the peer with this key ended, if there is one. */
enum peer_news peer_set_note_handshake(struct peer_set *set, const uint8_t public_key[SPEC_KEY_LEN],
                                       bool answered);

/* One peer, in the order of the definition. */
struct supervised_peer {
    const struct spec_peer *spec;
    const struct counters_peer *counters; /* NULL = it is not counted by itself */
    bool looked_up;                       /* its address is known, or is none of ours to know */
    enum lookup_error lookup_error;       /* of the last lookup; or why it cannot be used */
    const struct resolved *resolved;      /* what its name stands for; NULL = unknown, or no name */
    struct timespec next_lookup_at;       /* after one that failed; 0 = none is planned */
    uint64_t since_ns;                    /* monotonic.h: since then the worker knows it */
};

size_t peer_set_count(const struct peer_set *set);
void peer_set_get(const struct peer_set *set, size_t index, struct supervised_peer *out);
/* The index of the peer that comes at this place when they are in the order of their keys. */
size_t peer_set_by_key(const struct peer_set *set, size_t rank);
/* The peer with this key. False when there is none. */
bool peer_set_find(const struct peer_set *set, const uint8_t public_key[SPEC_KEY_LEN],
                   struct supervised_peer *out);

#endif
