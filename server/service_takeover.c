/*
 * service_takeover: what a service gives to its successor, and takes from its predecessor.
 *
 * Frozen: definitions do not change and nothing is bound, so that what was offered stays all there
 * is. It lasts until the successor has taken over, or has given up.
 */
#include "server/service_takeover.h"

#include "base/log.h"
#include "server/retired_counts.h"
#include "server/service_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

void service_retire_again(struct service *service, void (*done)(void *ctx), void *ctx)
{
    supervisor_retire(service->supervisor, done, ctx);
}

int service_offer_bridges(struct service *service, service_offer *offer, void *ctx)
{
    int error = 0;
    for (size_t i = 0; i < service->tunnels.count && error == 0; i++) {
        const struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        int bridge = tunnel->supervised ? supervisor_bridge(tunnel->supervised) : -1;
        const int fds[INHERITED_FDS_MAX] = {bridge, -1};
        if (bridge >= 0)
            error = offer(ctx, INHERITED_BRIDGE, tunnel->spec.name, fds);
    }
    return error;
}

/* So that each record stands for itself: a worker that has ended meanwhile is not offered. */
static void settle_shares(struct service *service)
{
    for (size_t i = 0; i < service->forwards.count; i++)
        retired_shares_settle(service->forwards.entries[i].object);
}

/*
 * What is stored is saved = counted_before + what the present slot had counted then, so that the
 * rest of this is what the slot counts from there on. Modulo 2^64: a slot that is younger than what
 * is stored has a negative part of it.
 */
static void describe(const struct service_forward *forward, const void *segment,
                     struct retired_record *record)
{
    const struct counters_forward *live = supervisor_forward_counters(forward->supervised);
    const struct forward_totals *saved = &forward->saved;
    const struct forward_totals *before = &forward->counted_before;
    const counter *const values[RETIRED_VALUES] = {&live->connections_total,
                                                   &live->connect_failures, &live->bytes_in,
                                                   &live->bytes_out};
    for (size_t i = 0; i < RETIRED_VALUES; i++)
        record->offsets[i] = (uint64_t)((const uint8_t *)values[i] - (const uint8_t *)segment);
    memcpy(record->forward, forward->spec.name, sizeof(record->forward));
    record->counted[0] = saved->connections - before->connections;
    record->counted[1] = saved->connect_failures - before->connect_failures;
    record->counted[2] = saved->bytes_in - before->bytes_in;
    record->counted[3] = saved->bytes_out - before->bytes_out;
}

static bool is_in_worker(const struct service_forward *forward, unsigned index)
{
    return forward->supervised != NULL && forward->tunnel->supervised != NULL &&
           supervisor_tunnel_worker(forward->tunnel->supervised) == index;
}

/* What cannot be offered is not counted: no reason to lose connections. */
static int offer_counts(struct service *service, unsigned index, const char *name,
                        service_offer *offer, void *ctx)
{
    int segment;
    const void *memory = supervisor_worker_segment(service->supervisor, index, &segment);
    struct retired_record *records = calloc(service->forwards.count + 1, sizeof(*records));
    size_t count = 0;
    for (size_t i = 0; i < service->forwards.count && records != NULL; i++) {
        const struct service_forward *forward = service->forwards.entries[i].object;
        if (is_in_worker(forward, index))
            describe(forward, memory, &records[count++]);
    }
    int fd = records != NULL ? retired_records_write(records, count) : -ENOMEM;
    free(records);
    if (fd < 0) {
        log_warn("what the worker %u still counts is not in the totals: %s", index, strerror(-fd));
        return 0;
    }
    const int fds[INHERITED_FDS_MAX] = {fd, segment};
    int error = offer(ctx, INHERITED_COUNTS, name, fds);
    close(fd);
    return error;
}

int service_offer_workers(struct service *service, service_offer *offer, void *ctx)
{
    int error = 0;
    settle_shares(service);
    for (unsigned i = 0; i < supervisor_workers(service->supervisor) && error == 0; i++) {
        int fds[INHERITED_FDS_MAX];
        char name[24];
        pid_t pid;
        if (supervisor_share_worker(service->supervisor, i, fds, &pid) < 0)
            continue; /* it has ended */
        snprintf(name, sizeof(name), "%ld", (long)pid);
        error = offer(ctx, INHERITED_WORKER, name, fds);
        if (error == 0)
            error = offer_counts(service, i, name, offer, ctx);
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

void service_adopt_counts(struct service *service, struct retired_counts *counts)
{
    for (size_t i = 0; i < retired_counts_size(counts); i++) {
        struct retired_share *share = retired_counts_at(counts, i);
        share->forward = service_index_find(&service->forwards, share->record.forward);
        if (share->forward != NULL)
            SLIST_INSERT_HEAD(&share->forward->retired, share, link);
    }
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
