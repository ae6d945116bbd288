/*
 * supervisor: owns the workers' links and, for every tunnel and forward, which worker it belongs to
 * and its slot there. A worker that comes up is told all of its tunnels and forwards, in order.
 */
#include "server/supervisor_internal.h"

#include "base/descriptor.h"
#include "base/json.h"
#include "base/log.h"
#include "base/messages.h"
#include "engine/wg/device.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUPERVISOR_WORKERS_MAX 256

/* --- Telling a worker ------------------------------------------------------------------------- */

/* json is freed; without it (memory ran out) the worker answers, and is told later. */
static void push_forward(const struct supervised_forward *forward, cJSON *json)
{
    const struct message_forward_add add = {
        .slot = forward->slot,
        .tunnel_slot = forward->tunnel->slot,
        .again = forward->retelling.error != 0,
    };
    const int fds[CHANNEL_FDS_MAX] = {forward->listener, -1};
    worker_link_send(forward->tunnel->worker->link, MESSAGE_FORWARD_ADD, &add, sizeof(add), json,
                     fds);
    json_free(json);
}

/* What a new worker's timestamps are later than: also than those of the one before it. */
static uint64_t timestamps_after(const struct supervised_tunnel *tunnel)
{
    const uint64_t sent =
        counter_get(&supervisor_tunnel_counters(tunnel)->latest_timestamp_unix_ns);
    return sent > tunnel->timestamps_after ? sent : tunnel->timestamps_after;
}

/* As push_forward(). */
static void push_tunnel(const struct supervised_tunnel *tunnel, cJSON *json)
{
    const struct message_tunnel_add add = {
        .timestamps_after = timestamps_after(tunnel),
        .timestamps_until = tunnel->timestamps_until,
        .slot = tunnel->slot,
        .again = tunnel->retelling.error != 0,
    };
    worker_link_send(tunnel->worker->link, MESSAGE_TUNNEL_ADD, &add, sizeof(add), json,
                     tunnel->sockets);
    json_free(json);
    peer_set_tell(tunnel->peers);
}

static void push_forwards(const struct supervised_tunnel *tunnel)
{
    const struct supervised_forward *forward;
    TAILQ_FOREACH(forward, &tunnel->forwards, link)
    push_forward(forward, spec_forward_to_json(forward->spec));
}

static void forget_failures(struct supervised_tunnel *tunnel)
{
    struct retelling *retelling = &tunnel->worker->retelling;
    struct supervised_forward *forward;
    retelling_forget(retelling, &tunnel->retelling);
    TAILQ_FOREACH(forward, &tunnel->forwards, link)
    retelling_forget(retelling, &forward->retelling);
    tunnel->absent = false;
}

static void on_up(void *ctx, struct worker_link *link)
{
    struct supervisor *supervisor = ctx;
    struct worker *worker = &supervisor->workers[worker_link_index(link)];
    struct supervised_tunnel *tunnel;
    TAILQ_FOREACH(tunnel, &worker->tunnels, link)
    {
        forget_failures(tunnel);
        push_tunnel(tunnel, spec_tunnel_to_json(tunnel->spec, SPEC_COMPLETE));
        push_forwards(tunnel);
    }
    const struct supervisor_watcher *watcher = supervisor->watcher;
    if (watcher)
        watcher->up(watcher->ctx, worker_link_index(link), worker_link_pid(link));
}

static void on_down(void *ctx, struct worker_link *link, const struct worker_end *end)
{
    const struct supervisor *supervisor = ctx;
    const struct supervisor_watcher *watcher = supervisor->watcher;
    if (watcher)
        watcher->down(watcher->ctx, worker_link_index(link), end);
}

/* Who accepts nobody any more, or has handed over, is told of nothing. */
static bool is_ending(const struct supervisor *supervisor)
{
    return supervisor->drain.done != NULL;
}

static void tell_tunnel_again(struct retelling_item *item)
{
    struct supervised_tunnel *tunnel =
        (struct supervised_tunnel *)((char *)item - offsetof(struct supervised_tunnel, retelling));
    if (!is_ending(tunnel->supervisor))
        push_tunnel(tunnel, spec_tunnel_to_json(tunnel->spec, SPEC_COMPLETE));
}

static void tell_forward_again(struct retelling_item *item)
{
    struct supervised_forward *forward =
        (struct supervised_forward *)((char *)item -
                                      offsetof(struct supervised_forward, retelling));
    if (!is_ending(forward->tunnel->supervisor))
        push_forward(forward, spec_forward_to_json(forward->spec));
}

static void note_result(struct retelling *retelling, struct retelling_item *item,
                        const struct message_result *result)
{
    if (result->error != 0)
        retelling_failed(retelling, item, (int)result->error);
    else
        retelling_succeeded(retelling, item);
}

static void on_tunnel_result(struct supervised_tunnel *tunnel, const struct message_result *result)
{
    const bool was_absent = tunnel->absent;
    tunnel->absent = result->absent != 0;
    note_result(&tunnel->worker->retelling, &tunnel->retelling, result);
    if (was_absent && !tunnel->absent && !is_ending(tunnel->supervisor))
        push_forwards(tunnel);
}

static void on_result(void *ctx, struct worker_link *link, enum worker_slot_kind kind,
                      const struct message_result *result)
{
    struct supervisor *supervisor = ctx;
    struct worker *worker = &supervisor->workers[worker_link_index(link)];
    if (kind == WORKER_SLOT_TUNNEL)
        on_tunnel_result(worker->by_slot[result->slot], result);
    else
        note_result(&worker->retelling, &worker->forward_by_slot[result->slot]->retelling, result);
}

void supervisor_watch(struct supervisor *supervisor, const struct supervisor_watcher *watcher)
{
    supervisor->watcher = watcher;
}

/* What repeats itself as long as there is traffic is not for everyone. */
static enum log_level peer_event_level(uint32_t event, enum peer_news news)
{
    static const enum log_level levels[] = {
        [PEER_NO_NEWS] = LOG_LEVEL_DEBUG,
        [PEER_ANSWERS] = LOG_LEVEL_INFO,
        [PEER_ANSWERS_AGAIN] = LOG_LEVEL_INFO,
        [PEER_SILENT] = LOG_LEVEL_WARN,
    };
    return event == WG_EVENT_ENDPOINT_CHANGED ? LOG_LEVEL_INFO : levels[news];
}

static void on_tunnel_event(void *ctx, struct worker_link *link,
                            const struct message_tunnel_event *event)
{
    static const char *const texts[] = {
        [WG_EVENT_HANDSHAKE_DONE] = "handshake complete",
        [WG_EVENT_HANDSHAKE_GAVE_UP] = "no answer; are its endpoint and the keys right?",
        [WG_EVENT_ENDPOINT_CHANGED] = "endpoint changed",
    };
    struct supervisor *supervisor = ctx;
    struct worker *worker = &supervisor->workers[worker_link_index(link)];
    const struct supervised_tunnel *tunnel = worker->by_slot[event->slot];
    const struct supervisor_watcher *watcher = supervisor->watcher;
    enum peer_news news = PEER_NO_NEWS;
    struct supervised_peer peer;
    if (!tunnel || event->event >= sizeof(texts) / sizeof(texts[0]) ||
        !peer_set_find(tunnel->peers, event->public_key, &peer)) /* removed meanwhile */
        return;
    if (event->event != WG_EVENT_ENDPOINT_CHANGED)
        news = peer_set_note_handshake(tunnel->peers, event->public_key,
                                       event->event == WG_EVENT_HANDSHAKE_DONE);
    log_about(peer_event_level(event->event, news), LOG_TUNNEL, tunnel->spec->name, "peer %s: %s",
              peer.spec->name, texts[event->event]);
    if (watcher && (news == PEER_SILENT || news == PEER_ANSWERS_AGAIN))
        watcher->peer_news(watcher->ctx, tunnel->spec, peer.spec, news);
}

/* --- Draining --------------------------------------------------------------------------------- */

/* One that has died, or was not up, has not done it. */
static void shut_listeners(const struct worker *worker)
{
    const struct supervised_tunnel *tunnel;
    TAILQ_FOREACH(tunnel, &worker->tunnels, link)
    {
        const struct supervised_forward *forward;
        TAILQ_FOREACH(forward, &tunnel->forwards, link)
        shutdown(forward->listener, SHUT_RDWR);
    }
}

static void on_drained(void *ctx, struct worker_link *link)
{
    struct supervisor *supervisor = ctx;
    if (!supervisor->retiring) /* else the listeners are to stay */
        shut_listeners(&supervisor->workers[worker_link_index(link)]);
    if (--supervisor->drain.left == 0)
        supervisor->drain.done(supervisor->drain.ctx);
}

void supervisor_drain(struct supervisor *supervisor, void (*done)(void *ctx), void *ctx)
{
    supervisor->drain.done = done;
    supervisor->drain.ctx = ctx;
    supervisor->drain.left = supervisor->workers_count;
    for (unsigned i = 0; i < supervisor->workers_count; i++) {
        const struct worker *worker = &supervisor->workers[i];
        if (!worker_link_is_up(worker->link))
            shut_listeners(worker);
        worker_link_drain(worker->link);
    }
}

/* --- Captures --------------------------------------------------------------------------------- */

int supervisor_capture_tunnel(struct supervised_tunnel *tunnel, int fd, uint64_t max_bytes)
{
    struct message_tunnel_capture message = {.max_bytes = max_bytes, .tunnel_slot = tunnel->slot};
    const int fds[CHANNEL_FDS_MAX] = {fd, -1};
    int error = worker_link_try_send(tunnel->worker->link, MESSAGE_TUNNEL_CAPTURE, &message,
                                     sizeof(message), fds);
    descriptor_close(fd);
    return error;
}

static const struct worker_link_ops link_ops = {
    .up = on_up,
    .down = on_down,
    .result = on_result,
    .tunnel_event = on_tunnel_event,
    .drained = on_drained,
};

/* --- Tunnels ---------------------------------------------------------------------------------- */

static struct worker *least_loaded(struct supervisor *supervisor)
{
    struct worker *best = &supervisor->workers[0];
    for (unsigned i = 1; i < supervisor->workers_count; i++) {
        if (supervisor->workers[i].tunnels_count < best->tunnels_count)
            best = &supervisor->workers[i];
    }
    return best;
}

static void on_readdressed(void *ctx, const struct spec_peer *peer, const struct resolved *resolved)
{
    const struct supervised_tunnel *tunnel = ctx;
    const struct supervisor_watcher *watcher = tunnel->supervisor->watcher;
    if (watcher)
        watcher->readdressed(watcher->ctx, tunnel->spec, peer, resolved);
}

static struct peer_set_owner owner_of(struct supervised_tunnel *tunnel)
{
    return (struct peer_set_owner){
        .base = tunnel->supervisor->base,
        .link = tunnel->worker->link,
        .resolver = tunnel->supervisor->resolver,
        .tunnel_slot = tunnel->slot,
        .readdressed = on_readdressed,
        .ctx = tunnel,
    };
}

/* Takes what was allocated of a tunnel that no worker was told of. */
static void free_untold(struct supervised_tunnel *tunnel)
{
    worker_link_slot_put(tunnel->worker->link, WORKER_SLOT_TUNNEL, tunnel->slot);
    peer_set_discard(tunnel->peers);
    json_free(tunnel->prepared.json);
    free(tunnel);
}

int supervisor_reserve_tunnel(struct supervisor *supervisor, const struct spec_tunnel *place,
                              const struct spec_tunnel *spec, const int sockets[2],
                              struct supervised_tunnel **out)
{
    struct supervised_tunnel *tunnel = calloc(1, sizeof(*tunnel));
    if (!tunnel)
        return -ENOMEM;
    struct worker *worker = least_loaded(supervisor);
    int error = worker_link_slot_get(worker->link, WORKER_SLOT_TUNNEL, &tunnel->slot);
    if (error) {
        free(tunnel);
        return error;
    }
    tunnel->supervisor = supervisor;
    tunnel->bridge = -1;
    tunnel->timestamps_until = UINT64_MAX;
    tunnel->worker = worker;
    tunnel->spec = place;
    tunnel->retelling.tell = tell_tunnel_again;
    tunnel->sockets[0] = sockets[0];
    tunnel->sockets[1] = sockets[1];
    TAILQ_INIT(&tunnel->forwards);
    tunnel->prepared.json = spec_tunnel_to_json(spec, SPEC_COMPLETE);
    const struct peer_set_owner owner = owner_of(tunnel);
    error = tunnel->prepared.json ? peer_set_new(&owner, spec, sockets, NULL, false, &tunnel->peers)
                                  : -ENOMEM;
    if (error) {
        free_untold(tunnel);
        return error;
    }
    TAILQ_INSERT_TAIL(&worker->tunnels, tunnel, link);
    worker->tunnels_count++;
    worker->by_slot[tunnel->slot] = tunnel;
    *out = tunnel;
    return 0;
}

int supervisor_prepare_tunnel(struct supervised_tunnel *tunnel, const struct spec_tunnel *next,
                              const int sockets[2])
{
    int error = tunnel_update_make(&tunnel->prepared.update, tunnel->slot, tunnel->spec, next);
    if (error)
        return error;
    /* Other sockets may be of other families: then every name is looked up anew. */
    const struct peer_set_owner owner = owner_of(tunnel);
    error = peer_set_new(&owner, next, sockets ? sockets : tunnel->sockets, tunnel->peers,
                         sockets != NULL, &tunnel->prepared.peers);
    if (error) {
        tunnel_update_free(&tunnel->prepared.update);
        return error;
    }
    tunnel->prepared.moved = sockets != NULL;
    if (sockets)
        memcpy(tunnel->prepared.sockets, sockets, sizeof(tunnel->prepared.sockets));
    return 0;
}

void supervisor_limit_timestamps(struct supervised_tunnel *tunnel, uint64_t after_unix_ns,
                                 uint64_t until_unix_ns)
{
    const struct message_tunnel_timestamps message = {
        .after_unix_ns = after_unix_ns,
        .until_unix_ns = until_unix_ns,
        .slot = tunnel->slot,
    };
    tunnel->timestamps_after = after_unix_ns;
    tunnel->timestamps_until = until_unix_ns;
    if (tunnel->told)
        worker_link_send(tunnel->worker->link, MESSAGE_TUNNEL_TIMESTAMPS, &message, sizeof(message),
                         NULL, NULL);
}

void supervisor_restore_peer(struct supervised_tunnel *tunnel, size_t index,
                             const struct sighting *sighting)
{
    peer_set_restore(tunnel->peers, index, sighting);
}

static void tell_added(struct supervised_tunnel *tunnel)
{
    push_tunnel(tunnel, tunnel->prepared.json);
    tunnel->prepared.json = NULL;
    tunnel->told = true;
}

static void tell_changed(struct supervised_tunnel *tunnel)
{
    static const int none[CHANNEL_FDS_MAX] = {-1, -1};
    struct tunnel_update *update = &tunnel->prepared.update;
    if (tunnel->prepared.moved)
        memcpy(tunnel->sockets, tunnel->prepared.sockets, sizeof(tunnel->sockets));
    worker_link_send(tunnel->worker->link, MESSAGE_TUNNEL_UPDATE, update->head, update->head_len,
                     update->json, tunnel->prepared.moved ? tunnel->sockets : none);
    tunnel_update_free(update);
    peer_set_replace(tunnel->peers, tunnel->prepared.peers);
    tunnel->peers = tunnel->prepared.peers;
    tunnel->prepared.peers = NULL;
}

void supervisor_tell_tunnel(struct supervised_tunnel *tunnel)
{
    if (tunnel->told)
        tell_changed(tunnel);
    else
        tell_added(tunnel);
}

void supervisor_forget_tunnel(struct supervised_tunnel *tunnel)
{
    tunnel_update_free(&tunnel->prepared.update);
    peer_set_discard(tunnel->prepared.peers);
    tunnel->prepared.peers = NULL;
}

void supervisor_remove_tunnel(struct supervised_tunnel *tunnel)
{
    struct worker *worker = tunnel->worker;
    TAILQ_REMOVE(&worker->tunnels, tunnel, link);
    worker->tunnels_count--;
    worker->by_slot[tunnel->slot] = NULL;
    retelling_forget(&worker->retelling, &tunnel->retelling);
    if (!tunnel->told) {
        free_untold(tunnel);
        return;
    }
    worker_link_slot_remove(worker->link, WORKER_SLOT_TUNNEL, tunnel->slot);
    peer_set_remove(tunnel->peers);
    if (tunnel->bridge >= 0)
        descriptor_close(tunnel->bridge);
    free(tunnel);
}

const struct counters_tunnel *supervisor_tunnel_counters(const struct supervised_tunnel *tunnel)
{
    return &worker_link_counters(tunnel->worker->link)->tunnels[tunnel->slot];
}

size_t supervisor_peers(const struct supervised_tunnel *tunnel)
{
    return peer_set_count(tunnel->peers);
}

void supervisor_peer(const struct supervised_tunnel *tunnel, size_t index,
                     struct supervised_peer *out)
{
    peer_set_get(tunnel->peers, index, out);
}

size_t supervisor_peer_by_key(const struct supervised_tunnel *tunnel, size_t rank)
{
    return peer_set_by_key(tunnel->peers, rank);
}

unsigned supervisor_tunnel_worker(const struct supervised_tunnel *tunnel)
{
    return worker_link_index(tunnel->worker->link);
}

int supervisor_tunnel_failure(const struct supervised_tunnel *tunnel)
{
    return supervisor_tunnel_worker_alive(tunnel) ? tunnel->retelling.error : 0;
}

bool supervisor_tunnel_worker_alive(const struct supervised_tunnel *tunnel)
{
    return worker_link_is_up(tunnel->worker->link);
}

/* --- Forwards --------------------------------------------------------------------------------- */

int supervisor_reserve_forward(struct supervised_tunnel *tunnel, const struct spec_forward *place,
                               const struct spec_forward *spec, int listener,
                               struct supervised_forward **out)
{
    struct supervised_forward *forward = calloc(1, sizeof(*forward));
    cJSON *json = spec_forward_to_json(spec);
    int error = forward && json ? worker_link_slot_get(tunnel->worker->link, WORKER_SLOT_FORWARD,
                                                       &forward->slot)
                                : -ENOMEM;
    if (error) {
        json_free(json);
        free(forward);
        return error;
    }
    forward->tunnel = tunnel;
    forward->spec = place;
    forward->retelling.tell = tell_forward_again;
    forward->listener = listener;
    forward->prepared.json = json;
    TAILQ_INSERT_TAIL(&tunnel->forwards, forward, link);
    tunnel->worker->forward_by_slot[forward->slot] = forward;
    *out = forward;
    return 0;
}

int supervisor_prepare_forward(struct supervised_forward *forward, const struct spec_forward *next,
                               int listener)
{
    forward->prepared.json = spec_forward_to_json(next);
    forward->prepared.listener = listener;
    return forward->prepared.json ? 0 : -ENOMEM;
}

void supervisor_tell_forward(struct supervised_forward *forward)
{
    struct message_slot update = {.slot = forward->slot};
    const int fds[CHANNEL_FDS_MAX] = {forward->prepared.listener, -1};
    if (!forward->told) {
        push_forward(forward, forward->prepared.json);
        forward->told = true;
    } else {
        if (forward->prepared.listener >= 0)
            forward->listener = forward->prepared.listener;
        worker_link_send(forward->tunnel->worker->link, MESSAGE_FORWARD_UPDATE, &update,
                         sizeof(update), forward->prepared.json, fds);
        json_free(forward->prepared.json);
    }
    forward->prepared.json = NULL;
}

void supervisor_forget_forward(struct supervised_forward *forward)
{
    json_free(forward->prepared.json);
    forward->prepared.json = NULL;
}

void supervisor_remove_forward(struct supervised_forward *forward)
{
    struct worker *worker = forward->tunnel->worker;
    struct worker_link *link = worker->link;
    TAILQ_REMOVE(&forward->tunnel->forwards, forward, link);
    worker->forward_by_slot[forward->slot] = NULL;
    retelling_forget(&worker->retelling, &forward->retelling);
    supervisor_forget_forward(forward);
    if (forward->told)
        worker_link_slot_remove(link, WORKER_SLOT_FORWARD, forward->slot);
    else
        worker_link_slot_put(link, WORKER_SLOT_FORWARD, forward->slot);
    free(forward);
}

int supervisor_forward_failure(const struct supervised_forward *forward)
{
    return worker_link_is_up(forward->tunnel->worker->link) ? forward->retelling.error : 0;
}

const struct counters_forward *supervisor_forward_counters(const struct supervised_forward *forward)
{
    return &worker_link_counters(forward->tunnel->worker->link)->forwards[forward->slot];
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static void on_child_ended(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct supervisor *supervisor = arg;
    for (unsigned i = 0; i < supervisor->workers_count; i++)
        worker_link_reap(supervisor->workers[i].link);
}

static unsigned cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

static int start_workers(struct supervisor *supervisor, unsigned count, const char *program)
{
    if (!program)
        program = "/proc/self/exe";
    for (unsigned i = 0; i < count; i++) {
        struct worker *worker = &supervisor->workers[i];
        TAILQ_INIT(&worker->tunnels);
        int error = retelling_init(&worker->retelling, supervisor->base);
        if (!error)
            error =
                worker_link_new(supervisor->base, i, program, &link_ops, supervisor, &worker->link);
        if (error) {
            retelling_fini(&worker->retelling);
            return error;
        }
        supervisor->workers_count++;
    }
    return 0;
}

int supervisor_new(struct event_base *base, const struct supervisor_config *config,
                   struct supervisor **out)
{
    unsigned count = config->workers ? config->workers : cpus();
    if (count > SUPERVISOR_WORKERS_MAX)
        count = SUPERVISOR_WORKERS_MAX;
    struct supervisor *supervisor =
        calloc(1, sizeof(*supervisor) + count * sizeof(supervisor->workers[0]));
    if (!supervisor)
        return -ENOMEM;
    supervisor->base = base;
    supervisor->child_ended = evsignal_new(base, SIGCHLD, on_child_ended, supervisor);
    int error = -ENOMEM;
    if (supervisor->child_ended && evsignal_add(supervisor->child_ended, NULL) == 0)
        error = resolver_new(base, &supervisor->resolver);
    if (!error)
        error = start_workers(supervisor, count, config->program);
    if (error) {
        supervisor_free(supervisor);
        return error;
    }
    *out = supervisor;
    return 0;
}

void supervisor_free(struct supervisor *supervisor)
{
    if (!supervisor)
        return;
    for (unsigned i = 0; i < supervisor->workers_count; i++) {
        worker_link_free(supervisor->workers[i].link);
        retelling_fini(&supervisor->workers[i].retelling);
    }
    if (supervisor->child_ended)
        event_free(supervisor->child_ended);
    resolver_free(supervisor->resolver);
    if (supervisor->retire_late)
        event_free(supervisor->retire_late);
    free(supervisor);
}

unsigned supervisor_workers(const struct supervisor *supervisor)
{
    return supervisor->workers_count;
}

unsigned supervisor_workers_alive(const struct supervisor *supervisor)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < supervisor->workers_count; i++)
        alive += worker_link_is_up(supervisor->workers[i].link);
    return alive;
}

uint64_t supervisor_worker_starts(const struct supervisor *supervisor, unsigned index)
{
    return worker_link_starts(supervisor->workers[index].link);
}

int supervisor_worker_pid(const struct supervisor *supervisor, unsigned index)
{
    return worker_link_pid(supervisor->workers[index].link);
}

bool supervisor_worker_alive(const struct supervisor *supervisor, unsigned index)
{
    return worker_link_is_up(supervisor->workers[index].link);
}

const struct counters_worker *supervisor_worker_counters(const struct supervisor *supervisor,
                                                         unsigned index)
{
    return &worker_link_counters(supervisor->workers[index].link)->worker;
}
