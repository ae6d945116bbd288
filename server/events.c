/*
 * events: owns the queue of facts that are not written yet; those that are written are the store's.
 *
 * A fact is queued (in memory, in the order of its time) → written (numbered, in the table). One
 * timer writes the queue, a slice at a time, so that the loop turns in between; when the store
 * refuses, the queue stays and the timer tries again. Another tells watchers, always from the loop:
 * a transaction that is not ended yet may still be undone.
 */
#include "server/events.h"

#include "base/log.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How many facts one transaction writes. */
#define SLICE 500

#define RETRY_MS 1000

static const struct {
    const char *name;
    const char *kind;
} types[] = {
    [EVENT_TUNNEL_CREATED] = {"tunnel.created", "tunnel"},
    [EVENT_TUNNEL_CHANGED] = {"tunnel.changed", "tunnel"},
    [EVENT_TUNNEL_DELETED] = {"tunnel.deleted", "tunnel"},
    [EVENT_TUNNEL_CONDITION] = {"tunnel.condition", "tunnel"},
    [EVENT_TUNNEL_READDRESSED] = {"tunnel.readdressed", "tunnel"},
    [EVENT_TUNNEL_PEER] = {"tunnel.peer", "tunnel"},
    [EVENT_TUNNEL_FORWARDS] = {"tunnel.forwards", "tunnel"},
    [EVENT_TUNNEL_CAPTURE_STARTED] = {"tunnel.capture_started", "tunnel"},
    [EVENT_TUNNEL_CAPTURE_ENDED] = {"tunnel.capture_ended", "tunnel"},
    [EVENT_FORWARD_CREATED] = {"forward.created", "forward"},
    [EVENT_FORWARD_CHANGED] = {"forward.changed", "forward"},
    [EVENT_FORWARD_DELETED] = {"forward.deleted", "forward"},
    [EVENT_FORWARD_CONDITION] = {"forward.condition", "forward"},
    [EVENT_WORKER_STARTED] = {"worker.started", "worker"},
    [EVENT_WORKER_DIED] = {"worker.died", "worker"},
    [EVENT_WORKER_TUNNELS] = {"worker.tunnels", "worker"},
    [EVENT_TOKEN_CREATED] = {"token.created", "token"},
    [EVENT_TOKEN_DELETED] = {"token.deleted", "token"},
    [EVENT_AUTH_FAILED] = {"auth.failed", "auth"},
    [EVENT_CONFIG_APPLIED] = {"config.applied", "config"},
    [EVENT_CONFIG_FAILED] = {"config.failed", "config"},
    [EVENT_SERVICE_STARTED] = {"service.started", "service"},
    [EVENT_SERVICE_DRAINING] = {"service.draining", "service"},
    [EVENT_SERVICE_STOPPED] = {"service.stopped", "service"},
};
_Static_assert(sizeof(types) / sizeof(types[0]) == EVENT_TYPES, "every type has a name");

struct queued {
    TAILQ_ENTRY(queued) entry;
    enum event_type type;
    struct timespec time;
    uint64_t generation;
    char name[EVENTS_NAME_MAX + 1];
    char reason[EVENTS_REASON_MAX + 1];
    char message[EVENTS_MESSAGE_MAX + 1];
    char actor[EVENTS_ACTOR_MAX + 1];
};

struct events {
    struct store *store;
    struct event *batch; /* writes the queue; pending while there is one */
    struct event *told;  /* tells the watchers */
    TAILQ_HEAD(queue, queued) queue;
    size_t queued;
    uint64_t lost; /* since the last fact that was written */
    uint64_t lost_total;
    bool handed_over;
    bool failing; /* the last attempt to write the queue failed, which was logged */
    char actor[EVENTS_ACTOR_MAX + 1];
    TAILQ_HEAD(, events_watcher) watchers;
};

const char *event_type_name(enum event_type type)
{
    return types[type].name;
}

const char *event_type_kind(enum event_type type)
{
    return types[type].kind;
}

/* --- Facts ------------------------------------------------------------------------------------ */

/* Cuts at the end of a character: half of one is no UTF-8. */
static void copy_text(char *out, size_t size, const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    if (len > 0)
        memcpy(out, text, len);
    out[len] = '\0';
}

static void fill(struct queued *queued, const struct events *events, const struct event_fact *fact)
{
    queued->type = fact->type;
    queued->generation = fact->generation;
    clock_gettime(CLOCK_REALTIME, &queued->time);
    copy_text(queued->name, sizeof(queued->name), fact->name);
    copy_text(queued->reason, sizeof(queued->reason), fact->reason);
    copy_text(queued->message, sizeof(queued->message), fact->message);
    copy_text(queued->actor, sizeof(queued->actor),
              fact->actor != NULL ? fact->actor : events->actor);
}

/* skipped: how many numbers to leave out before it. */
static int write_fact(struct events *events, const struct queued *queued, uint64_t skipped)
{
    const struct store_event row = {
        .time = queued->time,
        .type = types[queued->type].name,
        .kind = types[queued->type].kind,
        .name = queued->name,
        .reason = queued->reason,
        .message = queued->message,
        .actor = queued->actor,
        .generation = queued->generation,
    };
    return store_insert_event(events->store, &row, skipped, EVENTS_KEPT);
}

static void start_timer(struct event *timer, unsigned ms)
{
    struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    if (!event_pending(timer, EV_TIMEOUT, NULL))
        event_add(timer, &delay);
}

/* --- Writing ---------------------------------------------------------------------------------- */

int events_record(struct events *events, const struct event_fact *fact)
{
    if (events == NULL)
        return 0;
    struct queued queued;
    fill(&queued, events, fact);
    int rc = write_fact(events, &queued, 0);
    if (rc == 0)
        start_timer(events->told, 0);
    return rc;
}

void events_emit(struct events *events, const struct event_fact *fact)
{
    if (events == NULL || events->handed_over)
        return;
    struct queued *queued = events->queued < EVENTS_KEPT ? malloc(sizeof(*queued)) : NULL;
    if (queued == NULL) {
        events->lost++;
        events->lost_total++;
        return;
    }
    fill(queued, events, fact);
    TAILQ_INSERT_TAIL(&events->queue, queued, entry);
    events->queued++;
    start_timer(events->batch, EVENTS_BATCH_MS);
}

uint64_t events_lost(const struct events *events)
{
    return events != NULL ? events->lost_total : 0;
}

/* Writes the first facts of the queue, and takes them out when they are on disk. */
static int write_slice(struct events *events)
{
    size_t count = 0;
    uint64_t lost = events->lost;
    int rc = store_begin(events->store);
    if (rc < 0)
        return rc;
    const struct queued *next = TAILQ_FIRST(&events->queue);
    for (; rc == 0 && next != NULL && count < SLICE; next = TAILQ_NEXT(next, entry), count++)
        /* What was lost came after what is queued; only the last of these can tell. */
        rc = write_fact(events, next, TAILQ_NEXT(next, entry) == NULL ? lost : 0);
    bool all = next == NULL;
    rc = store_end(events->store, rc);
    if (rc < 0)
        return rc;
    while (count-- > 0) {
        struct queued *first = TAILQ_FIRST(&events->queue);
        TAILQ_REMOVE(&events->queue, first, entry);
        free(first);
        events->queued--;
    }
    if (all)
        events->lost -= lost;
    start_timer(events->told, 0);
    return 0;
}

static void note_outcome(struct events *events, int rc)
{
    bool failing = rc < 0;
    if (failing && !events->failing)
        log_error("events cannot be written, %zu wait: %s", events->queued,
                  rc == -ENOMEM ? "out of memory" : store_error(events->store));
    if (!failing && events->failing)
        log_info("events are written again");
    events->failing = failing;
}

int events_flush(struct events *events)
{
    int rc = 0;
    while (events != NULL && rc == 0 && events->queued > 0)
        rc = write_slice(events);
    return rc;
}

void events_hand_over(struct events *events)
{
    if (events == NULL)
        return;
    note_outcome(events, events_flush(events));
    events->handed_over = true;
}

static void on_batch(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct events *events = ctx;
    int rc = write_slice(events);
    note_outcome(events, rc);
    if (events->queued > 0)
        start_timer(events->batch, rc < 0 ? RETRY_MS : 0);
}

/* --- Reading ---------------------------------------------------------------------------------- */

int events_span(struct events *events, uint64_t *first, uint64_t *last)
{
    if (events != NULL)
        return store_event_span(events->store, first, last);
    *first = *last = 0;
    return 0;
}

int events_read(struct events *events, uint64_t after, store_each_event *each, void *ctx)
{
    return events != NULL ? store_load_events(events->store, after, each, ctx) : 0;
}

static void on_told(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct events *events = ctx;
    struct events_watcher *next = TAILQ_FIRST(&events->watchers);
    while (next != NULL) {
        struct events_watcher *watcher = next;
        next = TAILQ_NEXT(watcher, entry);
        watcher->changed(watcher->ctx);
    }
}

void events_watch(struct events *events, struct events_watcher *watcher)
{
    if (events != NULL)
        TAILQ_INSERT_TAIL(&events->watchers, watcher, entry);
}

void events_unwatch(struct events *events, struct events_watcher *watcher)
{
    if (events != NULL)
        TAILQ_REMOVE(&events->watchers, watcher, entry);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

void events_set_actor(struct events *events, const char *actor)
{
    if (events != NULL)
        copy_text(events->actor, sizeof(events->actor), actor);
}

const char *events_actor(const struct events *events)
{
    return events != NULL ? events->actor : EVENTS_ACTOR_SYSTEM;
}

int events_new(struct event_base *base, struct store *store, struct events **out)
{
    struct events *events = calloc(1, sizeof(*events));
    if (events == NULL)
        return -ENOMEM;
    events->store = store;
    TAILQ_INIT(&events->queue);
    TAILQ_INIT(&events->watchers);
    events_set_actor(events, EVENTS_ACTOR_SYSTEM);
    events->batch = evtimer_new(base, on_batch, events);
    events->told = evtimer_new(base, on_told, events);
    if (events->batch == NULL || events->told == NULL) {
        events_free(events);
        return -ENOMEM;
    }
    *out = events;
    return 0;
}

static void free_timer(struct event *timer)
{
    if (timer != NULL)
        event_free(timer);
}

void events_free(struct events *events)
{
    if (events == NULL)
        return;
    if (events_flush(events) < 0)
        log_error("%zu events are lost: %s", events->queued, store_error(events->store));
    free_timer(events->batch);
    free_timer(events->told);
    struct queued *queued;
    while ((queued = TAILQ_FIRST(&events->queue)) != NULL) {
        TAILQ_REMOVE(&events->queue, queued, entry);
        free(queued);
    }
    free(events);
}
