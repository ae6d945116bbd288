/*
 * retired: owns a worker's channel (whose end ends the worker) and a descriptor of its process,
 * which becomes readable when the process has ended.
 *
 *   FINISHING ─ seconds ─▶ ENDING (channel closed) ─ RETIRED_END_SECONDS ─▶ killed
 *        └──────────────── its process has ended ─────────┴─▶ freed
 */
#include "server/retired.h"

#include "base/log.h"
#include "server/retired_counts.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct worker {
    LIST_ENTRY(worker) link;
    struct retired *owner;
    int channel; /* -1 = it was told to end */
    int process;
    struct event *ended;
    struct event *late;
};

/* What a worker counts. They are kept until no worker is left: those of one that has ended rest. */
struct tally {
    LIST_ENTRY(tally) link;
    struct retired_counts *counts;
};

struct retired {
    struct event_base *base;
    unsigned seconds;
    unsigned count;
    LIST_HEAD(, worker) workers;
    LIST_HEAD(, tally) tallies;
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

static void free_tallies(struct retired *retired)
{
    struct tally *tally;
    while ((tally = LIST_FIRST(&retired->tallies)) != NULL) {
        LIST_REMOVE(tally, link);
        retired_counts_free(tally->counts);
        free(tally);
    }
}

static void remove_worker(struct worker *worker)
{
    struct retired *retired = worker->owner;
    LIST_REMOVE(worker, link);
    retired->count--;
    worker_free(worker);
    if (retired->count == 0)
        free_tallies(retired);
}

static void on_ended(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct worker *worker = arg;
    struct retired *retired = worker->owner;
    siginfo_t end;
    waitid(P_PIDFD, (id_t)worker->process, &end, WEXITED | WNOHANG); /* it may be our child still */
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

static void close_all(const int fds[INHERITED_FDS_MAX])
{
    for (int i = 0; i < INHERITED_FDS_MAX; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

static int add_tally(struct retired *retired, const int fds[INHERITED_FDS_MAX],
                     struct service *service)
{
    struct tally *tally = calloc(1, sizeof(*tally));
    int error = tally ? retired_counts_new(fds[0], fds[1], &tally->counts) : -ENOMEM;
    if (error) {
        free(tally);
        return error;
    }
    service_adopt_counts(service, tally->counts);
    LIST_INSERT_HEAD(&retired->tallies, tally, link);
    return 0;
}

void retired_inherit(struct retired *retired, struct inherited *inherited, struct service *service)
{
    int fds[INHERITED_FDS_MAX];
    while (inherited_take(inherited, INHERITED_COUNTS, NULL, fds)) {
        int error = add_tally(retired, fds, service);
        if (error)
            log_warn("what a worker of the former program still counts is not in the totals: %s",
                     strerror(-error));
        close_all(fds);
    }
    while (inherited_take(inherited, INHERITED_WORKER, NULL, fds)) {
        if (fds[0] >= 0 && fds[1] >= 0 && add_worker(retired, fds) == 0)
            continue;
        close_all(fds); /* it ends */
    }
    if (retired->count == 0)
        free_tallies(retired);
}

int retired_new(struct event_base *base, unsigned seconds, struct retired **out)
{
    struct retired *retired = calloc(1, sizeof(*retired));
    if (!retired)
        return -ENOMEM;
    retired->base = base;
    retired->seconds = seconds;
    LIST_INIT(&retired->workers);
    LIST_INIT(&retired->tallies);
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
    free_tallies(retired);
    free(retired);
}

unsigned retired_count(const struct retired *retired)
{
    return retired->count;
}

/* As service_offer_workers() has settled them. */
static int offer_tally(struct retired_counts *counts, const char *name, service_offer *offer,
                       void *ctx)
{
    size_t count = 0;
    struct retired_record *records = calloc(retired_counts_size(counts) + 1, sizeof(*records));
    for (size_t i = 0; i < retired_counts_size(counts) && records; i++) {
        const struct retired_share *share = retired_counts_at(counts, i);
        if (share->forward)
            records[count++] = share->record;
    }
    int fd = records ? retired_records_write(records, count) : -ENOMEM;
    free(records);
    if (fd < 0)
        return 0; /* no reason to lose connections */
    const int fds[INHERITED_FDS_MAX] = {fd, retired_counts_segment(counts)};
    int error = offer(ctx, INHERITED_COUNTS, name, fds);
    close(fd);
    return error;
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
    const struct tally *tally;
    number = 0;
    LIST_FOREACH(tally, &retired->tallies, link)
    {
        char name[24];
        snprintf(name, sizeof(name), "retired-%u", number++);
        if (error == 0)
            error = offer_tally(tally->counts, name, offer, ctx);
    }
    return error;
}
