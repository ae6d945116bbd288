/*
 * service_observe: looks at tunnels and forwards, and keeps their conditions. Facts are gathered
 * here; what follows from them is decided in conditions.c.
 */
#include "base/log.h"
#include "server/events.h"
#include "server/monotonic.h"
#include "server/service_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define WORKER_TEXT 16
/* How much of a host name an event tells: the addresses are to have room. */
#define READDRESSED_NAME_MAX 64
/* Of a tunnel with more peers, one by one is for the log: its events would be all that is kept. */
#define PEERS_EACH_MAX 32

/* --- Telling ---------------------------------------------------------------------------------- */

/* What an operator must know is a warning, that it is over is news, and else nothing has happened.
 */
enum log_level service_condition_level(const struct condition *condition)
{
    if (condition->is.status == CONDITION_FALSE)
        return LOG_LEVEL_WARN;
    bool is_over = condition->was == CONDITION_FALSE && condition->is.status == CONDITION_TRUE;
    return is_over ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
}

void service_tell_condition(struct service *service, enum event_type type, const char *name,
                            uint64_t generation, const char *known_as,
                            const struct condition *condition)
{
    const struct verdict *is = &condition->is;
    bool is_tunnel = type == EVENT_TUNNEL_CONDITION;
    /* Ready repeats another condition, which has a line of its own. */
    bool repeats = strcmp(known_as, tunnel_condition_name(TUNNEL_READY)) == 0;
    char text[EVENTS_MESSAGE_MAX + 1];
    snprintf(text, sizeof(text), "%s is %s%s%s%s%s", known_as, condition_status_name(is->status),
             is->subject[0] != '\0' ? ": peer " : "", is->subject,
             is->message[0] != '\0' ? ": " : "", is->message);
    log_about(repeats ? LOG_LEVEL_DEBUG : service_condition_level(condition),
              is_tunnel ? LOG_TUNNEL : LOG_FORWARD, name, "%s", text);
    service_emit(service, &(struct event_fact){.type = type,
                                               .name = name,
                                               .reason = is->reason,
                                               .message = text,
                                               .actor = EVENTS_ACTOR_SYSTEM,
                                               .generation = generation});
}

/*
 * What an object is when it is first looked at is part of its creation, and worth telling only when
 * something is wrong with it. While the workers are being started nothing is.
 */
static bool is_worth_telling(const struct service *service, const struct condition *before,
                             const struct verdict *is)
{
    return service->settled && (before->is.reason != NULL || is->status == CONDITION_FALSE);
}

/* --- Tunnels ---------------------------------------------------------------------------------- */

struct peer_facts service_peer_facts(const struct supervised_peer *peer)
{
    static const struct counters_peer none;
    const struct counters_peer *counters = peer->counters != NULL ? peer->counters : &none;
    union inet_sockaddr address;
    return (struct peer_facts){
        .calls_us = peer->spec->endpoint_host[0] == '\0',
        .seen = counters_get_endpoint(counters, &address),
        .looked_up = peer->looked_up,
        .lookup_error = peer->lookup_error,
        .keepalive_seconds = peer->counters != NULL ? peer->spec->keepalive_seconds : 0,
        .unanswered = counter_get(&counters->unanswered),
        .last_handshake_ns = counter_get(&counters->last_handshake_at),
        .since_ns = peer->since_ns,
    };
}

static void summarize_peers(const struct service_tunnel *tunnel, uint64_t now_ns,
                            struct peers_summary *out)
{
    *out = (struct peers_summary){0};
    size_t count = tunnel->supervised != NULL ? supervisor_peers(tunnel->supervised) : 0;
    for (size_t i = 0; i < count; i++) {
        struct supervised_peer peer;
        supervisor_peer(tunnel->supervised, i, &peer);
        const struct peer_facts facts = service_peer_facts(&peer);
        peers_summary_add(out, peer.spec->name, &facts, now_ns);
    }
}

/*
 * What follows from the worker is told of together with the worker's other tunnels, by the next
 * sweep; unless it becomes another once more before.
 */
static void apply_tunnel(struct service *service, struct service_tunnel *tunnel,
                         const struct verdict verdicts[TUNNEL_CONDITIONS],
                         const struct timespec *now)
{
    const struct condition *before = &tunnel->conditions[TUNNEL_WORKER_ALIVE];
    bool follows = before->is.status != verdicts[TUNNEL_WORKER_ALIVE].status;
    if (follows && tunnel->untold != 0)
        service_tell_carried(service);
    for (enum tunnel_condition i = 0; i < TUNNEL_CONDITIONS; i++) {
        bool worth = is_worth_telling(service, &tunnel->conditions[i], &verdicts[i]);
        if (!condition_apply(&tunnel->conditions[i], &verdicts[i], now) || !worth)
            continue;
        if (follows)
            tunnel->untold |= 1U << i;
        else
            service_tell_condition(service, EVENT_TUNNEL_CONDITION, tunnel->spec.name,
                                   tunnel->generation, tunnel_condition_name(i),
                                   &tunnel->conditions[i]);
    }
}

static void observe_tunnel(struct service *service, struct service_tunnel *tunnel,
                           const struct timespec *now)
{
    struct peers_summary peers;
    struct verdict verdicts[TUNNEL_CONDITIONS];
    summarize_peers(tunnel, monotonic_ns(), &peers);
    tunnel->out_of_reach = peers_summary_out_of_reach(&peers);
    const struct tunnel_facts facts = {
        .started = tunnel->supervised != NULL,
        .start_error = tunnel->start_error,
        .worker_alive =
            tunnel->supervised != NULL && supervisor_tunnel_worker_alive(tunnel->supervised),
        .worker_error =
            tunnel->supervised != NULL ? supervisor_tunnel_failure(tunnel->supervised) : 0,
        .peers = &peers,
    };
    tunnel_facts_judge(&facts, verdicts);
    apply_tunnel(service, tunnel, verdicts, now);
}

void service_observe_tunnel(struct service *service, struct service_tunnel *tunnel)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    observe_tunnel(service, tunnel, &now);
}

/* --- Forwards --------------------------------------------------------------------------------- */

/*
 * What follows from the tunnel is told of together with the tunnel's other forwards, by the next
 * sweep; unless it becomes another once more before.
 */
static void apply_forward(struct service *service, struct service_forward *forward,
                          const struct verdict verdicts[FORWARD_CONDITIONS],
                          const struct timespec *now)
{
    const struct condition *before = &forward->conditions[FORWARD_TUNNEL_READY];
    bool follows = before->is.status != verdicts[FORWARD_TUNNEL_READY].status;
    if (follows && (forward->untold_tunnel_ready || forward->untold_ready))
        service_tell_followers(service);
    for (enum forward_condition i = 0; i < FORWARD_CONDITIONS; i++) {
        bool worth = is_worth_telling(service, &forward->conditions[i], &verdicts[i]);
        if (!condition_apply(&forward->conditions[i], &verdicts[i], now) || !worth)
            continue;
        if (i == FORWARD_TUNNEL_READY)
            forward->untold_tunnel_ready = true;
        else if (i == FORWARD_READY && follows)
            forward->untold_ready = true;
        else
            service_tell_condition(service, EVENT_FORWARD_CONDITION, forward->spec.name,
                                   forward->generation, forward_condition_name(i),
                                   &forward->conditions[i]);
    }
}

static void observe_forward(struct service *service, struct service_forward *forward,
                            const struct timespec *now)
{
    static const struct counters_forward none;
    struct verdict verdicts[FORWARD_CONDITIONS];
    const struct counters_forward *counters =
        forward->supervised != NULL ? supervisor_forward_counters(forward->supervised) : &none;
    const struct supervised_tunnel *carrier = forward->tunnel->supervised;
    /* One that could not be bound is in no worker, which says nothing of its tunnel. */
    bool carried = forward->supervised != NULL || forward->start_error != 0;
    const struct forward_facts facts = {
        .enabled = forward->spec.enabled,
        .start_error = forward->start_error,
        .worker_error =
            forward->supervised != NULL ? supervisor_forward_failure(forward->supervised) : 0,
        .tunnel_up = carried && carrier != NULL && supervisor_tunnel_worker_alive(carrier),
        .tunnel_incomplete = carrier != NULL && supervisor_tunnel_failure(carrier) != 0,
        .peers_out_of_reach = forward->tunnel->out_of_reach,
        .target_since_ns = forward->target_since_ns,
        .last_connect_ns = counter_get(&counters->last_connect_at),
        .last_error_ns = counter_get(&counters->last_error_at),
        .last_error = (int)counter_get(&counters->last_error),
    };
    forward_facts_judge(&facts, verdicts);
    apply_forward(service, forward, verdicts, now);
}

void service_observe_forward(struct service *service, struct service_forward *forward)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    observe_forward(service, forward, &now);
}

/* --- The sweep -------------------------------------------------------------------------------- */

/* From now on changes are told; so is what is wrong already. */
static void settle(struct service *service)
{
    service->settled = true;
    for (size_t i = 0; i < service->tunnels.count; i++) {
        struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        memset(tunnel->conditions, 0, sizeof(tunnel->conditions));
    }
    for (size_t i = 0; i < service->forwards.count; i++) {
        struct service_forward *forward = service->forwards.entries[i].object;
        memset(forward->conditions, 0, sizeof(forward->conditions));
    }
}

void service_sweep(struct service *service)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (size_t i = 0; i < service->tunnels.count; i++)
        observe_tunnel(service, service->tunnels.entries[i].object, &now);
    service_tell_carried(service);
    for (size_t i = 0; i < service->forwards.count; i++)
        observe_forward(service, service->forwards.entries[i].object, &now);
    service_tell_followers(service);
    for (size_t i = 0; i < service->tunnels.count; i++) {
        struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        tunnel->told_with_worker = false;
    }
    service_extend_timestamps(service);
}

static void tell_worker(struct service *service, enum event_type type, unsigned worker,
                        const char *reason, const char *message)
{
    char name[WORKER_TEXT];
    snprintf(name, sizeof(name), "%u", worker);
    service_emit(service, &(struct event_fact){.type = type,
                                               .name = name,
                                               .reason = reason,
                                               .message = message,
                                               .actor = EVENTS_ACTOR_SYSTEM});
}

static void on_worker_up(void *ctx, unsigned worker, int pid)
{
    struct service *service = ctx;
    char text[EVENTS_MESSAGE_MAX + 1];
    snprintf(text, sizeof(text), "it runs as process %d", pid);
    tell_worker(service, EVENT_WORKER_STARTED, worker, "Running", text);
    if (!service->settled &&
        supervisor_workers_alive(service->supervisor) == supervisor_workers(service->supervisor))
        settle(service);
    service_sweep(service);
    if (service->worker_up.call != NULL)
        service->worker_up.call(service->worker_up.ctx);
}

static void on_worker_down(void *ctx, unsigned worker, const struct worker_end *end)
{
    struct service *service = ctx;
    char text[EVENTS_MESSAGE_MAX + 1];
    bool killed = WIFSIGNALED(end->status);
    int len = killed ? snprintf(text, sizeof(text), "process %d ended by signal %d (%s)", end->pid,
                                WTERMSIG(end->status), strsignal(WTERMSIG(end->status)))
                     : snprintf(text, sizeof(text), "process %d ended with status %d", end->pid,
                                WEXITSTATUS(end->status));
    if (end->again && len > 0 && (size_t)len < sizeof(text))
        snprintf(text + len, sizeof(text) - (size_t)len, "; it is started again in %u ms",
                 end->wait_ms);
    tell_worker(service, EVENT_WORKER_DIED, worker, killed ? "Killed" : "Exited", text);
    service_sweep(service);
}

static void on_readdressed(void *ctx, const struct spec_tunnel *spec, const struct spec_peer *peer,
                           const struct resolved *resolved)
{
    struct service *service = ctx;
    char text[EVENTS_MESSAGE_MAX + 1];
    char addresses[RESOLVED_TEXT];
    const struct service_tunnel *tunnel = service_index_find(&service->tunnels, spec->name);
    snprintf(text, sizeof(text), "peer %s: %.*s is %s now", peer->name, READDRESSED_NAME_MAX,
             peer->endpoint_host, resolved_print(resolved, addresses));
    service_emit(service,
                 &(struct event_fact){.type = EVENT_TUNNEL_READDRESSED,
                                      .name = spec->name,
                                      .reason = "Readdressed",
                                      .message = text,
                                      .actor = EVENTS_ACTOR_SYSTEM,
                                      .generation = tunnel != NULL ? tunnel->generation : 0});
}

/* Of a tunnel's only peer its conditions tell. */
static void on_peer_news(void *ctx, const struct spec_tunnel *spec, const struct spec_peer *peer,
                         enum peer_news news)
{
    struct service *service = ctx;
    const struct service_tunnel *tunnel = service_index_find(&service->tunnels, spec->name);
    const bool silent = news == PEER_SILENT;
    char text[EVENTS_MESSAGE_MAX + 1];
    if (spec->peers_count < 2 || spec->peers_count > PEERS_EACH_MAX)
        return;
    snprintf(text, sizeof(text), "peer %s: %s", peer->name,
             silent ? "handshakes are not answered" : "handshakes are answered again");
    service_emit(service,
                 &(struct event_fact){.type = EVENT_TUNNEL_PEER,
                                      .name = spec->name,
                                      .reason = silent ? "NoAnswer" : "AnswersAgain",
                                      .message = text,
                                      .actor = EVENTS_ACTOR_SYSTEM,
                                      .generation = tunnel != NULL ? tunnel->generation : 0});
}

static void on_sweep(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct service *service = ctx;
    if (!service->settled) /* a worker that is not up by now is worth a word */
        settle(service);
    service_sweep(service);
}

int service_sweep_start(struct service *service)
{
    const struct timeval interval = {.tv_sec = SERVICE_SWEEP_MS / 1000,
                                     .tv_usec = SERVICE_SWEEP_MS % 1000 * 1000L};
    service->watcher = (struct supervisor_watcher){.up = on_worker_up,
                                                   .down = on_worker_down,
                                                   .readdressed = on_readdressed,
                                                   .peer_news = on_peer_news,
                                                   .ctx = service};
    supervisor_watch(service->supervisor, &service->watcher);
    service->sweep = event_new(service->base, -1, EV_PERSIST, on_sweep, service);
    if (service->sweep == NULL)
        return -ENOMEM;
    return event_add(service->sweep, &interval) < 0 ? -ENOMEM : 0;
}

void service_sweep_stop(struct service *service)
{
    supervisor_watch(service->supervisor, NULL);
    if (service->sweep != NULL)
        event_free(service->sweep);
}
