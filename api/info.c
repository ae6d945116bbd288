/*
 * info: /v1/info: what this server is, and its limits.
 */
#include "api/admission.h"
#include "api/handlers.h"
#include "api/json_add.h"

static const struct {
    const char *name;
    uint64_t value;
} limits[] = {
    {"body_bytes", API_BODY_MAX},
    {"tokens", TOKENS_MAX},
    {"config_body_bytes", API_CONFIG_BODY_MAX},
    {"page_items", QUERY_LIMIT_MAX},
    {"tunnels_per_worker", COUNTERS_TUNNELS_MAX},
    {"forwards_per_worker", COUNTERS_FORWARDS_MAX},
    {"addresses_per_tunnel", SPEC_ADDRESSES_MAX},
    {"peers_per_tunnel", SPEC_PEERS_MAX},
    {"allowed_ips_per_peer", SPEC_ALLOWED_IPS_MAX},
    {"allowed_ips_per_tunnel", SPEC_TUNNEL_ALLOWED_IPS_MAX},
};

static bool add_limits(cJSON *json)
{
    cJSON *object = cJSON_AddObjectToObject(json, "limits");
    bool added = object != NULL;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]) && added; i++)
        added = json_add_integer(object, limits[i].name, limits[i].value);
    return added;
}

static bool add_workers(cJSON *json, const struct service *service)
{
    unsigned alive;
    unsigned total;
    service_workers(service, &alive, &total);
    cJSON *workers = cJSON_AddObjectToObject(json, "workers");
    return workers != NULL && json_add_integer(workers, "count", total) &&
           json_add_integer(workers, "alive", alive);
}

static uint64_t uptime_seconds(const struct api_server *server)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t seconds = now.tv_sec - server->started_monotonic.tv_sec;
    return (uint64_t)(now.tv_nsec < server->started_monotonic.tv_nsec ? seconds - 1 : seconds);
}

int api_get_info(struct api_call *call)
{
    const struct api_server *server = call->server;
    cJSON *json = cJSON_CreateObject();
    if (json != NULL &&
        !(json_add_string(json, "version", MANYTUN_VERSION) &&
          json_add_string(json, "api_version", "v1") &&
          json_add_time(json, "started_at", &server->started_at) &&
          json_add_integer(json, "uptime_seconds", uptime_seconds(server)) &&
          add_workers(json, call->service) &&
          json_add_string(json, "auth", server->auth_none ? "none" : "token") &&
          json_add_string(json, "role", api_role_name(call->role)) && add_limits(json))) {
        cJSON_Delete(json);
        json = NULL;
    }
    return api_answer_json(call, 200, json);
}
