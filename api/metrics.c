/*
 * metrics: /metrics, from one table: a family's name, type and help, the walk that writes its
 * samples, and where the walk finds the values.
 *
 * The format wants the samples of a family together, so every family walks its objects anew. What
 * has no value (a handshake that never was, an object in no worker) has no sample.
 */
#include "api/capture_stream.h"
#include "api/event_stream.h"
#include "api/exposition.h"
#include "api/handlers.h"
#include "api/process_stats.h"
#include "engine/stack/stack.h"
#include "engine/wg/device.h"
#include "server/events.h"
#include "server/retired.h"

#include <stdio.h>

#define NS_PER_S       1000000000
#define DIRECTIONS     2
#define WORKER_TEXT    16
#define STATUS_TEXT    16
#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define TUNNEL(field)  offsetof(struct counters_tunnel, field)
#define PEER(field)    offsetof(struct counters_peer, field)
#define FORWARD(field) offsetof(struct counters_forward, field)
#define WORKER(field)  offsetof(struct counters_worker, field)

/* A tunnel or a forward, as a walk meets it. */
struct object {
    const char *name; /* "" = before the first */
    const struct condition *conditions;
    const void *counters; /* NULL = no worker has it */
    bool enabled;
};

/* Tunnels, or forwards: steps to the next one by name; false = there is none. */
struct kind {
    const char *label;
    bool (*next)(struct service *service, struct object *object);
};

struct metric {
    const char *name;
    const char *type;
    const char *help;
    void (*write)(struct exposition *out, const struct api_call *call, const struct metric *metric);
    size_t offsets[DIRECTIONS]; /* of counters, in the struct that the walk meets: in, then out */
    int (*read)(int pid, uint64_t *out); /* of a process; negative = there is none */
    bool (*worker)(const struct metric *metric, const struct supervisor *supervisor, unsigned index,
                   uint64_t *out); /* of a worker; false = it has none */
    const struct kind *kind;       /* of objects */
    int condition;                 /* of the object, an enum of conditions.h */
};

static const char *const directions[DIRECTIONS] = {"in", "out"};

static const char *const drop_names[WG_DROP_COUNT] = {
    [WG_DROP_MALFORMED] = "malformed",
    [WG_DROP_BAD_MAC1] = "bad_mac1",
    [WG_DROP_COOKIE_NEEDED] = "cookie_needed",
    [WG_DROP_HANDSHAKE] = "handshake",
    [WG_DROP_REPLAYED_HANDSHAKE] = "replayed_handshake",
    [WG_DROP_RATE_LIMITED] = "rate_limited",
    [WG_DROP_UNKNOWN_INDEX] = "unknown_index",
    [WG_DROP_EXPIRED_KEY] = "expired_key",
    [WG_DROP_BAD_TAG] = "bad_tag",
    [WG_DROP_REPLAYED] = "replayed",
    [WG_DROP_BAD_PACKET] = "bad_packet",
    [WG_DROP_BAD_SOURCE] = "bad_source",
    [WG_DROP_CONGESTED] = "congested",
    [WG_DROP_NO_ROUTE] = "no_route",
    [WG_DROP_NO_ENDPOINT] = "no_endpoint",
    [WG_DROP_STAGED_OVERFLOW] = "staged_overflow",
};

static const char *const stack_drop_names[STACK_DROP_COUNT] = {
    [STACK_DROP_MALFORMED] = "inner_malformed",       [STACK_DROP_FRAGMENT] = "inner_fragment",
    [STACK_DROP_ADDRESS] = "inner_address",           [STACK_DROP_PROTOCOL] = "inner_protocol",
    [STACK_DROP_UNACCEPTABLE] = "inner_unacceptable",
};

static const char *const stack_limit_names[STACK_LIMIT_COUNT] = {
    [STACK_LIMIT_CONNECTIONS] = "connections",
    [STACK_LIMIT_CONNECTIONS_PROCESS] = "connections_process",
    [STACK_LIMIT_PORTS] = "ports",
    [STACK_LIMIT_HALF_OPEN] = "half_open",
    [STACK_LIMIT_HALF_OPEN_PROCESS] = "half_open_process",
    [STACK_LIMIT_RECEIVE_WINDOW] = "receive_window",
    [STACK_LIMIT_REASSEMBLY] = "reassembly",
    [STACK_LIMIT_SEND_QUEUE] = "send_queue",
    [STACK_LIMIT_RESETS] = "resets",
    [STACK_LIMIT_ECHO_REPLIES] = "echo_replies",
};

static uint64_t value_at(const void *counters, size_t offset)
{
    return counter_get((const counter *)(const void *)((const char *)counters + offset));
}

static void write_labelled(struct exposition *out, const char *name, const char *text,
                           uint64_t value)
{
    const struct exposition_label label = {name, text};
    exposition_integer(out, &label, 1, value);
}

/* --- Walks: this program ---------------------------------------------------------------------- */

static void write_build_info(struct exposition *out, const struct api_call *call,
                             const struct metric *metric)
{
    (void)call;
    (void)metric;
    write_labelled(out, "version", MANYTUN_VERSION, 1);
}

static void write_requests(struct exposition *out, const struct api_call *call,
                           const struct metric *metric)
{
    (void)metric;
    const struct http_counts *counts = &call->server->requests;
    for (size_t i = 0; i < counts->used; i++) {
        char status[STATUS_TEXT];
        snprintf(status, sizeof(status), "%d", counts->entries[i].status);
        const struct exposition_label labels[] = {{"route", counts->entries[i].route},
                                                  {"code", status}};
        exposition_integer(out, labels, COUNT(labels), counts->entries[i].count);
    }
}

static void write_auth_failures(struct exposition *out, const struct api_call *call,
                                const struct metric *metric)
{
    (void)metric;
    const struct guess_limit *guesses = call->server->guesses;
    const struct exposition_label wrong[] = {{"reason", "wrong_token"}};
    const struct exposition_label limited[] = {{"reason", "limited"}};
    if (guesses == NULL)
        return;
    exposition_integer(out, wrong, COUNT(wrong), guesses->failed);
    exposition_integer(out, limited, COUNT(limited), guesses->refused);
}

static void write_events_lost(struct exposition *out, const struct api_call *call,
                              const struct metric *metric)
{
    (void)metric;
    exposition_integer(out, NULL, 0, events_lost(service_events(call->service)));
}

static void write_event_subscribers(struct exposition *out, const struct api_call *call,
                                    const struct metric *metric)
{
    (void)metric;
    if (call->server->event_streams != NULL)
        exposition_integer(out, NULL, 0, event_streams_count(call->server->event_streams));
}

static void write_process(struct exposition *out, const struct api_call *call,
                          const struct metric *metric)
{
    (void)call;
    uint64_t value;
    if (metric->read(0, &value) == 0)
        exposition_integer(out, NULL, 0, value);
}

static void write_start_time(struct exposition *out, const struct api_call *call,
                             const struct metric *metric)
{
    (void)metric;
    const struct timespec *time = &call->server->started_at;
    exposition_seconds(out, NULL, 0, (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec);
}

static void write_retired(struct exposition *out, const struct api_call *call,
                          const struct metric *metric)
{
    (void)metric;
    const struct retired *retired = call->server->retired;
    exposition_integer(out, NULL, 0, retired != NULL ? retired_count(retired) : 0);
}

/* --- Walks: workers --------------------------------------------------------------------------- */

static void write_captures(struct exposition *out, const struct api_call *call,
                           const struct metric *metric)
{
    (void)metric;
    if (call->server->capture_streams != NULL)
        exposition_integer(out, NULL, 0, capture_streams_count(call->server->capture_streams));
}

static bool worker_is_up(const struct metric *metric, const struct supervisor *supervisor,
                         unsigned index, uint64_t *out)
{
    (void)metric;
    *out = supervisor_worker_alive(supervisor, index);
    return true;
}

static bool worker_starts(const struct metric *metric, const struct supervisor *supervisor,
                          unsigned index, uint64_t *out)
{
    (void)metric;
    *out = supervisor_worker_starts(supervisor, index);
    return true;
}

static bool worker_counter(const struct metric *metric, const struct supervisor *supervisor,
                           unsigned index, uint64_t *out)
{
    *out = value_at(supervisor_worker_counters(supervisor, index), metric->offsets[0]);
    return true;
}

/* Of those that run. */
static bool worker_process(const struct metric *metric, const struct supervisor *supervisor,
                           unsigned index, uint64_t *out)
{
    int pid = supervisor_worker_pid(supervisor, index);
    return pid != 0 && metric->read(pid, out) == 0;
}

static void write_workers(struct exposition *out, const struct api_call *call,
                          const struct metric *metric)
{
    const struct supervisor *supervisor = call->server->supervisor;
    for (unsigned i = 0; i < supervisor_workers(supervisor); i++) {
        char worker[WORKER_TEXT];
        uint64_t value;
        snprintf(worker, sizeof(worker), "%u", i);
        if (metric->worker(metric, supervisor, i, &value))
            write_labelled(out, "worker", worker, value);
    }
}

/* Counters of one worker, each under its name. */
static void write_named(struct exposition *out, const char *worker, const char *label,
                        const char *const *names, size_t count, const counter *counters)
{
    for (size_t i = 0; i < count; i++) {
        const struct exposition_label labels[] = {{"worker", worker}, {label, names[i]}};
        exposition_integer(out, labels, COUNT(labels), counter_get(&counters[i]));
    }
}

static void write_worker_drops(struct exposition *out, const struct api_call *call,
                               const struct metric *metric)
{
    (void)metric;
    const struct supervisor *supervisor = call->server->supervisor;
    for (unsigned i = 0; i < supervisor_workers(supervisor); i++) {
        const struct counters_worker *counters = supervisor_worker_counters(supervisor, i);
        char worker[WORKER_TEXT];
        snprintf(worker, sizeof(worker), "%u", i);
        write_named(out, worker, "reason", drop_names, COUNT(drop_names), counters->dropped);
        write_named(out, worker, "reason", stack_drop_names, COUNT(stack_drop_names),
                    counters->stack_dropped);
    }
}

static void write_worker_limits(struct exposition *out, const struct api_call *call,
                                const struct metric *metric)
{
    (void)metric;
    const struct supervisor *supervisor = call->server->supervisor;
    for (unsigned i = 0; i < supervisor_workers(supervisor); i++) {
        char worker[WORKER_TEXT];
        snprintf(worker, sizeof(worker), "%u", i);
        write_named(out, worker, "limit", stack_limit_names, COUNT(stack_limit_names),
                    supervisor_worker_counters(supervisor, i)->stack_limits);
    }
}

/* --- Walks: tunnels and forwards -------------------------------------------------------------- */

static bool next_tunnel(struct service *service, struct object *object)
{
    const struct service_tunnel *tunnel = service_next_tunnel(service, object->name);
    if (tunnel == NULL)
        return false;
    *object = (struct object){.name = tunnel->spec.name,
                              .conditions = tunnel->conditions,
                              .enabled = true};
    if (tunnel->supervised != NULL)
        object->counters = supervisor_tunnel_counters(tunnel->supervised);
    return true;
}

static bool next_forward(struct service *service, struct object *object)
{
    const struct service_forward *forward = service_next_forward(service, object->name);
    if (forward == NULL)
        return false;
    *object = (struct object){.name = forward->spec.name,
                              .conditions = forward->conditions,
                              .enabled = forward->spec.enabled};
    if (forward->supervised != NULL)
        object->counters = supervisor_forward_counters(forward->supervised);
    return true;
}

static const struct kind tunnels = {"tunnel", next_tunnel};
static const struct kind forwards = {"forward", next_forward};

static void write_ready(struct exposition *out, const struct api_call *call,
                        const struct metric *metric)
{
    struct object object = {.name = ""};
    while (metric->kind->next(call->service, &object)) {
        enum condition_status status = object.conditions[metric->condition].is.status;
        if (object.enabled)
            write_labelled(out, metric->kind->label, object.name, status == CONDITION_TRUE);
    }
}

/* What is not known has no sample. */
static void write_condition(struct exposition *out, const struct api_call *call,
                            const struct metric *metric)
{
    struct object object = {.name = ""};
    while (metric->kind->next(call->service, &object)) {
        enum condition_status status = object.conditions[metric->condition].is.status;
        if (status != CONDITION_UNKNOWN)
            write_labelled(out, metric->kind->label, object.name, status == CONDITION_TRUE);
    }
}

static void write_counter(struct exposition *out, const struct api_call *call,
                          const struct metric *metric)
{
    struct object object = {.name = ""};
    while (metric->kind->next(call->service, &object)) {
        if (object.counters != NULL)
            write_labelled(out, metric->kind->label, object.name,
                           value_at(object.counters, metric->offsets[0]));
    }
}

/* What never was has no sample. */
static void write_time(struct exposition *out, const struct api_call *call,
                       const struct metric *metric)
{
    struct object object = {.name = ""};
    while (metric->kind->next(call->service, &object)) {
        const struct exposition_label label = {metric->kind->label, object.name};
        uint64_t ns = object.counters != NULL ? value_at(object.counters, metric->offsets[0]) : 0;
        if (ns != 0)
            exposition_seconds(out, &label, 1, ns);
    }
}

/* Both of the metric's counters. */
static void write_directions(struct exposition *out, const struct api_call *call,
                             const struct metric *metric)
{
    struct object object = {.name = ""};
    while (metric->kind->next(call->service, &object)) {
        for (size_t i = 0; i < DIRECTIONS && object.counters != NULL; i++) {
            const struct exposition_label labels[] = {{metric->kind->label, object.name},
                                                      {"direction", directions[i]}};
            exposition_integer(out, labels, COUNT(labels),
                               value_at(object.counters, metric->offsets[i]));
        }
    }
}

/* --- Walks: peers ----------------------------------------------------------------------------- */

/* Under the names that WireGuard dashboards use. */
static void write_one_peer(struct exposition *out, const struct metric *metric, const char *tunnel,
                           const struct supervised_peer *peer, bool is_time)
{
    char key[SPEC_KEY_TEXT];
    const struct exposition_label labels[] = {
        {"interface", tunnel},
        {"public_key", spec_key_print(peer->spec->public_key, key)},
        {"friendly_name", peer->spec->name},
    };
    uint64_t value = value_at(peer->counters, metric->offsets[0]);
    if (!is_time)
        exposition_integer(out, labels, COUNT(labels), value);
    else if (value != 0)
        exposition_seconds(out, labels, COUNT(labels), value);
}

static void write_peer(struct exposition *out, const struct api_call *call,
                       const struct metric *metric, bool is_time)
{
    const struct service_tunnel *tunnel = service_next_tunnel(call->service, "");
    for (; tunnel != NULL; tunnel = service_next_tunnel(call->service, tunnel->spec.name)) {
        size_t count = tunnel->supervised != NULL ? supervisor_peers(tunnel->supervised) : 0;
        for (size_t i = 0; i < count; i++) {
            struct supervised_peer peer;
            supervisor_peer(tunnel->supervised, i, &peer);
            if (peer.counters != NULL)
                write_one_peer(out, metric, tunnel->spec.name, &peer, is_time);
        }
    }
}

static void write_peer_count(struct exposition *out, const struct api_call *call,
                             const struct metric *metric)
{
    write_peer(out, call, metric, false);
}

static void write_peer_time(struct exposition *out, const struct api_call *call,
                            const struct metric *metric)
{
    write_peer(out, call, metric, true);
}

/* --- The table -------------------------------------------------------------------------------- */

static const struct metric metrics[] = {
    {
        .name = "manytun_build_info",
        .type = "gauge",
        .help = "Always 1; what is running is in the labels.",
        .write = write_build_info,
    },
    {
        .name = "manytun_http_requests_total",
        .type = "counter",
        .help = "API requests answered, by the route's template and the status.",
        .write = write_requests,
    },
    {
        .name = "manytun_events_lost_total",
        .type = "counter",
        .help = "Events that could not be kept, which is a gap in /v1/events.",
        .write = write_events_lost,
    },
    {
        .name = "manytun_event_subscribers",
        .type = "gauge",
        .help = "Clients that are sent events as they happen.",
        .write = write_event_subscribers,
    },
    {
        .name = "manytun_auth_failures_total",
        .type = "counter",
        .help = "Tokens over TCP that were wrong, and those not looked at because of the limit.",
        .write = write_auth_failures,
    },
    {
        .name = "manytun_worker_up",
        .type = "gauge",
        .help = "Whether the worker process is alive.",
        .write = write_workers,
        .worker = worker_is_up,
    },
    {
        .name = "manytun_workers_retired",
        .type = "gauge",
        .help = "Workers of a former program that finish their connections after a takeover.",
        .write = write_retired,
    },
    {
        .name = "manytun_worker_starts_total",
        .type = "counter",
        .help = "Times the worker process was started.",
        .write = write_workers,
        .worker = worker_starts,
    },
    {
        .name = "manytun_worker_resident_memory_bytes",
        .type = "gauge",
        .help = "Resident memory of the worker process.",
        .write = write_workers,
        .worker = worker_process,
        .read = process_stats_resident_bytes,
    },
    {
        .name = "manytun_worker_open_fds",
        .type = "gauge",
        .help = "Open file descriptors of the worker process.",
        .write = write_workers,
        .worker = worker_process,
        .read = process_stats_open_fds,
    },
    {
        .name = "manytun_worker_max_fds",
        .type = "gauge",
        .help = "Limit of the file descriptors of the worker process.",
        .write = write_workers,
        .worker = worker_process,
        .read = process_stats_max_fds,
    },
    {
        .name = "manytun_worker_dropped_packets_total",
        .type = "counter",
        .help = "Packets of the worker that were refused, by the reason.",
        .write = write_worker_drops,
    },
    {
        .name = "manytun_worker_limit_reached_total",
        .type = "counter",
        .help = "What the worker's virtual stacks refused or held back, by the limit in the way.",
        .write = write_worker_limits,
    },
    {
        .name = "manytun_worker_out_of_memory_total",
        .type = "counter",
        .help = "Operations of the worker's virtual stacks that failed for want of memory.",
        .write = write_workers,
        .worker = worker_counter,
        .offsets = {WORKER(stack_out_of_memory)},
    },
    {
        .name = "manytun_captures",
        .type = "gauge",
        .help = "Clients that are sent the packets of a tunnel.",
        .write = write_captures,
    },
    {
        .name = "manytun_worker_captured_packets_total",
        .type = "counter",
        .help = "Inner packets that were copied for a capture.",
        .write = write_workers,
        .worker = worker_counter,
        .offsets = {WORKER(captured)},
    },
    {
        .name = "manytun_worker_capture_dropped_packets_total",
        .type = "counter",
        .help = "Inner packets that a capture lacks: its reader was too slow.",
        .write = write_workers,
        .worker = worker_counter,
        .offsets = {WORKER(capture_dropped)},
    },
    {
        .name = "manytun_worker_accept_paused_total",
        .type = "counter",
        .help = "Times a listener was paused for lack of descriptors or at a limit.",
        .write = write_workers,
        .worker = worker_counter,
        .offsets = {WORKER(accept_paused)},
    },
    {
        .name = "manytun_worker_udp_tx_blocked_total",
        .type = "counter",
        .help = "Times the send buffer of an outer UDP socket was full.",
        .write = write_workers,
        .worker = worker_counter,
        .offsets = {WORKER(udp_tx_blocked)},
    },
    {
        .name = "manytun_worker_udp_tx_errors_total",
        .type = "counter",
        .help = "Outer UDP datagrams that the kernel refused to send.",
        .write = write_workers,
        .worker = worker_counter,
        .offsets = {WORKER(udp_tx_errors)},
    },
    {
        .name = "manytun_tunnel_ready",
        .type = "gauge",
        .help =
            "Whether the tunnel is bound, its worker is alive, and not every peer is out of reach.",
        .write = write_ready,
        .kind = &tunnels,
        .condition = TUNNEL_READY,
    },
    {
        .name = "manytun_tunnel_endpoint_resolved",
        .type = "gauge",
        .help =
            "Whether the endpoints that are names were looked up; absent while it is not known.",
        .write = write_condition,
        .kind = &tunnels,
        .condition = TUNNEL_ENDPOINT_RESOLVED,
    },
    {
        .name = "manytun_tunnel_handshake_fresh",
        .type = "gauge",
        .help = "Whether the peers answer handshakes; absent while nobody asks for one.",
        .write = write_condition,
        .kind = &tunnels,
        .condition = TUNNEL_HANDSHAKE_FRESH,
    },
    {
        .name = "manytun_tunnel_staged_packets",
        .type = "gauge",
        .help = "Packets that wait for a session with their peer.",
        .write = write_counter,
        .kind = &tunnels,
        .offsets = {TUNNEL(staged_packets)},
    },
    {
        .name = "manytun_tunnel_queued_handshakes",
        .type = "gauge",
        .help = "Handshake messages that wait to be worked off.",
        .write = write_counter,
        .kind = &tunnels,
        .offsets = {TUNNEL(queued_handshakes)},
    },
    {
        .name = "manytun_tunnel_bytes_total",
        .type = "counter",
        .help = "Outer UDP payload of the tunnel, all peers together.",
        .write = write_directions,
        .kind = &tunnels,
        .offsets = {TUNNEL(rx_bytes), TUNNEL(tx_bytes)},
    },
    {
        .name = "manytun_tunnel_packets_total",
        .type = "counter",
        .help = "Outer UDP datagrams of the tunnel, all peers together.",
        .write = write_directions,
        .kind = &tunnels,
        .offsets = {TUNNEL(rx_packets), TUNNEL(tx_packets)},
    },
    {
        .name = "manytun_tunnel_dropped_packets_total",
        .type = "counter",
        .help = "Packets of the tunnel that were refused, for whatever reason.",
        .write = write_directions,
        .kind = &tunnels,
        .offsets = {TUNNEL(dropped_in), TUNNEL(dropped_out)},
    },
    {
        .name = "manytun_tunnel_handshakes_total",
        .type = "counter",
        .help = "Handshakes of the tunnel that completed, all peers together.",
        .write = write_counter,
        .kind = &tunnels,
        .offsets = {TUNNEL(handshakes)},
    },
    {
        .name = "manytun_tunnel_latest_handshake_seconds",
        .type = "gauge",
        .help =
            "Unix time of the newest handshake with any of the tunnel's peers; absent if never.",
        .write = write_time,
        .kind = &tunnels,
        .offsets = {TUNNEL(last_handshake_unix_ns)},
    },
    {
        .name = "manytun_tunnel_connections",
        .type = "gauge",
        .help = "TCP connections of the tunnel's virtual network stack, TIME_WAIT included.",
        .write = write_counter,
        .kind = &tunnels,
        .offsets = {TUNNEL(connections)},
    },
    {
        .name = "wireguard_sent_bytes_total",
        .type = "counter",
        .help = "Bytes sent to the peer: outer UDP payload.",
        .write = write_peer_count,
        .offsets = {PEER(tx_bytes)},
    },
    {
        .name = "wireguard_received_bytes_total",
        .type = "counter",
        .help = "Bytes received from the peer: outer UDP payload that was authentic.",
        .write = write_peer_count,
        .offsets = {PEER(rx_bytes)},
    },
    {
        .name = "wireguard_latest_handshake_seconds",
        .type = "gauge",
        .help = "Unix time of the newest handshake with the peer; absent if never.",
        .write = write_peer_time,
        .offsets = {PEER(last_handshake_unix_ns)},
    },
    {
        .name = "wireguard_handshakes_given_up_total",
        .type = "counter",
        .help = "Times that the peer did not answer handshakes for 90 seconds.",
        .write = write_peer_count,
        .offsets = {PEER(handshakes_given_up)},
    },
    {
        .name = "manytun_forward_ready",
        .type = "gauge",
        .help =
            "Whether the forward listens and its tunnel is ready. Absent while it is not enabled.",
        .write = write_ready,
        .kind = &forwards,
        .condition = FORWARD_READY,
    },
    {
        .name = "manytun_forward_target_reachable",
        .type = "gauge",
        .help = "What came of the last connection to the target; absent before the first.",
        .write = write_condition,
        .kind = &forwards,
        .condition = FORWARD_TARGET_REACHABLE,
    },
    {
        .name = "manytun_forward_bytes_total",
        .type = "counter",
        .help = "Bytes carried: in is from the target to clients, out from clients to the target.",
        .write = write_directions,
        .kind = &forwards,
        .offsets = {FORWARD(bytes_in), FORWARD(bytes_out)},
    },
    {
        .name = "manytun_forward_connections_active",
        .type = "gauge",
        .help = "Connections that are open.",
        .write = write_counter,
        .kind = &forwards,
        .offsets = {FORWARD(connections_active)},
    },
    {
        .name = "manytun_forward_connections_total",
        .type = "counter",
        .help = "Connections accepted.",
        .write = write_counter,
        .kind = &forwards,
        .offsets = {FORWARD(connections_total)},
    },
    {
        .name = "manytun_forward_connect_failures_total",
        .type = "counter",
        .help = "Connections that could not be made to the target.",
        .write = write_counter,
        .kind = &forwards,
        .offsets = {FORWARD(connect_failures)},
    },
    {
        .name = "process_start_time_seconds",
        .type = "gauge",
        .help = "Unix time of the control process's start.",
        .write = write_start_time,
    },
    {
        .name = "process_open_fds",
        .type = "gauge",
        .help = "Open file descriptors of the control process.",
        .write = write_process,
        .read = process_stats_open_fds,
    },
    {
        .name = "process_max_fds",
        .type = "gauge",
        .help = "Limit of the control process's file descriptors.",
        .write = write_process,
        .read = process_stats_max_fds,
    },
    {
        .name = "process_resident_memory_bytes",
        .type = "gauge",
        .help = "Resident memory of the control process.",
        .write = write_process,
        .read = process_stats_resident_bytes,
    },
};

int api_get_metrics(struct api_call *call)
{
    struct exposition out = {0};
    for (size_t i = 0; i < COUNT(metrics); i++) {
        exposition_begin(&out, metrics[i].name, metrics[i].type, metrics[i].help);
        metrics[i].write(&out, call, &metrics[i]);
    }
    char *text;
    size_t len;
    if (exposition_finish(&out, &text, &len) < 0)
        return problem_set(&call->problem, "exhausted", "out of memory");
    call->answer.status = 200;
    call->answer.content_type = EXPOSITION_CONTENT_TYPE;
    call->answer.body = text;
    call->answer.body_len = len;
    return 0;
}
