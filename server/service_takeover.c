/*
 * service_takeover: what a service gives to its successor, and takes from its predecessor.
 *
 * Frozen: definitions do not change and nothing is bound, so that what was offered stays all there
 * is. It lasts until the successor has taken over, or has given up.
 */
#include "server/service_takeover.h"

#include "server/service_internal.h"

#include <stdio.h>
#include <unistd.h>

void service_freeze(struct service *service)
{
    service->frozen = true;
    event_del(service->retry);
}

void service_thaw(struct service *service)
{
    service->frozen = false;
    service_retry_later(service);
}

bool service_frozen(const struct service *service)
{
    return service->frozen;
}

/* --- The older side --------------------------------------------------------------------------- */

int service_offer_sockets(struct service *service, service_offer *offer, void *ctx)
{
    int error = 0;
    for (size_t i = 0; i < service->tunnels.count && error == 0; i++) {
        const struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        if (tunnel->port != 0)
            error = offer(ctx, INHERITED_TUNNEL, tunnel->spec.name, tunnel->sockets);
    }
    for (size_t i = 0; i < service->forwards.count && error == 0; i++) {
        const struct service_forward *forward = service->forwards.entries[i].object;
        const int fds[INHERITED_FDS_MAX] = {forward->listener, -1};
        if (forward->listener >= 0)
            error = offer(ctx, INHERITED_FORWARD, forward->spec.name, fds);
    }
    return error;
}

void service_retire(struct service *service, void (*done)(void *ctx), void *ctx)
{
    service_save_totals(service); /* the successor begins with them */
    /* What the workers' retirement looks like from here is no news. */
    service_emit(service, &(struct event_fact){.type = EVENT_SERVICE_STOPPED,
                                               .reason = "HandedOver",
                                               .message = "a newer program takes over"});
    events_hand_over(service->events);
    /* From here on the successor looks after conditions and totals. */
    supervisor_watch(service->supervisor, NULL);
    event_del(service->sweep);
    if (service->totals.timer != NULL)
        event_del(service->totals.timer);
    supervisor_retire(service->supervisor, done, ctx);
}

int service_offer_bridges(struct service *service, service_offer *offer, void *ctx)
{
    int error = 0;
    for (size_t i = 0; i < service->tunnels.count && error == 0; i++) {
        const struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        int bridge = tunnel->supervised ? supervisor_take_bridge(tunnel->supervised) : -1;
        const int fds[INHERITED_FDS_MAX] = {bridge, -1};
        if (bridge < 0)
            continue;
        error = offer(ctx, INHERITED_BRIDGE, tunnel->spec.name, fds);
        close(bridge);
    }
    return error;
}

int service_offer_workers(struct service *service, service_offer *offer, void *ctx)
{
    int error = 0;
    for (unsigned i = 0; i < supervisor_workers(service->supervisor) && error == 0; i++) {
        int fds[INHERITED_FDS_MAX];
        char name[24];
        pid_t pid;
        if (supervisor_share_worker(service->supervisor, i, fds, &pid) < 0)
            continue; /* it has ended */
        snprintf(name, sizeof(name), "%ld", (long)pid);
        error = offer(ctx, INHERITED_WORKER, name, fds);
        close(fds[0]);
        close(fds[1]);
    }
    return error;
}

/* --- The newer side --------------------------------------------------------------------------- */

void service_inherit(struct service *service, struct inherited *inherited)
{
    service->inherited = inherited;
}

void service_inherit_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    int fds[INHERITED_FDS_MAX];
    if (!inherited_take(service->inherited, INHERITED_TUNNEL, tunnel->spec.name, fds))
        return;
    tunnel->sockets[0] = fds[0];
    tunnel->sockets[1] = fds[1];
    tunnel->port = sockets_port(fds[0] >= 0 ? fds[0] : fds[1]);
}

void service_inherit_bridge(struct service *service, struct service_tunnel *tunnel)
{
    int fds[INHERITED_FDS_MAX];
    if (tunnel->supervised != NULL &&
        inherited_take(service->inherited, INHERITED_BRIDGE, tunnel->spec.name, fds))
        supervisor_adopt_tunnel(tunnel->supervised, fds[0]);
}

void service_inherit_forward(struct service *service, struct service_forward *forward)
{
    int fds[INHERITED_FDS_MAX];
    if (!inherited_take(service->inherited, INHERITED_FORWARD, forward->spec.name, fds))
        return;
    forward->listener = fds[0];
    uint16_t port = sockets_port(fds[0]);
    forward->port_unsaved = port != forward->bound_port;
    forward->bound_port = port;
}
