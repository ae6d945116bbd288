/*
 * retired: owns a worker's channel (whose end ends the worker) and a descriptor of its process,
 * which becomes readable when the process has ended.
 *
 *   FINISHING ─ seconds ─▶ ENDING (channel closed) ─ RETIRED_END_SECONDS ─▶ killed
 *        └──────────────── its process has ended ─────────┴─▶ freed
 */
#include "server/retired.h"

#include "engine/log.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <unistd.h>

struct worker {
    LIST_ENTRY(worker) link;
    struct retired *owner;
    int channel; /* -1 = it was told to end */
    int process;
    struct event *ended;
    struct event *late;
};

struct retired {
    struct event_base *base;
    unsigned seconds;
    unsigned count;
    LIST_HEAD(, worker) workers;
};

static void worker_free(struct worker *worker)
{
    if (worker->ended)
        event_free(worker->ended);
    if (worker->late)
        event_free(worker->late);
    if (worker->channel >= 0)
        close(worker->channel);
    close(worker->process);
    free(worker);
}

static void remove_worker(struct worker *worker)
{
    LIST_REMOVE(worker, link);
    worker->owner->count--;
    worker_free(worker);
}

static void on_ended(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct worker *worker = arg;
    struct retired *retired = worker->owner;
    remove_worker(worker);
    log_info("a worker of the former program has ended, %u are left", retired->count);
}

static void on_late(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct worker *worker = arg;
    struct timeval wait = {.tv_sec = RETIRED_END_SECONDS};
    if (worker->channel < 0) {
        syscall(SYS_pidfd_send_signal, worker->process, SIGKILL, NULL, 0);
        return;
    }
    log_warn("the time of a worker of the former program is over: its connections are cut");
    close(worker->channel);
    worker->channel = -1;
    event_add(worker->late, &wait);
}

static int add_worker(struct retired *retired, const int fds[INHERITED_FDS_MAX])
{
    struct timeval wait = {.tv_sec = retired->seconds};
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return -ENOMEM;
    worker->owner = retired;
    worker->channel = fds[0];
    worker->process = fds[1];
    worker->ended = event_new(retired->base, fds[1], EV_READ, on_ended, worker);
    worker->late = evtimer_new(retired->base, on_late, worker);
    if (!worker->ended || !worker->late || event_add(worker->ended, NULL) < 0 ||
        event_add(worker->late, &wait) < 0) {
        worker->channel = -1; /* the caller's */
        worker->process = -1;
        worker_free(worker);
        return -ENOMEM;
    }
    LIST_INSERT_HEAD(&retired->workers, worker, link);
    retired->count++;
    return 0;
}

void retired_inherit(struct retired *retired, struct inherited *inherited)
{
    int fds[INHERITED_FDS_MAX];
    while (inherited_take(inherited, INHERITED_WORKER, NULL, fds)) {
        if (fds[0] >= 0 && fds[1] >= 0 && add_worker(retired, fds) == 0)
            continue;
        for (int i = 0; i < INHERITED_FDS_MAX; i++) {
            if (fds[i] >= 0)
                close(fds[i]); /* it ends */
        }
    }
}

int retired_new(struct event_base *base, unsigned seconds, struct retired **out)
{
    struct retired *retired = calloc(1, sizeof(*retired));
    if (!retired)
        return -ENOMEM;
    retired->base = base;
    retired->seconds = seconds;
    LIST_INIT(&retired->workers);
    *out = retired;
    return 0;
}

void retired_free(struct retired *retired)
{
    if (!retired)
        return;
    struct worker *worker = LIST_FIRST(&retired->workers);
    while (worker) {
        struct worker *next = LIST_NEXT(worker, link);
        worker_free(worker);
        worker = next;
    }
    free(retired);
}

unsigned retired_count(const struct retired *retired)
{
    return retired->count;
}

int retired_offer(const struct retired *retired, service_offer *offer, void *ctx)
{
    const struct worker *worker;
    int error = 0;
    unsigned number = 0;
    LIST_FOREACH(worker, &retired->workers, link)
    {
        char name[24];
        const int fds[INHERITED_FDS_MAX] = {worker->channel, worker->process};
        snprintf(name, sizeof(name), "retired-%u", number++);
        if (worker->channel >= 0 && error == 0)
            error = offer(ctx, INHERITED_WORKER, name, fds);
    }
    return error;
}
