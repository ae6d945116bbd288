/*
 * service_forwards: creation, change, deletion, restoring and condition of forwards.
 *
 * A forward whose tunnel is not up still listens: its clients wait in the kernel's backlog, as
 * they do while a worker is restarted.
 */
#include "engine/log.h"
#include "engine/spec_diff.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With the delays between them, the last one is about two seconds after the start. */
#define SAME_PORT_ATTEMPTS 4

/* --- Starting --------------------------------------------------------------------------------- */

static int listen_on(struct service_forward *forward, uint16_t port)
{
    uint16_t bound = 0;
    int fd = sockets_listen(&forward->spec.listen_address, port, &bound);
    if (fd < 0)
        return fd;
    forward->listener = fd;
    forward->port_unsaved = bound != forward->bound_port;
    forward->bound_port = bound;
    return 0;
}

/*
 * Port 0 first asks for the port that it was before, and not once only: the workers of a service
 * that was killed hold its listeners for another moment.
 */
static int bind_forward(struct service_forward *forward)
{
    if (forward->listener >= 0)
        return 0;
    uint16_t wanted = forward->spec.listen_port;
    if (wanted != 0 || forward->bound_port == 0)
        return listen_on(forward, wanted);
    int rc = listen_on(forward, forward->bound_port);
    if (rc == -EADDRINUSE && ++forward->attempts < SAME_PORT_ATTEMPTS)
        return rc;
    return rc == -EADDRINUSE || rc == -EACCES ? listen_on(forward, 0) : rc;
}

static int push_forward(struct service_forward *forward)
{
    if (forward->tunnel->supervised == NULL)
        return 0;
    return supervisor_add_forward(forward->tunnel->supervised, &forward->spec, forward->listener,
                                  &forward->supervised);
}

static void save_port(struct service *service, struct service_forward *forward)
{
    if (!forward->port_unsaved || service->store == NULL)
        return;
    if (store_set_bound_port(service->store, forward->spec.name, forward->bound_port) < 0)
        log_error("forward %s: its port %u could not be stored: %s", forward->spec.name,
                  (unsigned)forward->bound_port, store_error(service->store));
    else
        forward->port_unsaved = false;
}

/* Starts a forward that the store knows; a failure is noted in it, and logged when it is new. */
static int start_forward(struct service_forward *forward)
{
    int rc = bind_forward(forward);
    if (rc == 0)
        rc = push_forward(forward);
    if (rc < 0 && forward->start_error != -rc)
        log_error("forward %s cannot be started: %s; it is tried again", forward->spec.name,
                  strerror(-rc));
    forward->start_error = -rc;
    return rc;
}

bool service_retry_forwards(struct service *service)
{
    bool left = false;
    for (size_t i = 0; i < service->forwards.count; i++) {
        struct service_forward *forward = service->forwards.entries[i].object;
        if (!forward->spec.enabled || forward->supervised != NULL)
            continue;
        if (start_forward(forward) < 0 || forward->supervised == NULL)
            left = true;
        else
            log_info("forward %s: listening on port %u", forward->spec.name,
                     (unsigned)forward->bound_port);
        save_port(service, forward);
    }
    return left;
}

static void observe(struct service_forward *forward)
{
    struct service_condition *condition = &forward->condition;
    const struct service_tunnel *tunnel = forward->tunnel;
    if (!forward->spec.enabled)
        service_condition_set(condition, false, "Disabled", "the forward is not enabled");
    else if (forward->start_error != 0)
        service_condition_failed(condition, forward->start_error);
    else if (forward->supervised == NULL || !supervisor_tunnel_worker_alive(tunnel->supervised))
        service_condition_set(condition, false, "TunnelNotReady",
                              "it listens, but its tunnel is not up: connections wait");
    else
        service_condition_set(condition, true, "Listening", "");
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static struct service_forward *new_forward(const struct spec_forward *spec,
                                           struct service_tunnel *tunnel)
{
    struct service_forward *forward = calloc(1, sizeof(*forward));
    if (forward == NULL)
        return NULL;
    forward->spec = *spec;
    forward->tunnel = tunnel;
    forward->listener = -1;
    return forward;
}

static void add_forward(struct service *service, struct service_forward *forward)
{
    service_index_insert(&service->forwards, forward->spec.name, forward);
    forward->tunnel->forwards++;
}

void service_drop_forward(struct service *service, struct service_forward *forward)
{
    if (forward->supervised != NULL)
        supervisor_remove_forward(forward->supervised);
    sockets_close_listener(forward->listener);
    service_index_remove(&service->forwards, forward->spec.name);
    forward->tunnel->forwards--;
    free(forward);
}

void service_unlisten_idle_forwards(struct service *service)
{
    for (size_t i = 0; i < service->forwards.count; i++) {
        struct service_forward *forward = service->forwards.entries[i].object;
        if (forward->supervised != NULL)
            continue;
        sockets_close_listener(forward->listener);
        forward->listener = -1;
    }
}

void service_drop_forwards_of(struct service *service, const struct service_tunnel *tunnel)
{
    /* Backwards: what a removal moves has been looked at. */
    for (size_t i = service->forwards.count; i-- > 0 && tunnel->forwards > 0;) {
        struct service_forward *forward = service->forwards.entries[i].object;
        if (forward->tunnel == tunnel)
            service_drop_forward(service, forward);
    }
}

/* --- Creation --------------------------------------------------------------------------------- */

static bool has_family(const struct spec_tunnel *tunnel, sa_family_t family)
{
    for (size_t i = 0; i < tunnel->addresses_count; i++) {
        if (tunnel->addresses[i].addr.family == family)
            return true;
    }
    return false;
}

static int check_forward(const struct service_tunnel *tunnel, const struct spec_forward *spec,
                         struct problem *problem)
{
    struct spec_errors *errors = &problem->errors;
    spec_forward_check(spec, errors);
    if (tunnel == NULL)
        spec_errors_add(errors, "/tunnel", "unknown_tunnel", "there is no tunnel \"%s\"",
                        spec->tunnel);
    else if (!has_family(&tunnel->spec, spec->target_address.family))
        spec_errors_add(errors, "/target/host", "no_address_of_family",
                        "the tunnel has no %s address to reach it from",
                        spec->target_address.family == AF_INET6 ? "IPv6" : "IPv4");
    if (errors->count > 0)
        return problem_set(problem, "validation", "the forward's definition has %zu error(s)",
                           errors->count);
    return 0;
}

void service_check_targets(struct service *service, const struct service_tunnel *tunnel,
                           const struct spec_tunnel *spec, struct spec_errors *errors)
{
    for (size_t i = 0; i < service->forwards.count; i++) {
        const struct service_forward *forward = service->forwards.entries[i].object;
        if (forward->tunnel == tunnel && !has_family(spec, forward->spec.target_address.family))
            spec_errors_add(errors, "/addresses", "no_address_of_family",
                            "the forward \"%s\" needs an %s address to reach its target from",
                            forward->spec.name,
                            forward->spec.target_address.family == AF_INET6 ? "IPv6" : "IPv4");
    }
}

/* "forward-" and eight random characters that no other forward has. */
static void generate_name(const struct service *service, char name[SPEC_NAME_MAX + 1])
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    do {
        int used = snprintf(name, SPEC_NAME_MAX + 1, "forward-");
        for (int i = 0; i < 8; i++)
            name[used++] = alphabet[randombytes_uniform(sizeof(alphabet) - 1)];
        name[used] = '\0';
    } while (service_index_find(&service->forwards, name) != NULL);
}

/* A change of the store, and how its audit record calls it. */
struct forward_write {
    int (*write)(struct store *store, const struct store_forward *row);
    enum event_type type;
    const char *reason;
};

static const struct forward_write insert_forward = {store_insert_forward, EVENT_FORWARD_CREATED,
                                                    NULL};
static const struct forward_write update_forward = {store_update_forward, EVENT_FORWARD_CHANGED,
                                                    NULL};
static const struct forward_write undo_update = {store_update_forward, EVENT_FORWARD_CHANGED,
                                                 "Undone"};

static int record_forward(struct service *service, const struct service_forward *forward,
                          enum event_type type, const char *reason)
{
    return service_record(service, &(struct event_fact){.type = type,
                                                        .name = forward->spec.name,
                                                        .reason = reason,
                                                        .generation = forward->generation});
}

int service_record_deleted_forwards(struct service *service, const struct service_tunnel *tunnel)
{
    int rc = 0;
    for (size_t i = 0; i < service->forwards.count && tunnel->forwards > 0 && rc == 0; i++) {
        const struct service_forward *forward = service->forwards.entries[i].object;
        if (forward->tunnel == tunnel)
            rc = record_forward(service, forward, EVENT_FORWARD_DELETED, "TunnelDeleted");
    }
    return rc;
}

static int commit_forward(struct service *service, const struct service_forward *forward,
                          const struct forward_write *change, struct problem *problem)
{
    if (service->store == NULL)
        return 0;
    struct store_forward row = {
        .spec = forward->spec,
        .source = forward->source,
        .generation = forward->generation,
        .created_at = forward->created_at,
        .bound_port = forward->bound_port,
    };
    int rc = store_begin(service->store);
    if (rc == 0) {
        rc = change->write(service->store, &row);
        if (rc == 0)
            rc = record_forward(service, forward, change->type, change->reason);
        rc = store_end(service->store, rc);
    }
    return rc < 0 ? service_store_problem(service, problem, rc, "forward", forward->spec.name) : 0;
}

/* Deletes the row, and says so. 0 or as the store fails. */
static int erase_forward(struct service *service, const struct service_forward *forward,
                         const char *reason)
{
    int rc = store_begin(service->store);
    if (rc < 0)
        return rc;
    rc = store_delete_forward(service->store, forward->spec.name);
    if (rc == 0 || rc == -ENOENT)
        rc = record_forward(service, forward, EVENT_FORWARD_DELETED, reason);
    return store_end(service->store, rc);
}

static void revoke_forward(struct service *service, const struct service_forward *forward)
{
    if (service->store != NULL && erase_forward(service, forward, "NotStarted") < 0)
        log_error("forward %s was not started but is still stored: %s", forward->spec.name,
                  store_error(service->store));
}

/* Bind, commit, push: on failure nothing of it is left in the store or the supervisor. */
static int establish_forward(struct service *service, struct service_forward *forward,
                             struct problem *problem)
{
    const struct spec_forward *spec = &forward->spec;
    int rc = spec->enabled ? bind_forward(forward) : 0;
    if (rc < 0)
        return service_start_problem(problem, rc, "/listen/port", "TCP", &spec->listen_address,
                                     spec->listen_port);
    if (commit_forward(service, forward, &insert_forward, problem) < 0)
        return -1;
    forward->port_unsaved = false;
    rc = spec->enabled ? push_forward(forward) : 0;
    if (rc < 0) {
        revoke_forward(service, forward);
        return problem_set(problem, "exhausted", "no worker can take the forward: %s",
                           strerror(-rc));
    }
    return 0;
}

static void log_created(const struct service_forward *forward)
{
    char listen[INET_SOCKADDR_TEXT];
    char target[INET_SOCKADDR_TEXT];
    union inet_sockaddr sa;
    inet_sockaddr_make(&sa, &forward->spec.listen_address, forward->bound_port);
    inet_sockaddr_print(&sa, listen);
    inet_sockaddr_make(&sa, &forward->spec.target_address, forward->spec.target_port);
    inet_sockaddr_print(&sa, target);
    log_info("forward %s: created, %s -> %s through tunnel %s%s", forward->spec.name, listen,
             target, forward->spec.tunnel, forward->spec.enabled ? "" : " (not enabled)");
}

int service_create_forward(struct service *service, struct spec_forward *spec,
                           const struct service_forward **out, struct problem *problem)
{
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, spec->tunnel);
    if (check_forward(tunnel, spec, problem) < 0)
        return -1;
    if (service_index_find(&service->forwards, spec->name) != NULL) {
        spec_errors_add(&problem->errors, "/name", "name_taken", "the name is taken");
        return problem_set(problem, "name_taken", "there is a forward \"%s\" already", spec->name);
    }
    uint64_t generation;
    if (service_first_generation(service, &generation, problem) < 0)
        return -1;
    struct service_forward *forward = new_forward(spec, tunnel);
    if (forward == NULL || service_index_reserve(&service->forwards) < 0) {
        free(forward);
        return problem_set(problem, "exhausted", "out of memory");
    }
    if (spec->name[0] == '\0')
        generate_name(service, forward->spec.name);
    forward->generation = generation;
    clock_gettime(CLOCK_REALTIME, &forward->created_at);
    if (establish_forward(service, forward, problem) < 0) {
        sockets_close_listener(forward->listener);
        free(forward);
        return -1;
    }
    add_forward(service, forward);
    memset(spec, 0, sizeof(*spec));
    observe(forward);
    if (service->store != NULL) /* the one-shot command has a line of its own */
        log_created(forward);
    *out = forward;
    return 0;
}

/* --- Change ----------------------------------------------------------------------------------- */

static bool same_listen(const struct spec_forward *a, const struct spec_forward *b)
{
    return a->listen_port == b->listen_port &&
           inet_addr_equal(&a->listen_address, &b->listen_address);
}

/* Whether the present listener is what the specification asks for. */
static bool listener_fits(const struct service_forward *forward, const struct spec_forward *spec)
{
    return forward->listener >= 0 &&
           inet_addr_equal(&forward->spec.listen_address, &spec->listen_address) &&
           (spec->listen_port == 0 || spec->listen_port == forward->bound_port);
}

/* Gives next, a copy of forward with another specification, the listener that it is to have. */
static int rebind_forward(const struct service_forward *forward, struct service_forward *next,
                          struct problem *problem)
{
    const struct spec_forward *spec = &next->spec;
    if (spec->enabled && listener_fits(forward, spec))
        return 0;
    /* What could not be bound is tried again by the timer, unless something else is asked for. */
    if (spec->enabled && forward->start_error != 0 && same_listen(&forward->spec, spec))
        return 0;
    next->listener = -1;
    next->start_error = 0;
    if (!same_listen(&forward->spec, spec))
        next->bound_port = 0;
    if (!spec->enabled)
        return 0;
    next->attempts = SAME_PORT_ATTEMPTS; /* nobody who holds the port is about to let go of it */
    int rc = bind_forward(next);
    return rc < 0 ? service_start_problem(problem, rc, "/listen/port", "TCP", &spec->listen_address,
                                          spec->listen_port)
                  : 0;
}

/* Tells the worker, or another one; the forward is what it was before but for what differs. */
static int push_change(struct service_forward *forward, const struct service_forward *before)
{
    if (before->supervised != NULL && forward->spec.enabled && forward->tunnel == before->tunnel)
        return supervisor_update_forward(forward->supervised, forward->listener != before->listener
                                                                  ? forward->listener
                                                                  : -1);
    forward->supervised = NULL;
    int rc = forward->listener >= 0 ? push_forward(forward) : 0;
    if (rc == 0 && before->supervised != NULL)
        supervisor_remove_forward(before->supervised);
    return rc;
}

/* Commit, push: on failure the forward and the store are as before. */
static int replace_forward(struct service *service, struct service_forward *forward,
                           const struct service_forward *next, struct problem *problem)
{
    if (commit_forward(service, next, &update_forward, problem) < 0)
        return -1;
    struct service_forward before = *forward;
    *forward = *next;
    forward->port_unsaved = false;
    int rc = push_change(forward, &before);
    if (rc < 0) {
        *forward = before;
        struct problem ignored = {0}; /* it was logged */
        commit_forward(service, forward, &undo_update, &ignored);
        return problem_set(problem, "exhausted", "no worker can take the forward: %s",
                           strerror(-rc));
    }
    before.tunnel->forwards--;
    forward->tunnel->forwards++;
    if (before.listener != forward->listener)
        sockets_close_listener(before.listener);
    return 0;
}

int service_update_forward(struct service *service, struct spec_forward *spec,
                           const struct service_forward **out, struct problem *problem)
{
    struct service_forward *forward = service_index_find(&service->forwards, spec->name);
    if (forward == NULL)
        return problem_set(problem, "not_found", "there is no forward \"%.63s\"", spec->name);
    if (service_check_source(problem, forward->source, "forward", forward->spec.name) < 0)
        return -1;
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, spec->tunnel);
    if (check_forward(tunnel, spec, problem) < 0)
        return -1;
    if (!spec_forward_equal(&forward->spec, spec)) {
        struct service_forward next = *forward;
        next.spec = *spec;
        next.tunnel = tunnel;
        next.generation++;
        if (rebind_forward(forward, &next, problem) < 0)
            return -1;
        if (replace_forward(service, forward, &next, problem) < 0) {
            if (next.listener != forward->listener)
                sockets_close_listener(next.listener);
            return -1;
        }
        if (forward->spec.enabled && forward->supervised == NULL)
            service_retry_later(service);
        log_info("forward %s: changed", forward->spec.name);
    }
    memset(spec, 0, sizeof(*spec));
    observe(forward);
    *out = forward;
    return 0;
}

/* --- Deletion --------------------------------------------------------------------------------- */

int service_delete_forward(struct service *service, const char *name, struct problem *problem)
{
    struct service_forward *forward = service_index_find(&service->forwards, name);
    if (forward == NULL)
        return problem_set(problem, "not_found", "there is no forward \"%.63s\"", name);
    if (service_check_source(problem, forward->source, "forward", name) < 0)
        return -1;
    if (service->store != NULL) {
        int rc = erase_forward(service, forward, NULL);
        if (rc < 0)
            return service_store_problem(service, problem, rc, "forward", name);
    }
    log_info("forward %s: deleted", forward->spec.name);
    service_drop_forward(service, forward);
    return 0;
}

/* --- Restoring -------------------------------------------------------------------------------- */

static int restore_forward(void *ctx, struct store_forward *row)
{
    struct service *service = ctx;
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, row->spec.tunnel);
    if (tunnel == NULL) {
        log_error("the stored forward \"%s\" is left out: its tunnel could not be read",
                  row->spec.name);
        return 0;
    }
    struct service_forward *forward = new_forward(&row->spec, tunnel);
    if (forward == NULL || service_index_reserve(&service->forwards) < 0) {
        free(forward);
        return -ENOMEM;
    }
    forward->source = row->source;
    forward->generation = row->generation;
    forward->created_at = row->created_at;
    forward->bound_port = row->bound_port;
    add_forward(service, forward);
    if (forward->spec.enabled && (start_forward(forward) < 0 || forward->supervised == NULL))
        service_retry_later(service);
    return 0;
}

int service_restore_forwards(struct service *service)
{
    int rc = store_load_forwards(service->store, restore_forward, service);
    if (rc < 0)
        return rc;
    /* Only now: the table is not written while it is being read. */
    for (size_t i = 0; i < service->forwards.count; i++)
        save_port(service, service->forwards.entries[i].object);
    return 0;
}

/* --- Look-up ---------------------------------------------------------------------------------- */

const struct service_forward *service_find_forward(struct service *service, const char *name)
{
    struct service_forward *forward = service_index_find(&service->forwards, name);
    if (forward != NULL)
        observe(forward);
    return forward;
}

const struct service_forward *service_next_forward(struct service *service, const char *after)
{
    struct service_forward *forward = service_index_next(&service->forwards, after);
    if (forward != NULL)
        observe(forward);
    return forward;
}
