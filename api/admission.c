/*
 * admission: the checks, each a function, in the order of the header.
 */
#include "api/admission.h"

#include "api/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    size_t offset;
    bool is_list; /* may come more than once */
} known_headers[] = {
    {"Host", offsetof(struct api_headers, host), false},
    {"Origin", offsetof(struct api_headers, origin), false},
    {"Sec-Fetch-Site", offsetof(struct api_headers, sec_fetch_site), false},
    {"Authorization", offsetof(struct api_headers, authorization), false},
    {"Content-Type", offsetof(struct api_headers, content_type), false},
    {"Content-Encoding", offsetof(struct api_headers, content_encoding), false},
    {"Content-Length", offsetof(struct api_headers, content_length), false},
    {"Transfer-Encoding", offsetof(struct api_headers, transfer_encoding), false},
    {"Expect", offsetof(struct api_headers, expect), false},
    {"If-Match", offsetof(struct api_headers, if_match), false},
    {"If-None-Match", offsetof(struct api_headers, if_none_match), false},
    {"Last-Event-ID", offsetof(struct api_headers, last_event_id), false},
    {"Accept", offsetof(struct api_headers, accept), true},
};

void api_headers_add(struct api_headers *headers, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof(known_headers) / sizeof(known_headers[0]); i++) {
        if (strcasecmp(name, known_headers[i].name) != 0)
            continue;
        const char **place = (const char **)(void *)((char *)headers + known_headers[i].offset);
        if (*place != NULL && !known_headers[i].is_list)
            headers->repeated = true;
        if (*place == NULL)
            *place = value != NULL ? value : "";
        return;
    }
}

uint64_t api_head_body_len(const struct api_head *head)
{
    if (head->headers.transfer_encoding != NULL)
        return API_BODY_UNANNOUNCED;
    if (head->headers.content_length == NULL)
        return 0;
    /* The transport has refused what is not a number; what is too large a one is the largest. */
    unsigned long long len = strtoull(head->headers.content_length, NULL, 10);
    return len < API_BODY_UNANNOUNCED ? len : API_BODY_UNANNOUNCED - 1;
}

/* What has consequences may be asked for by no page but ours. */
static int check_origin(const struct api_headers *headers, struct problem *problem)
{
    if (guard_fetch_site_allowed(headers->sec_fetch_site) &&
        guard_origin_allowed(headers->origin, headers->host))
        return 0;
    return problem_set(problem, "origin_not_allowed",
                       "a page of another web site may not do this here");
}

static int check_form(const struct api_access *access, const struct api_head *head,
                      struct problem *problem)
{
    const struct api_headers *headers = &head->headers;
    if (headers->repeated)
        return problem_set(problem, "bad_request", "a header is given more than once");
    /* A probe of HTTP/1.0 sends none; a web page that is led here by its name always does. */
    if (headers->host == NULL && head->caller != API_CALLER_PROBE)
        return problem_set(problem, "bad_request", "the Host header is missing");
    if (headers->transfer_encoding != NULL &&
        (headers->content_length != NULL || strcasecmp(headers->transfer_encoding, "chunked") != 0))
        return problem_set(problem, "bad_request",
                           "Transfer-Encoding may only be chunked, without Content-Length");
    if ((head->caller == API_CALLER_TCP || head->caller == API_CALLER_PROBE) &&
        headers->host != NULL &&
        !guard_host_allowed(headers->host, access->allowed_hosts, access->allowed_hosts_count))
        return problem_set(problem, "host_not_allowed",
                           "call it by an IP address, as localhost, or by a name that the "
                           "service was told to allow with --allowed-host");
    return api_method_is_safe(head->method) ? 0 : check_origin(headers, problem);
}

static void identify(struct api_match *match, enum api_role role, const char *kind,
                     const char *name)
{
    match->role = role;
    snprintf(match->actor, sizeof(match->actor), "%s%s", kind, name);
}

static int check_token(const struct api_access *access, const struct api_head *head,
                       struct api_match *match, struct problem *problem)
{
    struct timespec now;
    struct timespec monotonic;
    const char *authorization = head->headers.authorization;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    uint64_t seconds = (uint64_t)monotonic.tv_sec;
    if (authorization != NULL)
        match->retry_seconds = guess_limit_wait(access->guesses, &head->address, seconds);
    if (match->retry_seconds > 0)
        return problem_set(problem, "too_many_attempts",
                           "wait %u seconds; until then no token from there is looked at",
                           match->retry_seconds);
    const struct token *token = tokens_authenticate(access->tokens, authorization, &now);
    if (token == NULL && authorization == NULL)
        return problem_set(problem, "unauthorized",
                           "send the header \"Authorization: Bearer <token>\"; the first token is "
                           "in the file admin.token of the service's data folder");
    if (token == NULL) {
        guess_limit_failed(access->guesses, &head->address, seconds);
        return problem_set(problem, "unauthorized",
                           "what the header Authorization holds is not \"Bearer\" and a token of "
                           "this service that has not ended");
    }
    guess_limit_succeeded(access->guesses, &head->address, seconds);
    identify(match, token->role, "token:", token->name);
    match->lease = token_lease_of(token);
    return 0;
}

/* Whether it asks for what needs no token. */
static bool is_open(const struct api_head *head)
{
    struct api_match match;
    struct problem ignored = {0};
    return api_router_find(api_routes, head->method, head->path, &match, &ignored) == 0 &&
           match.route->role == API_ROLE_NOBODY;
}

static int find_caller(const struct api_access *access, const struct api_head *head,
                       struct api_match *match, struct problem *problem)
{
    switch (head->caller) {
    case API_CALLER_OWNER: {
        char uid[24];
        snprintf(uid, sizeof(uid), "%ju", (uintmax_t)head->uid);
        identify(match, API_ROLE_ADMIN, "uid:", uid);
        return 0;
    }
    case API_CALLER_STRANGER:
        return problem_set(problem, "forbidden",
                           "this socket is for the user that the service runs as, and root");
    case API_CALLER_PROBE:
        identify(match, API_ROLE_NOBODY, "anonymous", "");
        return 0;
    case API_CALLER_TCP:
        break;
    }
    if (!access->auth_none && !is_open(head))
        return check_token(access, head, match, problem);
    identify(match, access->auth_none ? API_ROLE_ADMIN : API_ROLE_NOBODY, "anonymous", "");
    return 0;
}

static int check_media_type(const struct api_route *route, const struct api_head *head,
                            struct problem *problem)
{
    const char *type = head->headers.content_type;
    const char *wanted = NULL;
    bool patches = strcmp(route->method, "PATCH") == 0;
    switch (route->body) {
    case API_NO_BODY:
        break;
    case API_JSON_BODY:
    case API_CONFIG_BODY:
        if (!guard_is_json(type) && !(patches && guard_is_merge_patch(type)))
            wanted = patches ? "application/merge-patch+json" : "application/json";
        break;
    case API_TEXT_BODY:
        wanted = guard_is_text(type) ? NULL : "text/plain";
        break;
    }
    return wanted == NULL ? 0
                          : problem_set(problem, "unsupported_media_type",
                                        "send the header \"Content-Type: %s\"", wanted);
}

size_t api_route_body_max(const struct api_route *route)
{
    return route->body == API_CONFIG_BODY ? API_CONFIG_BODY_MAX : API_BODY_MAX;
}

static int check_body(const struct api_route *route, const struct api_head *head,
                      struct problem *problem)
{
    uint64_t len = api_head_body_len(head);
    if (route->body == API_NO_BODY)
        return len == 0 ? 0 : problem_set(problem, "bad_request", "this request takes no body");
    size_t max = api_route_body_max(route);
    if (len > max && len != API_BODY_UNANNOUNCED)
        return problem_set(problem, "too_large", "a body may have at most %zu bytes", max);
    if (check_media_type(route, head, problem) < 0)
        return -1;
    if (head->headers.content_encoding != NULL &&
        strcasecmp(head->headers.content_encoding, "identity") != 0)
        return problem_set(problem, "unsupported_media_type", "the body must not be encoded");
    return 0;
}

int api_admit(const struct api_access *access, const struct api_head *head, struct api_match *match,
              struct problem *problem)
{
    const struct api_route *routes =
        head->caller == API_CALLER_PROBE ? api_health_routes : api_routes;
    *match = (struct api_match){0};
    if (check_form(access, head, problem) < 0 || find_caller(access, head, match, problem) < 0 ||
        api_router_find(routes, head->method, head->path, match, problem) < 0)
        return -1;
    if (match->role < match->route->role)
        return problem_set(problem, "forbidden",
                           "this needs the role \"%s\"; the caller has \"%s\"",
                           api_role_name(match->route->role), api_role_name(match->role));
    /* A capture is a GET, and yet nothing that a link should begin. */
    if (match->route->role == API_ROLE_ADMIN && check_origin(&head->headers, problem) < 0)
        return -1;
    return check_body(match->route, head, problem);
}
