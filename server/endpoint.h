/*
 * endpoint: where a peer with a name may be, and what to do when it does not answer there.
 *
 * A name has several addresses, of both families, and they change. As long as handshakes are
 * answered nothing is done: where the peer is, is what the last authentic packet said. An
 * initiation that is not answered for ENDPOINT_PATIENCE is reason
 *
 *   - to look the name up again, with back-off and jitter, but only after further initiations: a
 *     peer that nobody talks to costs no lookups;
 *   - to try the next address with the next initiation (IPv4 after IPv6, and so on in a circle).
 *     The one where the peer answered last is given a second chance, and is part of the circle.
 *
 * An answer without the address in use moves the peer at once. Nothing here decides over a live
 * session: the worker refuses what was looked up while the peer is heard (wg_peer_offer_endpoint).
 *
 * No clock, no sockets and no memory: judged from plain facts.
 */
#ifndef MANYTUN_SERVER_ENDPOINT_H
#define MANYTUN_SERVER_ENDPOINT_H

#include "base/inet.h"
#include "server/resolver.h"

#include <stdbool.h>
#include <stdint.h>

/* How long an initiation may be on its way. The next one follows after 5 s. */
#define ENDPOINT_PATIENCE_MS 1000
/* Between two lookups for want of answers: doubling, and up to a quarter more or less. */
#define ENDPOINT_LOOKUP_MIN_MS 5000
#define ENDPOINT_LOOKUP_MAX_MS 60000

/* Zeroed = nothing is known. A plain value: it can be copied. */
struct endpoint {
    struct resolved resolved;    /* what the name stood for last */
    union inet_sockaddr proven;  /* where a handshake was answered last; AF_UNSPEC = nowhere */
    uint64_t handshakes;         /* as of the last look */
    uint64_t unanswered;         /* … */
    uint64_t unanswered_since;   /* ms */
    bool acted;                  /* on this number of unanswered initiations */
    uint64_t next_lookup_at;     /* ms; not before */
    uint64_t lookup_interval_ms; /* 0 = all is well */
};

/* What is seen of the peer. */
struct endpoint_facts {
    uint64_t handshakes;             /* sessions, ever */
    uint64_t unanswered;             /* initiations since the last handshake */
    const union inet_sockaddr *used; /* where packets to it go now; AF_UNSPEC = nowhere */
};

struct endpoint_advice {
    bool move_on; /* to endpoint_next() */
    bool look_up;
};

/* now_ms is monotonic, random is for the jitter. To be called every second or so. */
struct endpoint_advice endpoint_judge(struct endpoint *endpoint, const struct endpoint_facts *facts,
                                      uint64_t now_ms, uint32_t random);

/* An answer came. True when the peer is to move to endpoint_next(): used is not among it. */
bool endpoint_resolved(struct endpoint *endpoint, const struct resolved *resolved,
                       const union inet_sockaddr *used);

/*
 * The address to try after used (which may be none of them, or AF_UNSPEC: then the first), of those
 * that reachable() is true of; of all, if it is true of none. NULL when there is no other than
 * used.
 */
const union inet_sockaddr *endpoint_next(const struct endpoint *endpoint,
                                         const union inet_sockaddr *used,
                                         bool (*reachable)(const union inet_sockaddr *address));
/* Where to begin: where the peer answered last, else as endpoint_next(). NULL = it is not known. */
const union inet_sockaddr *endpoint_first(const struct endpoint *endpoint,
                                          bool (*reachable)(const union inet_sockaddr *address));

#endif
