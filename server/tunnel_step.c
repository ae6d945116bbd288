/*
 * tunnel_step: a tunnel's part in a change.
 *
 * `next` is what an update's tunnel becomes; its `supervised` is NULL until an update was prepared
 * for the present one, or another one was reserved.
 */
#include "base/log.h"
#include "base/spec_diff.h"
#include "server/change_internal.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* --- Making steps ----------------------------------------------------------------------------- */

int tunnel_step_create(struct tunnel_step *step, const struct spec_tunnel *spec,
                       enum spec_source source)
{
    *step = (struct tunnel_step){.kind = CHANGE_CREATE};
    step->tunnel = service_new_tunnel(spec);
    if (step->tunnel == NULL)
        return -ENOMEM;
    step->tunnel->source = source;
    clock_gettime(CLOCK_REALTIME, &step->tunnel->created_at);
    return 0;
}

void tunnel_step_update(struct tunnel_step *step, struct service_tunnel *tunnel,
                        const struct spec_tunnel *spec)
{
    *step = (struct tunnel_step){.kind = CHANGE_UPDATE, .tunnel = tunnel, .next = *tunnel};
    step->next.spec = *spec;
    step->next.generation++;
    step->next.supervised = NULL;
    crypto_scalarmult_base(step->next.public_key, spec->private_key);
}

void tunnel_step_delete(struct tunnel_step *step, struct service_tunnel *tunnel)
{
    *step = (struct tunnel_step){.kind = CHANGE_DELETE, .tunnel = tunnel};
}

/* --- Sockets ---------------------------------------------------------------------------------- */

static bool same_sockets(const struct service_tunnel *a, const struct service_tunnel *b)
{
    return a->sockets[0] == b->sockets[0] && a->sockets[1] == b->sockets[1];
}

/* Whether the tunnel's sockets, if it has any, are what this asks for. */
static bool keeps_sockets(const struct service_tunnel *tunnel, const struct spec_tunnel *spec)
{
    if (!(spec_tunnel_diff(&tunnel->spec, spec) & SPEC_TUNNEL_LISTEN))
        return true;
    return tunnel->port != 0 && (spec->listen_port == 0 || spec->listen_port == tunnel->port) &&
           inet_addr_equal(&tunnel->spec.listen_address, &spec->listen_address);
}

/* The step that lets go of sockets at this address and port, or NULL. */
static struct tunnel_step *find_leaver(struct change *change, const struct spec_tunnel *spec)
{
    for (size_t i = 0; i < change->tunnels_count; i++) {
        struct tunnel_step *step = &change->tunnels[i];
        const struct service_tunnel *tunnel = step->tunnel;
        bool leaves = step->kind == CHANGE_DELETE ||
                      (step->kind == CHANGE_UPDATE && !keeps_sockets(tunnel, &step->next.spec));
        if (leaves && !step->passed && tunnel->port == spec->listen_port &&
            inet_addr_equal(&tunnel->spec.listen_address, &spec->listen_address))
            return step;
    }
    return NULL;
}

/* Gives the tunnel, which the step's is or will be, its sockets. */
static int bind_sockets(struct change *change, struct tunnel_step *step,
                        struct service_tunnel *tunnel, struct problem *problem)
{
    const struct spec_tunnel *spec = &tunnel->spec;
    int rc = service_bind_tunnel(change->service, tunnel);
    struct tunnel_step *leaver = rc == -EADDRINUSE ? find_leaver(change, spec) : NULL;
    if (leaver != NULL) {
        memcpy(tunnel->sockets, leaver->tunnel->sockets, sizeof(tunnel->sockets));
        tunnel->port = leaver->tunnel->port;
        leaver->passed = true;
        step->received = true;
        rc = 0;
    }
    return rc < 0 ? service_start_problem(problem, rc, "/listen_port", "UDP", &spec->listen_address,
                                          spec->listen_port)
                  : 0;
}

/* --- Prepare ---------------------------------------------------------------------------------- */

static int workers_problem(int rc, struct problem *problem)
{
    return rc < 0 ? problem_set(problem, "exhausted", "no worker can take the tunnel: %s",
                                strerror(-rc))
                  : 0;
}

/* A tunnel that no worker has is given to one. */
static int reserve(struct change *change, struct tunnel_step *step, struct service_tunnel *tunnel,
                   struct problem *problem)
{
    int rc = supervisor_reserve_tunnel(change->service->supervisor, &step->tunnel->spec,
                                       &tunnel->spec, tunnel->sockets, &tunnel->supervised);
    if (rc == 0)
        service_tell_timestamps(tunnel);
    return workers_problem(rc, problem);
}

/* What peers have counted stays with them. */
static int move_tallies(struct tunnel_step *step, struct problem *problem)
{
    struct service_tunnel *tunnel = step->tunnel;
    if (!(spec_tunnel_diff(&tunnel->spec, &step->next.spec) & SPEC_TUNNEL_PEERS))
        return 0;
    struct peer_tally *moved = peer_tallies_move(&tunnel->spec, tunnel->peers, &step->next.spec);
    if (moved == NULL)
        return problem_set(problem, "exhausted", "out of memory");
    step->next.peers = moved;
    return 0;
}

static int prepare_update(struct change *change, struct tunnel_step *step, struct problem *problem)
{
    struct service_tunnel *next = &step->next;
    if (move_tallies(step, problem) < 0)
        return -1;
    if (!keeps_sockets(step->tunnel, &next->spec)) {
        next->sockets[0] = next->sockets[1] = -1;
        next->port = 0;
        if (bind_sockets(change, step, next, problem) < 0)
            return -1;
    }
    bool moved = !same_sockets(step->tunnel, next);
    struct supervised_tunnel *supervised = step->tunnel->supervised;
    if (supervised == NULL) {
        next->start_error = moved ? 0 : next->start_error;
        return moved ? reserve(change, step, next, problem) : 0;
    }
    int rc = supervisor_prepare_tunnel(supervised, &next->spec, moved ? next->sockets : NULL);
    if (rc == 0)
        next->supervised = supervised;
    return workers_problem(rc, problem);
}

int tunnel_step_prepare(struct change *change, struct tunnel_step *step, struct problem *problem)
{
    switch (step->kind) {
    case CHANGE_CREATE:
        service_begin_timestamps(change->service, step->tunnel);
        return bind_sockets(change, step, step->tunnel, problem) < 0
                   ? -1
                   : reserve(change, step, step->tunnel, problem);
    case CHANGE_UPDATE:
        return prepare_update(change, step, problem);
    case CHANGE_DELETE:
        return 0;
    }
    return 0;
}

/* --- Commit ----------------------------------------------------------------------------------- */

/* What is stored of peers that are there no more. */
static int forget_peers(struct store *store, const struct tunnel_step *step)
{
    static const struct peer_totals none;
    const struct service_tunnel *tunnel = step->tunnel;
    int rc = 0;
    if (step->next.peers == tunnel->peers)
        return 0;
    for (size_t i = 0; i < tunnel->spec.peers_count && rc == 0; i++) {
        const struct peer_tally *tally = &tunnel->peers[i];
        bool stored =
            memcmp(&tally->saved, &none, sizeof(none)) != 0 || !sighting_is_empty(&tally->sighting);
        if (tally->leaves && stored)
            rc = store_forget_peer(store, tunnel->spec.name, tunnel->spec.peers[i].public_key);
    }
    return rc;
}

static int write_row(struct change *change, const struct tunnel_step *step)
{
    const struct service_tunnel *tunnel = step->kind == CHANGE_UPDATE ? &step->next : step->tunnel;
    struct store *store = change->service->store;
    if (step->kind == CHANGE_DELETE) {
        int rc = service_commit_unreadable_forwards(change->service, tunnel->spec.name);
        if (rc == 0)
            rc = store_delete_tunnel(store, tunnel->spec.name);
        return rc == -ENOENT ? 0 : rc;
    }
    struct store_tunnel row = {
        .spec = tunnel->spec, /* borrowed */
        .source = tunnel->source,
        .generation = tunnel->generation,
        .created_at = tunnel->created_at,
    };
    int rc = step->kind == CHANGE_UPDATE ? store_update_tunnel(store, &row)
             : service_find_unreadable(change->service, UNREADABLE_TUNNEL, tunnel->spec.name)
                 ? store_replace_tunnel(store, &row)
                 : store_insert_tunnel(store, &row);
    sodium_memzero(&row, sizeof(row));
    if (rc == 0 && step->kind == CHANGE_UPDATE)
        rc = forget_peers(store, step);
    if (rc == 0 && step->kind == CHANGE_CREATE)
        rc = service_write_timestamps(change->service, tunnel);
    return rc;
}

int tunnel_step_commit(struct change *change, struct tunnel_step *step, struct problem *problem)
{
    static const enum event_type types[] = {
        [CHANGE_CREATE] = EVENT_TUNNEL_CREATED,
        [CHANGE_UPDATE] = EVENT_TUNNEL_CHANGED,
        [CHANGE_DELETE] = EVENT_TUNNEL_DELETED,
    };
    const char *name = step->tunnel->spec.name;
    const struct event_fact fact = {
        .type = types[step->kind],
        .name = name,
        .generation =
            step->kind == CHANGE_UPDATE ? step->next.generation : step->tunnel->generation,
    };
    int rc = write_row(change, step);
    if (rc == 0)
        rc = service_record(change->service, &fact);
    return rc < 0 ? service_store_problem(change->service, problem, rc, "tunnel", name) : 0;
}

/* --- Finish or cancel ------------------------------------------------------------------------- */

static void finish_update(struct change *change, struct tunnel_step *step)
{
    struct service_tunnel before = *step->tunnel;
    *step->tunnel = step->next;
    bool starts = step->tunnel->supervised != NULL && before.supervised == NULL;
    if (starts)
        service_restore_sightings(change->service, step->tunnel);
    if (step->tunnel->supervised != NULL)
        supervisor_tell_tunnel(step->tunnel->supervised);
    if (starts)
        service_retry_soon(change->service); /* its forwards could not start without it */
    if (!same_sockets(step->tunnel, &before) && !step->passed)
        sockets_close_udp(before.sockets, before.port, &change->service->released);
    if (before.peers != step->tunnel->peers)
        free(before.peers);
    spec_tunnel_fini(&before.spec);
    sodium_memzero(&before, sizeof(before));
    sodium_memzero(&step->next, sizeof(step->next));
}

void tunnel_step_finish(struct change *change, struct tunnel_step *step)
{
    struct service *service = change->service;
    switch (step->kind) {
    case CHANGE_CREATE:
        service_drop_unreadable(service, UNREADABLE_TUNNEL, step->tunnel->spec.name);
        service_index_insert(&service->tunnels, step->tunnel->spec.name, step->tunnel);
        supervisor_tell_tunnel(step->tunnel->supervised);
        break;
    case CHANGE_UPDATE:
        finish_update(change, step);
        break;
    case CHANGE_DELETE:
        if (step->passed)
            step->tunnel->sockets[0] = step->tunnel->sockets[1] = -1;
        service_drop_unreadable_forwards(service, step->tunnel->spec.name);
        service_drop_tunnel(service, step->tunnel);
        step->tunnel = NULL;
        break;
    }
}

static void cancel_creation(struct change *change, struct tunnel_step *step)
{
    struct service_tunnel *tunnel = step->tunnel;
    if (tunnel == NULL)
        return;
    if (tunnel->supervised != NULL)
        supervisor_remove_tunnel(tunnel->supervised);
    if (step->received)
        tunnel->sockets[0] = tunnel->sockets[1] = -1;
    service_abandon_tunnel(change->service, tunnel);
    step->tunnel = NULL;
}

static void cancel_update(struct change *change, struct tunnel_step *step)
{
    struct service_tunnel *next = &step->next;
    if (next->peers != step->tunnel->peers)
        free(next->peers);
    if (next->supervised != NULL && step->tunnel->supervised == NULL)
        supervisor_remove_tunnel(next->supervised);
    else if (next->supervised != NULL)
        supervisor_forget_tunnel(next->supervised);
    if (!same_sockets(step->tunnel, next) && !step->received)
        sockets_close_udp(next->sockets, next->port, &change->service->released);
    sodium_memzero(next, sizeof(*next));
}

void tunnel_step_cancel(struct change *change, struct tunnel_step *step)
{
    switch (step->kind) {
    case CHANGE_CREATE:
        cancel_creation(change, step);
        break;
    case CHANGE_UPDATE:
        cancel_update(change, step);
        break;
    case CHANGE_DELETE:
        break;
    }
}
