/*
 * tunnels: /v1/tunnels.
 */
#include "api/handlers.h"
#include "api/object_json.h"
#include "api/page.h"
#include "engine/json.h"

#include <errno.h>
#include <stdio.h>

static int answer_tunnel(struct api_call *call, int status, const struct service_tunnel *tunnel)
{
    if (api_answer_json(call, status, object_json_tunnel(tunnel)) < 0)
        return -1;
    call->answer.etag = tunnel->generation;
    return 0;
}

static size_t weigh(const struct spec_tunnel *spec)
{
    size_t weight = 1 + spec->peers_count;
    for (size_t i = 0; i < spec->peers_count; i++)
        weight += spec->peers[i].allowed_ips_count;
    return weight;
}

int api_list_tunnels(struct api_call *call)
{
    struct api_page page;
    if (api_page_init(&page, &call->query) < 0)
        return problem_set(&call->problem, "exhausted", "out of memory");
    const struct service_tunnel *tunnel = service_next_tunnel(call->service, call->query.cursor);
    while (tunnel != NULL && api_page_wants(&page, tunnel->spec.name, weigh(&tunnel->spec))) {
        if (api_page_add(&page, object_json_tunnel(tunnel)) < 0)
            break;
        tunnel = service_next_tunnel(call->service, tunnel->spec.name);
    }
    return api_page_answer(&page, call);
}

int api_create_tunnel(struct api_call *call)
{
    cJSON *json = api_call_read_json(call);
    if (json == NULL)
        return -1;
    struct spec_tunnel spec;
    int rc = spec_tunnel_from_json(json, &spec, &call->problem.errors);
    json_free(json);
    if (rc == -ENOMEM)
        return problem_set(&call->problem, "exhausted", "out of memory");
    if (rc < 0)
        return problem_set(&call->problem, "validation", "the tunnel's definition has %zu error(s)",
                           call->problem.errors.count);
    const struct service_tunnel *tunnel;
    if (service_create_tunnel(call->service, &spec, &tunnel, &call->problem) < 0) {
        spec_tunnel_fini(&spec);
        return -1;
    }
    if (answer_tunnel(call, 201, tunnel) < 0)
        return -1;
    snprintf(call->answer.location, sizeof(call->answer.location), "/v1/tunnels/%s",
             tunnel->spec.name);
    return 0;
}

int api_get_tunnel(struct api_call *call)
{
    const struct service_tunnel *tunnel = service_find_tunnel(call->service, call->name);
    if (tunnel == NULL)
        return problem_set(&call->problem, "not_found", "there is no tunnel \"%s\"", call->name);
    return answer_tunnel(call, 200, tunnel);
}

int api_delete_tunnel(struct api_call *call)
{
    if (service_delete_tunnel(call->service, call->name, call->query.cascade, &call->problem) < 0)
        return -1;
    call->answer.status = 204;
    return 0;
}
