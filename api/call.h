/*
 * call: one request, as a handler sees it, and its answer. Nothing of HTTP's transport is here.
 */
#ifndef MANYTUN_API_CALL_H
#define MANYTUN_API_CALL_H

#include "api/auth_failures.h"
#include "api/guess_limit.h"
#include "api/http_counts.h"
#include "api/query.h"
#include "api/tokens.h"
#include "server/problem.h"
#include "server/service.h"

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct capture_stream;
struct capture_streams;
struct declared;
struct event_stream;
struct event_streams;

/* The most JSON values that a body may have: each takes some 100 bytes of memory. */
#define API_VALUES_MAX (1 << 20)

/* What handlers may tell of this server; shared by all listeners. */
struct api_server {
    const struct supervisor *supervisor;
    const struct declared *declared;   /* NULL = there is none */
    const struct retired *retired;     /* NULL = none */
    struct timespec started_at;        /* wall clock */
    struct timespec started_monotonic; /* CLOCK_MONOTONIC */
    bool auth_none;
    struct http_counts requests;
    size_t bodies_room; /* bytes that hold bodies now, at most API_BODIES_MAX */
    struct auth_failures auth_failures;
    const struct guess_limit *guesses;   /* NULL where no token is asked for */
    struct event_streams *event_streams; /* borrowed; NULL = none are served */
    struct capture_streams *capture_streams;
};

/* Through which door a request came, and as whom. */
enum api_caller {
    API_CALLER_TCP,
    API_CALLER_OWNER,    /* over the Unix socket: this process's user, or root */
    API_CALLER_STRANGER, /* over the Unix socket: anybody else */
    API_CALLER_PROBE,    /* over a health listener: anybody, who sees nothing else */
};

struct api_call {
    struct service *service;
    const struct api_server *server;
    struct tokens *tokens;
    enum api_caller caller;
    enum api_role role;           /* the caller's */
    struct token_lease lease;     /* the caller's token */
    char name[SPEC_NAME_MAX + 1]; /* what {name} stood for in the path */
    char peer[SPEC_NAME_MAX + 1]; /* what {peer} stood for; "" = not in the path */
    struct query query;
    const char *if_match; /* these headers, or NULL */
    const char *if_none_match;
    const char *accept;
    const char *last_event_id;
    const char *body; /* not terminated */
    size_t body_len;
    struct problem problem; /* filled by a handler that returns -1 */
    struct api_answer {
        int status;
        const char *content_type; /* NULL = no body */
        char *body;               /* from malloc(); freed with the answer */
        const void *static_body;  /* instead of body: lives for ever */
        size_t body_len;
        struct event_stream *stream;    /* instead of body: owned */
        struct capture_stream *capture; /* likewise */
        uint64_t etag;                  /* the generation; 0 = none */
        bool is_asset; /* a file of the status page: a browser keeps it and runs it */
        char location[2 * SPEC_NAME_MAX + 32];
    } answer;
};

/* Frees what the answer holds, wiped: it may be a token. */
void api_answer_fini(struct api_answer *answer);
/* The same for a body alone. NULL is allowed. */
void api_body_free(void *body);

/*
 * Answers with JSON, which is freed in any case; NULL (out of memory) becomes a problem. Returns
 * what the handler should.
 */
int api_answer_json(struct api_call *call, int status, cJSON *json);
/*
 * The same after a change that was made, 200 or 201: it cannot fail. Without memory the answer has
 * no body, and 200 is 204: whoever asked must not believe that nothing happened.
 */
void api_answer_change(struct api_call *call, int status, cJSON *json);
/* Answers with the problem that the call has. request_id and instance may be NULL. 0 or -ENOMEM. */
int api_answer_problem(struct api_call *call, const char *request_id, const char *instance);

/* The body as strict JSON, or NULL with the problem filled. The caller frees it (json_free). */
cJSON *api_call_read_json(struct api_call *call);

#endif
