/*
 * service_internal: what the files of the service share. Nobody else includes it.
 */
#ifndef MANYTUN_SERVER_SERVICE_INTERNAL_H
#define MANYTUN_SERVER_SERVICE_INTERNAL_H

#include "base/log.h"
#include "server/events.h"
#include "server/service.h"
#include "server/sockets.h"
#include "server/unreadable.h"

#include <stddef.h>

/* Objects sorted by name. The names are the objects' own and must not change while in here. */
struct service_index {
    struct service_entry {
        const char *name;
        void *object;
    } * entries;
    size_t count;
    size_t capacity;
};

struct service_totals {
    struct event *timer;
    size_t next_tunnel, next_forward; /* where the next portion begins */
    size_t next_peers, next_peer;     /* that of peers: a tunnel, and its peer */
    size_t next_seen, next_seen_peer; /* the same of where they were seen */
    unsigned rounds;                  /* since the one that had the peers */
};

struct service {
    struct event_base *base;
    struct supervisor *supervisor;
    struct store *store;
    struct events *events; /* NULL without a store */
    struct service_index tunnels;
    struct service_index forwards;
    struct service_index unreadable[UNREADABLE_KINDS];
    struct {
        size_t count;
        struct condition condition;
    } unnamed[UNREADABLE_KINDS]; /* unreadable too, and without a name to index them by */
    struct sockets_released released;
    struct service_totals totals;
    struct supervisor_watcher watcher;
    struct {
        void (*call)(void *ctx); /* NULL = nobody wants to know */
        void *ctx;
    } worker_up;
    struct event *sweep; /* looks at all objects, again and again */
    struct event *retry; /* pending while something could not be started */
    unsigned retry_delay_ms;
    bool restored;
    enum service_ready_when ready_when;
    bool settled; /* the workers were all up once, or had the time to be: changes are told */
    bool draining;
    bool frozen;                 /* handing over: nothing may change */
    bool timestamps_refused;     /* the last time that some were to be stored; it was told */
    struct inherited *inherited; /* borrowed while restoring, or NULL */
};

/* Makes room for so many more, so that their insertion cannot fail. 0 or -ENOMEM. */
int service_index_reserve(struct service_index *index, size_t more);
void service_index_insert(struct service_index *index, const char *name, void *object);
void service_index_remove(struct service_index *index, const char *name);
void *service_index_find(const struct service_index *index, const char *name);
/* The first object with a name after this one, or NULL. */
void *service_index_next(const struct service_index *index, const char *name);

/* A bind (or a start) failed with rc: says so for a person. Returns -1. */
int service_start_problem(struct problem *problem, int rc, const char *pointer, const char *what,
                          const struct inet_addr *address, uint16_t port);
/* The store refused with rc: says so for a person. Returns -1. */
int service_store_problem(struct service *service, struct problem *problem, int rc,
                          const char *what, const char *name);
/* Whether anything may be changed now. 0, or -1 with the problem filled. */
int service_check_changeable(const struct service *service, struct problem *problem);
/* Whether the API may change the object. 0, or -1 with the problem filled. */
int service_check_source(struct problem *problem, enum spec_source source, const char *what,
                         const char *name);
/* The generation of an object that is to be created. 0, or -1 with the problem filled. */
int service_first_generation(struct service *service, uint64_t *out, struct problem *problem);

/* Brings an object's conditions up to date; of a tunnel, also what its peers are up to. */
void service_observe_tunnel(struct service *service, struct service_tunnel *tunnel);
void service_observe_forward(struct service *service, struct service_forward *forward);
/* A condition, known by this name, became another: an event, and a line of the log. */
void service_tell_condition(struct service *service, enum event_type type, const char *name,
                            uint64_t generation, const char *known_as,
                            const struct condition *condition);
/* How loudly the log tells of a condition that became another. */
enum log_level service_condition_level(const struct condition *condition);
/* Tells of the tunnels that were observed and wait for it (service_carried.c). */
void service_tell_carried(struct service *service);
/* How many forwards that follow their tunnels, or tunnels that follow their worker, are told of one
 * by one, and else are named. */
#define FOLLOWERS_EACH_MAX  32
#define FOLLOWERS_NAMED_MAX 5
/* Tells of the forwards that were observed and wait for it (service_followers.c). */
void service_tell_followers(struct service *service);
/* Starts to do so regularly, and whenever a worker comes or goes. 0 or -ENOMEM. */
int service_sweep_start(struct service *service);
void service_sweep_stop(struct service *service);

/* Totals: saved regularly from start() to stop(). 0 or -ENOMEM. */
int service_totals_start(struct service *service);
void service_totals_stop(struct service *service);
/* The same as service_forward_totals() without what workers of a former program count. */
struct forward_totals service_own_totals(const struct service_forward *forward);
/* After the objects. 0, or what the store says. */
int service_restore_totals(struct service *service);

/* --- Definitions that cannot be read (service_unreadable.c) ----------------------------------- */

struct store_forward;
struct store_unreadable;
/* Notes a row, for store_load_tunnels() and store_load_forwards(); ctx is the service. */
void service_note_unreadable_tunnel(void *ctx, const struct store_unreadable *row);
void service_note_unreadable_forward(void *ctx, const struct store_unreadable *row);
/* Notes a forward that can be read, and whose tunnel cannot. */
void service_note_waiting_forward(struct service *service, const struct store_forward *row);
/* What a waiting forward had counted. */
void service_note_waiting_totals(struct service *service, const char *name,
                                 const struct forward_totals *totals);
/* After restoring: one fact for each, as far as UNREADABLE_EVENTS_MAX goes. */
void service_report_unreadable(struct service *service);
/* How many forwards of the tunnel there are that are in the database alone. */
size_t service_unreadable_forwards(const struct service *service, const char *tunnel);
/* Deletes their rows, with audit records, in the transaction of a change. 0 or as the store says.
 */
int service_commit_unreadable_forwards(struct service *service, const char *tunnel);
/* After it: they are gone. */
void service_drop_unreadable_forwards(struct service *service, const char *tunnel);
/*
 * A change has put another row in place of the forward's, if it is unreadable; or has not, after
 * all. Until the change is finished the forward does not go with its tunnel.
 */
void service_note_replaced_forward(struct service *service, const char *name, bool replaced);
/* What has this name is unreadable no more, if it was. */
void service_drop_unreadable(struct service *service, enum unreadable_kind kind, const char *name);
void service_drop_all_unreadable(struct service *service);
/* Deletes one. cascade: a tunnel's forwards too. 0, or -1 with the problem filled. */
int service_delete_unreadable(struct service *service, enum unreadable_kind kind, const char *name,
                              bool cascade, struct problem *problem);
/* Whether the name may be given to a new object that is not asked to replace one. 0, or -1 with the
 * problem filled. */
int service_check_unreadable(const struct service *service, enum unreadable_kind kind,
                             const char *name, struct problem *problem);
/* Starts the waiting forwards whose tunnel is there now (service_forwards.c). */
void service_return_forwards(struct service *service);

/*
 * The bounds of timestamps. A tunnel that is created: what it begins with, and its row, in the
 * transaction of its creation. A start: all rows at once (false: that failed, which was logged),
 * then each tunnel. The worker's are told whenever a worker was found. Later on: what runs short.
 */
void service_begin_timestamps(const struct service *service, struct service_tunnel *tunnel);
int service_write_timestamps(struct service *service, const struct service_tunnel *tunnel);
bool service_renew_timestamps(struct service *service);
void service_restore_timestamps(struct service *service, struct service_tunnel *tunnel,
                                bool renewed);
void service_tell_timestamps(const struct service_tunnel *tunnel);
void service_extend_timestamps(struct service *service);

/* Where peers were seen (service_sightings.c): before the worker is told of the tunnel. */
void service_restore_sightings(struct service *service, struct service_tunnel *tunnel);
/* Saves a portion, from the peer *peer of the tunnel *next on, which it moves. 0, or what the store
 * says. */
int service_save_sightings(struct service *service, size_t *next, size_t *peer);

/* Reports a fact, see events_emit(). */
void service_emit(struct service *service, const struct event_fact *fact);
/* Writes the audit record of a change in the transaction of the change, see events_record(). */
int service_record(struct service *service, const struct event_fact *fact);

/* Tries again, later, to start what is not started. */
void service_retry_later(struct service *service);
/* The same, without the delay that has grown: what was in the way is gone. */
void service_retry_soon(struct service *service);

/* Loads and starts every stored object. 0 or a negative errno. */
int service_restore_tunnels(struct service *service);
int service_restore_forwards(struct service *service);
/* Starts what is not started and could be now. True when something is left. */
bool service_retry_tunnels(struct service *service);
bool service_retry_forwards(struct service *service);

/* Take what a predecessor has bound for the object, if it has (service_takeover.c). */
void service_inherit_tunnel(struct service *service, struct service_tunnel *tunnel);
void service_inherit_bridge(struct service *service, struct service_tunnel *tunnel);
void service_inherit_forward(struct service *service, struct service_forward *forward);

/* Closes the listeners that no worker has. */
void service_unlisten_idle_forwards(struct service *service);

/* Adds an error for each forward whose target the addresses of this definition cannot reach. */
void service_check_targets(struct service *service, const struct service_tunnel *tunnel,
                           const struct spec_tunnel *spec, struct spec_errors *errors);

/* An object that is in no index and has no sockets yet; it shares what spec points to. Or NULL. */
struct service_tunnel *service_new_tunnel(const struct spec_tunnel *spec);
struct service_forward *service_new_forward(const struct spec_forward *spec,
                                            struct service_tunnel *tunnel);

/* How often a port that port 0 was before a restart is asked for, before another one is. */
#define SERVICE_SAME_PORT_ATTEMPTS 4

/* Binds what is not bound. 0 or a negative errno. */
int service_bind_tunnel(struct service *service, struct service_tunnel *tunnel);
int service_bind_forward(struct service_forward *forward);
/* Puts a forward into the index, where there is room. */
void service_add_forward(struct service *service, struct service_forward *forward);
/* Closes and frees a tunnel in no index, of which somebody else has the specification. */
void service_abandon_tunnel(struct service *service, struct service_tunnel *tunnel);

/* Ends an object and frees it; the store is not touched. */
void service_drop_tunnel(struct service *service, struct service_tunnel *tunnel);
void service_drop_forward(struct service *service, struct service_forward *forward);

#endif
