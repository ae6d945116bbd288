/*
 * router: matching by segments.
 */
#include "api/router.h"

#include "api/uri.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum segment_match { SEGMENT_OTHER, SEGMENT_SAME, SEGMENT_MALFORMED };

/* A file's name: lower-case letters, digits, '-' and '.', not at its start. */
static bool is_file_name(const char *text)
{
    return *text != '.' && *text != '\0' &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.")] == '\0';
}

/* One segment of a path against one of a template. */
static enum segment_match match_segment(const char *text, size_t len, const char *template,
                                        size_t template_len, char name[SPEC_NAME_MAX + 1])
{
    char decoded[SPEC_NAME_MAX + 1];
    int rc = uri_decode(text, len, decoded, sizeof(decoded));
    if (rc == -EINVAL)
        return SEGMENT_MALFORMED;
    if (rc < 0)
        return SEGMENT_OTHER;
    if (strchr(decoded, '/') != NULL) /* that was encoded: no segment has one */
        return SEGMENT_MALFORMED;
    if (template[0] == '{') {
        bool is_file =
            template_len == strlen("{file}") && memcmp(template, "{file}", template_len) == 0;
        if (is_file ? !is_file_name(decoded) : !spec_name_valid(decoded))
            return SEGMENT_OTHER;
        memcpy(name, decoded, sizeof(decoded));
        return SEGMENT_SAME;
    }
    return strlen(decoded) == template_len && memcmp(decoded, template, template_len) == 0
               ? SEGMENT_SAME
               : SEGMENT_OTHER;
}

/* Where the name goes that a segment of a template stands for. */
static char *name_of(struct api_match *match, const char *template)
{
    return strncmp(template, "{peer}", strlen("{peer}")) == 0 ? match->peer : match->name;
}

static bool match_path(const char *path, const char *template, struct api_match *match)
{
    while (*path == '/' && *template == '/') {
        path++;
        template ++;
        size_t len = strcspn(path, "/");
        size_t template_len = strcspn(template, "/");
        if (match_segment(path, len, template, template_len, name_of(match, template)) !=
            SEGMENT_SAME)
            return false;
        path += len;
        template += template_len;
    }
    return *path == '\0' && *template == '\0';
}

static bool is_malformed(const char *path)
{
    if (*path != '/')
        return true;
    while (*path == '/') {
        path++;
        size_t len = strcspn(path, "/");
        char name[SPEC_NAME_MAX + 1];
        if (match_segment(path, len, "", 0, name) == SEGMENT_MALFORMED)
            return true;
        path += len;
    }
    return false;
}

static void add_allowed(char *allow, size_t size, const char *method)
{
    size_t used = strlen(allow);
    snprintf(allow + used, size - used, "%s%s%s", used > 0 ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

static bool is_known_method(const char *method)
{
    static const char *const known[] = {"GET",    "HEAD",    "POST",  "PUT",     "PATCH",
                                        "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i], method) == 0)
            return true;
    }
    return false;
}

bool api_method_is_safe(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

int api_router_find(const struct api_route *routes, const char *method, const char *path,
                    struct api_match *match, struct problem *problem)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    match->route = NULL;
    match->name[0] = '\0';
    match->peer[0] = '\0';
    match->allow[0] = '\0';
    if (!is_known_method(method))
        return problem_set(problem, "not_implemented", "this server does not know the method");
    if (is_malformed(path))
        return problem_set(problem, "bad_request", "the path is malformed");
    for (const struct api_route *route = routes; route->method != NULL; route++) {
        if (!match_path(path, route->path, match))
            continue;
        add_allowed(match->allow, sizeof(match->allow), route->method);
        if (strcmp(route->method, wanted) == 0)
            match->route = route;
    }
    if (match->route != NULL)
        return 0;
    if (match->allow[0] != '\0')
        return problem_set(problem, "method_not_allowed", "the methods here are: %s", match->allow);
    return problem_set(problem, "not_found", "nothing is served under this path: see openapi.yaml");
}
