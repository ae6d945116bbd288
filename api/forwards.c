/*
 * forwards: /v1/forwards.
 */
#include "api/document.h"
#include "api/filter.h"
#include "api/handlers.h"
#include "api/object_json.h"
#include "api/page.h"
#include "api/precondition.h"
#include "base/json.h"
#include "server/unreadable.h"

#include <stdio.h>
#include <string.h>

static int answer_forward(struct api_call *call, const struct service_forward *forward)
{
    if (api_answer_json(call, 200, object_json_forward(forward)) < 0)
        return -1;
    call->answer.etag = forward->generation;
    return 0;
}

static void answer_change(struct api_call *call, int status, const struct service_forward *forward)
{
    api_answer_change(call, status, object_json_forward(forward));
    call->answer.etag = forward->generation;
}

/* The first forward after this name that the query asks for. */
static const struct service_forward *next_wanted(struct api_call *call, const char *after)
{
    const struct service_forward *forward = service_next_forward(call->service, after);
    while (forward != NULL && !api_filter_forward(&call->query, forward))
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

/* Reads a definition and frees the JSON, which may be NULL: then the problem is filled already. */
static int read_forward(struct api_call *call, cJSON *json, struct spec_forward *spec)
{
    if (json == NULL)
        return -1;
    int rc = spec_forward_from_json(json, spec, &call->problem.errors);
    json_free(json);
    return rc == 0 ? 0
                   : problem_set(&call->problem, "validation",
                                 "the forward's definition has %zu error(s)",
                                 call->problem.errors.count);
}

/* The generation of what has the name in the path, be it readable or not; 0 = there is nothing. */
static uint64_t find_generation(struct api_call *call)
{
    const struct service_forward *present = service_find_forward(call->service, call->name);
    return present != NULL
               ? present->generation
               : service_unreadable_generation(call->service, UNREADABLE_FORWARD, call->name);
}

typedef int create_operation(struct service *service, struct spec_forward *spec,
                             const struct service_forward **out, struct problem *problem);

static int create_forward(struct api_call *call, cJSON *json, create_operation *create)
{
    struct spec_forward spec;
    const struct service_forward *forward;
    if (read_forward(call, json, &spec) < 0 ||
        create(call->service, &spec, &forward, &call->problem) < 0)
        return -1;
    answer_change(call, 201, forward);
    snprintf(call->answer.location, sizeof(call->answer.location), "/v1/forwards/%s",
             forward->spec.name);
    return 0;
}

static int update_forward(struct api_call *call, cJSON *json)
{
    struct spec_forward spec;
    const struct service_forward *forward;
    if (read_forward(call, json, &spec) < 0 ||
        service_update_forward(call->service, &spec, &forward, &call->problem) < 0)
        return -1;
    answer_change(call, 200, forward);
    return 0;
}

int api_create_forward(struct api_call *call)
{
    return create_forward(call, api_call_read_json(call), service_create_forward);
}

int api_put_forward(struct api_call *call)
{
    const struct service_forward *present = service_find_forward(call->service, call->name);
    if (api_precondition_check(call, find_generation(call)) < 0)
        return -1;
    cJSON *json = api_document_put(call);
    return present != NULL ? update_forward(call, json)
                           : create_forward(call, json, service_put_forward);
}

int api_patch_forward(struct api_call *call)
{
    const struct service_forward *present = service_find_forward(call->service, call->name);
    if (present == NULL)
        return service_not_found(call->service, UNREADABLE_FORWARD, call->name, &call->problem);
    if (api_precondition_check(call, present->generation) < 0)
        return -1;
    return update_forward(call, api_document_patch(call, spec_forward_to_json(&present->spec)));
}

int api_get_forward(struct api_call *call)
{
    const struct service_forward *forward = service_find_forward(call->service, call->name);
    if (forward == NULL)
        return service_not_found(call->service, UNREADABLE_FORWARD, call->name, &call->problem);
    return answer_forward(call, forward);
}

int api_delete_forward(struct api_call *call)
{
    uint64_t generation = find_generation(call);
    if (generation != 0 && api_precondition_check(call, generation) < 0)
        return -1;
    if (service_delete_forward(call->service, call->name, &call->problem) < 0)
        return -1;
    call->answer.status = 204;
    return 0;
}
