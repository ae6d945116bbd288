/*
 * event_stream: the clients that are sent events as they come (event_feed), inside libmicrohttpd.
 *
 * Bounded: their number, and each by its feed. A client that has read everything is suspended
 * (live.h). Each is sent a heartbeat from time to time, and one that does not take what it is sent
 * for as long as that is closed.
 */
#ifndef MANYTUN_API_EVENT_STREAM_H
#define MANYTUN_API_EVENT_STREAM_H

#include "api/query.h"
#include "api/tokens.h"
#include "server/events.h"
#include "server/problem.h"

#include <microhttpd.h>
#include <stdint.h>

struct event;
struct event_base;
struct event_stream;

/* All of them, of all listeners. */
struct event_streams;

struct event_streams_limits {
    unsigned streams; /* at one time */
    unsigned heartbeat_seconds;
};

/* events is borrowed. 0 or -ENOMEM. */
int event_streams_new(struct event_base *base, struct events *events,
                      const struct event_streams_limits *limits, struct event_streams **out);
/* The daemons must have ended. NULL is allowed. */
void event_streams_free(struct event_streams *streams);

unsigned event_streams_count(const struct event_streams *streams);

/*
 * Ends the streams of the daemon with this event (below), which must be done before it is stopped:
 * they are told when it runs the next time. One that begins in that run has ended already. streams
 * may be NULL.
 */
void event_streams_end(struct event_streams *streams, const struct event *run);

struct event_stream_request {
    const struct query *query;   /* which events */
    const uint64_t *since;       /* those after it; NULL = those to come */
    const struct tokens *tokens; /* must outlive the stream */
    const struct token_lease
        *lease; /* it ends with this token, at the next heartbeat at the latest */
};

/* Makes a stream. 0, or -1 with the problem filled (too many). */
int event_stream_new(struct event_streams *streams, const struct event_stream_request *request,
                     struct event_stream **out, struct problem *problem);
/* One that has not become a response. NULL is allowed. */
void event_stream_free(struct event_stream *stream);

/*
 * The answer to the request of a connection. Owns the stream, also on failure: NULL. `run` is an
 * event that runs the daemon, which is made active when there is more to send.
 */
struct MHD_Response *event_stream_response(struct event_stream *stream,
                                           struct MHD_Connection *connection, struct event *run);

#endif
