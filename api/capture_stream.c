/*
 * capture_stream: owns the streams, each with its capture.
 *
 *   running ──time is up──▶ stopping ──the worker has sent the rest──▶ ended
 *
 * It ends at once when the client or the capture ends, or the token does. A stream lives as long as
 * its response, so a client that has not taken all soon after the end is disconnected: however
 * slowly it reads, it does not keep others from capturing.
 */
#include "api/capture_stream.h"

#include "api/live.h"
#include "server/capture.h"
#include "server/service.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How much is given to libmicrohttpd at once. */
#define BLOCK 16384

struct capture_stream {
    struct capture_streams *streams;
    char tunnel[SPEC_NAME_MAX + 1];
    struct capture *capture;
    const struct tokens *tokens;
    struct token_lease lease;
    struct live live;
    struct event *readable; /* pending while waiting: there are packets */
    struct event *tick;     /* each second */
    unsigned seconds_left;  /* 0 = stopping */
    unsigned patience_left; /* seconds, once it is stopping or ended */
};

struct capture_streams {
    struct event_base *base;
    struct service *service;
    const struct capture_streams_limits *limits;
    struct live_group group;
};

/* --- One stream ------------------------------------------------------------------------------- */

/* libmicrohttpd's content reader. */
static ssize_t read_stream(void *ctx, uint64_t pos, char *buf, size_t max)
{
    (void)pos;
    struct capture_stream *stream = ctx;
    if (stream->live.ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    ssize_t len = capture_read(stream->capture, buf, max);
    if (len == -EAGAIN) {
        live_wait(&stream->live);
        event_add(stream->readable, NULL);
        return 0;
    }
    return len > 0 ? len : MHD_CONTENT_READER_END_OF_STREAM;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct capture_stream *stream = ctx;
    live_wake(&stream->live);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct capture_stream *stream = ctx;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!stream->live.ended && !tokens_lease_holds(stream->tokens, &stream->lease, &now)) {
        live_end(&stream->live);
        return;
    }
    if (stream->seconds_left > 0 && !stream->live.ended) {
        if (--stream->seconds_left == 0)
            capture_stop(stream->capture);
        return;
    }
    if (stream->live.waiting) /* the worker does not answer */
        live_end(&stream->live);
    else if (stream->patience_left == 0 || --stream->patience_left == 0)
        live_cut(&stream->live);
}

static int start_events(struct capture_stream *stream)
{
    struct timeval second = {.tv_sec = 1};
    struct event_base *base = stream->streams->base;
    stream->readable = event_new(base, capture_fd(stream->capture), EV_READ, on_readable, stream);
    stream->tick = event_new(base, -1, EV_PERSIST, on_tick, stream);
    if (stream->readable == NULL || stream->tick == NULL)
        return -ENOMEM;
    return event_add(stream->tick, &second) == 0 ? 0 : -ENOMEM;
}

int capture_stream_new(struct capture_streams *streams,
                       const struct capture_stream_request *request, struct capture_stream **out,
                       struct problem *problem)
{
    if (streams->group.count >= streams->limits->streams)
        return problem_set(problem, "exhausted", "%u captures are running already",
                           streams->group.count);
    struct capture *capture;
    struct capture_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return problem_set(problem, "exhausted", "out of memory");
    if (service_capture(streams->service, request->tunnel, request->max_bytes, &capture, problem) <
        0) {
        free(stream);
        return -1;
    }
    stream->streams = streams;
    stream->capture = capture;
    stream->tokens = request->tokens;
    stream->lease = *request->lease;
    stream->seconds_left = request->seconds;
    stream->patience_left = streams->limits->patience_seconds;
    memcpy(stream->tunnel, request->tunnel, strlen(request->tunnel) + 1);
    live_join(&stream->live, &streams->group);
    if (start_events(stream) < 0) {
        capture_stream_free(stream);
        return problem_set(problem, "exhausted", "out of memory");
    }
    *out = stream;
    return 0;
}

void capture_stream_free(struct capture_stream *stream)
{
    if (stream == NULL)
        return;
    struct capture_streams *streams = stream->streams;
    live_fini(&stream->live);
    if (stream->readable != NULL)
        event_free(stream->readable);
    if (stream->tick != NULL)
        event_free(stream->tick);
    service_capture_end(streams->service, stream->tunnel, stream->capture);
    free(stream);
}

static void free_stream(void *ctx)
{
    capture_stream_free(ctx);
}

struct MHD_Response *capture_stream_response(struct capture_stream *stream,
                                             struct MHD_Connection *connection, struct event *run)
{
    struct capture_streams *streams = stream->streams;
    struct MHD_Response *response = NULL;
    if (live_start(&stream->live, streams->base, connection, run,
                   streams->limits->patience_seconds) == 0)
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, stream,
                                                     free_stream);
    if (response == NULL)
        capture_stream_free(stream);
    return response;
}

/* --- All of them ------------------------------------------------------------------------------ */

void capture_streams_end(struct capture_streams *streams, const struct event *run)
{
    if (streams != NULL)
        live_group_end(&streams->group, run);
}

unsigned capture_streams_count(const struct capture_streams *streams)
{
    return streams->group.count;
}

int capture_streams_new(struct event_base *base, struct service *service,
                        const struct capture_streams_limits *limits, struct capture_streams **out)
{
    struct capture_streams *streams = calloc(1, sizeof(*streams));
    if (streams == NULL)
        return -ENOMEM;
    streams->base = base;
    streams->service = service;
    streams->limits = limits;
    live_group_init(&streams->group);
    *out = streams;
    return 0;
}

void capture_streams_free(struct capture_streams *streams)
{
    free(streams);
}
