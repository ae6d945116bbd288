/*
 * relay: one forwarded TCP connection: a client's socket on this host and a connection of a
 * virtual stack, with bytes going both ways.
 *
 * Nothing is read from either side that the other side has not asked for: the client's socket is
 * read into one shared buffer only as far as the stack takes it, and the stack's receive window
 * opens only for what the client's socket took. So an idle relay holds no buffer, and a reader that
 * stops costs one receive window and slows nobody.
 *
 *   CONNECTING ─ connected ─▶ OPEN ─ end of stream from both, or an error, or relay_close() ─▶ gone
 */
#ifndef MANYTUN_ENGINE_FORWARD_RELAY_H
#define MANYTUN_ENGINE_FORWARD_RELAY_H

#include "base/counters.h"
#include "base/spec.h"
#include "engine/turn.h"

#include <event2/event.h>
#include <sys/queue.h>

struct relay;
struct tunnel;
LIST_HEAD(relay_list, relay);

/* What the relays of one forward have in common; outlives them. */
struct relay_group {
    struct event_base *base;
    struct turn *turn;
    struct tunnel *tunnel;
    const struct spec_forward *spec; /* what new relays go by; may change between two of them */
    struct counters_forward *counters;
    struct relay_list relays;
};

/*
 * Takes over an accepted, non-blocking socket and dials spec's target through the tunnel. When
 * that fails at once the client is reset. 0 or -errno (the socket is closed then, too).
 */
int relay_start(struct relay_group *group, int client);
/* Ends every relay of the group with a reset on both sides. */
void relay_close_all(struct relay_group *group);

#endif
