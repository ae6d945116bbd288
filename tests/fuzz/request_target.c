/*
 * "METHOD target" of a request: the router, percent-decoding and the query's parameters. What a
 * route says of its path is so, and every refusal is a problem with a status.
 */
#include "tests/fuzz/fuzz.h"

#include "api/query.h"
#include "api/rfc3339.h"
#include "api/router.h"
#include "api/uri.h"

#include <errno.h>

static void check_decoding(const char *text)
{
    size_t size = strlen(text);
    char *out = malloc(size + 1);
    fuzz_check(out);
    int rc = uri_decode(text, size, out, size + 1);
    fuzz_check(rc == 0 || rc == -EINVAL); /* decoding makes nothing longer */
    if (rc == 0) {
        size_t len = strlen(out);
        fuzz_check(len <= size);
        for (size_t i = 0; i < len; i++)
            fuzz_check(out[i] >= 0x20 && out[i] < 0x7f);
        fuzz_check(uri_decode(text, size, out, len) == -ENAMETOOLONG); /* exactly that much */
    }
    free(out);
}

static void check_problem(const struct problem *problem)
{
    fuzz_check(problem->status >= 400 && problem->status < 600);
    fuzz_check(problem->code && problem->title && problem->detail[0] != '\0');
}

static void check_query(char *text, unsigned allowed)
{
    static struct problem problem;
    struct query query;
    char *rest = NULL;

    problem = (struct problem){0};
    query_init(&query);
    for (char *pair = strtok_r(text, "&", &rest); pair; pair = strtok_r(NULL, "&", &rest)) {
        char *value = strchr(pair, '=');
        if (value)
            *value++ = '\0';
        query_read(&query, allowed, pair, value, &problem);
    }
    if (problem.status != 0) {
        check_problem(&problem);
        return;
    }
    fuzz_check((query.present & ~allowed) == 0);
    fuzz_check(query.limit >= 1 && query.limit <= QUERY_LIMIT_MAX);
    fuzz_check(query.cursor[0] == '\0' || spec_name_valid(query.cursor));
    fuzz_check(query.tunnel[0] == '\0' || spec_name_valid(query.tunnel));
    fuzz_check(query.name[0] == '\0' || spec_name_valid(query.name));
}

static const struct api_route *check_route(const char *method, const char *path)
{
    static struct problem problem;
    struct api_match match = {0};

    problem = (struct problem){0};
    if (api_router_find(api_routes, method, path, &match, &problem) != 0) {
        check_problem(&problem);
        fuzz_check((problem.status == 405) == (match.allow[0] != '\0'));
        return NULL;
    }
    const struct api_route *route = match.route;
    fuzz_check(strcmp(route->method, method) == 0 ||
               (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0));
    fuzz_check((strstr(route->path, "{peer}") != NULL) == (match.peer[0] != '\0'));
    if (strstr(route->path, "{name}"))
        fuzz_check(spec_name_valid(match.name));
    else if (!strstr(route->path, "{file}"))
        fuzz_check(match.name[0] == '\0');
    fuzz_check(strchr(match.name, '/') == NULL);
    return route;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    struct timespec time;
    uint64_t id;

    check_decoding(text);
    if (query_event_id_parse(text, &id))
        fuzz_check(id < UINT64_C(1000000000000000000));
    if (rfc3339_parse(text, &time) == 0)
        fuzz_check(time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
    char *path = strchr(text, ' ');
    if (path) {
        *path++ = '\0';
        char *query = strchr(path, '?');
        if (query)
            *query++ = '\0';
        const struct api_route *route = check_route(text, path);
        if (query)
            check_query(query, route ? route->query : UINT32_MAX);
    }
    free(text);
    return 0;
}
