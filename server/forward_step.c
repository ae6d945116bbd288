/*
 * forward_step: a forward's part in a change.
 *
 * `next` is what an update's forward becomes; its `supervised` is NULL until an update was prepared
 * for the present one, or another one was reserved, in the same worker or in another.
 */
#include "server/change_internal.h"
#include "server/monotonic.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Making steps ----------------------------------------------------------------------------- */

int forward_step_create(struct forward_step *step, const struct spec_forward *spec,
                        struct service_tunnel *tunnel, enum spec_source source)
{
    *step = (struct forward_step){.kind = CHANGE_CREATE};
    step->forward = service_new_forward(spec, tunnel);
    if (step->forward == NULL)
        return -ENOMEM;
    step->forward->source = source;
    clock_gettime(CLOCK_REALTIME, &step->forward->created_at);
    return 0;
}

static bool same_target(const struct spec_forward *a, const struct spec_forward *b)
{
    return a->target_port == b->target_port &&
           inet_addr_equal(&a->target_address, &b->target_address);
}

void forward_step_update(struct forward_step *step, struct service_forward *forward,
                         const struct spec_forward *spec, struct service_tunnel *tunnel)
{
    *step = (struct forward_step){.kind = CHANGE_UPDATE, .forward = forward, .next = *forward};
    step->next.spec = *spec;
    step->next.tunnel = tunnel;
    step->next.generation++;
    step->next.supervised = NULL;
    if (!same_target(&forward->spec, spec))
        step->next.target_since_ns = monotonic_ns();
}

void forward_step_delete(struct forward_step *step, struct service_forward *forward)
{
    *step = (struct forward_step){.kind = CHANGE_DELETE, .forward = forward};
}

/* --- Listeners -------------------------------------------------------------------------------- */

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

/* The step that lets go of a listener at this address and port, or NULL. */
static struct forward_step *find_leaver(struct change *change, const struct spec_forward *spec)
{
    for (size_t i = 0; i < change->forwards_count; i++) {
        struct forward_step *step = &change->forwards[i];
        const struct service_forward *forward = step->forward;
        const struct spec_forward *next = &step->next.spec;
        bool leaves =
            step->kind == CHANGE_DELETE ||
            (step->kind == CHANGE_UPDATE && !(next->enabled && listener_fits(forward, next)));
        if (leaves && !step->passed && forward->listener >= 0 &&
            forward->bound_port == spec->listen_port &&
            inet_addr_equal(&forward->spec.listen_address, &spec->listen_address))
            return step;
    }
    return NULL;
}

/* Gives the forward, which the step's is or will be, its listener. */
static int bind_listener(struct change *change, struct forward_step *step,
                         struct service_forward *forward, struct problem *problem)
{
    const struct spec_forward *spec = &forward->spec;
    int rc = service_bind_forward(forward);
    struct forward_step *leaver = rc == -EADDRINUSE ? find_leaver(change, spec) : NULL;
    if (leaver != NULL) {
        forward->listener = leaver->forward->listener;
        forward->bound_port = leaver->forward->bound_port;
        leaver->passed = true;
        step->received = true;
        rc = 0;
    }
    return rc < 0 ? service_start_problem(problem, rc, "/listen/port", "TCP", &spec->listen_address,
                                          spec->listen_port)
                  : 0;
}

/* Gives next, a copy of forward with another specification, the listener that it is to have. */
static int rebind(struct change *change, struct forward_step *step, struct problem *problem)
{
    const struct service_forward *forward = step->forward;
    struct service_forward *next = &step->next;
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
    next->attempts = SERVICE_SAME_PORT_ATTEMPTS; /* nobody who has the port is about to let go */
    return bind_listener(change, step, next, problem);
}

/* --- Prepare ---------------------------------------------------------------------------------- */

static int workers_problem(int rc, struct problem *problem)
{
    return rc < 0 ? problem_set(problem, "exhausted", "no worker can take the forward: %s",
                                strerror(-rc))
                  : 0;
}

/* A forward that listens is given to its tunnel's worker, if that has one. */
static int reserve(struct forward_step *step, struct service_forward *forward,
                   struct problem *problem)
{
    if (forward->listener < 0 || forward->tunnel->supervised == NULL)
        return 0;
    return workers_problem(supervisor_reserve_forward(forward->tunnel->supervised,
                                                      &step->forward->spec, &forward->spec,
                                                      forward->listener, &forward->supervised),
                           problem);
}

/* Whether the worker goes on with its forward; else it gets another one. */
static bool stays(const struct forward_step *step)
{
    return step->forward->supervised != NULL && step->next.spec.enabled &&
           step->next.tunnel == step->forward->tunnel;
}

static int prepare_update(struct change *change, struct forward_step *step, struct problem *problem)
{
    struct service_forward *next = &step->next;
    if (rebind(change, step, problem) < 0)
        return -1;
    if (!stays(step))
        return reserve(step, next, problem);
    bool moved = next->listener != step->forward->listener;
    int rc = supervisor_prepare_forward(step->forward->supervised, &next->spec,
                                        moved ? next->listener : -1);
    if (rc == 0)
        next->supervised = step->forward->supervised;
    return workers_problem(rc, problem);
}

int forward_step_prepare(struct change *change, struct forward_step *step, struct problem *problem)
{
    struct service_forward *forward = step->forward;
    switch (step->kind) {
    case CHANGE_CREATE:
        if (forward->spec.enabled && bind_listener(change, step, forward, problem) < 0)
            return -1;
        return reserve(step, forward, problem);
    case CHANGE_UPDATE:
        return prepare_update(change, step, problem);
    case CHANGE_DELETE:
        return 0;
    }
    return 0;
}

/* --- Commit ----------------------------------------------------------------------------------- */

static int write_row(struct change *change, const struct forward_step *step)
{
    const struct service_forward *forward =
        step->kind == CHANGE_UPDATE ? &step->next : step->forward;
    struct store *store = change->service->store;
    if (step->kind == CHANGE_DELETE) {
        int rc = store_delete_forward(store, forward->spec.name);
        return rc == -ENOENT ? 0 : rc;
    }
    const struct store_forward row = {
        .spec = forward->spec,
        .source = forward->source,
        .generation = forward->generation,
        .created_at = forward->created_at,
        .bound_port = forward->bound_port,
    };
    if (step->kind == CHANGE_UPDATE)
        return store_update_forward(store, &row);
    if (!service_find_unreadable(change->service, UNREADABLE_FORWARD, forward->spec.name))
        return store_insert_forward(store, &row);
    service_note_replaced_forward(change->service, forward->spec.name, true);
    return store_replace_forward(store, &row);
}

int forward_step_commit(struct change *change, struct forward_step *step, struct problem *problem)
{
    static const enum event_type types[] = {
        [CHANGE_CREATE] = EVENT_FORWARD_CREATED,
        [CHANGE_UPDATE] = EVENT_FORWARD_CHANGED,
        [CHANGE_DELETE] = EVENT_FORWARD_DELETED,
    };
    const char *name = step->forward->spec.name;
    const struct event_fact fact = {
        .type = types[step->kind],
        .name = name,
        .reason = step->reason,
        .generation =
            step->kind == CHANGE_UPDATE ? step->next.generation : step->forward->generation,
    };
    int rc = write_row(change, step);
    if (rc == 0)
        rc = service_record(change->service, &fact);
    return rc < 0 ? service_store_problem(change->service, problem, rc, "forward", name) : 0;
}

/* --- Finish or cancel ------------------------------------------------------------------------- */

static void finish_start(struct change *change, struct service_forward *forward)
{
    if (forward->supervised != NULL)
        supervisor_tell_forward(forward->supervised);
    else if (forward->spec.enabled)
        service_retry_later(change->service);
}

static void finish_update(struct change *change, struct forward_step *step)
{
    struct service_forward *forward = step->forward;
    const struct service_forward before = *forward;
    *forward = step->next;
    forward->port_unsaved = false;
    if (before.supervised != NULL && before.supervised != forward->supervised) {
        forward->counted_before = service_own_totals(&before);
        supervisor_remove_forward(before.supervised);
    }
    finish_start(change, forward);
    before.tunnel->forwards--;
    forward->tunnel->forwards++;
    if (before.listener != forward->listener && !step->passed)
        sockets_close_listener(before.listener);
}

void forward_step_finish(struct change *change, struct forward_step *step)
{
    struct service_forward *forward = step->forward;
    switch (step->kind) {
    case CHANGE_CREATE:
        forward->port_unsaved = false;
        service_drop_unreadable(change->service, UNREADABLE_FORWARD, forward->spec.name);
        service_add_forward(change->service, forward);
        finish_start(change, forward);
        break;
    case CHANGE_UPDATE:
        finish_update(change, step);
        break;
    case CHANGE_DELETE:
        if (step->passed)
            forward->listener = -1;
        service_drop_forward(change->service, forward);
        step->forward = NULL;
        break;
    }
}

static void cancel_creation(struct change *change, struct forward_step *step)
{
    struct service_forward *forward = step->forward;
    if (forward == NULL)
        return;
    service_note_replaced_forward(change->service, forward->spec.name, false);
    if (forward->supervised != NULL)
        supervisor_remove_forward(forward->supervised);
    if (!step->received)
        sockets_close_listener(forward->listener);
    free(forward);
    step->forward = NULL;
}

static void cancel_update(struct forward_step *step)
{
    struct service_forward *next = &step->next;
    if (next->supervised != NULL && next->supervised == step->forward->supervised)
        supervisor_forget_forward(next->supervised);
    else if (next->supervised != NULL)
        supervisor_remove_forward(next->supervised);
    if (next->listener != step->forward->listener && !step->received)
        sockets_close_listener(next->listener);
}

void forward_step_cancel(struct change *change, struct forward_step *step)
{
    switch (step->kind) {
    case CHANGE_CREATE:
        cancel_creation(change, step);
        break;
    case CHANGE_UPDATE:
        cancel_update(step);
        break;
    case CHANGE_DELETE:
        break;
    }
}
