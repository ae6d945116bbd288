/*
 * service: owns every tunnel and every forward, by name, and their sockets.
 *
 * An object is started (bound, and given to the supervisor) or not; one that could be created was
 * started. Only a restored one may be left not started, with the reason, until a timer succeeds.
 */
#include "server/service.h"

#include "base/log.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The delay doubles from one attempt to the next. */
#define RETRY_MIN_MS 250
#define RETRY_MAX_MS 32000

/* --- The index -------------------------------------------------------------------------------- */

/* The place of the first entry whose name is not before this one. */
static size_t find_place(const struct service_index *index, const char *name)
{
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(index->entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct service_index *index, size_t place, const char *name)
{
    return place < index->count && strcmp(index->entries[place].name, name) == 0;
}

int service_index_reserve(struct service_index *index, size_t more)
{
    if (index->count + more <= index->capacity)
        return 0;
    size_t capacity = index->capacity ? index->capacity * 2 : 16;
    if (capacity < index->count + more)
        capacity = index->count + more;
    struct service_entry *entries = realloc(index->entries, capacity * sizeof(*entries));
    if (entries == NULL)
        return -ENOMEM;
    index->entries = entries;
    index->capacity = capacity;
    return 0;
}

void service_index_insert(struct service_index *index, const char *name, void *object)
{
    size_t place = find_place(index, name);
    memmove(&index->entries[place + 1], &index->entries[place],
            (index->count - place) * sizeof(*index->entries));
    index->entries[place] = (struct service_entry){.name = name, .object = object};
    index->count++;
}

void service_index_remove(struct service_index *index, const char *name)
{
    size_t place = find_place(index, name);
    if (!is_at(index, place, name))
        return;
    index->count--;
    memmove(&index->entries[place], &index->entries[place + 1],
            (index->count - place) * sizeof(*index->entries));
}

void *service_index_find(const struct service_index *index, const char *name)
{
    size_t place = find_place(index, name);
    return is_at(index, place, name) ? index->entries[place].object : NULL;
}

void *service_index_next(const struct service_index *index, const char *name)
{
    size_t place = find_place(index, name);
    if (is_at(index, place, name))
        place++;
    return place < index->count ? index->entries[place].object : NULL;
}

/* --- Why something did not start -------------------------------------------------------------- */

int service_start_problem(struct problem *problem, int rc, const char *pointer, const char *what,
                          const struct inet_addr *address, uint16_t port)
{
    char text[INET_SOCKADDR_TEXT];
    static const struct inet_addr any4 = {.family = AF_INET};
    union inet_sockaddr sa;
    inet_sockaddr_make(&sa, address->family == AF_UNSPEC ? &any4 : address, port);
    inet_sockaddr_print(&sa, text);
    const struct start_failure *failure = start_failure_find(-rc);
    const char *hint = rc == -EACCES ? "; ports below 1024 need CAP_NET_BIND_SERVICE" : "";
    if (failure->error != 0)
        spec_errors_add(&problem->errors, pointer, failure->code, "%s %s cannot be bound: %s%s",
                        what, text, strerror(-rc), hint);
    return problem_set(problem, failure->code, "%s %s cannot be bound: %s%s", what, text,
                       strerror(-rc), hint);
}

int service_store_problem(struct service *service, struct problem *problem, int rc,
                          const char *what, const char *name)
{
    if (rc == -EEXIST) {
        spec_errors_add(&problem->errors, "/name", "name_taken", "the name is taken");
        return problem_set(problem, "name_taken",
                           "the %s \"%s\" is in the database already, but could not be read", what,
                           name);
    }
    if (rc == -ENOMEM)
        return problem_set(problem, "exhausted", "out of memory");
    log_error("the %s \"%s\" could not be stored: %s", what, name, store_error(service->store));
    return problem_set(problem, "storage", "the database refused the change: %.180s",
                       store_error(service->store));
}

int service_check_changeable(const struct service *service, struct problem *problem)
{
    if (service->frozen || service->draining)
        return problem_set(problem, "draining", "the service is ending or being replaced");
    return 0;
}

int service_check_source(struct problem *problem, enum spec_source source, const char *what,
                         const char *name)
{
    if (source == SPEC_SOURCE_API)
        return 0;
    return problem_set(problem, "managed_by_file",
                       "the %s \"%s\" is defined by the configuration file: change it there", what,
                       name);
}

/* --- Events ----------------------------------------------------------------------------------- */

void service_on_worker_up(struct service *service, void (*up)(void *ctx), void *ctx)
{
    service->worker_up.call = up;
    service->worker_up.ctx = ctx;
}

struct events *service_events(struct service *service)
{
    return service->events;
}

void service_set_actor(struct service *service, const char *actor)
{
    events_set_actor(service->events, actor);
}

void service_emit(struct service *service, const struct event_fact *fact)
{
    events_emit(service->events, fact);
}

int service_record(struct service *service, const struct event_fact *fact)
{
    return events_record(service->events, fact);
}

int service_first_generation(struct service *service, uint64_t *out, struct problem *problem)
{
    uint64_t deleted = 0;
    if (service->store != NULL && store_deleted_generation(service->store, &deleted) < 0)
        return problem_set(problem, "storage", "the database cannot be read: %.180s",
                           store_error(service->store));
    *out = deleted + 1;
    return 0;
}

/* --- Trying again ----------------------------------------------------------------------------- */

void service_retry_later(struct service *service)
{
    if (service->draining || service->frozen || event_pending(service->retry, EV_TIMEOUT, NULL))
        return;
    struct timeval delay = {.tv_sec = service->retry_delay_ms / 1000,
                            .tv_usec = (suseconds_t)(service->retry_delay_ms % 1000) * 1000};
    event_add(service->retry, &delay);
    service->retry_delay_ms *= 2;
    if (service->retry_delay_ms > RETRY_MAX_MS)
        service->retry_delay_ms = RETRY_MAX_MS;
}

void service_retry_soon(struct service *service)
{
    event_del(service->retry);
    service->retry_delay_ms = RETRY_MIN_MS;
    service_retry_later(service);
}

static void on_retry(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct service *service = ctx;
    bool left = service_retry_tunnels(service);
    left |= service_retry_forwards(service);
    if (left)
        service_retry_later(service);
    else
        service->retry_delay_ms = RETRY_MIN_MS;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

int service_new(struct event_base *base, struct supervisor *supervisor, struct store *store,
                struct service **out)
{
    struct service *service = calloc(1, sizeof(*service));
    if (service == NULL)
        return -ENOMEM;
    service->base = base;
    service->supervisor = supervisor;
    service->store = store;
    service->retry_delay_ms = RETRY_MIN_MS;
    service->retry = evtimer_new(base, on_retry, service);
    int rc = store != NULL ? events_new(base, store, &service->events) : 0;
    if (service->retry == NULL || rc < 0 || service_sweep_start(service) < 0 ||
        service_totals_start(service) < 0) {
        service_free(service);
        return -ENOMEM;
    }
    *out = service;
    return 0;
}

void service_free(struct service *service)
{
    if (service == NULL)
        return;
    service_save_totals(service);
    /* Where a start follows without it, the service before has crashed. */
    if (service->restored)
        service_emit(service,
                     &(struct event_fact){.type = EVENT_SERVICE_STOPPED, .reason = "Stopped"});
    while (service->forwards.count > 0)
        service_drop_forward(service,
                             service->forwards.entries[service->forwards.count - 1].object);
    while (service->tunnels.count > 0)
        service_drop_tunnel(service, service->tunnels.entries[service->tunnels.count - 1].object);
    service_drop_all_unreadable(service);
    free(service->forwards.entries);
    free(service->tunnels.entries);
    service_sweep_stop(service);
    service_totals_stop(service);
    if (service->retry != NULL)
        event_free(service->retry);
    events_free(service->events);
    free(service);
}

/*
 * One fact for all objects: one for each would push out what happened before. It is written at
 * once: a service that dies soon has been started all the same.
 */
static void report_restored(struct service *service)
{
    char message[EVENTS_MESSAGE_MAX + 1];
    size_t unreadable = 0;
    for (enum unreadable_kind kind = 0; kind < UNREADABLE_KINDS; kind++)
        unreadable += service->unreadable[kind].count + service->unnamed[kind].count;
    int len = snprintf(message, sizeof(message), "restored %zu tunnels and %zu forwards",
                       service->tunnels.count, service->forwards.count);
    if (unreadable > 0)
        snprintf(message + len, sizeof(message) - (size_t)len, "; %zu definitions were left out",
                 unreadable);
    log_info("%s", message);
    service_emit(service, &(struct event_fact){.type = EVENT_SERVICE_STARTED,
                                               .reason = "Restored",
                                               .message = message});
    service_report_unreadable(service);
    if (events_flush(service->events) < 0)
        log_warn("the start could not be recorded yet: %s", store_error(service->store));
}

int service_restore(struct service *service, struct problem *problem)
{
    if (service->store != NULL) {
        int rc = service_restore_tunnels(service);
        if (rc == 0)
            rc = service_restore_forwards(service);
        if (rc == 0)
            rc = service_restore_totals(service);
        if (rc < 0)
            return problem_set(problem, "storage", "the definitions cannot be read: %.180s",
                               rc == -EIO ? store_error(service->store) : strerror(-rc));
        report_restored(service);
    }
    service->restored = true;
    return 0;
}

void service_drain(struct service *service, void (*done)(void *ctx), void *ctx)
{
    service->draining = true;
    service_emit(service, &(struct event_fact){.type = EVENT_SERVICE_DRAINING,
                                               .reason = "Stopping",
                                               .message = "open connections may finish"});
    event_del(service->retry);
    service_unlisten_idle_forwards(service);
    supervisor_drain(service->supervisor, done, ctx);
}

bool service_draining(const struct service *service)
{
    return service->draining;
}

uint64_t service_connections(const struct service *service)
{
    uint64_t connections = 0;
    for (size_t i = 0; i < service->forwards.count; i++) {
        const struct service_forward *forward = service->forwards.entries[i].object;
        if (forward->supervised != NULL)
            connections +=
                counter_get(&supervisor_forward_counters(forward->supervised)->connections_active);
    }
    return connections;
}

void service_workers(const struct service *service, unsigned *alive, unsigned *total)
{
    *alive = supervisor_workers_alive(service->supervisor);
    *total = supervisor_workers(service->supervisor);
}

bool service_restored(const struct service *service)
{
    return service->restored;
}

int service_ready_when_parse(const char *text, enum service_ready_when *out)
{
    static const char *const names[] = {
        [SERVICE_READY_STARTED] = "started",
        [SERVICE_READY_REQUIRED] = "required",
        [SERVICE_READY_ALL] = "all",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum service_ready_when)i;
            return 0;
        }
    }
    return -EINVAL;
}

void service_set_ready_when(struct service *service, enum service_ready_when when)
{
    service->ready_when = when;
}

static bool is_up(const struct service_tunnel *tunnel)
{
    return service_tunnel_is_ready(tunnel) && tunnel->supervised != NULL &&
           counter_get(&supervisor_tunnel_counters(tunnel->supervised)->last_handshake_unix_ns) > 0;
}

void service_await(const struct service *service, struct service_awaited *out)
{
    *out = (struct service_awaited){0};
    for (size_t i = 0; i < service->tunnels.count && service->ready_when != SERVICE_READY_STARTED;
         i++) {
        const struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        if (service->ready_when == SERVICE_READY_REQUIRED && !tunnel->spec.required)
            continue;
        out->count++;
        if (is_up(tunnel))
            out->up++;
        else if (out->missing == NULL)
            out->missing = tunnel->spec.name;
    }
}

bool service_ready(const struct service *service)
{
    struct service_awaited awaited;
    service_await(service, &awaited);
    return service->restored && !service->draining &&
           supervisor_workers_alive(service->supervisor) > 0 && awaited.up == awaited.count;
}
