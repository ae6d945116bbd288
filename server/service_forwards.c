/*
 * service_forwards: creation, change, deletion, restoring and look-up of forwards.
 *
 * A forward whose tunnel is not up still listens: its clients wait in the kernel's backlog, as
 * they do while a worker is restarted.
 */
#include "base/log.h"
#include "base/spec_diff.h"
#include "server/change.h"
#include "server/retired_counts.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
int service_bind_forward(struct service_forward *forward)
{
    if (forward->listener >= 0)
        return 0;
    uint16_t wanted = forward->spec.listen_port;
    if (wanted != 0 || forward->bound_port == 0)
        return listen_on(forward, wanted);
    int rc = listen_on(forward, forward->bound_port);
    if (rc == -EADDRINUSE && ++forward->attempts < SERVICE_SAME_PORT_ATTEMPTS)
        return rc;
    return rc == -EADDRINUSE || rc == -EACCES ? listen_on(forward, 0) : rc;
}

static int push_forward(struct service_forward *forward)
{
    if (forward->tunnel->supervised == NULL)
        return 0;
    int rc = supervisor_reserve_forward(forward->tunnel->supervised, &forward->spec, &forward->spec,
                                        forward->listener, &forward->supervised);
    if (rc == 0)
        supervisor_tell_forward(forward->supervised);
    return rc;
}

static int write_ports(struct service *service)
{
    int rc = store_begin(service->store);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < service->forwards.count && rc == 0; i++) {
        const struct service_forward *forward = service->forwards.entries[i].object;
        if (forward->port_unsaved)
            rc = store_set_bound_port(service->store, forward->spec.name, forward->bound_port);
    }
    return store_end(service->store, rc);
}

static bool has_unsaved_port(const struct service *service)
{
    for (size_t i = 0; i < service->forwards.count; i++) {
        const struct service_forward *forward = service->forwards.entries[i].object;
        if (forward->port_unsaved)
            return true;
    }
    return false;
}

/*
 * Stores all that are not, as one change: thousands of them are one wait for the disk. False when
 * that is to be tried again.
 */
static bool save_ports(struct service *service)
{
    if (service->store == NULL || !has_unsaved_port(service))
        return true;
    if (write_ports(service) < 0) {
        log_error("ports that were chosen could not be stored: %s; it is tried again",
                  store_error(service->store));
        return false;
    }
    for (size_t i = 0; i < service->forwards.count; i++) {
        struct service_forward *forward = service->forwards.entries[i].object;
        forward->port_unsaved = false;
    }
    return true;
}

/* Starts a forward that the store knows; a failure is noted in it, and logged when it is new. */
static int start_forward(struct service_forward *forward)
{
    int rc = service_bind_forward(forward);
    if (rc == 0)
        rc = push_forward(forward);
    if (rc < 0 && forward->start_error != -rc)
        log_about(LOG_LEVEL_ERROR, LOG_FORWARD, forward->spec.name,
                  "cannot be started: %s; it is tried again", strerror(-rc));
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
            log_about(LOG_LEVEL_INFO, LOG_FORWARD, forward->spec.name, "listening on port %u",
                      (unsigned)forward->bound_port);
    }
    return !save_ports(service) || left;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

struct service_forward *service_new_forward(const struct spec_forward *spec,
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

void service_add_forward(struct service *service, struct service_forward *forward)
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
    retired_shares_forget(forward);
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

/* --- Creation --------------------------------------------------------------------------------- */

static int check_forward(const struct service_tunnel *tunnel, const struct spec_forward *spec,
                         struct problem *problem)
{
    struct spec_errors *errors = &problem->errors;
    spec_forward_check(spec, errors);
    spec_forward_check_tunnel(spec, tunnel != NULL ? &tunnel->spec : NULL, errors);
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
        if (forward->tunnel == tunnel &&
            !spec_tunnel_has_family(spec, forward->spec.target_address.family))
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

static void log_created(const struct service_forward *forward)
{
    char listen[INET_SOCKADDR_TEXT];
    char target[INET_SOCKADDR_TEXT];
    union inet_sockaddr sa;
    inet_sockaddr_make(&sa, &forward->spec.listen_address, forward->bound_port);
    inet_sockaddr_print(&sa, listen);
    inet_sockaddr_make(&sa, &forward->spec.target_address, forward->spec.target_port);
    inet_sockaddr_print(&sa, target);
    log_about(LOG_LEVEL_INFO, LOG_FORWARD, forward->spec.name,
              "created, %s -> %s through tunnel %s%s", listen, target, forward->spec.tunnel,
              forward->spec.enabled ? "" : " (not enabled)");
}

static int create(struct service *service, struct spec_forward *spec, bool replace,
                  const struct service_forward **out, struct problem *problem)
{
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, spec->tunnel);
    if (check_forward(tunnel, spec, problem) < 0)
        return -1;
    if (!replace && service_check_unreadable(service, UNREADABLE_FORWARD, spec->name, problem) < 0)
        return -1;
    if (service_index_find(&service->forwards, spec->name) != NULL) {
        spec_errors_add(&problem->errors, "/name", "name_taken", "the name is taken");
        return problem_set(problem, "name_taken", "there is a forward \"%s\" already", spec->name);
    }
    struct spec_forward named = *spec;
    if (spec->name[0] == '\0')
        generate_name(service, named.name);
    struct forward_step step;
    struct change change = {.service = service, .forwards = &step, .forwards_count = 1};
    if (forward_step_create(&step, &named, tunnel, SPEC_SOURCE_API) < 0)
        return problem_set(problem, "exhausted", "out of memory");
    struct service_forward *forward = step.forward;
    if (change_run(&change, problem) < 0)
        return -1;
    memset(spec, 0, sizeof(*spec));
    service_observe_forward(service, forward);
    if (service->store != NULL) /* the one-shot command has a line of its own */
        log_created(forward);
    *out = forward;
    return 0;
}

int service_create_forward(struct service *service, struct spec_forward *spec,
                           const struct service_forward **out, struct problem *problem)
{
    return create(service, spec, false, out, problem);
}

int service_put_forward(struct service *service, struct spec_forward *spec,
                        const struct service_forward **out, struct problem *problem)
{
    const struct unreadable *replaced =
        service_find_unreadable(service, UNREADABLE_FORWARD, spec->name);
    if (service_index_find(&service->forwards, spec->name) != NULL)
        return service_update_forward(service, spec, out, problem);
    if (replaced != NULL &&
        service_check_source(problem, replaced->source, "forward", spec->name) < 0)
        return -1;
    return create(service, spec, true, out, problem);
}

/* --- Change ----------------------------------------------------------------------------------- */

int service_update_forward(struct service *service, struct spec_forward *spec,
                           const struct service_forward **out, struct problem *problem)
{
    struct service_forward *forward = service_index_find(&service->forwards, spec->name);
    if (forward == NULL)
        return service_not_found(service, UNREADABLE_FORWARD, spec->name, problem);
    if (service_check_source(problem, forward->source, "forward", forward->spec.name) < 0)
        return -1;
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, spec->tunnel);
    if (check_forward(tunnel, spec, problem) < 0)
        return -1;
    if (!spec_forward_equal(&forward->spec, spec)) {
        struct forward_step step;
        struct change change = {.service = service, .forwards = &step, .forwards_count = 1};
        forward_step_update(&step, forward, spec, tunnel);
        if (change_run(&change, problem) < 0)
            return -1;
        log_about(LOG_LEVEL_INFO, LOG_FORWARD, forward->spec.name, "changed");
    }
    memset(spec, 0, sizeof(*spec));
    service_observe_forward(service, forward);
    *out = forward;
    return 0;
}

/* --- Deletion --------------------------------------------------------------------------------- */

int service_delete_forward(struct service *service, const char *name, struct problem *problem)
{
    struct service_forward *forward = service_index_find(&service->forwards, name);
    if (forward == NULL)
        return service_delete_unreadable(service, UNREADABLE_FORWARD, name, false, problem);
    if (service_check_source(problem, forward->source, "forward", name) < 0)
        return -1;
    struct forward_step step;
    struct change change = {.service = service, .forwards = &step, .forwards_count = 1};
    forward_step_delete(&step, forward);
    if (change_run(&change, problem) < 0)
        return -1;
    log_about(LOG_LEVEL_INFO, LOG_FORWARD, name, "deleted");
    return 0;
}

/* --- Restoring -------------------------------------------------------------------------------- */

static int add_restored(struct service *service, const struct store_forward *row,
                        struct service_tunnel *tunnel, struct service_forward **out)
{
    struct service_forward *forward = service_new_forward(&row->spec, tunnel);
    if (forward == NULL || service_index_reserve(&service->forwards, 1) < 0) {
        free(forward);
        return -ENOMEM;
    }
    forward->source = row->source;
    forward->generation = row->generation;
    forward->created_at = row->created_at;
    forward->bound_port = row->bound_port;
    service_add_forward(service, forward);
    *out = forward;
    return 0;
}

static void start_restored(struct service *service, struct service_forward *forward)
{
    if (forward->spec.enabled && (start_forward(forward) < 0 || forward->supervised == NULL))
        service_retry_later(service);
}

static int restore_forward(void *ctx, struct store_forward *row)
{
    struct service *service = ctx;
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, row->spec.tunnel);
    struct service_forward *forward;
    if (tunnel == NULL) {
        service_note_waiting_forward(service, row);
        return 0;
    }
    int rc = add_restored(service, row, tunnel, &forward);
    if (rc < 0)
        return rc;
    if (forward->spec.enabled)
        service_inherit_forward(service, forward);
    start_restored(service, forward);
    return 0;
}

int service_restore_forwards(struct service *service)
{
    int rc = store_load_forwards(service->store, restore_forward, service_note_unreadable_forward,
                                 service);
    if (rc < 0)
        return rc;
    /* Only now: the table is not written while it is being read. */
    if (!save_ports(service))
        service_retry_later(service);
    return 0;
}

/* --- Returning, when the tunnel is there after all -------------------------------------------- */

static bool is_awaited(const struct service *service, const struct unreadable *unreadable)
{
    return unreadable->waits && service_index_find(&service->tunnels, unreadable->tunnel) != NULL;
}

static bool can_return(const struct service *service)
{
    const struct unreadable *forward = service_next_unreadable(service, UNREADABLE_FORWARD, "");
    while (forward != NULL && !is_awaited(service, forward))
        forward = service_next_unreadable(service, UNREADABLE_FORWARD, forward->name);
    return forward != NULL;
}

static int return_forward(void *ctx, struct store_forward *row)
{
    struct service *service = ctx;
    const struct unreadable *unreadable =
        service_find_unreadable(service, UNREADABLE_FORWARD, row->spec.name);
    if (unreadable == NULL || !is_awaited(service, unreadable))
        return 0;
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, row->spec.tunnel);
    const struct forward_totals totals = unreadable->totals;
    struct service_forward *forward;
    int rc = add_restored(service, row, tunnel, &forward);
    if (rc < 0)
        return rc;
    service_drop_unreadable(service, UNREADABLE_FORWARD, row->spec.name);
    forward->counted_before = forward->saved = totals;
    start_restored(service, forward);
    log_about(LOG_LEVEL_INFO, LOG_FORWARD, forward->spec.name, "is back, with its tunnel");
    service_emit(service, &(struct event_fact){.type = EVENT_FORWARD_CONDITION,
                                               .name = forward->spec.name,
                                               .reason = "TunnelReplaced",
                                               .message = UNREADABLE_CONDITION " is True",
                                               .actor = EVENTS_ACTOR_SYSTEM,
                                               .generation = forward->generation});
    return 0;
}

void service_return_forwards(struct service *service)
{
    if (!can_return(service))
        return;
    if (store_load_forwards(service->store, return_forward, NULL, service) < 0)
        log_error("forwards cannot be started with their tunnel: %s; restart the service",
                  store_error(service->store));
    if (!save_ports(service))
        service_retry_later(service);
}

/* --- Look-up ---------------------------------------------------------------------------------- */

const struct service_forward *service_find_forward(struct service *service, const char *name)
{
    struct service_forward *forward = service_index_find(&service->forwards, name);
    if (forward != NULL)
        service_observe_forward(service, forward);
    return forward;
}

const struct service_forward *service_next_forward(struct service *service, const char *after)
{
    struct service_forward *forward = service_index_next(&service->forwards, after);
    if (forward != NULL)
        service_observe_forward(service, forward);
    return forward;
}
