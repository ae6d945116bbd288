/*
 * worker_link: control's end of one worker: its process, channel, shared counters and slots.
 *
 *   DOWN ─ spawn ─▶ STARTING ─ HELLO ─▶ UP
 *     ▲                │                 │   exit, kill, channel error
 *     └─ back-off ─────┴─────────────────┘
 *
 * After worker_link_drain() or worker_link_retire() a worker that is down stays down.
 *
 * The counters and the slots outlive the process: a worker that is started again goes on with them.
 */
#ifndef MANYTUN_SERVER_WORKER_LINK_H
#define MANYTUN_SERVER_WORKER_LINK_H

#include "base/counters.h"
#include "base/messages.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

/* Delay before a worker is started again: nothing the first time, then doubling. */
#define WORKER_LINK_BACKOFF_MIN_MS 100
#define WORKER_LINK_BACKOFF_MAX_MS 5000
/* A worker that lived this long is started again at once. */
#define WORKER_LINK_STABLE_SECONDS 10
/* A worker that has not said HELLO by then is killed. */
#define WORKER_LINK_HELLO_SECONDS 10

struct worker_link;

/* How a worker's process ended. */
struct worker_end {
    int pid;
    int status; /* as from waitpid() */
    bool again; /* another one is started, wait_ms later */
    unsigned wait_ms;
};

enum worker_slot_kind {
    WORKER_SLOT_TUNNEL,
    WORKER_SLOT_FORWARD,
    WORKER_SLOT_PEER,
    WORKER_SLOT_KINDS
};

struct worker_link_ops {
    /* The worker knows nothing yet: push everything that belongs to it. */
    void (*up)(void *ctx, struct worker_link *link);
    /* Its process has ended. */
    void (*down)(void *ctx, struct worker_link *link, const struct worker_end *end);
    /* What became of a tunnel or a forward. */
    void (*result)(void *ctx, struct worker_link *link, enum worker_slot_kind kind,
                   const struct message_result *result);
    /* A fact about a peer. */
    void (*tunnel_event)(void *ctx, struct worker_link *link,
                         const struct message_tunnel_event *event);
    /* After worker_link_drain(), once: it has no connection left, or no process. After
     * worker_link_retire(), once: it has retired, or has no process. */
    void (*drained)(void *ctx, struct worker_link *link);
};

/* Spawns the worker. program is executed with the arguments "worker" INDEX LOG-LEVEL LOG-FORMAT. 0
 * or -errno.
 */
int worker_link_new(struct event_base *base, unsigned index, const char *program,
                    const struct worker_link_ops *ops, void *ctx, struct worker_link **out);
/* Closes the channel, waits a moment for the process to end, kills it otherwise. NULL is allowed.
 */
void worker_link_free(struct worker_link *link);

unsigned worker_link_index(const struct worker_link *link);
/* How many times it was started. */
uint64_t worker_link_starts(const struct worker_link *link);
/* 0 = there is none now. */
int worker_link_pid(const struct worker_link *link);
bool worker_link_is_up(const struct worker_link *link);
/* To be called on SIGCHLD: reaps the process if it has ended, and plans the next. */
void worker_link_reap(struct worker_link *link);

/* Lets the worker accept nobody any more, and finish what it has. drained() may come before this
 * returns. */
void worker_link_drain(struct worker_link *link);
/* Lets the worker go on alone, until it has no connection left. As above, each time it is said. */
void worker_link_retire(struct worker_link *link);
/*
 * What another process needs to look after a worker that has retired: duplicates of its channel,
 * which ends it when it is closed, and a descriptor of its process. 0; -ESRCH (it has ended) or
 * -errno.
 */
int worker_link_share(const struct worker_link *link, int fds[2], pid_t *pid);
/* Kills it when it has not answered worker_link_retire() yet. */
void worker_link_give_up(struct worker_link *link);

/*
 * Sends a command; as message_send(). While the worker is not up this does nothing (it is told
 * everything in up()). When memory runs out for json it is sent without, which the worker answers
 * with a result. A worker that cannot be sent even that (it does not read its channel, or memory
 * ran out) is killed, and this does nothing until the next one is up, which is told everything.
 */
void worker_link_send(struct worker_link *link, enum message_type type, const void *fixed,
                      size_t len, const cJSON *json, const int fds[CHANNEL_FDS_MAX]);
/* The same for what the worker may miss: nothing happens to it. 0, -ENOTCONN (it is not up) or as
 * message_send(). */
int worker_link_try_send(struct worker_link *link, enum message_type type, const void *fixed,
                         size_t len, const int fds[CHANNEL_FDS_MAX]);

/* Takes a free slot, whose counters are zero. 0 or -ENOSPC. */
int worker_link_slot_get(struct worker_link *link, enum worker_slot_kind kind, uint32_t *slot);
/* Gives back a slot that the worker was never told of. */
void worker_link_slot_put(struct worker_link *link, enum worker_slot_kind kind, uint32_t slot);
/* Gives it back: the worker is told to remove the object, and the slot is free when it has. */
void worker_link_slot_remove(struct worker_link *link, enum worker_slot_kind kind, uint32_t slot);

/* The counters of a peer's slot that was just taken, for what its worker is to go on from. */
struct counters_peer *worker_link_fresh_peer(struct worker_link *link, uint32_t slot);
const struct counters *worker_link_counters(const struct worker_link *link);
int worker_link_counters_fd(const struct worker_link *link);

#endif
