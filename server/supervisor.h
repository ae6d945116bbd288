/*
 * supervisor: the worker processes, and what each of them is to do.
 *
 * It starts N workers, gives every tunnel to one of them (least loaded; stable after), pushes
 * definitions and descriptors, and when a worker dies starts it again with back-off and pushes all
 * of that again: the same listeners, so that no client is refused meanwhile.
 *
 * Nothing here waits for a worker. Definitions are borrowed, and must stay where they are
 * until removed; they change only between two calls of which the second is an update. Descriptors
 * are borrowed too: the caller closes them after the removal, or after the update that replaced
 * them.
 */
#ifndef MANYTUN_SERVER_SUPERVISOR_H
#define MANYTUN_SERVER_SUPERVISOR_H

#include "engine/counters.h"
#include "engine/spec.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct supervisor;
struct supervised_tunnel;
struct supervised_forward;

struct supervisor_config {
    unsigned workers;    /* 0 = one per CPU */
    const char *program; /* the binary to execute; NULL = this one (/proc/self/exe) */
};

/* 0 or -errno. The workers are started at once. */
int supervisor_new(struct event_base *base, const struct supervisor_config *config,
                   struct supervisor **out);
/* Ends the workers (channel closed, then SIGKILL after a moment) and reaps them. NULL is allowed.
 */
void supervisor_free(struct supervisor *supervisor);

/*
 * Ends accepting on every listener that was given, also in the descriptors that the caller has, and
 * lets the connections finish. done is called once, when there is none left; maybe before this
 * returns. A worker that dies meanwhile is not started again.
 */
void supervisor_drain(struct supervisor *supervisor, void (*done)(void *ctx), void *ctx);

unsigned supervisor_workers(const struct supervisor *supervisor);
unsigned supervisor_workers_alive(const struct supervisor *supervisor);
/* One worker, by its number below supervisor_workers(). Its counters outlive its process. */
bool supervisor_worker_alive(const struct supervisor *supervisor, unsigned index);
const struct counters_worker *supervisor_worker_counters(const struct supervisor *supervisor,
                                                         unsigned index);

/* sockets: outer UDP, [0] IPv4 and [1] IPv6, -1 where there is none. 0, -ENOMEM, -ENOSPC (slots).
 */
int supervisor_add_tunnel(struct supervisor *supervisor, const struct spec_tunnel *spec,
                          const int sockets[2], struct supervised_tunnel **out);
/*
 * The definition was changed where it lies; what it pointed to before must stay until this returns.
 * sockets are the new ones, NULL = those of before. The worker changes what differs. 0, or -ENOMEM:
 * then nothing has happened, and the definition must be changed back.
 */
int supervisor_update_tunnel(struct supervised_tunnel *tunnel, const int sockets[2]);
/* Its forwards must have been removed. The worker closes its connections. */
void supervisor_remove_tunnel(struct supervised_tunnel *tunnel);

/* listener: a bound, listening, non-blocking TCP socket. 0, -ENOMEM, -ENOSPC. */
int supervisor_add_forward(struct supervised_tunnel *tunnel, const struct spec_forward *spec,
                           int listener, struct supervised_forward **out);
/*
 * The definition was changed where it lies, but for its tunnel. listener is the new one, -1 = the
 * one of before. Open connections go on. 0, or -ENOMEM as above.
 */
int supervisor_update_forward(struct supervised_forward *forward, int listener);
void supervisor_remove_forward(struct supervised_forward *forward);

/* Live counters; the pointer is valid until the removal. Slots start at zero. */
const struct counters_tunnel *supervisor_tunnel_counters(const struct supervised_tunnel *tunnel);
const struct counters_forward *
supervisor_forward_counters(const struct supervised_forward *forward);
/* The worker that carries the tunnel: its number and whether it is alive. */
unsigned supervisor_tunnel_worker(const struct supervised_tunnel *tunnel);
bool supervisor_tunnel_worker_alive(const struct supervised_tunnel *tunnel);

#endif
