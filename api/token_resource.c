/*
 * token_resource: /v1/tokens. A token's text is in the answer to the request that makes it, and
 * nowhere else.
 */
#include "api/handlers.h"
#include "api/json_add.h"
#include "api/page.h"
#include "api/rfc3339.h"
#include "api/tokens.h"
#include "base/json.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* --- Output ----------------------------------------------------------------------------------- */

static bool add_time(cJSON *json, const char *name, const struct timespec *time)
{
    return time->tv_sec == 0 || json_add_time(json, name, time);
}

static cJSON *print_token(const struct token *token)
{
    cJSON *json = cJSON_CreateObject();
    if (json != NULL && json_add_string(json, "name", token->name) &&
        json_add_string(json, "role", api_role_name(token->role)) &&
        json_add_time(json, "created_at", &token->created_at) &&
        add_time(json, "expires_at", &token->expires_at) &&
        add_time(json, "last_used_at", &token->last_used_at))
        return json;
    cJSON_Delete(json);
    return NULL;
}

/* --- Input ------------------------------------------------------------------------------------ */

struct input {
    const char *name;
    enum api_role role;
    struct timespec expires_at;
};

static const char *read_name(struct input *input, const char *value)
{
    input->name = value;
    return spec_name_valid(value) ? NULL
                                  : "must be 1 to 63 of a-z, 0-9 and -, not with - first or last";
}

static const char *read_role(struct input *input, const char *value)
{
    for (enum api_role role = API_ROLE_READ; role <= API_ROLE_ADMIN; role++) {
        if (strcmp(value, api_role_name(role)) == 0) {
            input->role = role;
            return NULL;
        }
    }
    return "must be \"read\" or \"admin\"";
}

static const char *read_expiry(struct input *input, const char *value)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (rfc3339_parse(value, &input->expires_at) < 0)
        return "must be a time such as 2030-01-31T12:00:00Z";
    if (input->expires_at.tv_sec >= STORE_TIME_SECONDS_END)
        return "must be before 2262-04-11T23:47:16Z; leave it out for a token that never expires";
    return input->expires_at.tv_sec > now.tv_sec ? NULL : "must be in the future";
}

static const struct field {
    const char *name;
    bool required;
    const char *code;                                            /* of what read() finds wrong */
    const char *(*read)(struct input *input, const char *value); /* NULL, or what is wrong */
} fields[] = {
    {"name", true, "invalid_name", read_name},
    {"role", true, "invalid_value", read_role},
    {"expires_at", false, "invalid_time", read_expiry},
};

static const struct field *find_field(const char *name)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    }
    return NULL;
}

static void read_field(const cJSON *json, const struct field *field, struct input *input,
                       struct spec_errors *errors)
{
    const cJSON *value = json_member(json, field->name);
    char pointer[32];
    snprintf(pointer, sizeof(pointer), "/%s", field->name);
    if (value == NULL) {
        if (field->required)
            spec_errors_add(errors, pointer, "required", "is required");
    } else if (!cJSON_IsString(value)) {
        spec_errors_add(errors, pointer, "invalid_type", "must be a string");
    } else {
        const char *wrong = field->read(input, value->valuestring);
        if (wrong != NULL)
            spec_errors_add(errors, pointer, field->code, "%s", wrong);
    }
}

/* What it reads points into json. 0, or -1 with the problem filled. */
static int read_input(const cJSON *json, struct input *input, struct problem *problem)
{
    struct spec_errors *errors = &problem->errors;
    if (!cJSON_IsObject(json))
        spec_errors_add(errors, "", "invalid_type", "must be an object");
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && cJSON_IsObject(json); i++)
        read_field(json, &fields[i], input, errors);
    for (const cJSON *item = cJSON_IsObject(json) ? json->child : NULL; item != NULL;
         item = item->next) {
        char pointer[sizeof(errors->items[0].pointer)] = "";
        if (find_field(item->string) != NULL)
            continue;
        json_pointer_append(pointer, sizeof(pointer), item->string);
        spec_errors_add(errors, pointer, "unknown_field", "there is no such field");
    }
    return errors->count == 0
               ? 0
               : problem_set(problem, "validation", "the token's definition has %zu error(s)",
                             errors->count);
}

/* --- Handlers --------------------------------------------------------------------------------- */

static int refuse(struct api_call *call, int rc, const char *name)
{
    struct problem *problem = &call->problem;
    switch (rc) {
    case -EEXIST:
        spec_errors_add(&problem->errors, "/name", "name_taken", "the name is taken");
        return problem_set(problem, "name_taken", "there is a token \"%s\" already", name);
    case -ENOENT:
        return problem_set(problem, "not_found", "there is no token \"%s\"", name);
    case -E2BIG:
        return problem_set(problem, "limit_reached", "there are %d tokens already", TOKENS_MAX);
    case -ENOMEM:
        return problem_set(problem, "exhausted", "out of memory");
    default:
        return problem_set(problem, "storage", "the database refused the change: %.180s",
                           store_error(call->tokens->store));
    }
}

int api_list_tokens(struct api_call *call)
{
    struct api_page page;
    if (api_page_init(&page, &call->query) < 0)
        return problem_set(&call->problem, "exhausted", "out of memory");
    const struct token *token = tokens_next(call->tokens, call->query.cursor);
    while (token != NULL && api_page_wants(&page, token->name, 1)) {
        if (api_page_add(&page, print_token(token)) < 0)
            break;
        token = tokens_next(call->tokens, token->name);
    }
    return api_page_answer(&page, call);
}

int api_get_token(struct api_call *call)
{
    const struct token *token = tokens_find(call->tokens, call->name);
    if (token == NULL)
        return refuse(call, -ENOENT, call->name);
    return api_answer_json(call, 200, print_token(token));
}

static int answer_created(struct api_call *call, const struct token *token,
                          const char text[TOKEN_TEXT])
{
    cJSON *json = print_token(token);
    if (json != NULL && !json_add_string(json, "token", text)) {
        json_free(json);
        json = NULL;
    }
    if (api_answer_json(call, 201, json) < 0)
        return -1;
    snprintf(call->answer.location, sizeof(call->answer.location), "/v1/tokens/%s", token->name);
    return 0;
}

static int create(struct api_call *call, const cJSON *json)
{
    struct input input = {0};
    if (read_input(json, &input, &call->problem) < 0)
        return -1;
    const struct token *token;
    char text[TOKEN_TEXT];
    int rc = tokens_create(call->tokens, input.name, input.role, &input.expires_at, &token, text);
    if (rc < 0)
        return refuse(call, rc, input.name);
    rc = answer_created(call, token, text);
    sodium_memzero(text, sizeof(text));
    /* A token that nobody was told is of no use. */
    if (rc < 0)
        tokens_delete(call->tokens, input.name);
    return rc;
}

int api_create_token(struct api_call *call)
{
    cJSON *json = api_call_read_json(call);
    if (json == NULL)
        return -1;
    int rc = create(call, json);
    json_free(json);
    return rc;
}

int api_delete_token(struct api_call *call)
{
    const struct token *token = tokens_find(call->tokens, call->name);
    /* Over the Unix socket the owner can always make another one. */
    if (token != NULL && call->caller == API_CALLER_TCP &&
        tokens_is_last_admin(call->tokens, token))
        return problem_set(&call->problem, "last_admin_token",
                           "no other token has the role \"admin\" and never expires: make one "
                           "first, or delete this one over the Unix socket");
    int rc = tokens_delete(call->tokens, call->name);
    if (rc < 0)
        return refuse(call, rc, call->name);
    call->answer.status = 204;
    return 0;
}
