/*
 * problem: the table of every problem there is. Codes are stable API; so are their statuses.
 */
#include "server/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *code;
    int status;
    const char *title;
} kinds[] = {
    /* The last entry is what an unknown code becomes. */
    {"bad_request", 400, "The request is malformed"},
    {"invalid_json", 400, "The body is not valid JSON"},
    {"unknown_parameter", 400, "There is no such query parameter"},
    {"invalid_parameter", 400, "A query parameter is not valid"},
    {"unauthorized", 401, "A valid token is required"},
    {"forbidden", 403, "The caller may not do this"},
    {"host_not_allowed", 403, "The Host header names a host that is not served"},
    {"origin_not_allowed", 403, "Requests from other web sites are refused"},
    {"not_found", 404, "There is no such thing"},
    {"method_not_allowed", 405, "The method is not allowed here"},
    {"name_taken", 409, "The name is taken"},
    {"address_in_use", 409, "The address is in use"},
    {"address_not_available", 409, "The address is not available on this host"},
    {"permission_denied", 409, "The host does not permit this port"},
    {"overlap", 409, "Another peer has this already"},
    {"in_use", 409, "The object is in use"},
    {"not_running", 409, "The object is not running"},
    {"last_admin_token", 409, "Nobody could administer the service over TCP any more"},
    {"limit_reached", 409, "There are as many as there may be"},
    {"managed_by_file", 409, "The object is defined by a file"},
    {"cursor_expired", 410, "The events after this one are not kept any more"},
    {"precondition_failed", 412, "The object is not as the request demands"},
    {"too_large", 413, "The body is too large"},
    {"unsupported_media_type", 415, "The body is not of the media type that is wanted here"},
    {"validation", 422, "The definition is not valid"},
    {"too_many_attempts", 429, "Too many wrong tokens came from this address"},
    {"not_implemented", 501, "The method is not known"},
    {"draining", 503, "The service is ending or being replaced"},
    {"exhausted", 503, "The host's or the program's resources are exhausted"},
    {"storage", 507, "The definition could not be stored"},
    {"internal", 500, "Something went wrong here"},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int problem_set(struct problem *problem, const char *code, const char *format, ...)
{
    size_t i = 0;
    while (i < KINDS - 1 && strcmp(kinds[i].code, code) != 0)
        i++;
    problem->status = kinds[i].status;
    problem->code = kinds[i].code;
    problem->title = kinds[i].title;
    va_list args;
    va_start(args, format);
    vsnprintf(problem->detail, sizeof(problem->detail), format, args);
    va_end(args);
    return -1;
}
