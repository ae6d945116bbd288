/*
 * health: /livez, /readyz and /openapi.yaml.
 *
 * /livez never looks at peers: a restart of this program cannot bring a peer back. /readyz does
 * only where it was asked to, for those who must not send traffic before a tunnel is up.
 */
#include "api/handlers.h"

#include <stdio.h>

#define DETAIL_TEXT 192

extern const unsigned char embedded_openapi_yaml[];
extern const size_t embedded_openapi_yaml_len;

int api_get_livez(struct api_call *call)
{
    cJSON *json = cJSON_CreateObject();
    if (json != NULL && cJSON_AddStringToObject(json, "status", "live") == NULL) {
        cJSON_Delete(json);
        json = NULL;
    }
    return api_answer_json(call, 200, json);
}

static bool add_check(cJSON *array, const char *name, bool ok, const char *detail)
{
    cJSON *check = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(array, check)) {
        cJSON_Delete(check);
        return false;
    }
    return cJSON_AddStringToObject(check, "name", name) != NULL &&
           cJSON_AddBoolToObject(check, "ok", ok) != NULL &&
           cJSON_AddStringToObject(check, "detail", detail) != NULL;
}

/* The tunnels that have to be up, if any have to. */
static bool add_tunnels_check(cJSON *checks, const struct service *service)
{
    struct service_awaited awaited;
    char detail[DETAIL_TEXT];
    service_await(service, &awaited);
    if (awaited.count == 0)
        return true;
    int len = snprintf(detail, sizeof(detail), "%zu of %zu tunnels that must be up are up",
                       awaited.up, awaited.count);
    if (awaited.missing != NULL)
        snprintf(detail + len, sizeof(detail) - (size_t)len, "; \"%s\" is not", awaited.missing);
    return add_check(checks, "tunnels", awaited.missing == NULL, detail);
}

static bool add_checks(cJSON *json, const struct service *service)
{
    unsigned alive;
    unsigned total;
    char workers[64];
    service_workers(service, &alive, &total);
    snprintf(workers, sizeof(workers), "%u of %u worker processes are alive", alive, total);
    bool restored = service_restored(service);
    cJSON *checks = cJSON_AddArrayToObject(json, "checks");
    bool draining = service_draining(service);
    return checks != NULL &&
           add_check(checks, "restored", restored,
                     restored ? "every stored definition was read"
                              : "stored definitions are being read") &&
           add_check(checks, "workers", alive > 0, workers) &&
           add_check(checks, "accepting", !draining,
                     draining ? "the service is ending: connections finish, new ones are refused"
                              : "new connections are accepted") &&
           add_tunnels_check(checks, service);
}

int api_get_readyz(struct api_call *call)
{
    bool ready = service_ready(call->service);
    const char *status = service_draining(call->service) ? "draining" : "not_ready";
    cJSON *json = cJSON_CreateObject();
    if (json != NULL &&
        (cJSON_AddStringToObject(json, "status", ready ? "ready" : status) == NULL ||
         (call->query.verbose && !add_checks(json, call->service)))) {
        cJSON_Delete(json);
        json = NULL;
    }
    return api_answer_json(call, ready ? 200 : 503, json);
}

int api_get_openapi(struct api_call *call)
{
    call->answer = (struct api_answer){
        .status = 200,
        .content_type = "application/yaml",
        .static_body = embedded_openapi_yaml,
        .body_len = embedded_openapi_yaml_len,
    };
    return 0;
}
