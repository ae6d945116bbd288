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

struct supervised_tunnel {
    int duplicates[2];
    struct counters_tunnel counters;
};

struct supervised_forward {
    int duplicate;
    struct counters_forward counters;
};

static struct {
    size_t tunnels, forwards; /* that were added and not removed */
    size_t updates;           /* of either */
    unsigned alive;
    struct counters_worker counters;
    int fail;                   /* a negative errno that additions and updates return */
    void (*drained)(void *ctx); /* what a drain waits for, NULL = none was begun */
    void *drained_ctx;
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

int supervisor_add_tunnel(struct supervisor *supervisor, const struct spec_tunnel *spec,
                          const int sockets[2], struct supervised_tunnel **out)
{
    (void)supervisor;
    (void)spec;
    if (fake.fail != 0)
        return fake.fail;
    struct supervised_tunnel *tunnel = calloc(1, sizeof(*tunnel));
    if (tunnel == NULL)
        return -ENOMEM;
    for (int i = 0; i < 2; i++)
        tunnel->duplicates[i] = sockets[i] >= 0 ? dup(sockets[i]) : -1;
    fake.tunnels++;
    *out = tunnel;
    return 0;
}

int supervisor_update_tunnel(struct supervised_tunnel *tunnel, const int sockets[2])
{
    if (fake.fail != 0)
        return fake.fail;
    for (int i = 0; sockets != NULL && i < 2; i++) {
        fake_leave(tunnel->duplicates[i]);
        tunnel->duplicates[i] = sockets[i] >= 0 ? dup(sockets[i]) : -1;
    }
    fake.updates++;
    return 0;
}

void supervisor_remove_tunnel(struct supervised_tunnel *tunnel)
{
    fake_leave(tunnel->duplicates[0]);
    fake_leave(tunnel->duplicates[1]);
    fake.tunnels--;
    free(tunnel);
}

int supervisor_add_forward(struct supervised_tunnel *tunnel, const struct spec_forward *spec,
                           int listener, struct supervised_forward **out)
{
    (void)tunnel;
    (void)spec;
    if (fake.fail != 0)
        return fake.fail;
    struct supervised_forward *forward = calloc(1, sizeof(*forward));
    if (forward == NULL)
        return -ENOMEM;
    forward->duplicate = dup(listener);
    fake.forwards++;
    *out = forward;
    return 0;
}

int supervisor_update_forward(struct supervised_forward *forward, int listener)
{
    if (fake.fail != 0)
        return fake.fail;
    if (listener >= 0) {
        fake_leave(forward->duplicate);
        forward->duplicate = dup(listener);
    }
    fake.updates++;
    return 0;
}

void supervisor_remove_forward(struct supervised_forward *forward)
{
    fake_leave(forward->duplicate);
    fake.forwards--;
    free(forward);
}

void supervisor_drain(struct supervisor *supervisor, void (*done)(void *ctx), void *ctx)
{
    (void)supervisor;
    fake.drained = done;
    fake.drained_ctx = ctx;
}

const struct counters_tunnel *supervisor_tunnel_counters(const struct supervised_tunnel *tunnel)
{
    return &tunnel->counters;
}

const struct counters_forward *supervisor_forward_counters(const struct supervised_forward *forward)
{
    return &forward->counters;
}

unsigned supervisor_tunnel_worker(const struct supervised_tunnel *tunnel)
{
    (void)tunnel;
    return 0;
}

bool supervisor_tunnel_worker_alive(const struct supervised_tunnel *tunnel)
{
    (void)tunnel;
    return fake.alive > 0;
}

#endif
