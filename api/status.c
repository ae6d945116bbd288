/*
 * status: /v1/status: all objects counted, and what is wrong with them: every condition that is
 * False, but for Ready, which only repeats another.
 *
 * A forward that is not enabled is not ready and does just what was asked of it: no problem.
 */
#include "api/handlers.h"
#include "api/json_add.h"
#include "api/object_json.h"
#include "server/declared.h"
#include "server/events.h"
#include "server/retired.h"
#include "server/unreadable.h"

/* How many problems one answer lists; problems_total counts them all. */
#define STATUS_PROBLEMS_MAX 1000

struct status {
    uint64_t tunnels, tunnels_ready;
    uint64_t forwards, forwards_ready, forwards_disabled;
    uint64_t connections_active, connections_total, connect_failures;
    uint64_t bytes_in, bytes_out;
    uint64_t problems_total;
    uint64_t retired_workers; /* of a former program, with connections that go on */
    cJSON *problems;
    bool failed; /* memory ran out */
};

static bool fill_problem(cJSON *problem, const char *kind, const char *name, const char *type,
                         const struct condition *condition)
{
    return json_add_string(problem, "kind", kind) && json_add_string(problem, "name", name) &&
           json_add_string(problem, "condition", type) &&
           json_add_string(problem, "reason", condition->is.reason) &&
           object_json_add_message(problem, &condition->is) &&
           json_add_time(problem, "since", &condition->since);
}

/* A condition that is False is a problem. */
static void add_problem(struct status *status, const char *kind, const char *name, const char *type,
                        const struct condition *condition)
{
    if (condition->is.status != CONDITION_FALSE)
        return;
    if (status->problems_total++ >= STATUS_PROBLEMS_MAX || status->failed)
        return;
    cJSON *problem = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(status->problems, problem)) {
        cJSON_Delete(problem);
        status->failed = true;
    } else if (!fill_problem(problem, kind, name, type, condition)) {
        status->failed = true;
    }
}

static void collect_tunnels(struct status *status, struct service *service)
{
    const struct service_tunnel *tunnel = service_next_tunnel(service, "");
    for (; tunnel != NULL; tunnel = service_next_tunnel(service, tunnel->spec.name)) {
        status->tunnels++;
        status->tunnels_ready += service_tunnel_is_ready(tunnel);
        for (enum tunnel_condition i = TUNNEL_READY + 1; i < TUNNEL_CONDITIONS; i++)
            add_problem(status, "tunnel", tunnel->spec.name, tunnel_condition_name(i),
                        &tunnel->conditions[i]);
    }
}

static void add_counters(struct status *status, const struct service_forward *forward)
{
    const struct forward_totals totals = service_forward_totals(forward);
    if (forward->supervised != NULL)
        status->connections_active +=
            counter_get(&supervisor_forward_counters(forward->supervised)->connections_active);
    status->connections_total += totals.connections;
    status->connect_failures += totals.connect_failures;
    status->bytes_in += totals.bytes_in;
    status->bytes_out += totals.bytes_out;
}

static void collect_forwards(struct status *status, struct service *service)
{
    const struct service_forward *forward = service_next_forward(service, "");
    for (; forward != NULL; forward = service_next_forward(service, forward->spec.name)) {
        status->forwards++;
        add_counters(status, forward);
        status->forwards_ready += service_forward_is_ready(forward);
        status->forwards_disabled += !forward->spec.enabled;
        for (enum forward_condition i = FORWARD_READY + 1;
             i < FORWARD_CONDITIONS && forward->spec.enabled; i++)
            add_problem(status, "forward", forward->spec.name, forward_condition_name(i),
                        &forward->conditions[i]);
    }
}

/* Those that nobody can ask for by a name are one problem of the table that they are in. */
static void collect_unreadable(struct status *status, const struct service *service)
{
    static const struct {
        const char *kind, *table;
    } names[UNREADABLE_KINDS] = {
        [UNREADABLE_TUNNEL] = {"tunnel", "tunnels"},
        [UNREADABLE_FORWARD] = {"forward", "forwards"},
    };
    for (enum unreadable_kind kind = 0; kind < UNREADABLE_KINDS; kind++) {
        const struct condition *unnamed = service_unnamed(service, kind);
        const struct unreadable *unreadable = service_next_unreadable(service, kind, "");
        for (; unreadable != NULL;
             unreadable = service_next_unreadable(service, kind, unreadable->name))
            add_problem(status, names[kind].kind, unreadable->name, UNREADABLE_CONDITION,
                        &unreadable->condition);
        if (unnamed != NULL)
            add_problem(status, "database", names[kind].table, UNREADABLE_CONDITION, unnamed);
    }
}

static void collect_declared(struct status *status, const struct declared *declared)
{
    const struct condition *applied = declared != NULL ? declared_condition(declared) : NULL;
    if (applied != NULL)
        add_problem(status, "config", "file", "Applied", applied);
}

static bool fill_status(cJSON *json, const struct status *status, bool draining)
{
    cJSON *tunnels = cJSON_AddObjectToObject(json, "tunnels");
    cJSON *forwards = cJSON_AddObjectToObject(json, "forwards");
    return tunnels != NULL && forwards != NULL &&
           json_add_integer(tunnels, "total", status->tunnels) &&
           json_add_integer(tunnels, "ready", status->tunnels_ready) &&
           json_add_integer(forwards, "total", status->forwards) &&
           json_add_integer(forwards, "ready", status->forwards_ready) &&
           json_add_integer(forwards, "disabled", status->forwards_disabled) &&
           json_add_integer(json, "connections_active", status->connections_active) &&
           json_add_integer(json, "connections_total", status->connections_total) &&
           json_add_integer(json, "connect_failures_total", status->connect_failures) &&
           json_add_integer(json, "bytes_in_total", status->bytes_in) &&
           json_add_integer(json, "bytes_out_total", status->bytes_out) &&
           json_add_integer(json, "problems_total", status->problems_total) &&
           json_add_integer(json, "retired_workers", status->retired_workers) &&
           cJSON_AddBoolToObject(json, "draining", draining) != NULL;
}

/* What was reported up to it, this answer has; absent when it cannot be told. */
static bool add_last_event(cJSON *json, struct service *service)
{
    uint64_t first;
    uint64_t last;
    return events_span(service_events(service), &first, &last) < 0 ||
           json_add_integer(json, "last_event_id", last);
}

int api_get_status(struct api_call *call)
{
    struct status status = {0};
    cJSON *json = cJSON_CreateObject();
    if (json != NULL)
        status.problems = cJSON_AddArrayToObject(json, "problems");
    status.failed = status.problems == NULL;
    if (call->server->retired != NULL)
        status.retired_workers = retired_count(call->server->retired);
    if (!status.failed) {
        collect_declared(&status, call->server->declared);
        collect_unreadable(&status, call->service);
        collect_tunnels(&status, call->service);
        collect_forwards(&status, call->service);
    }
    if (status.failed || !fill_status(json, &status, service_draining(call->service)) ||
        !add_last_event(json, call->service)) {
        cJSON_Delete(json);
        json = NULL;
    }
    return api_answer_json(call, 200, json);
}
