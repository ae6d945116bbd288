/*
 * capture_stream: the clients that are sent inner packets as they pass (server/capture.h), inside
 * libmicrohttpd, see live.h.
 *
 * Bounded: their number, and each in time and bytes. A client that reads too slowly misses packets,
 * one that takes nothing for some time is disconnected; neither holds the tunnel back.
 */
#ifndef MANYTUN_API_CAPTURE_STREAM_H
#define MANYTUN_API_CAPTURE_STREAM_H

#include "api/tokens.h"
#include "server/problem.h"

#include <microhttpd.h>
#include <stdint.h>

struct capture_stream;
struct event;
struct event_base;
struct service;

/* All of them, of all listeners. */
struct capture_streams;

struct capture_streams_limits {
    unsigned streams; /* at one time */
    unsigned patience_seconds;
};

/* service is borrowed. 0 or -ENOMEM. */
int capture_streams_new(struct event_base *base, struct service *service,
                        const struct capture_streams_limits *limits, struct capture_streams **out);
/* The daemons must have ended. NULL is allowed. */
void capture_streams_free(struct capture_streams *streams);

unsigned capture_streams_count(const struct capture_streams *streams);

/* As event_streams_end(). */
void capture_streams_end(struct capture_streams *streams, const struct event *run);

struct capture_stream_request {
    const char *tunnel;
    unsigned seconds;
    uint64_t max_bytes;
    const struct tokens *tokens;     /* must outlive the stream */
    const struct token_lease *lease; /* it ends with this token, within a second */
};

/* Begins the capture. 0, or -1 with the problem filled: too many, or as service_capture(). */
int capture_stream_new(struct capture_streams *streams,
                       const struct capture_stream_request *request, struct capture_stream **out,
                       struct problem *problem);
/* One that has not become a response. NULL is allowed. */
void capture_stream_free(struct capture_stream *stream);

/* As event_stream_response(). */
struct MHD_Response *capture_stream_response(struct capture_stream *stream,
                                             struct MHD_Connection *connection, struct event *run);

#endif
