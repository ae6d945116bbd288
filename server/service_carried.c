/*
 * service_carried: tells of tunnels whose WorkerAlive became another, and others of their
 * conditions with it: that happens to all tunnels of a worker at once. A few are told one by one;
 * of many, one event of their worker tells how many they are, and of their forwards nothing is told
 * then (service_followers.c): a dead worker with thousands of tunnels does not push everything else
 * out of the ring.
 *
 * A tunnel that was observed waits for this with the set of these conditions, untold, and what is
 * told is what they are by then.
 */
#include "base/log.h"
#include "server/service_internal.h"

#include <stdio.h>
#include <string.h>

#define MORE        ", …"
#define WORKER_TEXT 12
/* What is said before them has room in an event, too. */
#define NAMES_SIZE 136

/* What became of the tunnels of one worker. */
struct group {
    unsigned worker;
    enum condition_status status; /* of their WorkerAlive */
    size_t tunnels, ready, forwards;
    char names[NAMES_SIZE]; /* of the first ones, and MORE */
    size_t used, named;
};

static void tell_one(struct service *service, struct service_tunnel *tunnel)
{
    for (enum tunnel_condition i = 0; i < TUNNEL_CONDITIONS; i++) {
        if (tunnel->untold & 1U << i)
            service_tell_condition(service, EVENT_TUNNEL_CONDITION, tunnel->spec.name,
                                   tunnel->generation, tunnel_condition_name(i),
                                   &tunnel->conditions[i]);
    }
    tunnel->untold = 0;
}

/* Names leave room for MORE. */
static void add_name(struct group *group, const char *name)
{
    const size_t room = sizeof(group->names) - strlen(MORE);
    const char *comma = group->named > 0 ? ", " : "";
    if (group->named != group->tunnels - 1 || group->named == FOLLOWERS_NAMED_MAX ||
        group->used + strlen(comma) + strlen(name) >= room)
        return;
    group->used +=
        (size_t)snprintf(group->names + group->used, room - group->used, "%s%s", comma, name);
    group->named++;
}

static bool is_in(const struct group *group, const struct service_tunnel *tunnel)
{
    return tunnel->untold != 0 && tunnel->supervised != NULL &&
           supervisor_tunnel_worker(tunnel->supervised) == group->worker &&
           tunnel->conditions[TUNNEL_WORKER_ALIVE].is.status == group->status;
}

/* Those from place on that share its worker and what became of it: they are told then. */
static void gather(struct service *service, size_t place, struct group *group)
{
    for (; place < service->tunnels.count; place++) {
        struct service_tunnel *tunnel = service->tunnels.entries[place].object;
        if (!is_in(group, tunnel))
            continue;
        group->tunnels++;
        group->ready += (tunnel->untold >> TUNNEL_READY) & 1U;
        group->forwards += tunnel->forwards;
        add_name(group, tunnel->spec.name);
        tunnel->untold = 0;
        tunnel->told_with_worker = true;
    }
    if (group->named < group->tunnels)
        snprintf(group->names + group->used, sizeof(group->names) - group->used, MORE);
}

static void tell_group(struct service *service, size_t place)
{
    const struct service_tunnel *first = service->tunnels.entries[place].object;
    const struct condition *condition = &first->conditions[TUNNEL_WORKER_ALIVE];
    struct group group = {.worker = supervisor_tunnel_worker(first->supervised),
                          .status = condition->is.status};
    char text[EVENTS_MESSAGE_MAX + 1];
    char name[WORKER_TEXT];
    gather(service, place, &group);
    snprintf(name, sizeof(name), "%u", group.worker);
    snprintf(text, sizeof(text),
             "WorkerAlive is %s of %zu tunnels with %zu forwards, and Ready follows in %zu: %s",
             condition_status_name(group.status), group.tunnels, group.forwards, group.ready,
             group.names);
    log_about(service_condition_level(condition), LOG_WORKER, name, "%s", text);
    service_emit(service, &(struct event_fact){.type = EVENT_WORKER_TUNNELS,
                                               .name = name,
                                               .reason = condition->is.reason,
                                               .message = text,
                                               .actor = EVENTS_ACTOR_SYSTEM});
}

void service_tell_carried(struct service *service)
{
    size_t total = 0;
    for (size_t i = 0; i < service->tunnels.count; i++) {
        const struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        total += tunnel->untold != 0;
    }
    for (size_t i = 0; i < service->tunnels.count && total > 0; i++) {
        struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        if (tunnel->untold == 0)
            continue;
        if (total <= FOLLOWERS_EACH_MAX || tunnel->supervised == NULL)
            tell_one(service, tunnel);
        else
            tell_group(service, i);
    }
}
