/*
 * event_stream: owns the streams, and what wakes them: new events, a heartbeat that is due, or the
 * client's end. A stream lives as long as its response.
 */
#include "api/event_stream.h"

#include "api/event_feed.h"
#include "api/live.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

struct event_stream {
    struct event_streams *streams;
    struct event_feed feed;
    const struct tokens *tokens;
    struct token_lease lease;
    struct live live;
};

struct event_streams {
    struct event_base *base;
    struct events *events;
    const struct event_streams_limits *limits;
    struct event *heartbeat; /* pending while there are streams */
    struct events_watcher watcher;
    struct live_group group;
};

/* --- One stream ------------------------------------------------------------------------------- */

static struct event_stream *stream_of(struct live *live)
{
    return (struct event_stream *)(void *)((char *)live - offsetof(struct event_stream, live));
}

static bool may_go_on(const struct event_stream *stream)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return !stream->live.ended && tokens_lease_holds(stream->tokens, &stream->lease, &now);
}

/* libmicrohttpd's content reader. */
static ssize_t read_stream(void *ctx, uint64_t pos, char *buf, size_t max)
{
    (void)pos;
    struct event_stream *stream = ctx;
    stream->live.ended = !may_go_on(stream);
    ssize_t len = stream->live.ended ? 0 : event_feed_read(&stream->feed, buf, max);
    if (stream->live.ended || len < 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (len == 0)
        live_wait(&stream->live);
    return len;
}

static void start_heartbeat(struct event_streams *streams)
{
    struct timeval interval = {.tv_sec = streams->limits->heartbeat_seconds};
    if (streams->group.count == 1)
        event_add(streams->heartbeat, &interval);
}

int event_stream_new(struct event_streams *streams, const struct event_stream_request *request,
                     struct event_stream **out, struct problem *problem)
{
    if (streams->group.count >= streams->limits->streams)
        return problem_set(problem, "exhausted", "%u clients are sent events already",
                           streams->group.count);
    struct event_stream *stream = calloc(1, sizeof(*stream));
    int rc = stream != NULL
                 ? event_feed_init(&stream->feed, streams->events, request->query, request->since)
                 : -ENOMEM;
    if (rc < 0) {
        free(stream);
        return rc == -ENOMEM ? problem_set(problem, "exhausted", "out of memory")
                             : problem_set(problem, "internal", "the events cannot be read");
    }
    stream->streams = streams;
    stream->tokens = request->tokens;
    stream->lease = *request->lease;
    live_join(&stream->live, &streams->group);
    start_heartbeat(streams);
    *out = stream;
    return 0;
}

void event_stream_free(struct event_stream *stream)
{
    if (stream == NULL)
        return;
    struct event_streams *streams = stream->streams;
    live_fini(&stream->live);
    if (streams->group.count == 0)
        event_del(streams->heartbeat);
    event_feed_fini(&stream->feed);
    free(stream);
}

static void free_stream(void *ctx)
{
    event_stream_free(ctx);
}

struct MHD_Response *event_stream_response(struct event_stream *stream,
                                           struct MHD_Connection *connection, struct event *run)
{
    struct event_streams *streams = stream->streams;
    struct MHD_Response *response = NULL;
    if (live_start(&stream->live, streams->base, connection, run,
                   streams->limits->heartbeat_seconds) == 0)
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, EVENT_FEED_TEXT, read_stream,
                                                     stream, free_stream);
    if (response == NULL)
        event_stream_free(stream);
    return response;
}

/* --- All of them ------------------------------------------------------------------------------ */

static void on_changed(void *ctx)
{
    struct event_streams *streams = ctx;
    struct live *live;
    TAILQ_FOREACH(live, &streams->group.lives, entry)
    live_wake(live);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct event_streams *streams = ctx;
    struct live *live;
    TAILQ_FOREACH(live, &streams->group.lives, entry)
    {
        if (live->waiting && event_feed_heartbeat(&stream_of(live)->feed) == 0)
            live_wake(live);
    }
}

void event_streams_end(struct event_streams *streams, const struct event *run)
{
    if (streams != NULL)
        live_group_end(&streams->group, run);
}

unsigned event_streams_count(const struct event_streams *streams)
{
    return streams->group.count;
}

int event_streams_new(struct event_base *base, struct events *events,
                      const struct event_streams_limits *limits, struct event_streams **out)
{
    struct event_streams *streams = calloc(1, sizeof(*streams));
    if (streams == NULL)
        return -ENOMEM;
    streams->heartbeat = event_new(base, -1, EV_PERSIST, on_heartbeat, streams);
    if (streams->heartbeat == NULL) {
        free(streams);
        return -ENOMEM;
    }
    streams->base = base;
    streams->events = events;
    streams->limits = limits;
    live_group_init(&streams->group);
    streams->watcher = (struct events_watcher){.changed = on_changed, .ctx = streams};
    events_watch(events, &streams->watcher);
    *out = streams;
    return 0;
}

void event_streams_free(struct event_streams *streams)
{
    if (streams == NULL)
        return;
    events_unwatch(streams->events, &streams->watcher);
    event_free(streams->heartbeat);
    free(streams);
}
