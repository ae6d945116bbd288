/*
 * fake_supervisor: the functions of server/supervisor.h without processes, for programs that test
 * what stands on them. Include it in one file; it then takes the place of the real ones.
 *
 * Like a worker, it holds duplicates of the descriptors and drops them late: not at the removal,
 * but when fake_worker_catch_up() is called.
 */
#ifndef MANYTUN_TESTS_FAKE_SUPERVISOR_H
#define MANYTUN_TESTS_FAKE_SUPERVISOR_H

#include "server/supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define FAKE_DESCRIPTORS_MAX 16384

#define FAKE_PEERS_MAX 4 /* counted by themselves, per tunnel */

struct supervised_tunnel {
    const struct spec_tunnel *spec;
    struct counters_peer peers[FAKE_PEERS_MAX];
    int duplicates[2];
    int prepared[2]; /* of an update with other sockets */
    bool moved;
    bool told;
    int failure; /* errno, as its worker has said */
    struct counters_tunnel counters;
    uint64_t timestamps_after, timestamps_until;
};

struct supervised_forward {
    int duplicate;
    int prepared; /* of an update, -1 = the same */
    bool told;
    int failure; /* as a tunnel's */
    struct counters_forward counters;
};

static struct {
    size_t tunnels, forwards; /* that were added and not removed */
    size_t told;              /* additions and removals that the worker heard of */
    size_t updates;           /* of either, that it heard of */
    size_t prepared;          /* updates that are not told or forgotten yet */
    unsigned alive;
    const struct supervisor_watcher *watcher;
    bool lookup_pending, lookup_failed; /* of every peer */
    struct counters_worker counters;
    int fail;                   /* a negative errno that additions and updates return, */
    size_t fail_after;          /* after so many more of them that succeed */
    void (*drained)(void *ctx); /* what a drain waits for, NULL = none was begun */
    void *drained_ctx;
    size_t adopted;                 /* tunnels that got a bridge */
    int tap;                        /* the worker's end of the newest capture */
    uint64_t tap_bytes;             /* what it is limited to */
    int tap_error;                  /* a negative errno that captures return */
    int left[FAKE_DESCRIPTORS_MAX]; /* duplicates of removed objects */
    size_t left_count;
} fake = {.alive = 1};

static void fake_worker_catch_up(void)
{
    while (fake.left_count > 0)
        close(fake.left[--fake.left_count]);
}

static void fake_leave(int fd)
{
    if (fake.left_count == FAKE_DESCRIPTORS_MAX)
        fake_worker_catch_up();
    if (fd >= 0)
        fake.left[fake.left_count++] = fd;
}

unsigned supervisor_workers(const struct supervisor *supervisor)
{
    (void)supervisor;
    return 1;
}

unsigned supervisor_workers_alive(const struct supervisor *supervisor)
{
    (void)supervisor;
    return fake.alive;
}

uint64_t supervisor_worker_starts(const struct supervisor *supervisor, unsigned index)
{
    (void)supervisor;
    (void)index;
    return 7;
}

int supervisor_worker_pid(const struct supervisor *supervisor, unsigned index)
{
    (void)supervisor;
    (void)index;
    return fake.alive > 0 ? (int)getpid() : 0;
}

void supervisor_watch(struct supervisor *supervisor, const struct supervisor_watcher *watcher)
{
    (void)supervisor;
    fake.watcher = watcher;
}

bool supervisor_worker_alive(const struct supervisor *supervisor, unsigned index)
{
    (void)supervisor;
    (void)index;
    return fake.alive > 0;
}

const struct counters_worker *supervisor_worker_counters(const struct supervisor *supervisor,
                                                         unsigned index)
{
    (void)supervisor;
    (void)index;
    return &fake.counters;
}

/* The failure that the next addition or update is to have. */
static int fake_failure(void)
{
    if (fake.fail != 0 && fake.fail_after > 0) {
        fake.fail_after--;
        return 0;
    }
    return fake.fail;
}

int supervisor_reserve_tunnel(struct supervisor *supervisor, const struct spec_tunnel *place,
                              const struct spec_tunnel *spec, const int sockets[2],
                              struct supervised_tunnel **out)
{
    (void)supervisor;
    (void)spec;
    int rc = fake_failure();
    if (rc != 0)
        return rc;
    struct supervised_tunnel *tunnel = calloc(1, sizeof(*tunnel));
    if (tunnel == NULL)
        return -ENOMEM;
    tunnel->spec = place;
    for (int i = 0; i < 2; i++)
        tunnel->duplicates[i] = sockets[i] >= 0 ? dup(sockets[i]) : -1;
    fake.tunnels++;
    *out = tunnel;
    return 0;
}

int supervisor_prepare_tunnel(struct supervised_tunnel *tunnel, const struct spec_tunnel *next,
                              const int sockets[2])
{
    (void)next;
    int rc = fake_failure();
    if (rc != 0)
        return rc;
    tunnel->moved = sockets != NULL;
    for (int i = 0; sockets != NULL && i < 2; i++)
        tunnel->prepared[i] = sockets[i];
    fake.prepared++;
    return 0;
}

void supervisor_limit_timestamps(struct supervised_tunnel *tunnel, uint64_t after_unix_ns,
                                 uint64_t until_unix_ns)
{
    tunnel->timestamps_after = after_unix_ns;
    tunnel->timestamps_until = until_unix_ns;
}

void supervisor_restore_peer(struct supervised_tunnel *tunnel, size_t index,
                             const struct sighting *sighting)
{
    counters_set_endpoint(&tunnel->peers[index], &sighting->endpoint);
    counters_set_timestamp(&tunnel->peers[index], sighting->timestamp);
}

void supervisor_tell_tunnel(struct supervised_tunnel *tunnel)
{
    if (!tunnel->told) {
        tunnel->told = true;
        fake.told++;
        return;
    }
    for (int i = 0; tunnel->moved && i < 2; i++) {
        fake_leave(tunnel->duplicates[i]);
        tunnel->duplicates[i] = tunnel->prepared[i] >= 0 ? dup(tunnel->prepared[i]) : -1;
    }
    fake.updates++;
    fake.prepared--;
}

void supervisor_forget_tunnel(struct supervised_tunnel *tunnel)
{
    (void)tunnel;
    fake.prepared--;
}

void supervisor_remove_tunnel(struct supervised_tunnel *tunnel)
{
    fake_leave(tunnel->duplicates[0]);
    fake_leave(tunnel->duplicates[1]);
    fake.tunnels--;
    fake.told += tunnel->told;
    free(tunnel);
}

int supervisor_reserve_forward(struct supervised_tunnel *tunnel, const struct spec_forward *place,
                               const struct spec_forward *spec, int listener,
                               struct supervised_forward **out)
{
    (void)tunnel;
    (void)place;
    (void)spec;
    int rc = fake_failure();
    if (rc != 0)
        return rc;
    struct supervised_forward *forward = calloc(1, sizeof(*forward));
    if (forward == NULL)
        return -ENOMEM;
    forward->duplicate = dup(listener);
    fake.forwards++;
    *out = forward;
    return 0;
}

int supervisor_prepare_forward(struct supervised_forward *forward, const struct spec_forward *next,
                               int listener)
{
    (void)next;
    int rc = fake_failure();
    if (rc != 0)
        return rc;
    forward->prepared = listener;
    fake.prepared++;
    return 0;
}

void supervisor_tell_forward(struct supervised_forward *forward)
{
    if (!forward->told) {
        forward->told = true;
        fake.told++;
        return;
    }
    if (forward->prepared >= 0) {
        fake_leave(forward->duplicate);
        forward->duplicate = dup(forward->prepared);
    }
    fake.updates++;
    fake.prepared--;
}

void supervisor_forget_forward(struct supervised_forward *forward)
{
    (void)forward;
    fake.prepared--;
}

void supervisor_remove_forward(struct supervised_forward *forward)
{
    fake_leave(forward->duplicate);
    fake.forwards--;
    fake.told += forward->told;
    free(forward);
}

void supervisor_drain(struct supervisor *supervisor, void (*done)(void *ctx), void *ctx)
{
    (void)supervisor;
    fake.drained = done;
    fake.drained_ctx = ctx;
}

void supervisor_retire(struct supervisor *supervisor, void (*done)(void *ctx), void *ctx)
{
    (void)supervisor;
    fake.drained = done;
    fake.drained_ctx = ctx;
}

int supervisor_bridge(const struct supervised_tunnel *tunnel)
{
    return tunnel->duplicates[0]; /* any descriptor */
}

const void *supervisor_worker_segment(const struct supervisor *supervisor, unsigned index, int *fd)
{
    (void)supervisor;
    (void)index;
    *fd = -1;
    return &fake;
}

int supervisor_share_worker(const struct supervisor *supervisor, unsigned index, int fds[2],
                            pid_t *pid)
{
    (void)supervisor;
    (void)index;
    (void)fds;
    (void)pid;
    return -ESRCH;
}

void supervisor_adopt_tunnel(struct supervised_tunnel *tunnel, int bridge)
{
    (void)tunnel;
    fake.adopted++;
    close(bridge);
}

int supervisor_capture_tunnel(struct supervised_tunnel *tunnel, int fd, uint64_t max_bytes)
{
    (void)tunnel;
    if (fake.alive == 0 || fake.tap_error != 0) {
        close(fd);
        return fake.alive == 0 ? -ENOTCONN : fake.tap_error;
    }
    fake.tap = fd;
    fake.tap_bytes = max_bytes;
    return 0;
}

const struct counters_tunnel *supervisor_tunnel_counters(const struct supervised_tunnel *tunnel)
{
    return &tunnel->counters;
}

const struct counters_forward *supervisor_forward_counters(const struct supervised_forward *forward)
{
    return &forward->counters;
}

size_t supervisor_peers(const struct supervised_tunnel *tunnel)
{
    return tunnel->spec->peers_count;
}

void supervisor_peer(const struct supervised_tunnel *tunnel, size_t index,
                     struct supervised_peer *out)
{
    *out = (struct supervised_peer){
        .spec = &tunnel->spec->peers[index],
        .counters = index < FAKE_PEERS_MAX ? &tunnel->peers[index] : NULL,
        .looked_up = !fake.lookup_pending && !fake.lookup_failed,
        .lookup_error = fake.lookup_failed ? LOOKUP_NOT_FOUND : LOOKUP_OK,
        .since_ns = 1,
    };
}

/* Another order than that of the definition. */
size_t supervisor_peer_by_key(const struct supervised_tunnel *tunnel, size_t rank)
{
    return tunnel->spec->peers_count - 1 - rank;
}

unsigned supervisor_tunnel_worker(const struct supervised_tunnel *tunnel)
{
    (void)tunnel;
    return 0;
}

int supervisor_tunnel_failure(const struct supervised_tunnel *tunnel)
{
    return tunnel->failure;
}

int supervisor_forward_failure(const struct supervised_forward *forward)
{
    return forward->failure;
}

bool supervisor_tunnel_worker_alive(const struct supervised_tunnel *tunnel)
{
    (void)tunnel;
    return fake.alive > 0;
}

#endif
