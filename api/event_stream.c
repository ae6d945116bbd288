/*
 * event_stream: owns the streams, and what wakes them.
 *
 * A stream is sending (the daemon asks for text whenever the client takes some), waiting
 * (everything was taken: suspended until there are new events, a heartbeat is due or the client
 * leaves), or ended (the daemon is told so when it asks the next time). It lives as long as its
 * response.
 */
#include "api/event_stream.h"

#include "api/event_feed.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

struct event_stream {
    TAILQ_ENTRY(event_stream) entry;
    struct event_streams *streams;
    struct event_feed feed;
    const struct tokens *tokens;
    struct token_lease lease;
    struct MHD_Connection *connection; /* NULL until there is a response */
    struct event *run;                 /* the daemon */
    struct event *socket;              /* tells when the client leaves */
    bool waiting;
    bool ended;
};

struct event_streams {
    struct event_base *base;
    struct events *events;
    const struct event_streams_limits *limits;
    struct event *heartbeat;    /* pending while there are streams */
    const struct event *ending; /* the daemon whose streams were ended, none of which may wait */
    struct events_watcher watcher;
    TAILQ_HEAD(, event_stream) streams;
    unsigned count;
};

/* Lets the daemon ask again. */
static void wake(struct event_stream *stream)
{
    if (!stream->waiting)
        return;
    stream->waiting = false;
    MHD_resume_connection(stream->connection);
    event_active(stream->run, EV_TIMEOUT, 0);
}

static void end(struct event_stream *stream)
{
    stream->ended = true;
    wake(stream);
}

/* --- One stream ------------------------------------------------------------------------------- */

static bool may_go_on(const struct event_stream *stream)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return !stream->ended && tokens_lease_holds(stream->tokens, &stream->lease, &now);
}

/* libmicrohttpd's content reader. */
static ssize_t read_stream(void *ctx, uint64_t pos, char *buf, size_t max)
{
    (void)pos;
    struct event_stream *stream = ctx;
    stream->ended = !may_go_on(stream);
    ssize_t len = stream->ended ? 0 : event_feed_read(&stream->feed, buf, max);
    if (stream->ended || len < 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (len == 0) {
        stream->waiting = true;
        MHD_suspend_connection(stream->connection);
    }
    return len;
}

/*
 * Something happened at the socket. Nothing is read: it may be the client's next request. An edge
 * is reported once, or what lies there unread would be reported for ever.
 */
static void on_socket(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct pollfd state = {.fd = fd, .events = POLLRDHUP};
    if (poll(&state, 1, 0) > 0)
        end(ctx);
}

static void start_heartbeat(struct event_streams *streams)
{
    struct timeval interval = {.tv_sec = streams->limits->heartbeat_seconds};
    if (streams->count == 1)
        event_add(streams->heartbeat, &interval);
}

int event_stream_new(struct event_streams *streams, const struct event_stream_request *request,
                     struct event_stream **out, struct problem *problem)
{
    if (streams->count >= streams->limits->streams)
        return problem_set(problem, "exhausted", "%u clients are sent events already",
                           streams->count);
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
    TAILQ_INSERT_TAIL(&streams->streams, stream, entry);
    streams->count++;
    start_heartbeat(streams);
    *out = stream;
    return 0;
}

void event_stream_free(struct event_stream *stream)
{
    if (stream == NULL)
        return;
    struct event_streams *streams = stream->streams;
    TAILQ_REMOVE(&streams->streams, stream, entry);
    if (--streams->count == 0)
        event_del(streams->heartbeat);
    if (stream->socket != NULL)
        event_free(stream->socket);
    event_feed_fini(&stream->feed);
    free(stream);
}

static void free_stream(void *ctx)
{
    event_stream_free(ctx);
}

/* Watches the socket, which the daemon closes after it has freed the response. */
static int watch_socket(struct event_stream *stream)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(stream->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info == NULL)
        return -EIO;
    stream->socket = event_new(stream->streams->base, info->connect_fd,
                               EV_READ | EV_ET | EV_PERSIST, on_socket, stream);
    return stream->socket != NULL ? event_add(stream->socket, NULL) : -ENOMEM;
}

struct MHD_Response *event_stream_response(struct event_stream *stream,
                                           struct MHD_Connection *connection, struct event *run)
{
    stream->connection = connection;
    stream->run = run;
    stream->ended = run == stream->streams->ending;
    struct MHD_Response *response = NULL;
    if (watch_socket(stream) == 0 &&
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                  stream->streams->limits->heartbeat_seconds) == MHD_YES)
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
    struct event_stream *stream;
    TAILQ_FOREACH(stream, &streams->streams, entry)
    wake(stream);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct event_streams *streams = ctx;
    struct event_stream *stream;
    TAILQ_FOREACH(stream, &streams->streams, entry)
    {
        if (stream->waiting && event_feed_heartbeat(&stream->feed) == 0)
            wake(stream);
    }
}

void event_streams_end(struct event_streams *streams, const struct event *run)
{
    struct event_stream *stream;
    if (streams == NULL)
        return;
    streams->ending = run;
    TAILQ_FOREACH(stream, &streams->streams, entry)
    {
        if (stream->run == run)
            end(stream);
    }
}

unsigned event_streams_count(const struct event_streams *streams)
{
    return streams->count;
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
    TAILQ_INIT(&streams->streams);
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
