/*
 * request: owns the body and the answer.
 *
 * States: begun (the head was judged: admitted, or refused with a problem) → its body is collected,
 * or thrown away when refused → answered. A refusal waits for the body to end, because a
 * connection that is closed with unread data is reset, and the client may never see the answer.
 */
#include "api/request.h"

#include "api/capture_stream.h"
#include "api/event_stream.h"
#include "base/log.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REQUEST_ID_BYTES 8
#define BODY_ROOM_MIN    4096

/* The status page runs its own scripts and calls this API; nothing else, and in no frame. */
static const char page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

struct api_request {
    char id[REQUEST_ID_BYTES * 2 + 1];
    struct api_head head;
    struct api_match match;
    bool refused;
    bool streams;              /* its answer goes on for as long as the client wants */
    struct api_server *server; /* where the body's room is counted */
    char *body;
    size_t body_len;
    size_t body_room;
    uint64_t drained;
    struct api_call call;
};

/* --- The head --------------------------------------------------------------------------------- */

static enum MHD_Result collect_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    (void)kind;
    api_headers_add(ctx, name, value);
    return MHD_YES;
}

static enum MHD_Result collect_parameter(void *ctx, enum MHD_ValueKind kind, const char *name,
                                         const char *value)
{
    (void)kind;
    struct api_request *request = ctx;
    query_read(&request->call.query, request->match.route->query, name, value,
               &request->call.problem);
    return request->call.problem.status == 0 ? MHD_YES : MHD_NO;
}

/* Reports a token that opens nothing; the token itself goes nowhere. */
static void note_failure(const struct api_context *context, const struct api_request *request)
{
    if (request->call.problem.status != 401 || request->head.headers.authorization == NULL)
        return;
    char from[INET_ADDR_TEXT];
    inet_addr_print(&request->head.address, from);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    auth_failures_note(&context->server->auth_failures, service_events(context->service), from,
                       (uint64_t)now.tv_sec);
}

static int check_change(const struct api_context *context, struct api_request *request)
{
    if (api_method_is_safe(request->head.method) ||
        !(service_draining(context->service) || service_frozen(context->service)))
        return 0;
    return problem_set(&request->call.problem, "draining",
                       "the service is ending or being replaced; nothing can be changed now");
}

/* Its body may have taken long: what was true when it began need not be true any more. */
static int judge_again(const struct api_context *context, struct api_request *request)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!tokens_lease_holds(request->call.tokens, &request->call.lease, &now))
        return problem_set(&request->call.problem, "unauthorized",
                           "the token was deleted, or has expired, while the request came");
    return check_change(context, request);
}

static int judge(const struct api_context *context, struct api_request *request,
                 struct MHD_Connection *connection)
{
    struct problem *problem = &request->call.problem;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, collect_header, &request->head.headers);
    if (api_admit(&context->access, &request->head, &request->match, problem) < 0)
        return -1;
    if (check_change(context, request) < 0)
        return -1;
    query_init(&request->call.query);
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, collect_parameter, request);
    if (problem->status != 0)
        return -1;
    memcpy(request->call.name, request->match.name, sizeof(request->call.name));
    memcpy(request->call.peer, request->match.peer, sizeof(request->call.peer));
    request->call.if_match = request->head.headers.if_match;
    request->call.if_none_match = request->head.headers.if_none_match;
    request->call.accept = request->head.headers.accept;
    request->call.last_event_id = request->head.headers.last_event_id;
    request->call.service = context->service;
    request->call.server = context->server;
    request->call.tokens = context->access.tokens;
    request->call.caller = request->head.caller;
    request->call.role = request->match.role;
    request->call.lease = request->match.lease;
    return 0;
}

static struct api_request *new_request(struct api_server *server)
{
    struct api_request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return NULL;
    request->server = server;
    uint8_t id[REQUEST_ID_BYTES];
    randombytes_buf(id, sizeof(id));
    sodium_bin2hex(request->id, sizeof(request->id), id, sizeof(id));
    return request;
}

static void drop_body(struct api_request *request)
{
    if (request->body != NULL)
        sodium_memzero(request->body, request->body_room);
    free(request->body);
    request->server->bodies_room -= request->body_room;
    request->body = NULL;
    request->body_len = 0;
    request->body_room = 0;
}

bool api_request_is_answered(const struct api_request *request)
{
    return request != NULL && request->call.answer.status != 0;
}

size_t api_request_answer_len(const struct api_request *request)
{
    const struct api_answer *answer = &request->call.answer;
    return answer->static_body == NULL ? answer->body_len : 0;
}

bool api_request_is_stream(const struct api_request *request)
{
    return request != NULL && request->streams;
}

void api_request_free(struct api_request *request)
{
    if (request == NULL)
        return;
    drop_body(request);
    api_answer_fini(&request->call.answer);
    free(request);
}

/* --- The body --------------------------------------------------------------------------------- */

static void refuse(struct api_request *request)
{
    request->refused = true;
    drop_body(request);
}

/* Grows by copying: realloc() would leave keys behind in freed memory. 0, -ENOBUFS or -ENOMEM. */
static int make_room(struct api_request *request, size_t len)
{
    size_t room = request->body_room ? request->body_room : BODY_ROOM_MIN;
    while (room < request->body_len + len)
        room *= 2;
    if (room == request->body_room)
        return 0;
    if (request->server->bodies_room + (room - request->body_room) > API_BODIES_MAX)
        return -ENOBUFS;
    char *body = malloc(room);
    if (body == NULL)
        return -ENOMEM;
    request->server->bodies_room += room - request->body_room;
    if (request->body != NULL) {
        memcpy(body, request->body, request->body_len);
        sodium_memzero(request->body, request->body_room);
        free(request->body);
    }
    request->body = body;
    request->body_room = room;
    return 0;
}

/* Takes a piece of the body. False when the connection is to be cut. */
static bool take_body(struct api_request *request, const char *data, size_t len)
{
    size_t max = request->refused ? 0 : api_route_body_max(request->match.route);
    if (!request->refused && request->body_len + len > max) {
        problem_set(&request->call.problem, "too_large", "a body may have at most %zu bytes", max);
        request->drained = request->body_len;
        refuse(request);
    }
    int rc = request->refused ? 0 : make_room(request, len);
    if (rc < 0) {
        problem_set(&request->call.problem, "exhausted",
                    rc == -ENOBUFS ? "too many large bodies are being received at a time"
                                   : "out of memory");
        refuse(request);
    }
    if (request->refused) {
        request->drained += len;
        return request->drained <= API_DRAIN_MAX;
    }
    memcpy(request->body + request->body_len, data, len);
    request->body_len += len;
    return true;
}

/* --- The answer ------------------------------------------------------------------------------- */

static struct MHD_Response *make_response(struct MHD_Connection *connection,
                                          const struct api_peer *peer, struct api_answer *answer)
{
    struct MHD_Response *response;
    if (answer->stream != NULL) {
        struct event_stream *stream = answer->stream;
        answer->stream = NULL;
        return event_stream_response(stream, connection, peer->run);
    }
    if (answer->capture != NULL) {
        struct capture_stream *stream = answer->capture;
        answer->capture = NULL;
        return capture_stream_response(stream, connection, peer->run);
    }
    if (answer->body == NULL) {
        /* The library does not write into what it is told to be persistent. */
        return MHD_create_response_from_buffer(answer->body_len, (void *)answer->static_body,
                                               MHD_RESPMEM_PERSISTENT);
    }
    response = MHD_create_response_from_buffer_with_free_callback(answer->body_len, answer->body,
                                                                  api_body_free);
    if (response != NULL)
        answer->body = NULL;
    return response;
}

static bool is_malformed(const struct api_request *request)
{
    return request->refused && strcmp(request->call.problem.code, "bad_request") == 0;
}

static bool add_headers(struct MHD_Response *response, const struct api_request *request)
{
    const struct api_answer *answer = &request->call.answer;
    char etag[32] = "";
    if (answer->etag != 0)
        snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)answer->etag);
    char retry[16] = "";
    if (answer->status == 503 || answer->status == 429)
        snprintf(retry, sizeof(retry), "%u",
                 answer->status == 503 ? 1 : request->match.retry_seconds);
    const struct {
        const char *name;
        const char *value; /* NULL or "" = the header is left out */
    } headers[] = {
        {"Content-Type", answer->content_type},
        {"Cache-Control", answer->is_asset ? "no-cache" : "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"Content-Security-Policy", answer->is_asset ? page_policy : NULL},
        {"Referrer-Policy", answer->is_asset ? "no-referrer" : NULL},
        {"X-Request-Id", request->id},
        {"ETag", etag},
        {"Location", answer->location},
        {"Allow", answer->status == 405 ? request->match.allow : NULL},
        {"WWW-Authenticate", answer->status == 401 ? "Bearer realm=\"manytun\"" : NULL},
        {"Retry-After", retry},
        /* Where a request was not understood, nobody knows for sure where the next one begins. */
        {"Connection", is_malformed(request) ? "close" : NULL},
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (headers[i].value == NULL || headers[i].value[0] == '\0')
            continue;
        if (MHD_add_response_header(response, headers[i].name, headers[i].value) != MHD_YES)
            return false;
    }
    return true;
}

static enum MHD_Result queue_answer(struct MHD_Connection *connection, const struct api_peer *peer,
                                    struct api_request *request)
{
    request->streams = request->call.answer.stream != NULL || request->call.answer.capture != NULL;
    struct MHD_Response *response = make_response(connection, peer, &request->call.answer);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (add_headers(response, request))
        result = MHD_queue_response(connection, (unsigned)request->call.answer.status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result respond(const struct api_context *context, const struct api_peer *peer,
                               struct MHD_Connection *connection, struct api_request *request)
{
    if (!request->refused) {
        request->call.body = request->body;
        request->call.body_len = request->body_len;
        service_set_actor(context->service, request->match.actor);
        if (judge_again(context, request) < 0 || request->match.route->handle(&request->call) < 0)
            request->refused = true;
        service_set_actor(context->service, EVENTS_ACTOR_SYSTEM);
    }
    if (request->refused && api_answer_problem(&request->call, request->id, request->head.path) < 0)
        return MHD_NO;
    log_debug("api: %s %.100s: %d (%s)", request->head.method, request->head.path,
              request->call.answer.status, request->id);
    http_counts_add(&context->server->requests,
                    request->match.route != NULL ? request->match.route->path : "none",
                    request->call.answer.status);
    return queue_answer(connection, peer, request);
}

/*
 * Whether a refused body is not worth waiting for: it is too long, was not sent yet, or nobody
 * knows where it ends.
 */
static bool skips_body(const struct api_request *request)
{
    const char *expect = request->head.headers.expect;
    const char *coding = request->head.headers.transfer_encoding;
    uint64_t len = api_head_body_len(&request->head);
    return (coding != NULL && strcasecmp(coding, "chunked") != 0) ||
           (expect != NULL && strcasecmp(expect, "100-continue") == 0) ||
           (len > API_DRAIN_MAX && len != API_BODY_UNANNOUNCED);
}

static enum MHD_Result begin(const struct api_context *context, const struct api_peer *peer,
                             struct MHD_Connection *connection, const char *url, const char *method,
                             const char *version, void **state)
{
    struct api_request *request = new_request(context->server);
    if (request == NULL)
        return MHD_NO;
    *state = request;
    request->head = (struct api_head){.caller = peer->caller,
                                      .method = method,
                                      .path = url,
                                      .uid = peer->uid,
                                      .address = peer->address};
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return MHD_NO;
    if (judge(context, request, connection) < 0) {
        note_failure(context, request);
        refuse(request);
        if (skips_body(request))
            return respond(context, peer, connection, request);
    }
    return MHD_YES;
}

enum MHD_Result api_request_handle(const struct api_context *context, const struct api_peer *peer,
                                   struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload_data,
                                   size_t *upload_data_size, void **state)
{
    struct api_request *request = *state;
    if (request == NULL)
        return begin(context, peer, connection, url, method, version, state);
    if (*upload_data_size > 0) {
        bool wanted = take_body(request, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return wanted ? MHD_YES : MHD_NO;
    }
    return respond(context, peer, connection, request);
}
