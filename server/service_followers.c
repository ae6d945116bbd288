/*
 * service_followers: tells of forwards whose TunnelReady, and Ready with it, became another: that
 * happens to all forwards of a tunnel at once. A few are told one by one; of many, one event of
 * their tunnel tells how many they are, so that a dead worker with thousands of forwards does not
 * push everything else out of the ring.
 *
 * A forward that was observed waits for this with its flags, untold_*, and what is told is its
 * present condition. Either all groups are told, or nothing is.
 */
#include "base/log.h"
#include "server/service_internal.h"

#include <stdio.h>
#include <string.h>

#define MORE ", …"

/* Of the tunnel, those whose condition became this. */
static struct service_followers *group_of(const struct service_forward *forward)
{
    return &forward->tunnel->followers[forward->conditions[FORWARD_TUNNEL_READY].is.status];
}

static bool is_untold(const struct service_forward *forward)
{
    return forward->untold_tunnel_ready || forward->untold_ready;
}

/* How many there are in all; without those whose worker has told of them (service_carried.c). */
static size_t count_groups(struct service *service)
{
    size_t total = 0;
    for (size_t i = 0; i < service->forwards.count; i++) {
        struct service_forward *forward = service->forwards.entries[i].object;
        if (forward->tunnel->told_with_worker)
            forward->untold_tunnel_ready = forward->untold_ready = false;
        if (!is_untold(forward))
            continue;
        struct service_followers *group = group_of(forward);
        group->tunnel_ready += forward->untold_tunnel_ready;
        group->ready += forward->untold_ready;
        total++;
    }
    return total;
}

static void tell_one(struct service *service, const struct service_forward *forward)
{
    static const enum forward_condition order[] = {FORWARD_READY, FORWARD_TUNNEL_READY};
    const bool untold[] = {forward->untold_ready, forward->untold_tunnel_ready};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (untold[i])
            service_tell_condition(service, EVENT_FORWARD_CONDITION, forward->spec.name,
                                   forward->generation, forward_condition_name(order[i]),
                                   &forward->conditions[order[i]]);
    }
}

/*
 * Appends the first names of the group, of which place is the first, and MORE when there are more:
 * names leave room for it.
 */
static void add_names(const struct service *service, size_t place, char *text, size_t size)
{
    const size_t room = size - strlen(MORE);
    const struct service_forward *first = service->forwards.entries[place].object;
    const struct service_followers *group = group_of(first);
    size_t named = 0;
    size_t used = 0;
    for (; place < service->forwards.count && named < FOLLOWERS_NAMED_MAX; place++) {
        const struct service_forward *forward = service->forwards.entries[place].object;
        if (!is_untold(forward) || group_of(forward) != group)
            continue;
        int len =
            snprintf(text + used, room - used, "%s%s", named > 0 ? ", " : "", forward->spec.name);
        if (len < 0 || (size_t)len >= room - used)
            break;
        used += (size_t)len;
        named++;
    }
    if (named < group->tunnel_ready || named < group->ready)
        snprintf(text + used, size - used, MORE);
}

static void tell_group(struct service *service, size_t place)
{
    const struct service_forward *first = service->forwards.entries[place].object;
    const struct service_tunnel *tunnel = first->tunnel;
    const struct service_followers *group = group_of(first);
    const struct condition *condition = &first->conditions[FORWARD_TUNNEL_READY];
    const struct verdict *is = &condition->is;
    char text[EVENTS_MESSAGE_MAX + 1];
    int len = snprintf(text, sizeof(text),
                       "TunnelReady is %s of %zu forward(s), and Ready follows in %zu: ",
                       condition_status_name(is->status), group->tunnel_ready, group->ready);
    add_names(service, place, text + len, sizeof(text) - (size_t)len);
    log_about(service_condition_level(condition), LOG_TUNNEL, tunnel->spec.name, "%s", text);
    service_emit(service, &(struct event_fact){.type = EVENT_TUNNEL_FORWARDS,
                                               .name = tunnel->spec.name,
                                               .reason = is->reason,
                                               .message = text,
                                               .actor = EVENTS_ACTOR_SYSTEM,
                                               .generation = tunnel->generation});
}

void service_tell_followers(struct service *service)
{
    size_t total = count_groups(service);
    bool few = total <= FOLLOWERS_EACH_MAX;
    for (size_t i = 0; i < service->forwards.count && total > 0; i++) {
        const struct service_forward *forward = service->forwards.entries[i].object;
        if (!is_untold(forward))
            continue;
        struct service_followers *group = group_of(forward);
        if (few)
            tell_one(service, forward);
        else if (!group->told)
            tell_group(service, i);
        group->told = true;
    }
    for (size_t i = 0; i < service->forwards.count && total > 0; i++) {
        struct service_forward *forward = service->forwards.entries[i].object;
        if (is_untold(forward))
            *group_of(forward) = (struct service_followers){0};
        forward->untold_tunnel_ready = forward->untold_ready = false;
    }
}
