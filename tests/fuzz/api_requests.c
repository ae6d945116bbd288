/*
 * Requests to the API, through its real handlers: each is a line "METHOD target" and a body of any
 * form, and a NUL ends it. Every answer is one of the API, never 500; a refusal is a complete
 * problem; and what was acknowledged is there after a restart, to the letter.
 */
#include "tests/fuzz/api.h"

#define REQUESTS_MAX 4

/* The type that the route wants, so that the body is looked at. */
static const char *type_for(const char *line)
{
    if (strncmp(line, "PATCH ", 6) == 0)
        return "application/merge-patch+json";
    if (strstr(line, "/v1/tunnels/") && strstr(line, "/config"))
        return "text/plain";
    return "application/json";
}

/* A line that is a request's; what is none is the business of the target http_bytes. */
static bool line_is_plain(const char *line)
{
    const char *space = strchr(line, ' ');
    for (const char *c = line; *c; c++)
        if (*c <= ' ' && c != space)
            return false;
    return space && space > line && space[1] == '/' && !strstr(line, "/capture") &&
           strlen(line) < 512;
}

static void check_problem_of(const struct answer *answer)
{
    struct json_error error;
    cJSON *problem = json_read(answer->body, strlen(answer->body), &error);
    const cJSON *status = json_member(problem, "status");
    fuzz_check(cJSON_IsNumber(status) && status->valueint == answer->status);
    fuzz_check(strlen(text_of(problem, "type")) > 0 && strlen(text_of(problem, "detail")) > 0);
    json_free(problem);
}

static void send_request(char *line)
{
    char *body = strchr(line, '\n');
    if (body)
        *body++ = '\0';
    if (!line_is_plain(line))
        return;
    const size_t len = body ? strlen(body) : 0;
    struct answer answer = api_world_call(line, len ? type_for(line) : NULL, len ? body : "", len);
    fuzz_check(answer.status >= 200 && answer.status < 600 && answer.status != 500);
    if (answer.status >= 400 && strncmp(line, "HEAD ", 5) != 0)
        check_problem_of(&answer);
    free(answer.text);
}

static void check_restart(void)
{
    struct answer before = api_world_config();
    stop();
    start(true);
    struct answer after = api_world_config();
    fuzz_check(strcmp(before.body, after.body) == 0);
    free(before.text);
    free(after.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!fx.base)
        api_world_start();
    char *text = fuzz_text(data, size);
    char *request = text;
    for (int i = 0; i < REQUESTS_MAX && request < text + size; i++) {
        char *next = request + strlen(request) + 1;
        send_request(request);
        request = next;
    }
    if (size % 4 == 0)
        check_restart();
    else
        free(api_world_config().text);
    free(text);
    api_world_empty();
    return 0;
}
