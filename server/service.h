/*
 * service: the operations behind API and command line, on tunnels and forwards.
 *
 * A creation is: validate → bind → commit to the store → push to the worker; a failure unwinds all
 * of it, so that success means listening *and* on disk. Synchronous: nothing waits for a worker.
 * All in the control process's one thread.
 */
#ifndef MANYTUN_SERVER_SERVICE_H
#define MANYTUN_SERVER_SERVICE_H

#include "base/spec.h"
#include "server/conditions.h"
#include "server/peer_totals.h"
#include "server/problem.h"
#include "server/supervisor.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

struct capture;
struct events;
struct service;
struct store;

/*
 * A generation grows with every change of the definition, and an object begins above all that were
 * deleted before: what was read of a deleted one never matches the next one of its name.
 * The conditions are those of the moment at which a function below handed the object out.
 */
struct tunnel_totals {
    uint64_t rx_bytes, tx_bytes, handshakes;
};

struct forward_totals {
    uint64_t connections, connect_failures, bytes_in, bytes_out;
};

/* Used by service_tell_followers() alone, and zero before and after it. */
struct service_followers {
    size_t tunnel_ready, ready; /* forwards whose condition is to be told of */
    bool told;
};

/* Of the initiations that are sent, in nanoseconds since 1970 (timestamps.h). */
struct tunnel_timestamps {
    uint64_t after_ns; /* may have been sent before the start */
    uint64_t until_ns; /* the store has this, and none passes it */
    uint64_t seen_ns;  /* the latest, when until_ns was last moved */
};

struct service_tunnel {
    struct spec_tunnel spec;
    enum spec_source source;
    uint8_t public_key[SPEC_KEY_LEN];
    uint64_t generation;
    struct timespec created_at;
    struct condition conditions[TUNNEL_CONDITIONS];
    struct tunnel_totals counted_before; /* by other slots than the present one */
    struct tunnel_totals saved;          /* what the store has */
    struct peer_tally *peers;            /* of each peer, in the order of the definition */
    struct service_followers followers[CONDITION_STATUSES];
    unsigned untold;       /* a bit per condition that service_tell_carried() is to tell of */
    bool told_with_worker; /* during a sweep: with its worker's others, and so are its forwards */
    struct tunnel_timestamps timestamps;
    bool out_of_reach; /* there are peers, and none can be reached */
    int sockets[2];    /* outer UDP, IPv4 and IPv6; -1 = none */
    uint16_t port;     /* the outer port that was bound; 0 = none */
    int start_error;   /* errno while supervised is NULL: why; it is tried again */
    size_t forwards;   /* how many forwards use it */
    struct supervised_tunnel *supervised; /* NULL while not bound */
};

struct retired_share;

struct service_forward {
    struct spec_forward spec;
    enum spec_source source;
    struct service_tunnel *tunnel;
    uint64_t generation;
    struct timespec created_at;
    struct condition conditions[FORWARD_CONDITIONS];
    struct forward_totals counted_before;
    struct forward_totals saved;
    SLIST_HEAD(, retired_share) retired; /* what workers of a former program count on top of it */
    bool untold_tunnel_ready; /* the condition is another, and no event has told of it yet */
    bool untold_ready;        /* the same of Ready, where that followed from it */
    uint64_t target_since_ns; /* monotonic.h: from which on the target is what it is */
    int listener;             /* -1 = not bound (start_error says why) or not enabled */
    uint16_t bound_port;      /* what port 0 became; kept across restarts while it is free */
    bool port_unsaved;        /* bound_port differs from what the store has */
    unsigned attempts;        /* that were made at the port that port 0 was before a restart */
    int start_error;          /* errno while enabled and not listening: why; it is tried again */
    struct supervised_forward *supervised; /* NULL while not listening, or its tunnel is not up */
};

/* store may be NULL: nothing is kept, no events either. supervisor and store are borrowed. */
int service_new(struct event_base *base, struct supervisor *supervisor, struct store *store,
                struct service **out);
/* Closes every socket. The definitions stay in the store. NULL is allowed. */
void service_free(struct service *service);

/*
 * Loads everything from the store and starts it. What cannot be bound is kept, shows why, and is
 * tried again. Returns 0, or -1 with *problem filled when the store cannot be read.
 */
int service_restore(struct service *service, struct problem *problem);
/*
 * Ends accepting on every forward and lets the connections finish; done is called once when there
 * is none left, maybe before this returns. What is not started is not tried again. There is no way
 * back but service_free(); until then definitions can be read, and should not be changed.
 */
void service_drain(struct service *service, void (*done)(void *ctx), void *ctx);
bool service_draining(const struct service *service);
/* Whether it is being handed over to another process, and cannot be changed. */
bool service_frozen(const struct service *service);
/* Connections that are open now, of all forwards. */
uint64_t service_connections(const struct service *service);
/*
 * Looks at every object, which is done once in SERVICE_SWEEP_MS too: a condition that became
 * another is stamped with the time, logged, and an event.
 */
#define SERVICE_SWEEP_MS 1000
void service_sweep(struct service *service);
bool service_restored(const struct service *service);
/* Which tunnels have to be up for the service to be ready. */
enum service_ready_when { SERVICE_READY_STARTED, SERVICE_READY_REQUIRED, SERVICE_READY_ALL };
/* "started" (none), "required" (those that say so) or "all". 0 or -EINVAL. */
int service_ready_when_parse(const char *text, enum service_ready_when *out);
void service_set_ready_when(struct service *service, enum service_ready_when when);
struct service_awaited {
    size_t count, up;
    const char *missing; /* the name of the first that is not up, or NULL */
};
/*
 * The tunnels that have to be up: Ready, and a handshake was made since the service was started.
 * One that has become idle stays up.
 */
void service_await(const struct service *service, struct service_awaited *out);
/* Restored, not draining, a worker is alive, and the tunnels that have to be up are. */
bool service_ready(const struct service *service);
/* up is called from the loop when a worker was told all that it is to do; NULL = nothing is. */
void service_on_worker_up(struct service *service, void (*up)(void *ctx), void *ctx);
void service_workers(const struct service *service, unsigned *alive, unsigned *total);

/* What happens to the objects, and is told of this service; NULL without a store. */
struct events *service_events(struct service *service);
/* Who makes the changes from now on, see events_set_actor(). */
void service_set_actor(struct service *service, const char *actor);

/*
 * Creates. The spec is moved from (its contents belong to the service and *spec is zeroed) on
 * success, untouched on failure. 0, or -1 with *problem filled. *out is the new object.
 */
int service_create_tunnel(struct service *service, struct spec_tunnel *spec,
                          const struct service_tunnel **out, struct problem *problem);
int service_create_forward(struct service *service, struct spec_forward *spec,
                           const struct service_forward **out, struct problem *problem);

/*
 * Changes it (see service_update_tunnel()) or, where there is none, creates it, also in the place
 * of a stored definition that cannot be read (unreadable.h). A tunnel's forwards that could not be
 * started without it are started then.
 */
int service_put_tunnel(struct service *service, struct spec_tunnel *spec,
                       const struct service_tunnel **out, struct problem *problem);
int service_put_forward(struct service *service, struct spec_forward *spec,
                        const struct service_forward **out, struct problem *problem);

/*
 * Whether the definition of a tunnel could be created, or changed into this, as far as that shows
 * without binding anything. 0, or -1 with *problem filled.
 */
int service_check_tunnel(struct service *service, const struct spec_tunnel *spec,
                         struct problem *problem);

/*
 * Changes the object that has the specification's name, which is moved from as above. What a file
 * defines is changed there: a conflict, as is its deletion. Where nothing
 * differs, nothing happens and the generation stays. Else: validate → bind what is bound elsewhere,
 * before the present socket is let go of → commit → push; on failure all is as it was. Only what
 * differs restarts:
 *
 *   forward  listen             another listener; open connections go on, clients that were not
 *                               accepted yet are reset
 *            target, timeouts   for new connections
 *            tunnel, enabled    its connections end
 *   tunnel   peers, keys        sessions with peers that stay go on
 *            listen             other outer sockets
 *            addresses, mtu     its connections end
 *
 * A listen port of 0 keeps the port that is bound. A port cannot be bound at another address that
 * overlaps with the present one: that is a conflict with itself.
 */
int service_update_tunnel(struct service *service, struct spec_tunnel *spec,
                          const struct service_tunnel **out, struct problem *problem);
int service_update_forward(struct service *service, struct spec_forward *spec,
                           const struct service_forward **out, struct problem *problem);

/*
 * Deletes, also what is in the database alone (unreadable.h), with all forwards of a tunnel if
 * cascade, else a tunnel in use is a conflict. The ports are free when this returns.
 */
int service_delete_tunnel(struct service *service, const char *name, bool cascade,
                          struct problem *problem);
int service_delete_forward(struct service *service, const char *name, struct problem *problem);

const struct service_tunnel *service_find_tunnel(struct service *service, const char *name);
const struct service_forward *service_find_forward(struct service *service, const char *name);

/* What a peer's health is judged from; see conditions.h. */
struct peer_facts service_peer_facts(const struct supervised_peer *peer);

/*
 * What an object has counted since it was created, whatever was restarted since. Saved every
 * SERVICE_TOTALS_MS, and at the end: a crash loses what was counted after. What connections that
 * live on with the workers of a former program count is in it.
 */
#define SERVICE_TOTALS_MS 30000
/* Those of single peers are saved in every round of so many: thousands may be alive. */
#define SERVICE_PEER_ROUNDS 10
struct tunnel_totals service_tunnel_totals(const struct service_tunnel *tunnel);
/* Of the peer at this place of the definition. */
struct peer_totals service_peer_totals(const struct service_tunnel *tunnel, size_t place);
struct forward_totals service_forward_totals(const struct service_forward *forward);
void service_save_totals(struct service *service);

/*
 * Captures what goes through a tunnel from here on, both ways, inside (capture.h): up to max_bytes
 * of file. It shows what users send, so that it is on record (an event that is on disk) before the
 * first packet is. It ends with the tunnel, its worker, or the service.
 * 0, or -1 with *problem filled.
 */
int service_capture(struct service *service, const char *name, uint64_t max_bytes,
                    struct capture **out, struct problem *problem);
/* Ends a capture of that tunnel, which is freed, and reports what it has seen. */
void service_capture_end(struct service *service, const char *name, struct capture *capture);

static inline bool service_tunnel_is_ready(const struct service_tunnel *tunnel)
{
    return tunnel->conditions[TUNNEL_READY].is.status == CONDITION_TRUE;
}

static inline bool service_forward_is_ready(const struct service_forward *forward)
{
    return forward->conditions[FORWARD_READY].is.status == CONDITION_TRUE;
}

/* Objects in the order of their names: the first one with a name > after ("" = from the start). */
const struct service_tunnel *service_next_tunnel(struct service *service, const char *after);
const struct service_forward *service_next_forward(struct service *service, const char *after);

#endif
