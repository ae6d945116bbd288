/*
 * admission: whether a request is let through to its handler, judged by its head alone.
 *
 * In this order, so that a caller learns nothing that it may not: malformed or foreign requests,
 * the token, then the path and method, the role, the query, and what the head says of the body.
 */
#ifndef MANYTUN_API_ADMISSION_H
#define MANYTUN_API_ADMISSION_H

#include "api/guess_limit.h"
#include "api/router.h"
#include "api/tokens.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The largest body that is read. */
#define API_BODY_MAX (1 << 20)
/* The same where a whole configuration is sent. */
#define API_CONFIG_BODY_MAX (16 << 20)
/* All bodies that are being received, together; whoever would pass it is to try again (503). */
#define API_BODIES_MAX (64 << 20)

/* The headers that are looked at; NULL = absent. */
struct api_headers {
    const char *host;
    const char *origin;
    const char *sec_fetch_site;
    const char *authorization;
    const char *content_type;
    const char *content_encoding;
    const char *content_length;
    const char *transfer_encoding;
    const char *expect;
    const char *if_match;
    const char *if_none_match;
    const char *accept; /* the first one, if it came more than once */
    const char *last_event_id;
    bool repeated; /* one of these came twice */
};

/* Notes one header of a request. */
void api_headers_add(struct api_headers *headers, const char *name, const char *value);

/* Who may call; shared by all listeners. */
struct api_access {
    struct tokens *tokens;
    struct guess_limit *guesses;
    bool auth_none;
    const char *const *allowed_hosts;
    size_t allowed_hosts_count;
};

struct api_head {
    enum api_caller caller;
    const char *method;
    const char *path;
    struct api_headers headers;
    uid_t uid;                /* whose process calls over the Unix socket */
    struct inet_addr address; /* from where one calls over TCP */
};

/* A body's length that the head does not tell. */
#define API_BODY_UNANNOUNCED UINT64_MAX

/* The largest body that the route takes. */
size_t api_route_body_max(const struct api_route *route);
/* The length of the body that follows, 0 = none. */
uint64_t api_head_body_len(const struct api_head *head);

/* 0 with *match filled, or -1 with *problem filled. The query is judged by the caller. */
int api_admit(const struct api_access *access, const struct api_head *head, struct api_match *match,
              struct problem *problem);

#endif
