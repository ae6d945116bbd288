/*
 * config: /v1/config, all definitions as one document. What GET answers can be sent back: secrets
 * are left out of it, and one that is left out stays.
 */
#include "base/config.h"
#include "api/document.h"
#include "api/handlers.h"
#include "api/precondition.h"
#include "base/json.h"
#include "server/apply.h"

#include <errno.h>

static int read_generation(struct api_call *call, uint64_t *out)
{
    if (service_definitions_generation(call->service, out) < 0)
        return problem_set(&call->problem, "storage", "the database cannot be read");
    return 0;
}

/* --- Reading ---------------------------------------------------------------------------------- */

/* Takes the item, NULL = memory ran out. */
static bool add_item(cJSON *array, cJSON *item)
{
    if (item != NULL && cJSON_AddItemToArray(array, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static bool add_tunnels(cJSON *json, struct service *service)
{
    cJSON *array = cJSON_AddArrayToObject(json, "tunnels");
    const struct service_tunnel *tunnel = array != NULL ? service_next_tunnel(service, "") : NULL;
    for (; tunnel != NULL; tunnel = service_next_tunnel(service, tunnel->spec.name)) {
        if (!add_item(array, spec_tunnel_to_json(&tunnel->spec, SPEC_WITHOUT_SECRETS)))
            return false;
    }
    return array != NULL;
}

static bool add_forwards(cJSON *json, struct service *service)
{
    cJSON *array = cJSON_AddArrayToObject(json, "forwards");
    const struct service_forward *forward =
        array != NULL ? service_next_forward(service, "") : NULL;
    for (; forward != NULL; forward = service_next_forward(service, forward->spec.name)) {
        if (!add_item(array, spec_forward_to_json(&forward->spec)))
            return false;
    }
    return array != NULL;
}

int api_get_config(struct api_call *call)
{
    uint64_t generation;
    if (read_generation(call, &generation) < 0)
        return -1;
    cJSON *json = cJSON_CreateObject();
    if (json != NULL && (!add_tunnels(json, call->service) || !add_forwards(json, call->service))) {
        cJSON_Delete(json);
        json = NULL;
    }
    if (api_answer_json(call, 200, json) < 0)
        return -1;
    call->answer.etag = generation;
    return 0;
}

/* --- Applying --------------------------------------------------------------------------------- */

/* Completes the tunnels that there are with the secrets that the document leaves out. */
static int keep_secrets(struct api_call *call, cJSON *json)
{
    cJSON *tunnel;
    cJSON_ArrayForEach(tunnel, cJSON_GetObjectItemCaseSensitive(json, "tunnels"))
    {
        const cJSON *name = json_member(tunnel, "name");
        const struct service_tunnel *present =
            cJSON_IsString(name) ? service_find_tunnel(call->service, name->valuestring) : NULL;
        if (api_document_keep_secrets(tunnel, present != NULL ? &present->spec : NULL) < 0)
            return problem_set(&call->problem, "exhausted", "out of memory");
    }
    return 0;
}

static int read_config(struct api_call *call, struct config *config)
{
    cJSON *json = api_call_read_json(call);
    if (json == NULL)
        return -1;
    int rc = keep_secrets(call, json);
    if (rc == 0) {
        rc = config_read(config, json, &(struct config_source){0}, &call->problem.errors);
        if (rc == -ENOMEM)
            problem_set(&call->problem, "exhausted", "out of memory");
        else if (rc < 0)
            problem_set(&call->problem, "validation", "the configuration has %zu error(s)",
                        call->problem.errors.count);
    }
    json_free(json);
    return rc < 0 ? -1 : 0;
}

/* {"tunnels": [names], "forwards": [names]} of one outcome. */
static bool add_outcome(cJSON *json, const char *name, const struct apply_result *result,
                        enum apply_outcome outcome)
{
    cJSON *object = cJSON_AddObjectToObject(json, name);
    cJSON *lists[APPLY_KINDS] = {NULL};
    if (object == NULL)
        return false;
    lists[APPLY_TUNNEL] = cJSON_AddArrayToObject(object, "tunnels");
    lists[APPLY_FORWARD] = cJSON_AddArrayToObject(object, "forwards");
    if (lists[APPLY_TUNNEL] == NULL || lists[APPLY_FORWARD] == NULL)
        return false;
    for (size_t i = 0; i < result->count; i++) {
        const struct apply_item *item = &result->items[i];
        if (item->outcome == outcome &&
            !add_item(lists[item->kind], cJSON_CreateString(item->name)))
            return false;
    }
    return true;
}

static cJSON *print_result(const struct apply_result *result)
{
    static const char *const names[] = {
        [APPLY_CREATED] = "created",
        [APPLY_UPDATED] = "updated",
        [APPLY_UNCHANGED] = "unchanged",
        [APPLY_DELETED] = "deleted",
    };
    cJSON *json = cJSON_CreateObject();
    for (enum apply_outcome outcome = 0; json != NULL && outcome < APPLY_OUTCOMES; outcome++) {
        if (!add_outcome(json, names[outcome], result, outcome)) {
            cJSON_Delete(json);
            json = NULL;
        }
    }
    return json;
}

static int apply(struct api_call *call, struct config *config)
{
    const struct apply_options options = {
        .source = SPEC_SOURCE_API,
        .prune = call->query.prune,
        .dry_run = call->query.dry_run,
    };
    struct apply_result result;
    uint64_t generation;
    if (service_apply(call->service, config, &options, &result, &call->problem) < 0)
        return -1;
    int rc = 0;
    if (options.dry_run)
        rc = api_answer_json(call, 200, print_result(&result));
    else
        api_answer_change(call, 200, print_result(&result));
    apply_result_fini(&result);
    /* What was done was done, also when the tag of it cannot be told. */
    if (rc == 0 && service_definitions_generation(call->service, &generation) == 0)
        call->answer.etag = generation;
    return rc;
}

int api_put_config(struct api_call *call)
{
    struct config config = {0};
    uint64_t generation;
    if (read_generation(call, &generation) < 0 || api_precondition_check(call, generation) < 0)
        return -1;
    int rc = read_config(call, &config);
    if (rc == 0)
        rc = apply(call, &config);
    config_fini(&config);
    return rc;
}
