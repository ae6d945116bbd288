/*
 * forwards: /v1/forwards.
 */
#include "api/handlers.h"
#include "api/object_json.h"
#include "api/page.h"
#include "engine/json.h"

#include <stdio.h>
#include <string.h>

static int answer_forward(struct api_call *call, int status, const struct service_forward *forward)
{
    if (api_answer_json(call, status, object_json_forward(forward)) < 0)
        return -1;
    call->answer.etag = forward->generation;
    return 0;
}

/* The first forward after this name that the query asks for. */
static const struct service_forward *next_wanted(struct api_call *call, const char *after)
{
    const struct service_forward *forward = service_next_forward(call->service, after);
    while (forward != NULL && call->query.tunnel[0] != '\0' &&
           strcmp(forward->spec.tunnel, call->query.tunnel) != 0)
        forward = service_next_forward(call->service, forward->spec.name);
    return forward;
}

int api_list_forwards(struct api_call *call)
{
    struct api_page page;
    if (api_page_init(&page, &call->query) < 0)
        return problem_set(&call->problem, "exhausted", "out of memory");
    const struct service_forward *forward = next_wanted(call, call->query.cursor);
    while (forward != NULL && api_page_wants(&page, forward->spec.name, 1)) {
        if (api_page_add(&page, object_json_forward(forward)) < 0)
            break;
        forward = next_wanted(call, forward->spec.name);
    }
    return api_page_answer(&page, call);
}

int api_create_forward(struct api_call *call)
{
    cJSON *json = api_call_read_json(call);
    if (json == NULL)
        return -1;
    struct spec_forward spec;
    int rc = spec_forward_from_json(json, &spec, &call->problem.errors);
    json_free(json);
    if (rc < 0)
        return problem_set(&call->problem, "validation",
                           "the forward's definition has %zu error(s)", call->problem.errors.count);
    const struct service_forward *forward;
    if (service_create_forward(call->service, &spec, &forward, &call->problem) < 0)
        return -1;
    if (answer_forward(call, 201, forward) < 0)
        return -1;
    snprintf(call->answer.location, sizeof(call->answer.location), "/v1/forwards/%s",
             forward->spec.name);
    return 0;
}

int api_get_forward(struct api_call *call)
{
    const struct service_forward *forward = service_find_forward(call->service, call->name);
    if (forward == NULL)
        return problem_set(&call->problem, "not_found", "there is no forward \"%s\"", call->name);
    return answer_forward(call, 200, forward);
}

int api_delete_forward(struct api_call *call)
{
    if (service_delete_forward(call->service, call->name, &call->problem) < 0)
        return -1;
    call->answer.status = 204;
    return 0;
}
