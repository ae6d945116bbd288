/*
 * apply: compares what there is with what is asked for, and makes the steps of the difference.
 *
 * checked (the config for itself) → planned (against the service: every name is created, updated,
 * unchanged or deleted, and every conflict is noted) → run, or only told.
 */
#include "server/apply.h"

#include "base/log.h"
#include "base/spec_diff.h"
#include "server/change.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plan {
    struct service *service;
    struct config *config;
    const struct apply_options *options;
    struct change change;
    struct service_tunnel **created; /* for each of the config's tunnels; NULL = not created */
    struct apply_result *result;
    struct problem *problem;
    bool no_memory;
};

/* --- Notes ------------------------------------------------------------------------------------ */

static void note_outcome(struct plan *plan, enum apply_kind kind, enum apply_outcome outcome,
                         const char *name)
{
    struct apply_item *item = &plan->result->items[plan->result->count++];
    item->kind = kind;
    item->outcome = outcome;
    memcpy(item->name, name, strlen(name) + 1);
    plan->result->counts[outcome]++;
}

/* Another object is in the way. The first conflict gives the problem its code. */
static void note_conflict(struct plan *plan, const struct spec_place *place, const char *code,
                          const char *detail)
{
    struct problem *problem = plan->problem;
    size_t first = problem->errors.count;
    spec_errors_add(&problem->errors, place->list != NULL ? "/name" : "", code, "%s", detail);
    spec_errors_place(&problem->errors, first, place);
    if (problem->code == NULL)
        problem_set(problem, code, "%s", detail);
}

/*
 * Whether the object may be what the config says. What a file defines may be named by others as
 * long as they ask for nothing else.
 */
static bool check_owner(struct plan *plan, enum spec_source owner, bool differs,
                        const struct spec_place *place, const char *what, const char *name)
{
    char detail[192];
    if (owner == plan->options->source)
        return true;
    if (owner == SPEC_SOURCE_FILE && !differs)
        return true;
    if (owner == SPEC_SOURCE_API) {
        snprintf(
            detail, sizeof(detail),
            "there is a %s \"%s\" already, made through the API: delete that one, or give this "
            "one another name",
            what, name);
        note_conflict(plan, place, "name_taken", detail);
    } else {
        snprintf(detail, sizeof(detail),
                 "the %s \"%s\" is defined by the configuration file: change it there", what, name);
        note_conflict(plan, place, "managed_by_file", detail);
    }
    return false;
}

/* The same for a stored definition that cannot be read, which may be replaced. */
static bool check_unreadable(struct plan *plan, enum unreadable_kind kind,
                             const struct spec_place *place, const char *what, const char *name)
{
    const struct unreadable *replaced = service_find_unreadable(plan->service, kind, name);
    return replaced == NULL || check_owner(plan, replaced->source, true, place, what, name);
}

/* --- Planning --------------------------------------------------------------------------------- */

static void plan_tunnel(struct plan *plan, struct config_tunnel *wanted)
{
    const char *name = wanted->spec.name;
    struct service_tunnel *present = service_index_find(&plan->service->tunnels, name);
    bool differs = present == NULL || spec_tunnel_diff(&present->spec, &wanted->spec) != 0;
    bool allowed = present != NULL
                       ? check_owner(plan, present->source, differs, &wanted->place, "tunnel", name)
                       : check_unreadable(plan, UNREADABLE_TUNNEL, &wanted->place, "tunnel", name);
    if (!allowed)
        return;
    note_outcome(plan, APPLY_TUNNEL,
                 present == NULL ? APPLY_CREATED
                 : differs       ? APPLY_UPDATED
                                 : APPLY_UNCHANGED,
                 name);
    if (!differs)
        return;
    struct tunnel_step *step = &plan->change.tunnels[plan->change.tunnels_count++];
    if (present != NULL)
        tunnel_step_update(step, present, &wanted->spec);
    else if (tunnel_step_create(step, &wanted->spec, plan->options->source) < 0)
        plan->no_memory = true;
    else
        plan->created[wanted - plan->config->tunnels] = step->tunnel;
    step->place = wanted->place;
}

/* The tunnel that a forward is to use: one that there is, or one that the change creates. */
static struct service_tunnel *find_tunnel(struct plan *plan, const char *name)
{
    const struct config_tunnel *wanted = config_find_tunnel(plan->config, name);
    struct service_tunnel *created =
        wanted != NULL ? plan->created[wanted - plan->config->tunnels] : NULL;
    return created != NULL ? created : service_index_find(&plan->service->tunnels, name);
}

static void plan_forward(struct plan *plan, struct config_forward *wanted)
{
    const char *name = wanted->spec.name;
    struct service_forward *present = service_index_find(&plan->service->forwards, name);
    bool differs = present == NULL || !spec_forward_equal(&present->spec, &wanted->spec);
    bool allowed =
        present != NULL
            ? check_owner(plan, present->source, differs, &wanted->place, "forward", name)
            : check_unreadable(plan, UNREADABLE_FORWARD, &wanted->place, "forward", name);
    if (!allowed)
        return;
    note_outcome(plan, APPLY_FORWARD,
                 present == NULL ? APPLY_CREATED
                 : differs       ? APPLY_UPDATED
                                 : APPLY_UNCHANGED,
                 name);
    if (!differs)
        return;
    struct service_tunnel *tunnel = find_tunnel(plan, wanted->spec.tunnel);
    struct forward_step *step = &plan->change.forwards[plan->change.forwards_count++];
    if (present != NULL)
        forward_step_update(step, present, &wanted->spec, tunnel);
    else if (forward_step_create(step, &wanted->spec, tunnel, plan->options->source) < 0)
        plan->no_memory = true;
    step->place = wanted->place;
}

static bool is_pruned(const struct plan *plan, enum spec_source source, bool wanted)
{
    return plan->options->prune && source == plan->options->source && !wanted;
}

static bool is_forward_pruned(const struct plan *plan, const struct service_forward *forward)
{
    return is_pruned(plan, forward->source,
                     config_find_forward(plan->config, forward->spec.name) != NULL);
}

static bool is_tunnel_pruned(const struct plan *plan, const struct service_tunnel *tunnel)
{
    return is_pruned(plan, tunnel->source,
                     config_find_tunnel(plan->config, tunnel->spec.name) != NULL);
}

static void plan_deletions(struct plan *plan)
{
    struct service *service = plan->service;
    for (size_t i = 0; i < service->tunnels.count; i++) {
        struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        if (!is_tunnel_pruned(plan, tunnel))
            continue;
        note_outcome(plan, APPLY_TUNNEL, APPLY_DELETED, tunnel->spec.name);
        tunnel_step_delete(&plan->change.tunnels[plan->change.tunnels_count++], tunnel);
    }
    for (size_t i = 0; i < service->forwards.count; i++) {
        struct service_forward *forward = service->forwards.entries[i].object;
        if (!is_forward_pruned(plan, forward))
            continue;
        note_outcome(plan, APPLY_FORWARD, APPLY_DELETED, forward->spec.name);
        forward_step_delete(&plan->change.forwards[plan->change.forwards_count++], forward);
    }
}

static void note_in_use(struct plan *plan, const char *tunnel, const char *forward)
{
    char detail[192];
    snprintf(detail, sizeof(detail),
             "the tunnel \"%s\" cannot be deleted: the forward \"%s\" uses it", tunnel, forward);
    note_conflict(plan, &(struct spec_place){0}, "in_use", detail);
}

/* A forward that the config does not speak of, and that stays, must go on as it is. */
static void check_bystander(struct plan *plan, const struct service_forward *forward)
{
    const struct config_tunnel *wanted =
        config_find_tunnel(plan->config, forward->tunnel->spec.name);
    struct spec_errors *errors = &plan->problem->errors;
    if (is_tunnel_pruned(plan, forward->tunnel)) {
        note_in_use(plan, forward->tunnel->spec.name, forward->spec.name);
    } else if (wanted != NULL &&
               !spec_tunnel_has_family(&wanted->spec, forward->spec.target_address.family)) {
        size_t first = errors->count;
        spec_errors_add(errors, "/addresses", "no_address_of_family",
                        "the forward \"%s\" needs an %s address to reach its target from",
                        forward->spec.name,
                        forward->spec.target_address.family == AF_INET6 ? "IPv6" : "IPv4");
        spec_errors_place(errors, first, &wanted->place);
    }
}

/* Of one that cannot be read, all that is known is which tunnel it would go with. */
static void check_unreadable_bystander(struct plan *plan, const struct unreadable *forward)
{
    const struct service_tunnel *tunnel =
        service_index_find(&plan->service->tunnels, forward->tunnel);
    bool wanted = config_find_forward(plan->config, forward->name) != NULL;
    if (!wanted && !is_pruned(plan, forward->source, wanted) && tunnel != NULL &&
        is_tunnel_pruned(plan, tunnel))
        note_in_use(plan, forward->tunnel, forward->name);
}

static void check_bystanders(struct plan *plan)
{
    const enum unreadable_kind kind = UNREADABLE_FORWARD;
    const struct unreadable *unreadable = service_next_unreadable(plan->service, kind, "");
    for (; unreadable != NULL;
         unreadable = service_next_unreadable(plan->service, kind, unreadable->name))
        check_unreadable_bystander(plan, unreadable);
    for (size_t i = 0; i < plan->service->forwards.count; i++) {
        const struct service_forward *forward = plan->service->forwards.entries[i].object;
        if (!is_forward_pruned(plan, forward) &&
            config_find_forward(plan->config, forward->spec.name) == NULL)
            check_bystander(plan, forward);
    }
}

/* --- Checks ----------------------------------------------------------------------------------- */

/* A tunnel that the config does not define and that will be there all the same. */
static const struct spec_tunnel *find_other_tunnel(void *ctx, const char *name)
{
    const struct plan *plan = ctx;
    const struct service_tunnel *tunnel = service_index_find(&plan->service->tunnels, name);
    if (tunnel == NULL || is_tunnel_pruned(plan, tunnel))
        return NULL;
    /* A file's forwards use a file's tunnels, so that a file is whole by itself. */
    return plan->options->source == SPEC_SOURCE_FILE ? NULL : &tunnel->spec;
}

static int refuse(struct plan *plan)
{
    struct problem *problem = plan->problem;
    if (plan->no_memory)
        return problem_set(problem, "exhausted", "out of memory");
    if (problem->code != NULL) /* a conflict was noted */
        return -1;
    return problem_set(problem, "validation", "the configuration has %zu error(s)",
                       problem->errors.count);
}

static int check(struct plan *plan)
{
    struct spec_errors *errors = &plan->problem->errors;
    plan->no_memory = config_check(plan->config, errors) == -ENOMEM;
    if (!plan->no_memory)
        config_check_forwards(plan->config, find_other_tunnel, plan, errors);
    return plan->no_memory || errors->count > 0 ? refuse(plan) : 0;
}

static int allocate(struct plan *plan)
{
    const struct service *service = plan->service;
    size_t tunnels = plan->config->tunnels_count + service->tunnels.count;
    size_t forwards = plan->config->forwards_count + service->forwards.count;
    plan->change.tunnels = calloc(tunnels + 1, sizeof(*plan->change.tunnels));
    plan->change.forwards = calloc(forwards + 1, sizeof(*plan->change.forwards));
    plan->created = calloc(plan->config->tunnels_count + 1, sizeof(struct service_tunnel *));
    plan->result->items = calloc(tunnels + forwards + 1, sizeof(*plan->result->items));
    plan->no_memory = plan->change.tunnels == NULL || plan->change.forwards == NULL ||
                      plan->created == NULL || plan->result->items == NULL;
    return plan->no_memory ? refuse(plan) : 0;
}

static int make(struct plan *plan)
{
    for (size_t i = 0; i < plan->config->tunnels_count; i++)
        plan_tunnel(plan, &plan->config->tunnels[i]);
    for (size_t i = 0; i < plan->config->forwards_count; i++)
        plan_forward(plan, &plan->config->forwards[i]);
    plan_deletions(plan);
    check_bystanders(plan);
    return plan->no_memory || plan->problem->errors.count > 0 ? refuse(plan) : 0;
}

/* --- Running ---------------------------------------------------------------------------------- */

/* What was created or changed belongs to the service now. */
static void forget_moved(struct plan *plan)
{
    size_t next = 0; /* the outcomes begin with the config's, in its order */
    const struct apply_item *items = plan->result->items;
    for (size_t i = 0; i < plan->config->tunnels_count; i++) {
        struct spec_tunnel *spec = &plan->config->tunnels[i].spec;
        if (items[next++].outcome != APPLY_UNCHANGED)
            sodium_memzero(spec, sizeof(*spec));
    }
}

static void report(struct plan *plan)
{
    const size_t *counts = plan->result->counts;
    char message[160];
    if (counts[APPLY_CREATED] + counts[APPLY_UPDATED] + counts[APPLY_DELETED] == 0)
        return;
    snprintf(message, sizeof(message),
             "configuration applied: %zu created, %zu updated, %zu deleted, %zu unchanged",
             counts[APPLY_CREATED], counts[APPLY_UPDATED], counts[APPLY_DELETED],
             counts[APPLY_UNCHANGED]);
    log_info("%s", message);
    service_emit(plan->service,
                 &(struct event_fact){.type = EVENT_CONFIG_APPLIED, .message = message});
}

static int run(struct plan *plan)
{
    if (plan->options->dry_run || plan->change.tunnels_count + plan->change.forwards_count == 0) {
        change_abandon(&plan->change);
        return 0;
    }
    if (change_run(&plan->change, plan->problem) < 0)
        return -1;
    forget_moved(plan);
    report(plan);
    return 0;
}

int service_apply(struct service *service, struct config *config,
                  const struct apply_options *options, struct apply_result *result,
                  struct problem *problem)
{
    *result = (struct apply_result){0};
    struct plan plan = {
        .service = service,
        .config = config,
        .options = options,
        .change = {.service = service},
        .result = result,
        .problem = problem,
    };
    int rc = check(&plan);
    if (rc == 0)
        rc = allocate(&plan);
    if (rc == 0) {
        rc = make(&plan);
        if (rc < 0)
            change_abandon(&plan.change);
        else
            rc = run(&plan);
    }
    if (plan.change.tunnels != NULL)
        sodium_memzero(plan.change.tunnels,
                       plan.change.tunnels_count * sizeof(*plan.change.tunnels));
    free(plan.change.tunnels);
    free(plan.change.forwards);
    free(plan.created);
    if (rc < 0)
        apply_result_fini(result);
    return rc;
}

void apply_result_fini(struct apply_result *result)
{
    free(result->items);
    *result = (struct apply_result){0};
}

int service_definitions_generation(struct service *service, uint64_t *out)
{
    return store_definitions_generation(service->store, out);
}
