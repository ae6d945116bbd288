/*
 * events: what happened to tunnels, forwards, workers and the rest, and who did it: numbered facts
 * in the store, the newest EVENTS_KEPT of them.
 *
 * There are two ways in. An *audit* record (events_record) is written at once, in the transaction
 * of the change that it is about: both are on disk, or neither. Every other fact (events_emit) is
 * queued, and written with others EVENTS_BATCH_MS later; a crash may lose what is queued.
 *
 * Numbers (ids) are given when a fact is written, so that none repeats after a crash, and every
 * number that a reader has seen is on disk. They count up by one. A hole says that facts were lost
 * (the database could not be written, and more were queued than are kept). The order of ids is
 * that of writing; `time` says when it happened.
 *
 * All in the control process's one thread. Every function takes events = NULL: nothing is kept
 * then.
 */
#ifndef MANYTUN_SERVER_EVENTS_H
#define MANYTUN_SERVER_EVENTS_H

#include "store/store.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;
struct events;

/* How many facts are kept; also how many may wait to be written. */
#define EVENTS_KEPT 10000

/* How long a fact may wait for others to be written with. */
#define EVENTS_BATCH_MS 250

/* The longest texts, without the NUL; what is longer is cut. */
#define EVENTS_NAME_MAX    63
#define EVENTS_REASON_MAX  63
#define EVENTS_MESSAGE_MAX 255
#define EVENTS_ACTOR_MAX   79

/* The actor of what nobody asked for. */
#define EVENTS_ACTOR_SYSTEM "system"

/* What can happen. The names, which are stable API, are in a table in events.c. */
enum event_type {
    EVENT_TUNNEL_CREATED,
    EVENT_TUNNEL_CHANGED,
    EVENT_TUNNEL_DELETED,
    EVENT_TUNNEL_CONDITION,
    EVENT_TUNNEL_READDRESSED, /* the name of a peer's endpoint stands for other addresses */
    EVENT_TUNNEL_PEER,        /* one of several peers answers no longer, or does so again */
    EVENT_TUNNEL_FORWARDS,    /* conditions of many of its forwards, which follow from its own */
    EVENT_TUNNEL_CAPTURE_STARTED,
    EVENT_TUNNEL_CAPTURE_ENDED,
    EVENT_FORWARD_CREATED,
    EVENT_FORWARD_CHANGED,
    EVENT_FORWARD_DELETED,
    EVENT_FORWARD_CONDITION,
    EVENT_WORKER_STARTED,
    EVENT_WORKER_DIED,
    EVENT_WORKER_TUNNELS, /* conditions of many of its tunnels, which follow from it */
    EVENT_TOKEN_CREATED,
    EVENT_TOKEN_DELETED,
    EVENT_AUTH_FAILED,
    EVENT_CONFIG_APPLIED,
    EVENT_CONFIG_FAILED,
    EVENT_SERVICE_STARTED,
    EVENT_SERVICE_DRAINING,
    EVENT_SERVICE_STOPPED,
    EVENT_TYPES /* their number */
};

/* One fact, as it is reported. The texts are copied; NULL = there is none. No secrets. */
struct event_fact {
    enum event_type type;
    const char *name;    /* of the object that the type speaks of */
    const char *reason;  /* one word in CamelCase: stable */
    const char *message; /* a sentence for a person */
    const char *actor;   /* NULL = the present one, see events_set_actor() */
    uint64_t generation; /* of the object, 0 = it has none */
};

/* "tunnel.created", and the kind of its object, "tunnel". */
const char *event_type_name(enum event_type type);
const char *event_type_kind(enum event_type type);

/* store is borrowed. 0 or -ENOMEM. */
int events_new(struct event_base *base, struct store *store, struct events **out);
/* Writes what is queued. Watchers must be gone. */
void events_free(struct events *events);

/*
 * Who does what is reported from now on: "token:NAME", "uid:N" (over the Unix socket), "anonymous"
 * (where no token is asked for), "file" (the declarative files) or "system", which it is at first.
 */
void events_set_actor(struct events *events, const char *actor);
const char *events_actor(const struct events *events);

/* Queues a fact. It cannot fail for the caller: what memory cannot hold is counted as lost. */
void events_emit(struct events *events, const struct event_fact *fact);

/*
 * Writes a fact in the transaction that the caller has begun. 0, or what the store returned: the
 * caller then undoes its change.
 */
int events_record(struct events *events, const struct event_fact *fact);

/* How many facts were lost since the start, because the queue was full or memory ran out. */
uint64_t events_lost(const struct events *events);

/* Writes what is queued now. 0 or what the store returned; then it stays queued. */
int events_flush(struct events *events);

/*
 * Writes what is queued. What is emitted from here on is not kept: another process, which takes
 * over, writes the facts now.
 */
void events_hand_over(struct events *events);

/* The ids of the oldest fact that is kept and of the newest; 0 = none. 0, or as the store failed.
 */
int events_span(struct events *events, uint64_t *first, uint64_t *last);

/* Reads facts with ids above after: store_load_events(). */
int events_read(struct events *events, uint64_t after, store_each_event *each, void *ctx);

/*
 * Calls changed() from the loop after facts were written; not within a call of this interface. The
 * watcher is borrowed until it is removed, which changed() may do.
 */
struct events_watcher {
    void (*changed)(void *ctx);
    void *ctx;
    TAILQ_ENTRY(events_watcher) entry;
};

void events_watch(struct events *events, struct events_watcher *watcher);
void events_unwatch(struct events *events, struct events_watcher *watcher);

#endif
