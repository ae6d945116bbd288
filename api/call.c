/*
 * call: building answers.
 */
#include "api/call.h"

#include "api/capture_stream.h"
#include "api/event_stream.h"
#include "api/json_add.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest path that a problem repeats. */
#define INSTANCE_MAX 256

void api_body_free(void *body)
{
    if (body != NULL)
        sodium_memzero(body, malloc_usable_size(body));
    free(body);
}

void api_answer_fini(struct api_answer *answer)
{
    event_stream_free(answer->stream);
    capture_stream_free(answer->capture);
    api_body_free(answer->body);
    *answer = (struct api_answer){0};
}

/* Takes json. A final newline is for people at a terminal. */
static int set_json_body(struct api_answer *answer, int status, const char *content_type,
                         cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);
    json_free(json);
    if (text == NULL)
        return -ENOMEM;
    size_t len = strlen(text) + 1;
    char *body = malloc(len + 1);
    if (body != NULL)
        snprintf(body, len + 1, "%s\n", text);
    sodium_memzero(text, strlen(text));
    cJSON_free(text);
    if (body == NULL)
        return -ENOMEM;
    api_answer_fini(answer);
    answer->status = status;
    answer->content_type = content_type;
    answer->body = body;
    answer->body_len = len;
    return 0;
}

int api_answer_json(struct api_call *call, int status, cJSON *json)
{
    if (json == NULL || set_json_body(&call->answer, status, "application/json", json) < 0)
        return problem_set(&call->problem, "exhausted", "out of memory");
    return 0;
}

void api_answer_change(struct api_call *call, int status, cJSON *json)
{
    if (json != NULL && set_json_body(&call->answer, status, "application/json", json) == 0)
        return;
    log_warn("a change was made, and is answered without a body: out of memory");
    api_answer_fini(&call->answer);
    call->answer.status = status == 200 ? 204 : status;
}

/* A path is repeated only when it is plain text: it comes from outside. */
static bool is_repeatable(const char *path)
{
    size_t len = 0;
    for (; path[len] != '\0'; len++) {
        if (len == INSTANCE_MAX || path[len] <= 0x20 || path[len] >= 0x7f)
            return false;
    }
    return len > 0;
}

static bool fill_problem(cJSON *json, const struct problem *problem, const char *request_id,
                         const char *instance)
{
    char type[64];
    snprintf(type, sizeof(type), "/problems/%s", problem->code);
    return cJSON_AddStringToObject(json, "type", type) != NULL &&
           cJSON_AddStringToObject(json, "title", problem->title) != NULL &&
           cJSON_AddNumberToObject(json, "status", problem->status) != NULL &&
           cJSON_AddStringToObject(json, "detail", problem->detail) != NULL &&
           (instance == NULL || !is_repeatable(instance) ||
            cJSON_AddStringToObject(json, "instance", instance) != NULL) &&
           (request_id == NULL ||
            cJSON_AddStringToObject(json, "request_id", request_id) != NULL) &&
           (problem->errors.count == 0 || json_add_errors(json, "errors", &problem->errors));
}

int api_answer_problem(struct api_call *call, const char *request_id, const char *instance)
{
    cJSON *json = cJSON_CreateObject();
    if (json == NULL || !fill_problem(json, &call->problem, request_id, instance)) {
        cJSON_Delete(json);
        return -ENOMEM;
    }
    return set_json_body(&call->answer, call->problem.status, "application/problem+json", json);
}

cJSON *api_call_read_json(struct api_call *call)
{
    struct json_error error;
    cJSON *json = json_read_bounded(call->body, call->body_len, API_VALUES_MAX, &error);
    if (json == NULL && error.no_memory)
        problem_set(&call->problem, "exhausted", "out of memory");
    else if (json == NULL && error.too_large)
        problem_set(&call->problem, "too_large", "a body may have at most %d JSON values",
                    API_VALUES_MAX);
    else if (json == NULL)
        problem_set(&call->problem, "invalid_json", "at byte %zu: %s", error.offset, error.detail);
    return json;
}
