/*
 * object_json: writing objects. Counters are read at this moment; what never happened is absent.
 */
#include "api/object_json.h"

#include "api/json_add.h"
#include "server/monotonic.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S     1000000000
#define MESSAGE_TEXT 256

/* A time that a counter holds; 0 = never, then it is left out. */
static bool add_counter_time(cJSON *object, const char *name, const counter *ns)
{
    uint64_t value = counter_get(ns);
    struct timespec time = {.tv_sec = (time_t)(value / NS_PER_S),
                            .tv_nsec = (long)(value % NS_PER_S)};
    return value == 0 || json_add_time(object, name, &time);
}

static bool add_counter(cJSON *object, const char *name, const counter *value)
{
    return json_add_integer(object, name, counter_get(value));
}

static bool add_condition(cJSON *array, const char *type, const struct condition *condition)
{
    cJSON *json = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(array, json)) {
        cJSON_Delete(json);
        return false;
    }
    return json_add_string(json, "type", type) &&
           json_add_string(json, "status", condition_status_name(condition->is.status)) &&
           json_add_string(json, "reason", condition->is.reason) &&
           object_json_add_message(json, &condition->is) &&
           json_add_time(json, "last_transition_time", &condition->since);
}

bool object_json_add_message(cJSON *object, const struct verdict *verdict)
{
    if (verdict->subject[0] == '\0')
        return json_add_string(object, "message", verdict->message);
    char text[MESSAGE_TEXT];
    snprintf(text, sizeof(text), "peer %s: %s", verdict->subject, verdict->message);
    return json_add_string(object, "message", text);
}

static bool add_bound(cJSON *status, const struct inet_addr *address, uint16_t port)
{
    char text[INET_ADDR_TEXT];
    cJSON *bound = cJSON_AddObjectToObject(status, "bound");
    return bound != NULL &&
           (address->family == AF_UNSPEC ||
            json_add_string(bound, "address", inet_addr_print(address, text))) &&
           json_add_integer(bound, "port", port);
}

static bool add_origin(cJSON *object, enum spec_source source, uint64_t generation,
                       const struct timespec *created_at)
{
    return json_add_string(object, "source", spec_source_name(source)) &&
           json_add_integer(object, "generation", generation) &&
           json_add_time(object, "created_at", created_at);
}

/* --- Tunnels ---------------------------------------------------------------------------------- */

/* As it is defined. */
static bool add_configured_endpoint(cJSON *object, const struct spec_peer *peer)
{
    if (peer->endpoint_host[0] == '\0')
        return true;
    char endpoint[INET_HOST_TEXT + 9];
    bool bracket = strchr(peer->endpoint_host, ':') != NULL;
    snprintf(endpoint, sizeof(endpoint), "%s%s%s:%u", bracket ? "[" : "", peer->endpoint_host,
             bracket ? "]" : "", (unsigned)peer->endpoint_port);
    return json_add_string(object, "endpoint", endpoint);
}

static bool add_endpoint(cJSON *object, const struct spec_peer *spec,
                         const struct counters_peer *counters)
{
    union inet_sockaddr address;
    char text[INET_SOCKADDR_TEXT];
    if (counters != NULL && counters_get_endpoint(counters, &address))
        return json_add_string(object, "endpoint", inet_sockaddr_print(&address, text));
    return add_configured_endpoint(object, spec);
}

static bool add_peer_counters(cJSON *object, const struct counters_peer *counters,
                              const struct peer_totals *totals)
{
    return json_add_integer(object, "rx_bytes_total", totals->rx_bytes) &&
           json_add_integer(object, "tx_bytes_total", totals->tx_bytes) &&
           json_add_integer(object, "handshakes_total", totals->handshakes) &&
           add_counter(object, "handshakes_given_up_total", &counters->handshakes_given_up) &&
           add_counter_time(object, "last_handshake_at", &counters->last_handshake_unix_ns);
}

static bool add_handshake(cJSON *object, const struct supervised_peer *peer)
{
    const struct peer_facts facts = service_peer_facts(peer);
    const struct verdict verdict = peer_health_verdict(peer_health_judge(&facts, monotonic_ns()));
    cJSON *handshake = cJSON_AddObjectToObject(object, "handshake");
    return handshake != NULL &&
           json_add_string(handshake, "status", condition_status_name(verdict.status)) &&
           json_add_string(handshake, "reason", verdict.reason);
}

static bool add_addresses(cJSON *object, const struct resolved *resolved)
{
    cJSON *array = cJSON_AddArrayToObject(object, "addresses");
    bool ok = array != NULL;
    for (size_t i = 0; i < resolved->count && ok; i++) {
        char text[INET_SOCKADDR_TEXT];
        cJSON *item = cJSON_CreateString(inet_sockaddr_print(&resolved->addresses[i], text));
        ok = cJSON_AddItemToArray(array, item);
        if (!ok)
            cJSON_Delete(item);
    }
    return ok;
}

/* What is known of the endpoint that is defined. */
static bool add_resolution(cJSON *object, const struct supervised_peer *peer)
{
    const struct peer_facts facts = service_peer_facts(peer);
    if (facts.calls_us)
        return true;
    const struct verdict verdict = peer_endpoint_verdict(&facts);
    cJSON *resolution = cJSON_AddObjectToObject(object, "endpoint_resolved");
    return resolution != NULL &&
           json_add_string(resolution, "status", condition_status_name(verdict.status)) &&
           json_add_string(resolution, "reason", verdict.reason) &&
           json_add_string(resolution, "message", verdict.message) &&
           (peer->resolved == NULL || add_addresses(resolution, peer->resolved)) &&
           (peer->next_lookup_at.tv_sec == 0 ||
            json_add_time(resolution, "next_lookup_at", &peer->next_lookup_at));
}

static bool fill_peer(cJSON *object, const struct service_tunnel *tunnel, size_t place,
                      const struct supervised_peer *peer)
{
    char key[SPEC_KEY_TEXT];
    const struct spec_peer *spec = &tunnel->spec.peers[place];
    const struct peer_totals totals = service_peer_totals(tunnel, place);
    return json_add_string(object, "name", spec->name) &&
           json_add_string(object, "public_key", spec_key_print(spec->public_key, key)) &&
           add_endpoint(object, spec, peer->counters) &&
           (peer->spec == NULL || add_resolution(object, peer)) &&
           (peer->counters == NULL ||
            (add_peer_counters(object, peer->counters, &totals) && add_handshake(object, peer)));
}

/* What is seen of the peer at this place of the definition. */
static cJSON *make_peer_status(const struct service_tunnel *tunnel, size_t place)
{
    struct supervised_peer supervised = {0};
    if (tunnel->supervised != NULL)
        supervisor_peer(tunnel->supervised, place, &supervised);
    cJSON *status = cJSON_CreateObject();
    if (status != NULL && !fill_peer(status, tunnel, place, &supervised)) {
        cJSON_Delete(status);
        status = NULL;
    }
    return status;
}

static bool add_peers(cJSON *status, const struct service_tunnel *tunnel)
{
    cJSON *array = cJSON_AddArrayToObject(status, "peers");
    if (array == NULL)
        return false;
    for (size_t i = 0; i < tunnel->spec.peers_count; i++) {
        cJSON *peer = make_peer_status(tunnel, i);
        if (!cJSON_AddItemToArray(array, peer)) {
            cJSON_Delete(peer);
            return false;
        }
    }
    return true;
}

cJSON *object_json_peer(const struct service_tunnel *tunnel, size_t place)
{
    cJSON *object = spec_peer_to_json(&tunnel->spec.peers[place], SPEC_REDACTED);
    cJSON *status = make_peer_status(tunnel, place);
    if (object == NULL || !cJSON_AddItemToObject(object, "status", status)) {
        cJSON_Delete(status);
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

static bool add_tunnel_counters(cJSON *status, const struct service_tunnel *tunnel)
{
    const struct supervised_tunnel *supervised = tunnel->supervised;
    const struct counters_tunnel *counters = supervisor_tunnel_counters(supervised);
    const struct tunnel_totals totals = service_tunnel_totals(tunnel);
    return json_add_integer(status, "worker", supervisor_tunnel_worker(supervised)) &&
           json_add_integer(status, "rx_bytes_total", totals.rx_bytes) &&
           json_add_integer(status, "tx_bytes_total", totals.tx_bytes) &&
           json_add_integer(status, "handshakes_total", totals.handshakes) &&
           add_counter_time(status, "last_handshake_at", &counters->last_handshake_unix_ns);
}

static bool add_tunnel_conditions(cJSON *status, const struct service_tunnel *tunnel)
{
    cJSON *array = cJSON_AddArrayToObject(status, "conditions");
    bool ok = array != NULL;
    for (enum tunnel_condition i = 0; i < TUNNEL_CONDITIONS && ok; i++)
        ok = add_condition(array, tunnel_condition_name(i), &tunnel->conditions[i]);
    return ok;
}

static bool add_tunnel_status(cJSON *object, const struct service_tunnel *tunnel)
{
    cJSON *status = cJSON_AddObjectToObject(object, "status");
    return status != NULL && json_add_integer(status, "observed_generation", tunnel->generation) &&
           (tunnel->port == 0 || add_bound(status, &tunnel->spec.listen_address, tunnel->port)) &&
           (tunnel->supervised == NULL || add_tunnel_counters(status, tunnel)) &&
           json_add_integer(status, "forwards", tunnel->forwards) && add_peers(status, tunnel) &&
           add_tunnel_conditions(status, tunnel);
}

cJSON *object_json_tunnel(const struct service_tunnel *tunnel)
{
    cJSON *object = spec_tunnel_to_json(&tunnel->spec, SPEC_REDACTED);
    if (object != NULL &&
        (!add_origin(object, tunnel->source, tunnel->generation, &tunnel->created_at) ||
         !add_tunnel_status(object, tunnel))) {
        cJSON_Delete(object);
        object = NULL;
    }
    return object;
}

/* --- Forwards --------------------------------------------------------------------------------- */

static bool add_last_error(cJSON *status, const struct counters_forward *counters)
{
    int error = (int)counter_get(&counters->last_error);
    if (error == 0)
        return true;
    cJSON *last = cJSON_AddObjectToObject(status, "last_error");
    return last != NULL && json_add_string(last, "message", strerror(error)) &&
           add_counter_time(last, "at", &counters->last_error_unix_ns);
}

/* All zero while the forward is in no worker. */
static bool add_forward_counters(cJSON *status, const struct service_forward *forward)
{
    const struct supervised_forward *supervised = forward->supervised;
    const struct forward_totals totals = service_forward_totals(forward);
    static const struct counters_forward none;
    const struct counters_forward *counters =
        supervised != NULL ? supervisor_forward_counters(supervised) : &none;
    return add_counter(status, "connections_active", &counters->connections_active) &&
           json_add_integer(status, "connections_total", totals.connections) &&
           json_add_integer(status, "connect_failures_total", totals.connect_failures) &&
           json_add_integer(status, "bytes_in_total", totals.bytes_in) &&
           json_add_integer(status, "bytes_out_total", totals.bytes_out) &&
           add_last_error(status, counters);
}

static bool add_forward_conditions(cJSON *status, const struct service_forward *forward)
{
    cJSON *array = cJSON_AddArrayToObject(status, "conditions");
    bool ok = array != NULL;
    for (enum forward_condition i = 0; i < FORWARD_CONDITIONS && ok; i++)
        ok = add_condition(array, forward_condition_name(i), &forward->conditions[i]);
    return ok;
}

static bool add_forward_status(cJSON *object, const struct service_forward *forward)
{
    cJSON *status = cJSON_AddObjectToObject(object, "status");
    return status != NULL && json_add_integer(status, "observed_generation", forward->generation) &&
           (forward->listener < 0 ||
            add_bound(status, &forward->spec.listen_address, forward->bound_port)) &&
           add_forward_counters(status, forward) && add_forward_conditions(status, forward);
}

cJSON *object_json_forward(const struct service_forward *forward)
{
    cJSON *object = spec_forward_to_json(&forward->spec);
    if (object != NULL &&
        (!add_origin(object, forward->source, forward->generation, &forward->created_at) ||
         !add_forward_status(object, forward))) {
        cJSON_Delete(object);
        object = NULL;
    }
    return object;
}
