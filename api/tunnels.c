/*
 * tunnels: /v1/tunnels.
 */
#include "api/document.h"
#include "api/filter.h"
#include "api/handlers.h"
#include "api/object_json.h"
#include "api/page.h"
#include "api/precondition.h"
#include "base/json.h"
#include "server/unreadable.h"

#include <errno.h>
#include <stdio.h>

static int answer_tunnel(struct api_call *call, const struct service_tunnel *tunnel)
{
    if (api_answer_json(call, 200, object_json_tunnel(tunnel)) < 0)
        return -1;
    call->answer.etag = tunnel->generation;
    return 0;
}

static void answer_change(struct api_call *call, int status, const struct service_tunnel *tunnel)
{
    api_answer_change(call, status, object_json_tunnel(tunnel));
    call->answer.etag = tunnel->generation;
}

static size_t weigh(const struct spec_tunnel *spec)
{
    size_t weight = 1 + spec->peers_count;
    for (size_t i = 0; i < spec->peers_count; i++)
        weight += spec->peers[i].allowed_ips_count;
    return weight;
}

/* The first tunnel after this name that the query asks for. */
static const struct service_tunnel *next_wanted(struct api_call *call, const char *after)
{
    const struct service_tunnel *tunnel = service_next_tunnel(call->service, after);
    while (tunnel != NULL && !api_filter_tunnel(&call->query, tunnel))
        tunnel = service_next_tunnel(call->service, tunnel->spec.name);
    return tunnel;
}

int api_list_tunnels(struct api_call *call)
{
    struct api_page page;
    if (api_page_init(&page, &call->query) < 0)
        return problem_set(&call->problem, "exhausted", "out of memory");
    const struct service_tunnel *tunnel = next_wanted(call, call->query.cursor);
    while (tunnel != NULL && api_page_wants(&page, tunnel->spec.name, weigh(&tunnel->spec))) {
        if (api_page_add(&page, object_json_tunnel(tunnel)) < 0)
            break;
        tunnel = next_wanted(call, tunnel->spec.name);
    }
    return api_page_answer(&page, call);
}

/* Reads a definition and frees the JSON, which may be NULL: then the problem is filled already. */
static int read_tunnel(struct api_call *call, cJSON *json, struct spec_tunnel *spec)
{
    if (json == NULL)
        return -1;
    int rc = spec_tunnel_from_json(json, spec, &call->problem.errors);
    json_free(json);
    if (rc == -ENOMEM)
        return problem_set(&call->problem, "exhausted", "out of memory");
    if (rc < 0)
        return problem_set(&call->problem, "validation", "the tunnel's definition has %zu error(s)",
                           call->problem.errors.count);
    return 0;
}

/* The generation of what has the name in the path, be it readable or not; 0 = there is nothing. */
static uint64_t find_generation(struct api_call *call)
{
    const struct service_tunnel *present = service_find_tunnel(call->service, call->name);
    return present != NULL
               ? present->generation
               : service_unreadable_generation(call->service, UNREADABLE_TUNNEL, call->name);
}

typedef int create_operation(struct service *service, struct spec_tunnel *spec,
                             const struct service_tunnel **out, struct problem *problem);

static int create_tunnel(struct api_call *call, cJSON *json, create_operation *create)
{
    struct spec_tunnel spec;
    const struct service_tunnel *tunnel;
    if (read_tunnel(call, json, &spec) < 0)
        return -1;
    if (create(call->service, &spec, &tunnel, &call->problem) < 0) {
        spec_tunnel_fini(&spec);
        return -1;
    }
    answer_change(call, 201, tunnel);
    snprintf(call->answer.location, sizeof(call->answer.location), "/v1/tunnels/%s",
             tunnel->spec.name);
    return 0;
}

static int update_tunnel(struct api_call *call, cJSON *json)
{
    struct spec_tunnel spec;
    const struct service_tunnel *tunnel;
    if (read_tunnel(call, json, &spec) < 0)
        return -1;
    if (service_update_tunnel(call->service, &spec, &tunnel, &call->problem) < 0) {
        spec_tunnel_fini(&spec);
        return -1;
    }
    answer_change(call, 200, tunnel);
    return 0;
}

/* Completes a document with the secrets of the present tunnel, NULL = there is none. Takes it. */
static cJSON *with_secrets(struct api_call *call, cJSON *json, const struct service_tunnel *present)
{
    if (json == NULL ||
        api_document_keep_secrets(json, present != NULL ? &present->spec : NULL) == 0)
        return json;
    json_free(json);
    problem_set(&call->problem, "exhausted", "out of memory");
    return NULL;
}

int api_create_tunnel(struct api_call *call)
{
    return create_tunnel(call, api_call_read_json(call), service_create_tunnel);
}

int api_put_tunnel(struct api_call *call)
{
    const struct service_tunnel *present = service_find_tunnel(call->service, call->name);
    if (api_precondition_check(call, find_generation(call)) < 0)
        return -1;
    cJSON *json = with_secrets(call, api_document_put(call), present);
    return present != NULL ? update_tunnel(call, json)
                           : create_tunnel(call, json, service_put_tunnel);
}

int api_patch_tunnel(struct api_call *call)
{
    const struct service_tunnel *present = service_find_tunnel(call->service, call->name);
    if (present == NULL)
        return service_not_found(call->service, UNREADABLE_TUNNEL, call->name, &call->problem);
    if (api_precondition_check(call, present->generation) < 0)
        return -1;
    cJSON *definition = spec_tunnel_to_json(&present->spec, SPEC_WITHOUT_SECRETS);
    return update_tunnel(call, with_secrets(call, api_document_patch(call, definition), present));
}

int api_get_tunnel(struct api_call *call)
{
    const struct service_tunnel *tunnel = service_find_tunnel(call->service, call->name);
    if (tunnel == NULL)
        return service_not_found(call->service, UNREADABLE_TUNNEL, call->name, &call->problem);
    return answer_tunnel(call, tunnel);
}

int api_delete_tunnel(struct api_call *call)
{
    uint64_t generation = find_generation(call);
    if (generation != 0 && api_precondition_check(call, generation) < 0)
        return -1;
    if (service_delete_tunnel(call->service, call->name, call->query.cascade, &call->problem) < 0)
        return -1;
    call->answer.status = 204;
    return 0;
}
