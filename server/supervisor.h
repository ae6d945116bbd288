/*
 * supervisor: the worker processes, and what each of them is to do.
 *
 * It starts N workers, gives every tunnel to one of them (least loaded; stable after), pushes
 * definitions and descriptors, and when a worker dies starts it again with back-off and pushes all
 * of that again: the same listeners, so that no client is refused meanwhile.
 *
 * What a worker could not do for want of memory or descriptors it is told again, until it has.
 *
 * Nothing here waits for a worker. An addition and an update have two steps, so that a change of
 * many objects can be made as one: reserving and preparing do all that can fail, and the worker
 * hears nothing of it; telling it cannot fail.
 *
 * Definitions are borrowed, and must stay where they are until removed; they change only between
 * the preparation of an update and its telling. Descriptors are borrowed too: the caller closes
 * them, with descriptor_close(), after the removal, or after telling the update that replaced them.
 */
#ifndef MANYTUN_SERVER_SUPERVISOR_H
#define MANYTUN_SERVER_SUPERVISOR_H

#include "base/counters.h"
#include "base/spec.h"
#include "server/peer_set.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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

/*
 * Tells of workers: up() when one was told all that it is to do, down() when its process has ended;
 * of a peer whose name has come to stand for other addresses than before: readdressed(); and of one
 * that answers no longer, or does so again: peer_news(). Called from the loop. The watcher is
 * borrowed until another one, or NULL, takes its place.
 */
struct supervisor_watcher {
    void (*up)(void *ctx, unsigned worker, int pid);
    void (*down)(void *ctx, unsigned worker, const struct worker_end *end);
    void (*readdressed)(void *ctx, const struct spec_tunnel *tunnel, const struct spec_peer *peer,
                        const struct resolved *resolved);
    void (*peer_news)(void *ctx, const struct spec_tunnel *tunnel, const struct spec_peer *peer,
                      enum peer_news news);
    void *ctx;
};
void supervisor_watch(struct supervisor *supervisor, const struct supervisor_watcher *watcher);
/*
 * Takeover, the older side: every tunnel gets a bridge, every worker retires; done is called once,
 * when all have, or are gone (maybe before this returns). A worker that takes too long is killed.
 * There is no way back; but when the newer side is lost, this once more makes other bridges.
 */
void supervisor_retire(struct supervisor *supervisor, void (*done)(void *ctx), void *ctx);
/*
 * The other end of a tunnel's bridge, for the newer side; borrowed, and closed with
 * descriptor_close(), -1 = there is none. It stays open, so that the newer side's death is not the
 * end of the connections.
 */
int supervisor_bridge(const struct supervised_tunnel *tunnel);
/* As worker_link_share(), for the worker of that number. */
int supervisor_share_worker(const struct supervisor *supervisor, unsigned index, int fds[2],
                            pid_t *pid);
/* The memory of its counters, as it is mapped here, and its descriptor; both are borrowed. */
const void *supervisor_worker_segment(const struct supervisor *supervisor, unsigned index, int *fd);
/* The newer side: gives a tunnel, of which the worker was told, the end of a bridge to keep. */
void supervisor_adopt_tunnel(struct supervised_tunnel *tunnel, int bridge);

/*
 * Sends every inner packet of a tunnel, of which the worker was told, to the other end of fd
 * (base/tap_frame.h), which is closed here. 0; -ENOTCONN: there is no worker now; or another
 * -errno: it could not be told, and goes on without.
 */
int supervisor_capture_tunnel(struct supervised_tunnel *tunnel, int fd, uint64_t max_bytes);

unsigned supervisor_workers(const struct supervisor *supervisor);
unsigned supervisor_workers_alive(const struct supervisor *supervisor);
/* One worker, by its number below supervisor_workers(). Its counters outlive its process. */
uint64_t supervisor_worker_starts(const struct supervisor *supervisor, unsigned index);
/* Its process, 0 = there is none now. */
int supervisor_worker_pid(const struct supervisor *supervisor, unsigned index);
bool supervisor_worker_alive(const struct supervisor *supervisor, unsigned index);
const struct counters_worker *supervisor_worker_counters(const struct supervisor *supervisor,
                                                         unsigned index);

/*
 * place is where the definition will lie when the worker is told, spec what it will be. sockets:
 * outer UDP, [0] IPv4 and [1] IPv6, -1 where there is none. 0, -ENOMEM, -ENOSPC (slots).
 */
int supervisor_reserve_tunnel(struct supervisor *supervisor, const struct spec_tunnel *place,
                              const struct spec_tunnel *spec, const int sockets[2],
                              struct supervised_tunnel **out);
/*
 * next is what the definition will be: it is moved to where the definition lies before the worker
 * is told, and what the old one points to must stay until then. sockets are the new ones, NULL =
 * those of before. The worker changes what differs. 0 or -ENOMEM.
 */
int supervisor_prepare_tunnel(struct supervised_tunnel *tunnel, const struct spec_tunnel *next,
                              const int sockets[2]);
/*
 * The bounds of the tunnel's timestamps, for this worker and those that follow it
 * (wg_device_limit_timestamps). Without this there are none.
 */
void supervisor_limit_timestamps(struct supervised_tunnel *tunnel, uint64_t after_unix_ns,
                                 uint64_t until_unix_ns);
/* Between reserving a tunnel and telling the worker: peer_set_restore() of one of its peers. */
void supervisor_restore_peer(struct supervised_tunnel *tunnel, size_t index,
                             const struct sighting *sighting);
/* Tells the worker of what was reserved or prepared. */
void supervisor_tell_tunnel(struct supervised_tunnel *tunnel);
/* Drops what was prepared, if anything was. */
void supervisor_forget_tunnel(struct supervised_tunnel *tunnel);
/* Its forwards must have been removed. The worker, if it was told, closes its connections. */
void supervisor_remove_tunnel(struct supervised_tunnel *tunnel);

/* As for tunnels. listener: a bound, listening, non-blocking TCP socket. 0, -ENOMEM, -ENOSPC. */
int supervisor_reserve_forward(struct supervised_tunnel *tunnel, const struct spec_forward *place,
                               const struct spec_forward *spec, int listener,
                               struct supervised_forward **out);
/*
 * As for tunnels; the forward's tunnel does not change. listener is the new one, -1 = the one of
 * before. Open connections go on. 0 or -ENOMEM.
 */
int supervisor_prepare_forward(struct supervised_forward *forward, const struct spec_forward *next,
                               int listener);
void supervisor_tell_forward(struct supervised_forward *forward);
void supervisor_forget_forward(struct supervised_forward *forward);
void supervisor_remove_forward(struct supervised_forward *forward);

/* Live counters; the pointer is valid until the removal. Slots start at zero. */
const struct counters_tunnel *supervisor_tunnel_counters(const struct supervised_tunnel *tunnel);
const struct counters_forward *
supervisor_forward_counters(const struct supervised_forward *forward);
/* The tunnel's peers, in the order of its definition. */
size_t supervisor_peers(const struct supervised_tunnel *tunnel);
void supervisor_peer(const struct supervised_tunnel *tunnel, size_t index,
                     struct supervised_peer *out);
/* The index of the peer that comes at this place when they are in the order of their keys. */
size_t supervisor_peer_by_key(const struct supervised_tunnel *tunnel, size_t rank);
/* errno: why the worker has not all of it, to be told again; 0 = it has, or does not run. */
int supervisor_tunnel_failure(const struct supervised_tunnel *tunnel);
int supervisor_forward_failure(const struct supervised_forward *forward);
/* The worker that carries the tunnel: its number and whether it is alive. */
unsigned supervisor_tunnel_worker(const struct supervised_tunnel *tunnel);
bool supervisor_tunnel_worker_alive(const struct supervised_tunnel *tunnel);

#endif
