/*
 * listener: one listening socket served by a libmicrohttpd daemon inside the event loop: the
 * daemon has no thread of its own, its epoll descriptor is one event here.
 *
 * Bounded: connections in all and per address, memory per connection, idle time, and the time from
 * a connection's start (or its previous answer) to the answer's end, however slowly either comes.
 * Streams have bounds of their own (event_stream.h, capture_stream.h).
 */
#ifndef MANYTUN_API_LISTENER_H
#define MANYTUN_API_LISTENER_H

#include "api/capture_stream.h"
#include "api/event_stream.h"
#include "api/request.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

struct api_limits {
    unsigned connections;             /* at one time; for more, see connections.h */
    unsigned connections_per_address; /* likewise; not for the Unix socket */
    size_t answers;                   /* bytes that are being sent; for more, likewise */
    size_t connection_memory;         /* bytes; bounds the request line and the headers */
    unsigned idle_seconds;            /* without a byte in either direction */
    unsigned request_seconds;         /* not for streams */
    struct event_streams_limits events;
    struct capture_streams_limits captures;
};

extern const struct api_limits api_limits_default;

/* Who comes in through a listener. */
enum api_door {
    API_DOOR_TCP,    /* whoever has a token */
    API_DOOR_UNIX,   /* whoever the kernel says is the owner */
    API_DOOR_HEALTH, /* anybody, to the health routes only */
};

struct api_listener;

/*
 * Serves a bound, listening, non-blocking socket, which it owns from here on (also on failure).
 * context and limits are borrowed. 0 or -errno.
 */
int api_listener_new(struct event_base *base, int fd, enum api_door door,
                     const struct api_context *context, const struct api_limits *limits,
                     struct api_listener **out);
/* Its socket, borrowed. */
int api_listener_fd(const struct api_listener *listener);
/* Accepts nobody any more, here; connections that are open are served on. */
void api_listener_quiesce(struct api_listener *listener);
/* Closes the socket and every connection. NULL is allowed. */
void api_listener_free(struct api_listener *listener);

#endif
