/*
 * service_tunnels: creation, change, deletion, restoring and look-up of tunnels.
 */
#include "base/log.h"
#include "base/spec_diff.h"
#include "server/change.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* --- Starting --------------------------------------------------------------------------------- */

int service_bind_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    if (tunnel->port != 0)
        return 0;
    return sockets_bind_udp(&tunnel->spec.listen_address, tunnel->spec.listen_port,
                            &service->released, tunnel->sockets, &tunnel->port);
}

static int push_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    int rc = supervisor_reserve_tunnel(service->supervisor, &tunnel->spec, &tunnel->spec,
                                       tunnel->sockets, &tunnel->supervised);
    if (rc < 0)
        return rc;
    service_tell_timestamps(tunnel);
    service_restore_sightings(service, tunnel);
    supervisor_tell_tunnel(tunnel->supervised);
    return 0;
}

/* Starts a tunnel that the store knows; a failure is noted in it, and logged when it is new. */
static int start_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    int rc = service_bind_tunnel(service, tunnel);
    if (rc == 0)
        rc = push_tunnel(service, tunnel);
    if (rc < 0 && tunnel->start_error != -rc)
        log_about(LOG_LEVEL_ERROR, LOG_TUNNEL, tunnel->spec.name,
                  "cannot be started: %s; it is tried again", strerror(-rc));
    tunnel->start_error = -rc;
    return rc;
}

bool service_retry_tunnels(struct service *service)
{
    bool left = false;
    for (size_t i = 0; i < service->tunnels.count; i++) {
        struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        if (tunnel->supervised != NULL)
            continue;
        if (start_tunnel(service, tunnel) < 0)
            left = true;
        else
            log_about(LOG_LEVEL_INFO, LOG_TUNNEL, tunnel->spec.name, "bound to port %u",
                      (unsigned)tunnel->port);
    }
    return left;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

struct service_tunnel *service_new_tunnel(const struct spec_tunnel *spec)
{
    struct service_tunnel *tunnel = calloc(1, sizeof(*tunnel));
    if (tunnel == NULL)
        return NULL;
    tunnel->peers = peer_tallies_new(spec);
    if (tunnel->peers == NULL) {
        free(tunnel);
        return NULL;
    }
    tunnel->spec = *spec;
    tunnel->sockets[0] = -1;
    tunnel->sockets[1] = -1;
    crypto_scalarmult_base(tunnel->public_key, spec->private_key);
    return tunnel;
}

void service_abandon_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    sockets_close_udp(tunnel->sockets, tunnel->port, &service->released);
    free(tunnel->peers);
    sodium_memzero(tunnel, sizeof(*tunnel));
    free(tunnel);
}

void service_drop_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    if (tunnel->supervised != NULL)
        supervisor_remove_tunnel(tunnel->supervised);
    service_index_remove(&service->tunnels, tunnel->spec.name);
    spec_tunnel_fini(&tunnel->spec);
    service_abandon_tunnel(service, tunnel);
}

/* --- Creation --------------------------------------------------------------------------------- */

/* present is the tunnel that is to become this, or NULL. */
static int check_tunnel(struct service *service, const struct service_tunnel *present,
                        const struct spec_tunnel *spec, struct problem *problem)
{
    int rc = spec_tunnel_check(spec, &problem->errors);
    if (rc == -ENOMEM)
        return problem_set(problem, "exhausted", "out of memory");
    if (present != NULL)
        service_check_targets(service, present, spec, &problem->errors);
    if (problem->errors.count > 0)
        return problem_set(problem, "validation", "the tunnel's definition has %zu error(s)",
                           problem->errors.count);
    return 0;
}

static int check_name(const struct service *service, const struct spec_tunnel *spec, bool replace,
                      struct problem *problem)
{
    if (!replace && service_check_unreadable(service, UNREADABLE_TUNNEL, spec->name, problem) < 0)
        return -1;
    if (service_index_find(&service->tunnels, spec->name) != NULL) {
        spec_errors_add(&problem->errors, "/name", "name_taken", "the name is taken");
        return problem_set(problem, "name_taken", "there is a tunnel \"%s\" already", spec->name);
    }
    return 0;
}

static int create(struct service *service, struct spec_tunnel *spec, bool replace,
                  const struct service_tunnel **out, struct problem *problem)
{
    struct tunnel_step step;
    struct change change = {.service = service, .tunnels = &step, .tunnels_count = 1};
    if (check_tunnel(service, NULL, spec, problem) < 0 ||
        check_name(service, spec, replace, problem) < 0)
        return -1;
    if (tunnel_step_create(&step, spec, SPEC_SOURCE_API) < 0)
        return problem_set(problem, "exhausted", "out of memory");
    struct service_tunnel *tunnel = step.tunnel;
    if (change_run(&change, problem) < 0)
        return -1;
    sodium_memzero(spec, sizeof(*spec));
    service_observe_tunnel(service, tunnel);
    if (service->store != NULL) /* the one-shot command is quiet until all of it is done */
        log_about(LOG_LEVEL_INFO, LOG_TUNNEL, tunnel->spec.name, "created, bound to port %u",
                  (unsigned)tunnel->port);
    *out = tunnel;
    return 0;
}

int service_create_tunnel(struct service *service, struct spec_tunnel *spec,
                          const struct service_tunnel **out, struct problem *problem)
{
    return create(service, spec, false, out, problem);
}

int service_put_tunnel(struct service *service, struct spec_tunnel *spec,
                       const struct service_tunnel **out, struct problem *problem)
{
    const struct unreadable *replaced =
        service_find_unreadable(service, UNREADABLE_TUNNEL, spec->name);
    if (service_index_find(&service->tunnels, spec->name) != NULL)
        return service_update_tunnel(service, spec, out, problem);
    if (replaced != NULL &&
        service_check_source(problem, replaced->source, "tunnel", spec->name) < 0)
        return -1;
    return create(service, spec, true, out, problem);
}

/* --- Change ----------------------------------------------------------------------------------- */

int service_check_tunnel(struct service *service, const struct spec_tunnel *spec,
                         struct problem *problem)
{
    const struct service_tunnel *present = service_index_find(&service->tunnels, spec->name);
    if (present != NULL &&
        service_check_source(problem, present->source, "tunnel", present->spec.name) < 0)
        return -1;
    return check_tunnel(service, present, spec, problem);
}

int service_update_tunnel(struct service *service, struct spec_tunnel *spec,
                          const struct service_tunnel **out, struct problem *problem)
{
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, spec->name);
    if (tunnel == NULL)
        return service_not_found(service, UNREADABLE_TUNNEL, spec->name, problem);
    if (service_check_tunnel(service, spec, problem) < 0)
        return -1;
    if (spec_tunnel_diff(&tunnel->spec, spec) == 0) {
        spec_tunnel_fini(spec);
    } else {
        struct tunnel_step step;
        struct change change = {.service = service, .tunnels = &step, .tunnels_count = 1};
        tunnel_step_update(&step, tunnel, spec);
        if (change_run(&change, problem) < 0)
            return -1;
        sodium_memzero(spec, sizeof(*spec));
        log_about(LOG_LEVEL_INFO, LOG_TUNNEL, tunnel->spec.name, "changed");
    }
    service_observe_tunnel(service, tunnel);
    *out = tunnel;
    return 0;
}

/* --- Deletion --------------------------------------------------------------------------------- */

/* One step for each of the tunnel's forwards. */
static void delete_forwards_of(struct service *service, const struct service_tunnel *tunnel,
                               struct change *change)
{
    for (size_t i = 0; i < service->forwards.count; i++) {
        struct service_forward *forward = service->forwards.entries[i].object;
        if (forward->tunnel != tunnel)
            continue;
        struct forward_step *step = &change->forwards[change->forwards_count++];
        forward_step_delete(step, forward);
        step->reason = "TunnelDeleted";
    }
}

int service_delete_tunnel(struct service *service, const char *name, bool cascade,
                          struct problem *problem)
{
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, name);
    if (tunnel == NULL)
        return service_delete_unreadable(service, UNREADABLE_TUNNEL, name, cascade, problem);
    if (service_check_source(problem, tunnel->source, "tunnel", name) < 0)
        return -1;
    size_t forwards = tunnel->forwards + service_unreadable_forwards(service, name);
    if (forwards > 0 && !cascade)
        return problem_set(
            problem, "in_use",
            "%zu forward(s) use the tunnel; delete them first, or with ?cascade=true", forwards);
    struct tunnel_step step;
    struct change change = {.service = service, .tunnels = &step, .tunnels_count = 1};
    change.forwards = calloc(tunnel->forwards + 1, sizeof(*change.forwards));
    if (change.forwards == NULL)
        return problem_set(problem, "exhausted", "out of memory");
    tunnel_step_delete(&step, tunnel);
    delete_forwards_of(service, tunnel, &change);
    int rc = change_run(&change, problem);
    if (rc == 0)
        log_about(LOG_LEVEL_INFO, LOG_TUNNEL, name, "deleted, with %zu forward(s)", forwards);
    free(change.forwards);
    return rc;
}

/* --- Restoring -------------------------------------------------------------------------------- */

struct restoring {
    struct service *service;
    bool timestamps_renewed;
};

static int restore_tunnel(void *ctx, struct store_tunnel *row)
{
    const struct restoring *restoring = ctx;
    struct service *service = restoring->service;
    struct service_tunnel *tunnel = service_new_tunnel(&row->spec);
    if (tunnel == NULL)
        return -ENOMEM;
    if (service_index_reserve(&service->tunnels, 1) < 0) {
        service_abandon_tunnel(service, tunnel);
        return -ENOMEM;
    }
    sodium_memzero(&row->spec, sizeof(row->spec));
    tunnel->source = row->source;
    tunnel->generation = row->generation;
    tunnel->created_at = row->created_at;
    service_index_insert(&service->tunnels, tunnel->spec.name, tunnel);
    service_inherit_tunnel(service, tunnel);
    service_restore_timestamps(service, tunnel, restoring->timestamps_renewed);
    if (start_tunnel(service, tunnel) < 0)
        service_retry_later(service);
    service_inherit_bridge(service, tunnel);
    return 0;
}

static void note_unreadable(void *ctx, const struct store_unreadable *row)
{
    const struct restoring *restoring = ctx;
    service_note_unreadable_tunnel(restoring->service, row);
}

int service_restore_tunnels(struct service *service)
{
    struct restoring restoring = {service, service_renew_timestamps(service)};
    return store_load_tunnels(service->store, restore_tunnel, note_unreadable, &restoring);
}

/* --- Look-up ---------------------------------------------------------------------------------- */

const struct service_tunnel *service_find_tunnel(struct service *service, const char *name)
{
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, name);
    if (tunnel != NULL)
        service_observe_tunnel(service, tunnel);
    return tunnel;
}

const struct service_tunnel *service_next_tunnel(struct service *service, const char *after)
{
    struct service_tunnel *tunnel = service_index_next(&service->tunnels, after);
    if (tunnel != NULL)
        service_observe_tunnel(service, tunnel);
    return tunnel;
}
