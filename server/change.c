/*
 * change: runs the steps. Owns nothing.
 */
#include "server/change_internal.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>

/* A failed part of a step speaks of its definition: says where that is. */
static int at_place(int rc, const struct spec_place *place, size_t errors_before,
                    struct problem *problem)
{
    if (rc < 0)
        spec_errors_place(&problem->errors, errors_before, place);
    return rc;
}

/* Above what it takes the place of, too. */
static uint64_t first_generation(const struct service *service, enum unreadable_kind kind,
                                 const char *name, uint64_t generation)
{
    const struct unreadable *replaced = service_find_unreadable(service, kind, name);
    return replaced != NULL && replaced->generation >= generation ? replaced->generation + 1
                                                                  : generation;
}

/* Numbers what is created. */
static int begin(struct change *change, struct problem *problem)
{
    struct service *service = change->service;
    uint64_t generation;
    if (service_check_changeable(service, problem) < 0)
        return -1;
    if (service_index_reserve(&service->tunnels, change->tunnels_count) < 0 ||
        service_index_reserve(&service->forwards, change->forwards_count) < 0)
        return problem_set(problem, "exhausted", "out of memory");
    if (service_first_generation(service, &generation, problem) < 0)
        return -1;
    for (size_t i = 0; i < change->tunnels_count; i++) {
        struct service_tunnel *tunnel = change->tunnels[i].tunnel;
        if (change->tunnels[i].kind == CHANGE_CREATE)
            tunnel->generation =
                first_generation(service, UNREADABLE_TUNNEL, tunnel->spec.name, generation);
    }
    for (size_t i = 0; i < change->forwards_count; i++) {
        struct service_forward *forward = change->forwards[i].forward;
        if (change->forwards[i].kind == CHANGE_CREATE)
            forward->generation =
                first_generation(service, UNREADABLE_FORWARD, forward->spec.name, generation);
    }
    return 0;
}

static int prepare(struct change *change, struct problem *problem)
{
    int rc = 0;
    for (size_t i = 0; i < change->tunnels_count && rc == 0; i++) {
        struct tunnel_step *step = &change->tunnels[i];
        size_t before = problem->errors.count;
        rc = at_place(tunnel_step_prepare(change, step, problem), &step->place, before, problem);
    }
    for (size_t i = 0; i < change->forwards_count && rc == 0; i++) {
        struct forward_step *step = &change->forwards[i];
        size_t before = problem->errors.count;
        rc = at_place(forward_step_prepare(change, step, problem), &step->place, before, problem);
    }
    return rc;
}

/* The rows of one kind of change at a time: a forward's tunnel has to be there. */
static int write_tunnels(struct change *change, bool deletions, struct problem *problem)
{
    int rc = 0;
    for (size_t i = 0; i < change->tunnels_count && rc == 0; i++) {
        struct tunnel_step *step = &change->tunnels[i];
        size_t before = problem->errors.count;
        if ((step->kind == CHANGE_DELETE) == deletions)
            rc = at_place(tunnel_step_commit(change, step, problem), &step->place, before, problem);
    }
    return rc;
}

static int write_forwards(struct change *change, bool deletions, struct problem *problem)
{
    int rc = 0;
    for (size_t i = 0; i < change->forwards_count && rc == 0; i++) {
        struct forward_step *step = &change->forwards[i];
        size_t before = problem->errors.count;
        if ((step->kind == CHANGE_DELETE) == deletions)
            rc =
                at_place(forward_step_commit(change, step, problem), &step->place, before, problem);
    }
    return rc;
}

static int storage_problem(struct change *change, int rc, struct problem *problem)
{
    if (rc == -ENOMEM)
        return problem_set(problem, "exhausted", "out of memory");
    return problem_set(problem, "storage", "the database refused the change: %.180s",
                       store_error(change->service->store));
}

static int commit(struct change *change, struct problem *problem)
{
    struct store *store = change->service->store;
    if (store == NULL)
        return 0;
    int rc = store_begin(store);
    if (rc < 0)
        return storage_problem(change, rc, problem);
    bool written =
        write_tunnels(change, false, problem) == 0 && write_forwards(change, false, problem) == 0 &&
        write_forwards(change, true, problem) == 0 && write_tunnels(change, true, problem) == 0;
    rc = store_end(store, written ? 0 : -ECANCELED);
    if (!written)
        return -1;
    return rc < 0 ? storage_problem(change, rc, problem) : 0;
}

static void finish(struct change *change)
{
    for (size_t i = 0; i < change->tunnels_count; i++) {
        if (change->tunnels[i].kind != CHANGE_DELETE)
            tunnel_step_finish(change, &change->tunnels[i]);
    }
    for (size_t i = 0; i < change->forwards_count; i++)
        forward_step_finish(change, &change->forwards[i]);
    for (size_t i = 0; i < change->tunnels_count; i++) {
        if (change->tunnels[i].kind == CHANGE_DELETE)
            tunnel_step_finish(change, &change->tunnels[i]);
    }
    service_return_forwards(change->service);
}

void change_abandon(struct change *change)
{
    for (size_t i = 0; i < change->forwards_count; i++)
        forward_step_cancel(change, &change->forwards[i]);
    for (size_t i = 0; i < change->tunnels_count; i++)
        tunnel_step_cancel(change, &change->tunnels[i]);
}

int change_run(struct change *change, struct problem *problem)
{
    if (begin(change, problem) < 0 || prepare(change, problem) < 0 || commit(change, problem) < 0) {
        change_abandon(change);
        return -1;
    }
    finish(change);
    return 0;
}
