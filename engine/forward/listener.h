/*
 * listener: a local TCP forward: accepts clients on a listening socket that control has bound, and
 * starts a relay for each.
 */
#ifndef MANYTUN_ENGINE_FORWARD_LISTENER_H
#define MANYTUN_ENGINE_FORWARD_LISTENER_H

#include "base/counters.h"
#include "base/spec.h"
#include "engine/turn.h"

#include <event2/event.h>
#include <stdbool.h>

/* Clients accepted in one turn, so that a flood of them does not starve the connections. */
#define LISTENER_ACCEPTS_PER_TURN 64
/* Clients that are taken out of the backlog before it is closed. */
#define LISTENER_BACKLOG_MAX 4096
/* How long to leave clients in the backlog when descriptors or memory ran out. */
#define LISTENER_PAUSE_MS 100

struct listener;
struct tunnel;

struct listener_config {
    struct event_base *base;
    struct turn *turn;
    struct tunnel *tunnel; /* outlives the listener */
    int fd;                /* listening, non-blocking */
    struct counters_forward *counters;
    struct counters_worker *worker_counters;
};

/* Copies spec and takes over config->fd, also when it fails. 0 or -ENOMEM. */
int listener_new(const struct listener_config *config, const struct spec_forward *spec,
                 struct listener **out);
/*
 * Changes what new connections go by; those that are open stay as they are. fd, unless -1, is
 * listened on in place of the present one, which is closed; it is taken over, also when this fails:
 * -ENOMEM, and nothing is accepted any more.
 */
int listener_update(struct listener *listener, const struct spec_forward *spec, int fd);
/*
 * Accepts who waits in the backlog, then nobody any more, in no process that has the socket: it is
 * shut down. Open connections go on.
 */
void listener_drain(struct listener *listener);
/*
 * Stops accepting here only, until listener_update() brings a socket: this one, which others have,
 * stays open. Connections go on.
 */
void listener_retire(struct listener *listener);
struct tunnel *listener_tunnel(const struct listener *listener);
/* Of its forward. */
const char *listener_name(const struct listener *listener);
/* Whether it has no connection. */
bool listener_is_idle(const struct listener *listener);
/* Stops accepting and ends its connections. NULL is allowed. */
void listener_free(struct listener *listener);

#endif
