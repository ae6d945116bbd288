/*
 * router: which handler a method and a path lead to, and which role that needs. What is not in the
 * table does not exist.
 */
#ifndef MANYTUN_API_ROUTER_H
#define MANYTUN_API_ROUTER_H

#include "api/call.h"
#include "api/tokens.h"
#include "server/events.h"

#include <stdbool.h>

/* What a request carries, required where there is something. */
enum api_body {
    API_NO_BODY,
    API_JSON_BODY,   /* of a PATCH also a JSON Merge Patch */
    API_CONFIG_BODY, /* JSON of up to API_CONFIG_BODY_MAX */
    API_TEXT_BODY,   /* text/plain, which an HTML form can send too, but only with POST */
};

struct api_route {
    const char *method; /* GET also answers HEAD */
    const char *path; /* "{name}" and "{peer}" stand for names of objects, "{file}" for a file's */
    enum api_role role; /* the least that may call it; API_ROLE_NOBODY needs no token */
    unsigned query;     /* enum query_parameter, those that it takes */
    enum api_body body;
    int (*handle)(struct api_call *call); /* 0 with the answer, or -1 with the problem, filled */
};

/* The tables (routes.c), each ended by a NULL method. */
extern const struct api_route api_routes[];
extern const struct api_route api_health_routes[]; /* of the health listeners */

struct api_match {
    const struct api_route *route;
    char name[SPEC_NAME_MAX + 1];     /* what {name} or {file} stood for */
    char peer[SPEC_NAME_MAX + 1];     /* … and {peer}; "" = not in the path */
    enum api_role role;               /* the caller's, filled by api_admit() … */
    char actor[EVENTS_ACTOR_MAX + 1]; /* … and who it is, see events_set_actor() */
    struct token_lease lease;         /* … by which token */
    char allow[64];                   /* "GET, HEAD, POST" where the path exists */
    unsigned retry_seconds;           /* when too many wrong tokens came: how long to wait */
};

/* Fills route, name, peer and allow. 0, or -1 with *problem filled: not_found, method_not_allowed
 * (then allow), not_implemented. */
int api_router_find(const struct api_route *routes, const char *method, const char *path,
                    struct api_match *match, struct problem *problem);

/* Whether the method changes nothing. */
bool api_method_is_safe(const char *method);

#endif
