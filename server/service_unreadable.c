/*
 * service_unreadable: owns what is known of definitions that cannot be read, by kind and name.
 */
#include "server/unreadable.h"

#include "base/log.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name; /* for people */
    enum log_subject log;
    enum event_type condition, deleted;
    int (*delete_row)(struct store *store, const char *name);
} kinds[UNREADABLE_KINDS] = {
    [UNREADABLE_TUNNEL] = {"tunnel", LOG_TUNNEL, EVENT_TUNNEL_CONDITION, EVENT_TUNNEL_DELETED,
                           store_delete_tunnel},
    [UNREADABLE_FORWARD] = {"forward", LOG_FORWARD, EVENT_FORWARD_CONDITION, EVENT_FORWARD_DELETED,
                            store_delete_forward},
};

/* --- Noting ----------------------------------------------------------------------------------- */

/* Puts it into its index, or frees it when memory runs out: then it is in the log alone. */
static void add(struct service *service, enum unreadable_kind kind, struct unreadable *unreadable,
                const char *reason)
{
    struct service_index *index = &service->unreadable[kind];
    log_error("the stored %s \"%s\" is left out: %s", kinds[kind].name, unreadable->name,
              unreadable->message);
    if (service_index_reserve(index, 1) < 0) {
        free(unreadable);
        return;
    }
    unreadable->condition.is = (struct verdict){
        .status = CONDITION_FALSE, .reason = reason, .message = unreadable->message, .subject = ""};
    clock_gettime(CLOCK_REALTIME, &unreadable->condition.since);
    service_index_insert(index, unreadable->name, unreadable);
}

static void note_unnamed(struct service *service, enum unreadable_kind kind, const char *reason)
{
    log_error("a stored %s is left out, which cannot be asked for here: %s", kinds[kind].name,
              reason);
    service->unnamed[kind].count++;
    service->unnamed[kind].condition.is = (struct verdict){
        .status = CONDITION_FALSE,
        .reason = "NameUnreadable",
        .message = "there are rows without a name that they could be asked for by: delete them "
                   "with a tool for databases",
        .subject = "",
    };
    clock_gettime(CLOCK_REALTIME, &service->unnamed[kind].condition.since);
}

static void note_row(struct service *service, enum unreadable_kind kind,
                     const struct store_unreadable *row)
{
    struct unreadable *unreadable =
        spec_name_valid(row->name) ? calloc(1, sizeof(*unreadable)) : NULL;
    if (unreadable == NULL) {
        note_unnamed(service, kind, row->reason);
        return;
    }
    snprintf(unreadable->name, sizeof(unreadable->name), "%s", row->name);
    if (spec_name_valid(row->tunnel))
        snprintf(unreadable->tunnel, sizeof(unreadable->tunnel), "%s", row->tunnel);
    snprintf(unreadable->message, sizeof(unreadable->message), "it cannot be read: %s",
             row->reason);
    unreadable->generation = row->generation;
    unreadable->source = row->source;
    add(service, kind, unreadable, "Unreadable");
}

void service_note_unreadable_tunnel(void *ctx, const struct store_unreadable *row)
{
    note_row(ctx, UNREADABLE_TUNNEL, row);
}

void service_note_unreadable_forward(void *ctx, const struct store_unreadable *row)
{
    note_row(ctx, UNREADABLE_FORWARD, row);
}

void service_note_waiting_forward(struct service *service, const struct store_forward *row)
{
    struct unreadable *unreadable = calloc(1, sizeof(*unreadable));
    if (unreadable == NULL) {
        log_error("the stored forward \"%s\" is left out with its tunnel", row->spec.name);
        return;
    }
    memcpy(unreadable->name, row->spec.name, sizeof(unreadable->name));
    memcpy(unreadable->tunnel, row->spec.tunnel, sizeof(unreadable->tunnel));
    snprintf(unreadable->message, sizeof(unreadable->message),
             "its tunnel \"%s\" cannot be read: it is started when that was replaced",
             row->spec.tunnel);
    unreadable->generation = row->generation;
    unreadable->source = row->source;
    unreadable->waits = true;
    add(service, UNREADABLE_FORWARD, unreadable, "TunnelUnreadable");
}

void service_note_waiting_totals(struct service *service, const char *name,
                                 const struct forward_totals *totals)
{
    struct unreadable *unreadable =
        service_index_find(&service->unreadable[UNREADABLE_FORWARD], name);
    if (unreadable != NULL)
        unreadable->totals = *totals;
}

/* --- Telling ---------------------------------------------------------------------------------- */

static void report(struct service *service, enum unreadable_kind kind,
                   const struct unreadable *unreadable)
{
    char text[EVENTS_MESSAGE_MAX + 1];
    size_t forwards =
        kind == UNREADABLE_TUNNEL ? service_unreadable_forwards(service, unreadable->name) : 0;
    int len =
        snprintf(text, sizeof(text), UNREADABLE_CONDITION " is False: %s", unreadable->message);
    if (forwards > 0)
        snprintf(text + len, sizeof(text) - (size_t)len, "; %zu forward(s) wait for it", forwards);
    service_emit(service, &(struct event_fact){.type = kinds[kind].condition,
                                               .name = unreadable->name,
                                               .reason = unreadable->condition.is.reason,
                                               .message = text,
                                               .actor = EVENTS_ACTOR_SYSTEM,
                                               .generation = unreadable->generation});
}

void service_report_unreadable(struct service *service)
{
    size_t left = UNREADABLE_EVENTS_MAX;
    for (enum unreadable_kind kind = 0; kind < UNREADABLE_KINDS; kind++) {
        const struct service_index *index = &service->unreadable[kind];
        for (size_t i = 0; i < index->count && left > 0; i++) {
            const struct unreadable *unreadable = index->entries[i].object;
            if (unreadable->waits) /* its tunnel's says so */
                continue;
            report(service, kind, unreadable);
            left--;
        }
    }
}

int service_not_found(const struct service *service, enum unreadable_kind kind, const char *name,
                      struct problem *problem)
{
    const struct unreadable *unreadable = service_find_unreadable(service, kind, name);
    if (unreadable == NULL)
        return problem_set(problem, "not_found", "there is no %s \"%.63s\"", kinds[kind].name,
                           name);
    return problem_set(problem, "not_found",
                       "the %s \"%s\" is in the database alone: %s; it can be deleted, and "
                       "replaced by PUT",
                       kinds[kind].name, name, unreadable->message);
}

int service_check_unreadable(const struct service *service, enum unreadable_kind kind,
                             const char *name, struct problem *problem)
{
    if (service_find_unreadable(service, kind, name) == NULL)
        return 0;
    spec_errors_add(&problem->errors, "/name", "name_taken", "the name is taken");
    return problem_set(problem, "name_taken",
                       "there is a %s \"%s\" already, in the database alone, where it cannot be "
                       "read: PUT replaces it, DELETE removes it",
                       kinds[kind].name, name);
}

/* --- Deletion --------------------------------------------------------------------------------- */

void service_drop_unreadable(struct service *service, enum unreadable_kind kind, const char *name)
{
    struct unreadable *unreadable = service_index_find(&service->unreadable[kind], name);
    if (unreadable == NULL)
        return;
    service_index_remove(&service->unreadable[kind], name);
    free(unreadable);
}

void service_drop_all_unreadable(struct service *service)
{
    for (enum unreadable_kind kind = 0; kind < UNREADABLE_KINDS; kind++) {
        struct service_index *index = &service->unreadable[kind];
        while (index->count > 0)
            free(index->entries[--index->count].object);
        free(index->entries);
    }
}

static int commit_deletion(struct service *service, enum unreadable_kind kind,
                           const struct unreadable *unreadable, const char *reason)
{
    int rc = kinds[kind].delete_row(service->store, unreadable->name);
    return rc < 0 ? rc
                  : service_record(service, &(struct event_fact){
                                                .type = kinds[kind].deleted,
                                                .name = unreadable->name,
                                                .reason = reason,
                                                .generation = unreadable->generation,
                                            });
}

/* The tunnel's first forward from *place on, which is moved behind it; NULL = there is none. */
static struct unreadable *next_forward_of(const struct service *service, const char *tunnel,
                                          size_t *place)
{
    const struct service_index *forwards = &service->unreadable[UNREADABLE_FORWARD];
    while (*place < forwards->count) {
        struct unreadable *forward = forwards->entries[(*place)++].object;
        if (strcmp(forward->tunnel, tunnel) == 0)
            return forward;
    }
    return NULL;
}

size_t service_unreadable_forwards(const struct service *service, const char *tunnel)
{
    size_t count = 0;
    size_t place = 0;
    while (next_forward_of(service, tunnel, &place) != NULL)
        count++;
    return count;
}

void service_note_replaced_forward(struct service *service, const char *name, bool replaced)
{
    struct unreadable *forward = service_index_find(&service->unreadable[UNREADABLE_FORWARD], name);
    if (forward != NULL)
        forward->replaced = replaced;
}

int service_commit_unreadable_forwards(struct service *service, const char *tunnel)
{
    const struct unreadable *forward;
    int rc = 0;
    size_t place = 0;
    while (rc == 0 && (forward = next_forward_of(service, tunnel, &place)) != NULL) {
        if (!forward->replaced) /* else the row of that name is another tunnel's */
            rc = commit_deletion(service, UNREADABLE_FORWARD, forward, "TunnelDeleted");
    }
    return rc;
}

void service_drop_unreadable_forwards(struct service *service, const char *tunnel)
{
    const struct unreadable *forward;
    size_t place = 0;
    while ((forward = next_forward_of(service, tunnel, &place)) != NULL) {
        service_drop_unreadable(service, UNREADABLE_FORWARD, forward->name);
        place--;
    }
}

static int commit(struct service *service, enum unreadable_kind kind,
                  const struct unreadable *unreadable)
{
    int rc = store_begin(service->store);
    if (rc < 0)
        return rc;
    if (kind == UNREADABLE_TUNNEL)
        rc = service_commit_unreadable_forwards(service, unreadable->name);
    if (rc == 0)
        rc = commit_deletion(service, kind, unreadable, NULL);
    return store_end(service->store, rc);
}

int service_delete_unreadable(struct service *service, enum unreadable_kind kind, const char *name,
                              bool cascade, struct problem *problem)
{
    const struct unreadable *unreadable = service_find_unreadable(service, kind, name);
    if (unreadable == NULL)
        return service_not_found(service, kind, name, problem);
    if (service_check_changeable(service, problem) < 0)
        return -1;
    size_t forwards = kind == UNREADABLE_TUNNEL ? service_unreadable_forwards(service, name) : 0;
    if (forwards > 0 && !cascade)
        return problem_set(
            problem, "in_use",
            "%zu forward(s) use the tunnel; delete them first, or with ?cascade=true", forwards);
    int rc = commit(service, kind, unreadable);
    if (rc < 0)
        return service_store_problem(service, problem, rc, kinds[kind].name, name);
    if (kind == UNREADABLE_TUNNEL)
        service_drop_unreadable_forwards(service, name);
    service_drop_unreadable(service, kind, name);
    log_about(LOG_LEVEL_INFO, kinds[kind].log, name, "deleted, with %zu forward(s)", forwards);
    return 0;
}

/* --- Look-up ---------------------------------------------------------------------------------- */

const struct unreadable *service_next_unreadable(const struct service *service,
                                                 enum unreadable_kind kind, const char *after)
{
    return service_index_next(&service->unreadable[kind], after);
}

const struct unreadable *service_find_unreadable(const struct service *service,
                                                 enum unreadable_kind kind, const char *name)
{
    return service_index_find(&service->unreadable[kind], name);
}

uint64_t service_unreadable_generation(const struct service *service, enum unreadable_kind kind,
                                       const char *name)
{
    const struct unreadable *unreadable = service_find_unreadable(service, kind, name);
    return unreadable != NULL ? unreadable->generation : 0;
}

const struct condition *service_unnamed(const struct service *service, enum unreadable_kind kind)
{
    return service->unnamed[kind].count > 0 ? &service->unnamed[kind].condition : NULL;
}
