/*
 * service_tunnels: creation, change, deletion, restoring and condition of tunnels.
 */
#include "engine/log.h"
#include "engine/spec_diff.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* --- Starting --------------------------------------------------------------------------------- */

static int bind_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    if (tunnel->port != 0)
        return 0;
    return sockets_bind_udp(&tunnel->spec.listen_address, tunnel->spec.listen_port,
                            &service->released, tunnel->sockets, &tunnel->port);
}

static int push_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    return supervisor_add_tunnel(service->supervisor, &tunnel->spec, tunnel->sockets,
                                 &tunnel->supervised);
}

/* Starts a tunnel that the store knows; a failure is noted in it, and logged when it is new. */
static int start_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    int rc = bind_tunnel(service, tunnel);
    if (rc == 0)
        rc = push_tunnel(service, tunnel);
    if (rc < 0 && tunnel->start_error != -rc)
        log_error("tunnel %s cannot be started: %s; it is tried again", tunnel->spec.name,
                  strerror(-rc));
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
            log_info("tunnel %s: bound to port %u", tunnel->spec.name, (unsigned)tunnel->port);
    }
    return left;
}

static void observe(struct service_tunnel *tunnel)
{
    if (tunnel->supervised == NULL)
        service_condition_failed(&tunnel->condition, tunnel->start_error);
    else if (!supervisor_tunnel_worker_alive(tunnel->supervised))
        service_condition_set(&tunnel->condition, false, "WorkerDown",
                              "the worker process is being restarted");
    else
        service_condition_set(&tunnel->condition, true, "Bound", "");
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static struct service_tunnel *new_tunnel(const struct spec_tunnel *spec)
{
    struct service_tunnel *tunnel = calloc(1, sizeof(*tunnel));
    if (tunnel == NULL)
        return NULL;
    tunnel->spec = *spec;
    tunnel->sockets[0] = -1;
    tunnel->sockets[1] = -1;
    crypto_scalarmult_base(tunnel->public_key, spec->private_key);
    return tunnel;
}

/* Frees a tunnel, of which the caller keeps the specification. */
static void abandon_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    sockets_close_udp(tunnel->sockets, tunnel->port, &service->released);
    sodium_memzero(tunnel, sizeof(*tunnel));
    free(tunnel);
}

void service_drop_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    if (tunnel->supervised != NULL)
        supervisor_remove_tunnel(tunnel->supervised);
    service_index_remove(&service->tunnels, tunnel->spec.name);
    spec_tunnel_fini(&tunnel->spec);
    abandon_tunnel(service, tunnel);
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

static int check_name(const struct service *service, const struct spec_tunnel *spec,
                      struct problem *problem)
{
    if (service_index_find(&service->tunnels, spec->name) != NULL) {
        spec_errors_add(&problem->errors, "/name", "name_taken", "the name is taken");
        return problem_set(problem, "name_taken", "there is a tunnel \"%s\" already", spec->name);
    }
    return 0;
}

/* A change of the store, and how its audit record calls it. */
struct tunnel_write {
    int (*write)(struct store *store, const struct store_tunnel *row);
    enum event_type type;
    const char *reason;
};

static const struct tunnel_write insert_tunnel = {store_insert_tunnel, EVENT_TUNNEL_CREATED, NULL};
static const struct tunnel_write update_tunnel = {store_update_tunnel, EVENT_TUNNEL_CHANGED, NULL};
static const struct tunnel_write undo_update = {store_update_tunnel, EVENT_TUNNEL_CHANGED,
                                                "Undone"};

static int record_tunnel(struct service *service, const struct service_tunnel *tunnel,
                         enum event_type type, const char *reason)
{
    return service_record(service, &(struct event_fact){.type = type,
                                                        .name = tunnel->spec.name,
                                                        .reason = reason,
                                                        .generation = tunnel->generation});
}

static int commit_tunnel(struct service *service, const struct service_tunnel *tunnel,
                         const struct tunnel_write *change, struct problem *problem)
{
    if (service->store == NULL)
        return 0;
    struct store_tunnel row = {
        .spec = tunnel->spec, /* borrowed */
        .source = tunnel->source,
        .generation = tunnel->generation,
        .created_at = tunnel->created_at,
    };
    int rc = store_begin(service->store);
    if (rc == 0) {
        rc = change->write(service->store, &row);
        if (rc == 0)
            rc = record_tunnel(service, tunnel, change->type, change->reason);
        rc = store_end(service->store, rc);
    }
    sodium_memzero(&row, sizeof(row));
    return rc < 0 ? service_store_problem(service, problem, rc, "tunnel", tunnel->spec.name) : 0;
}

/* Deletes the row, with those of its forwards, and says so of each. 0 or as the store fails. */
static int erase_tunnel(struct service *service, const struct service_tunnel *tunnel,
                        const char *reason)
{
    int rc = store_begin(service->store);
    if (rc < 0)
        return rc;
    rc = service_record_deleted_forwards(service, tunnel);
    if (rc == 0)
        rc = store_delete_tunnel(service->store, tunnel->spec.name);
    if (rc == 0 || rc == -ENOENT)
        rc = record_tunnel(service, tunnel, EVENT_TUNNEL_DELETED, reason);
    return store_end(service->store, rc);
}

static void revoke_tunnel(struct service *service, const struct service_tunnel *tunnel)
{
    if (service->store != NULL && erase_tunnel(service, tunnel, "NotStarted") < 0)
        log_error("tunnel %s was not started but is still stored: %s", tunnel->spec.name,
                  store_error(service->store));
}

/* Bind, commit, push: on failure nothing of it is left. */
static int establish_tunnel(struct service *service, struct service_tunnel *tunnel,
                            struct problem *problem)
{
    const struct spec_tunnel *spec = &tunnel->spec;
    int rc = bind_tunnel(service, tunnel);
    if (rc < 0)
        return service_start_problem(problem, rc, "/listen_port", "UDP", &spec->listen_address,
                                     spec->listen_port);
    if (commit_tunnel(service, tunnel, &insert_tunnel, problem) < 0)
        return -1;
    rc = push_tunnel(service, tunnel);
    if (rc < 0) {
        revoke_tunnel(service, tunnel);
        return problem_set(problem, "exhausted", "no worker can take the tunnel: %s",
                           strerror(-rc));
    }
    return 0;
}

int service_create_tunnel(struct service *service, struct spec_tunnel *spec,
                          const struct service_tunnel **out, struct problem *problem)
{
    uint64_t generation;
    if (check_tunnel(service, NULL, spec, problem) < 0 || check_name(service, spec, problem) < 0 ||
        service_first_generation(service, &generation, problem) < 0)
        return -1;
    struct service_tunnel *tunnel = new_tunnel(spec);
    if (tunnel == NULL || service_index_reserve(&service->tunnels) < 0) {
        free(tunnel);
        return problem_set(problem, "exhausted", "out of memory");
    }
    tunnel->generation = generation;
    clock_gettime(CLOCK_REALTIME, &tunnel->created_at);
    if (establish_tunnel(service, tunnel, problem) < 0) {
        abandon_tunnel(service, tunnel);
        return -1;
    }
    service_index_insert(&service->tunnels, tunnel->spec.name, tunnel);
    sodium_memzero(spec, sizeof(*spec));
    observe(tunnel);
    if (service->store != NULL) /* the one-shot command is quiet until all of it is done */
        log_info("tunnel %s: created, bound to port %u", tunnel->spec.name, (unsigned)tunnel->port);
    *out = tunnel;
    return 0;
}

/* --- Change ----------------------------------------------------------------------------------- */

/* Gives next, a copy of tunnel with another specification, the sockets that it is to have. */
static int rebind_tunnel(struct service *service, const struct service_tunnel *tunnel,
                         struct service_tunnel *next, struct problem *problem)
{
    const struct spec_tunnel *spec = &next->spec;
    if (!(spec_tunnel_diff(&tunnel->spec, spec) & SPEC_TUNNEL_LISTEN))
        return 0;
    if (tunnel->port != 0 && (spec->listen_port == 0 || spec->listen_port == tunnel->port) &&
        inet_addr_equal(&tunnel->spec.listen_address, &spec->listen_address))
        return 0;
    next->sockets[0] = next->sockets[1] = -1;
    next->port = 0;
    int rc = bind_tunnel(service, next);
    return rc < 0 ? service_start_problem(problem, rc, "/listen_port", "UDP", &spec->listen_address,
                                          spec->listen_port)
                  : 0;
}

static bool same_sockets(const struct service_tunnel *a, const struct service_tunnel *b)
{
    return a->sockets[0] == b->sockets[0] && a->sockets[1] == b->sockets[1];
}

/* Tells the worker; a tunnel that is in none is given to one if its sockets are new. */
static int push_change(struct service *service, struct service_tunnel *tunnel,
                       const struct service_tunnel *before)
{
    bool moved = !same_sockets(tunnel, before);
    if (tunnel->supervised != NULL)
        return supervisor_update_tunnel(tunnel->supervised, moved ? tunnel->sockets : NULL);
    int rc = moved ? push_tunnel(service, tunnel) : 0;
    if (rc == 0 && moved)
        tunnel->start_error = 0;
    return rc;
}

/*
 * Commit, push: on failure the tunnel and the store are as before. On success *next becomes what
 * the tunnel was.
 */
static int replace_tunnel(struct service *service, struct service_tunnel *tunnel,
                          struct service_tunnel *next, struct problem *problem)
{
    if (commit_tunnel(service, next, &update_tunnel, problem) < 0)
        return -1;
    struct service_tunnel before = *tunnel;
    *tunnel = *next;
    int rc = push_change(service, tunnel, &before);
    if (rc < 0) {
        *tunnel = before;
        struct problem ignored = {0}; /* it was logged */
        commit_tunnel(service, tunnel, &undo_update, &ignored);
        problem_set(problem, "exhausted", "no worker can take the change: %s", strerror(-rc));
    } else {
        *next = before;
    }
    sodium_memzero(&before, sizeof(before));
    return rc < 0 ? -1 : 0;
}

static int change_tunnel(struct service *service, struct service_tunnel *tunnel,
                         const struct spec_tunnel *spec, struct problem *problem)
{
    struct service_tunnel next = *tunnel;
    next.spec = *spec;
    next.generation++;
    crypto_scalarmult_base(next.public_key, spec->private_key);
    int rc = rebind_tunnel(service, tunnel, &next, problem);
    if (rc == 0)
        rc = replace_tunnel(service, tunnel, &next, problem);
    /* What is left in next is the old sockets and definition, or those that came to nothing. */
    if (!same_sockets(tunnel, &next))
        sockets_close_udp(next.sockets, next.port, &service->released);
    if (rc == 0)
        spec_tunnel_fini(&next.spec);
    sodium_memzero(&next, sizeof(next));
    return rc;
}

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
        return problem_set(problem, "not_found", "there is no tunnel \"%.63s\"", spec->name);
    if (service_check_tunnel(service, spec, problem) < 0)
        return -1;
    if (spec_tunnel_diff(&tunnel->spec, spec) == 0) {
        spec_tunnel_fini(spec);
    } else {
        if (change_tunnel(service, tunnel, spec, problem) < 0)
            return -1;
        sodium_memzero(spec, sizeof(*spec));
        log_info("tunnel %s: changed", tunnel->spec.name);
    }
    observe(tunnel);
    *out = tunnel;
    return 0;
}

/* --- Deletion --------------------------------------------------------------------------------- */

int service_delete_tunnel(struct service *service, const char *name, bool cascade,
                          struct problem *problem)
{
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, name);
    if (tunnel == NULL)
        return problem_set(problem, "not_found", "there is no tunnel \"%.63s\"", name);
    if (service_check_source(problem, tunnel->source, "tunnel", name) < 0)
        return -1;
    if (tunnel->forwards > 0 && !cascade)
        return problem_set(
            problem, "in_use",
            "%zu forward(s) use the tunnel; delete them first, or with ?cascade=true",
            tunnel->forwards);
    if (service->store != NULL) {
        int rc = erase_tunnel(service, tunnel, NULL);
        if (rc < 0)
            return service_store_problem(service, problem, rc, "tunnel", name);
    }
    log_info("tunnel %s: deleted, with %zu forward(s)", tunnel->spec.name, tunnel->forwards);
    service_drop_forwards_of(service, tunnel);
    service_drop_tunnel(service, tunnel);
    return 0;
}

/* --- Restoring -------------------------------------------------------------------------------- */

static int restore_tunnel(void *ctx, struct store_tunnel *row)
{
    struct service *service = ctx;
    struct service_tunnel *tunnel = new_tunnel(&row->spec);
    if (tunnel == NULL || service_index_reserve(&service->tunnels) < 0) {
        free(tunnel);
        return -ENOMEM;
    }
    sodium_memzero(&row->spec, sizeof(row->spec));
    tunnel->source = row->source;
    tunnel->generation = row->generation;
    tunnel->created_at = row->created_at;
    service_index_insert(&service->tunnels, tunnel->spec.name, tunnel);
    if (start_tunnel(service, tunnel) < 0)
        service_retry_later(service);
    return 0;
}

int service_restore_tunnels(struct service *service)
{
    return store_load_tunnels(service->store, restore_tunnel, service);
}

/* --- Look-up ---------------------------------------------------------------------------------- */

const struct service_tunnel *service_find_tunnel(struct service *service, const char *name)
{
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, name);
    if (tunnel != NULL)
        observe(tunnel);
    return tunnel;
}

const struct service_tunnel *service_next_tunnel(struct service *service, const char *after)
{
    struct service_tunnel *tunnel = service_index_next(&service->tunnels, after);
    if (tunnel != NULL)
        observe(tunnel);
    return tunnel;
}
