/*
 * worker: owns the event loop, the channel to control, and the tables of tunnels and forwards,
 * which are indexed by the slot of their counters. Commands are a table of message types.
 *
 * What control says is trusted to be meant, not to be right: a message that cannot be understood
 * ends the worker, and control starts another. A definition that cannot be carried out (memory,
 * descriptors) is left out, of which control is told, who tries it again; the others go on.
 */
#include "engine/worker.h"

#include "base/channel.h"
#include "base/counters.h"
#include "base/json.h"
#include "base/log.h"
#include "base/messages.h"
#include "engine/clock.h"
#include "engine/forward/listener.h"
#include "engine/tunnel.h"
#include "engine/turn.h"
#include "engine/udp.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* How often a worker that drains looks whether connections are left. */
#define DRAIN_CHECK_MS 20

struct worker;

struct tunnel_slot {
    struct worker *worker;
    struct tunnel *tunnel; /* NULL = free, or it could not be made */
    uint32_t slot;
};

struct worker {
    struct event_base *base;
    struct channel *channel;
    struct counters *counters;
    struct turn turn;
    struct tunnel_slot tunnels[COUNTERS_TUNNELS_MAX];
    struct listener *listeners[COUNTERS_FORWARDS_MAX];
    struct event *drain_check; /* pending while connections are left of a drain */
    bool retiring;             /* ends when no connection is left */
    bool greeted;              /* control's HELLO was right */
    bool stopped;
    int status; /* to exit with */
};

/* Whether the descriptor came that a command cannot be without, or would have. */
static bool is_given(const struct channel_message *message)
{
    return message->fds[0] >= 0 || message->fds_lost;
}

/* --- Tunnels ---------------------------------------------------------------------------------- */

static int answer_tunnel(struct worker *worker, uint32_t slot, int error)
{
    const struct message_result result = {
        .slot = slot,
        .error = (uint32_t)-error,
        .absent = worker->tunnels[slot].tunnel == NULL,
    };
    return message_send(worker->channel, MESSAGE_TUNNEL_RESULT, &result, sizeof(result), NULL,
                        NULL);
}

static void on_tunnel_event(void *ctx, const uint8_t public_key[WG_KEY_LEN], enum wg_event event)
{
    const struct tunnel_slot *slot = ctx;
    struct message_tunnel_event message = {.slot = slot->slot, .event = event};
    memcpy(message.public_key, public_key, WG_KEY_LEN);
    message_send(slot->worker->channel, MESSAGE_TUNNEL_EVENT, &message, sizeof(message), NULL,
                 NULL);
}

static void on_tunnel_severed(void *ctx)
{
    const struct tunnel_slot *slot = ctx;
    struct listener **listeners = slot->worker->listeners;
    for (size_t i = 0; i < COUNTERS_FORWARDS_MAX; i++) {
        if (!listeners[i] || listener_tunnel(listeners[i]) != slot->tunnel)
            continue;
        listener_free(listeners[i]);
        listeners[i] = NULL;
    }
}

static void on_forward_gone(void *ctx, const char *name)
{
    const struct tunnel_slot *slot = ctx;
    struct listener **listeners = slot->worker->listeners;
    for (size_t i = 0; i < COUNTERS_FORWARDS_MAX; i++) {
        if (!listeners[i] || listener_tunnel(listeners[i]) != slot->tunnel ||
            strcmp(listener_name(listeners[i]), name) != 0)
            continue;
        listener_free(listeners[i]);
        listeners[i] = NULL;
    }
}

static const struct tunnel_ops tunnel_ops = {
    .event = on_tunnel_event,
    .severed = on_tunnel_severed,
    .gone = on_forward_gone,
};

/* What is wrong with it is control's fault. 0, -EPROTO or -ENOMEM. */
static int read_tunnel(const cJSON *json, struct spec_tunnel *spec)
{
    struct spec_errors errors = {0};
    int error = spec_tunnel_from_json(json, spec, &errors);
    return error == -EINVAL ? -EPROTO : error;
}

static int start_tunnel(struct tunnel_slot *slot, const struct message_tunnel_add *add,
                        const struct spec_tunnel *spec, struct channel_message *message)
{
    struct worker *worker = slot->worker;
    const struct tunnel_config config = {
        .base = worker->base,
        .turn = &worker->turn,
        .spec = spec,
        .sockets = {message->fds[0], message->fds[1]},
        .timestamps_after = add->timestamps_after,
        .timestamps_until = add->timestamps_until,
        .counters = &worker->counters->tunnels[slot->slot],
        .worker_counters = &worker->counters->worker,
        .ops = &tunnel_ops,
        .ctx = slot,
    };
    if (message->fds_lost)
        return -EMFILE;
    message->fds[0] = message->fds[1] = -1;
    return tunnel_new(&config, &slot->tunnel);
}

/* Where its sockets were lost it stays at those that it has. */
static int change_tunnel(struct tunnel *tunnel, struct tunnel_change *change,
                         struct channel_message *message)
{
    for (int i = 0; i < 2; i++) {
        change->sockets[i] = message->fds[i];
        message->fds[i] = -1;
    }
    int error = tunnel_update(tunnel, change);
    return message->fds_lost ? -EMFILE : error;
}

/* The same thing once more is not worth a line. */
static enum log_level failure_level(bool again)
{
    return again ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR;
}

static int make_tunnel(struct tunnel_slot *slot, const struct message_tunnel_add *add,
                       const cJSON *json, struct channel_message *message)
{
    struct spec_tunnel spec;
    struct tunnel_change change = {.spec = &spec};
    int error = read_tunnel(json, &spec);
    if (error)
        return error;
    if (slot->tunnel) {
        tunnel_limit_timestamps(slot->tunnel, add->timestamps_after, add->timestamps_until);
        error = change_tunnel(slot->tunnel, &change, message);
    } else {
        error = start_tunnel(slot, add, &spec, message);
    }
    if (error)
        log_about(failure_level(add->again), LOG_TUNNEL, spec.name, "cannot be started wholly: %s",
                  strerror(-error));
    spec_tunnel_fini(&spec);
    return error;
}

static int tunnel_add(struct worker *worker, struct channel_message *message)
{
    struct message_tunnel_add add;
    cJSON *json = NULL;
    int error = message_read_json(message, &add, sizeof(add), &json);
    if (error == -EPROTO || add.slot >= COUNTERS_TUNNELS_MAX) {
        json_free(json);
        return -EPROTO;
    }
    struct tunnel_slot *slot = &worker->tunnels[add.slot];
    slot->worker = worker;
    slot->slot = add.slot;
    if (!error)
        error = make_tunnel(slot, &add, json, message);
    json_free(json);
    if (error == -EPROTO)
        return error;
    return error || add.again ? answer_tunnel(worker, add.slot, error) : 0;
}

/* Peers that are gone go in any case: their counters are going to be another's. */
static int update_tunnel(struct tunnel_slot *slot, const cJSON *json,
                         const uint8_t (*gone)[WG_KEY_LEN], size_t gone_count,
                         struct channel_message *message)
{
    struct spec_tunnel spec;
    int error = json ? read_tunnel(json, &spec) : -ENOMEM;
    if (error) {
        tunnel_forget_peers(slot->tunnel, gone, gone_count);
        return error;
    }
    struct tunnel_change change = {.spec = &spec, .gone = gone, .gone_count = gone_count};
    error = change_tunnel(slot->tunnel, &change, message);
    if (error)
        log_about(LOG_LEVEL_ERROR, LOG_TUNNEL, spec.name, "cannot be changed wholly: %s",
                  strerror(-error));
    spec_tunnel_fini(&spec);
    return error;
}

static int tunnel_change(struct worker *worker, struct channel_message *message)
{
    struct message_tunnel_update update;
    const uint8_t(*gone)[WG_KEY_LEN] = NULL;
    cJSON *json = NULL;
    int error = message_read_update(message, &update, &gone, &json);
    if (error == -EPROTO || update.slot >= COUNTERS_TUNNELS_MAX) {
        json_free(json);
        return -EPROTO;
    }
    struct tunnel_slot *slot = &worker->tunnels[update.slot];
    error = 0;
    if (slot->tunnel) /* as in an ADD */
        error = update_tunnel(slot, json, gone, update.gone, message);
    json_free(json);
    return error && error != -EPROTO ? answer_tunnel(worker, update.slot, error) : error;
}

static int tunnel_remove(struct worker *worker, struct channel_message *message)
{
    struct message_slot remove;
    int error = message_read(message, &remove, sizeof(remove));
    if (error || remove.slot >= COUNTERS_TUNNELS_MAX)
        return -EPROTO;
    tunnel_free(worker->tunnels[remove.slot].tunnel);
    worker->tunnels[remove.slot] = (struct tunnel_slot){0};
    memset(&worker->counters->tunnels[remove.slot], 0, sizeof(struct counters_tunnel));
    return message_send(worker->channel, MESSAGE_TUNNEL_REMOVED, &remove, sizeof(remove), NULL,
                        NULL);
}

static int tunnel_timestamps(struct worker *worker, struct channel_message *message)
{
    struct message_tunnel_timestamps limit;
    int error = message_read(message, &limit, sizeof(limit));
    if (error || limit.slot >= COUNTERS_TUNNELS_MAX)
        return -EPROTO;
    struct tunnel *tunnel = worker->tunnels[limit.slot].tunnel;
    if (tunnel) /* else it could not be started, which was logged */
        tunnel_limit_timestamps(tunnel, limit.after_unix_ns, limit.until_unix_ns);
    return 0;
}

static int peer_endpoint(struct worker *worker, struct channel_message *message)
{
    struct message_peer_endpoint endpoint;
    int error = message_read(message, &endpoint, sizeof(endpoint));
    if (error || endpoint.tunnel_slot >= COUNTERS_TUNNELS_MAX)
        return -EPROTO;
    struct tunnel *tunnel = worker->tunnels[endpoint.tunnel_slot].tunnel;
    if (tunnel) /* as peer_counters(); or it was handed over while the name was looked up */
        tunnel_set_endpoint(tunnel, endpoint.public_key, &endpoint.remote, endpoint.offered != 0);
    return 0;
}

static int peer_counters(struct worker *worker, struct channel_message *message)
{
    struct message_peer_counters where;
    int error = message_read(message, &where, sizeof(where));
    if (error || where.tunnel_slot >= COUNTERS_TUNNELS_MAX || where.slot >= COUNTERS_PEERS_MAX)
        return -EPROTO;
    struct tunnel *tunnel = worker->tunnels[where.tunnel_slot].tunnel;
    if (tunnel) /* else it could not be started, which was logged; as a peer that is missing */
        tunnel_count_peer(tunnel, where.public_key, &worker->counters->peers[where.slot]);
    return 0;
}

static int peer_remove(struct worker *worker, struct channel_message *message)
{
    struct message_slot remove;
    int error = message_read(message, &remove, sizeof(remove));
    if (error || remove.slot >= COUNTERS_PEERS_MAX)
        return -EPROTO;
    memset(&worker->counters->peers[remove.slot], 0, sizeof(struct counters_peer));
    return message_send(worker->channel, MESSAGE_PEER_REMOVED, &remove, sizeof(remove), NULL, NULL);
}

/* --- Forwards --------------------------------------------------------------------------------- */

static int answer_forward(struct worker *worker, uint32_t slot, int error)
{
    const struct message_result result = {.slot = slot, .error = (uint32_t)-error};
    return message_send(worker->channel, MESSAGE_FORWARD_RESULT, &result, sizeof(result), NULL,
                        NULL);
}

static int start_forward(struct worker *worker, const struct message_forward_add *add,
                         const struct spec_forward *spec, struct channel_message *message)
{
    const struct listener_config config = {
        .base = worker->base,
        .turn = &worker->turn,
        .tunnel = worker->tunnels[add->tunnel_slot].tunnel,
        .fd = message->fds[0],
        .counters = &worker->counters->forwards[add->slot],
        .worker_counters = &worker->counters->worker,
    };
    if (message->fds_lost)
        return -EMFILE;
    message->fds[0] = -1;
    return listener_new(&config, spec, &worker->listeners[add->slot]);
}

static int change_forward(struct listener *listener, const struct spec_forward *spec,
                          struct channel_message *message)
{
    int fd = message->fds[0];
    message->fds[0] = -1;
    int error = listener_update(listener, spec, fd);
    return message->fds_lost ? -EMFILE : error;
}

/* Starts a forward, or changes the one that is there. add is NULL when only the latter is meant. */
static int make_forward(struct worker *worker, uint32_t slot, const struct message_forward_add *add,
                        const cJSON *json, struct channel_message *message)
{
    struct spec_forward spec;
    struct spec_errors errors = {0};
    /* What it listens to is shut down, whatever comes of the other one: not to be busy with it. */
    if (worker->listeners[slot] && is_given(message))
        listener_retire(worker->listeners[slot]);
    int error = json ? spec_forward_from_json(json, &spec, &errors) : -ENOMEM;
    if (error)
        return error == -EINVAL ? -EPROTO : error;
    if (worker->listeners[slot])
        error = change_forward(worker->listeners[slot], &spec, message);
    else if (add)
        error = start_forward(worker, add, &spec, message);
    if (error)
        log_about(failure_level(add && add->again), LOG_FORWARD, spec.name, "cannot listen: %s",
                  strerror(-error));
    return error;
}

static int forward_add(struct worker *worker, struct channel_message *message)
{
    struct message_forward_add add;
    cJSON *json = NULL;
    int error = message_read_json(message, &add, sizeof(add), &json);
    if (error == -EPROTO || add.slot >= COUNTERS_FORWARDS_MAX ||
        add.tunnel_slot >= COUNTERS_TUNNELS_MAX || !is_given(message)) {
        json_free(json);
        return -EPROTO;
    }
    error = 0;
    if (worker->tunnels[add.tunnel_slot].tunnel) /* else it comes once more, after its tunnel */
        error = make_forward(worker, add.slot, &add, json, message);
    json_free(json);
    if (error == -EPROTO)
        return error;
    return error || add.again ? answer_forward(worker, add.slot, error) : 0;
}

static int forward_change(struct worker *worker, struct channel_message *message)
{
    struct message_slot update;
    cJSON *json = NULL;
    int error = message_read_json(message, &update, sizeof(update), &json);
    if (error == -EPROTO || update.slot >= COUNTERS_FORWARDS_MAX) {
        json_free(json);
        return -EPROTO;
    }
    error = 0;
    if (worker->listeners[update.slot]) /* else an ADD with all of this comes */
        error = make_forward(worker, update.slot, NULL, json, message);
    json_free(json);
    return error && error != -EPROTO ? answer_forward(worker, update.slot, error) : error;
}

static int forward_remove(struct worker *worker, struct channel_message *message)
{
    struct message_slot remove;
    int error = message_read(message, &remove, sizeof(remove));
    if (error || remove.slot >= COUNTERS_FORWARDS_MAX)
        return -EPROTO;
    struct listener *listener = worker->listeners[remove.slot];
    if (listener)
        tunnel_forward_gone(listener_tunnel(listener), listener_name(listener));
    listener_free(listener);
    worker->listeners[remove.slot] = NULL;
    memset(&worker->counters->forwards[remove.slot], 0, sizeof(struct counters_forward));
    return message_send(worker->channel, MESSAGE_FORWARD_REMOVED, &remove, sizeof(remove), NULL,
                        NULL);
}

/* --- Captures --------------------------------------------------------------------------------- */

static int tunnel_tap(struct worker *worker, struct channel_message *message)
{
    struct message_tunnel_capture capture;
    int error = message_read(message, &capture, sizeof(capture));
    if (error || capture.tunnel_slot >= COUNTERS_TUNNELS_MAX || !is_given(message))
        return -EPROTO;
    struct tunnel *tunnel = worker->tunnels[capture.tunnel_slot].tunnel;
    if (!tunnel) /* it could not be started, which was logged; the reader sees the end at once */
        return 0;
    int fd = message->fds[0];
    message->fds[0] = -1;
    error = message->fds_lost ? -EMFILE : tunnel_capture(tunnel, fd, capture.max_bytes);
    if (error)
        log_error("packets cannot be captured: %s", strerror(-error));
    return 0;
}

/* --- Draining --------------------------------------------------------------------------------- */

static bool has_connections(const struct worker *worker)
{
    for (size_t i = 0; i < COUNTERS_FORWARDS_MAX; i++) {
        if (worker->listeners[i] && !listener_is_idle(worker->listeners[i]))
            return true;
    }
    for (size_t i = 0; i < COUNTERS_TUNNELS_MAX; i++) {
        struct tunnel *tunnel = worker->tunnels[i].tunnel;
        if (tunnel && !tunnel_is_quiet(tunnel))
            return true;
    }
    return false;
}

/* Control keeps what is counted by then, and ends us. */
static void tell_drained(struct worker *worker)
{
    for (size_t i = 0; i < COUNTERS_TUNNELS_MAX; i++) {
        if (worker->tunnels[i].tunnel)
            tunnel_publish(worker->tunnels[i].tunnel);
    }
    message_send(worker->channel, MESSAGE_DRAINED, NULL, 0, NULL, NULL);
}

static void on_drain_check(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct worker *worker = arg;
    struct timeval interval = {.tv_usec = DRAIN_CHECK_MS * 1000L};
    if (has_connections(worker))
        event_add(worker->drain_check, &interval);
    else if (worker->retiring)
        worker->stopped = true;
    else
        tell_drained(worker);
}

static int drain(struct worker *worker, struct channel_message *message)
{
    if (message->len != 0)
        return -EPROTO;
    for (size_t i = 0; i < COUNTERS_FORWARDS_MAX; i++) {
        if (worker->listeners[i])
            listener_drain(worker->listeners[i]);
    }
    event_active(worker->drain_check, EV_TIMEOUT, 0); /* after this turn, which may have dialled */
    return 0;
}

/* --- Takeover --------------------------------------------------------------------------------- */

/* Reads a message that gives a tunnel a bridge. *tunnel is NULL when it could not be started. */
static int read_bridge(struct worker *worker, struct channel_message *message,
                       struct tunnel **tunnel)
{
    struct message_slot slot;
    int error = message_read(message, &slot, sizeof(slot));
    if (error || slot.slot >= COUNTERS_TUNNELS_MAX)
        return -EPROTO;
    *tunnel = worker->tunnels[slot.slot].tunnel;
    return 0;
}

static int give_bridge(struct worker *worker, struct channel_message *message,
                       int (*give)(struct tunnel *tunnel, int bridge))
{
    struct tunnel *tunnel;
    int error = read_bridge(worker, message, &tunnel);
    if (error || !tunnel) /* else it could not be started, which was logged */
        return error;
    int bridge = message->fds[0];
    message->fds[0] = -1;
    error = give(tunnel, bridge);
    if (error)
        log_error("connections are lost in the takeover: %s", strerror(-error));
    return 0;
}

static int tunnel_give_up(struct worker *worker, struct channel_message *message)
{
    return give_bridge(worker, message, tunnel_hand_over);
}

static int tunnel_take(struct worker *worker, struct channel_message *message)
{
    if (message->fds_lost) { /* the older worker sees the end of its bridge */
        log_error("connections are lost in the takeover: %s", strerror(EMFILE));
        return 0;
    }
    return message->fds[0] >= 0 ? give_bridge(worker, message, tunnel_adopt) : -EPROTO;
}

static int retire(struct worker *worker, struct channel_message *message)
{
    if (message->len != 0)
        return -EPROTO;
    for (size_t i = 0; i < COUNTERS_FORWARDS_MAX; i++) {
        if (worker->listeners[i])
            listener_retire(worker->listeners[i]);
    }
    worker->retiring = true;
    event_active(worker->drain_check, EV_TIMEOUT, 0);
    return message_send(worker->channel, MESSAGE_RETIRED, NULL, 0, NULL, NULL);
}

/* --- The channel ------------------------------------------------------------------------------ */

static int hello(struct worker *worker, struct channel_message *message)
{
    struct message_hello theirs;
    int error = message_read(message, &theirs, sizeof(theirs));
    if (error || theirs.version != MESSAGES_VERSION ||
        theirs.counters_size != sizeof(struct counters)) {
        log_error("control is of another version; restart the service");
        return -EPROTO;
    }
    worker->greeted = true;
    return 0;
}

static int (*const commands[])(struct worker *, struct channel_message *) = {
    [MESSAGE_HELLO] = hello,
    [MESSAGE_TUNNEL_ADD] = tunnel_add,
    [MESSAGE_TUNNEL_UPDATE] = tunnel_change,
    [MESSAGE_TUNNEL_REMOVE] = tunnel_remove,
    [MESSAGE_FORWARD_ADD] = forward_add,
    [MESSAGE_FORWARD_UPDATE] = forward_change,
    [MESSAGE_FORWARD_REMOVE] = forward_remove,
    [MESSAGE_PEER_ENDPOINT] = peer_endpoint,
    [MESSAGE_PEER_COUNTERS] = peer_counters,
    [MESSAGE_PEER_REMOVE] = peer_remove,
    [MESSAGE_DRAIN] = drain,
    [MESSAGE_TUNNEL_HAND_OVER] = tunnel_give_up,
    [MESSAGE_TUNNEL_ADOPT] = tunnel_take,
    [MESSAGE_RETIRE] = retire,
    [MESSAGE_TUNNEL_CAPTURE] = tunnel_tap,
    [MESSAGE_TUNNEL_TIMESTAMPS] = tunnel_timestamps,
};

static int on_message(void *ctx, struct channel_message *message)
{
    struct worker *worker = ctx;
    clock_refresh();
    if (message->type >= sizeof(commands) / sizeof(commands[0]) || !commands[message->type])
        return -EPROTO;
    if (!worker->greeted && message->type != MESSAGE_HELLO)
        return -EPROTO;
    return commands[message->type](worker, message);
}

static void on_closed(void *ctx, int error)
{
    struct worker *worker = ctx;
    if (error)
        log_error("channel to control: %s", strerror(-error));
    worker->status = error ? 1 : 0;
    worker->stopped = true;
}

static const struct channel_ops channel_ops = {.message = on_message, .closed = on_closed};

/* --- Life cycle ------------------------------------------------------------------------------- */

static int worker_init(struct worker *worker)
{
    turn_init(&worker->turn);
    clock_refresh();
    worker->counters = counters_map(WORKER_COUNTERS_FD);
    /*
     * Without EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST: control holds duplicates of our sockets, so one
     * that is closed before the change list is applied would stay in the epoll set for ever.
     */
    worker->base = event_base_new();
    if (!worker->counters || !worker->base)
        return -ENOMEM;
    worker->drain_check = evtimer_new(worker->base, on_drain_check, worker);
    if (!worker->drain_check)
        return -ENOMEM;
    int error =
        channel_new(worker->base, WORKER_CHANNEL_FD, &channel_ops, worker, &worker->channel);
    if (error)
        return error;
    struct message_hello ours = {.version = MESSAGES_VERSION,
                                 .counters_size = sizeof(struct counters)};
    return message_send(worker->channel, MESSAGE_HELLO, &ours, sizeof(ours), NULL, NULL);
}

static void worker_fini(struct worker *worker)
{
    for (size_t i = 0; i < COUNTERS_FORWARDS_MAX; i++)
        listener_free(worker->listeners[i]);
    for (size_t i = 0; i < COUNTERS_TUNNELS_MAX; i++)
        tunnel_free(worker->tunnels[i].tunnel);
    turn_end(&worker->turn);
    udp_pools_free();
    channel_free(worker->channel);
    if (worker->drain_check)
        event_free(worker->drain_check);
    if (worker->base)
        event_base_free(worker->base);
    counters_unmap(worker->counters);
}

int worker_main(void)
{
    /* Control decides when a worker ends: a Ctrl-C in the terminal goes to the whole group. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR2, SIG_IGN); /* control's, which may be sent to all processes of a service */
    signal(SIGPIPE, SIG_IGN);
    if (sodium_init() < 0)
        return 1;
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return 1;
    int error = worker_init(worker);
    if (error) {
        log_error("cannot start: %s", strerror(-error));
        worker->status = 1;
    }
    while (!error && !worker->stopped) {
        int wait = turn_has_work(&worker->turn) ? EVLOOP_NONBLOCK : 0;
        if (event_base_loop(worker->base, EVLOOP_ONCE | wait) < 0) {
            log_error("event loop: %s", strerror(errno));
            worker->status = 1;
            break;
        }
        turn_end(&worker->turn);
    }
    int status = worker->status;
    worker_fini(worker);
    free(worker);
    return status;
}
