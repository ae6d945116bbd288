/*
 * stream_world: a client of the server in http_world.h whose answer does not end by itself, and
 * which may or may not read. Include it in one file.
 */
#ifndef MANYTUN_TESTS_STREAM_WORLD_H
#define MANYTUN_TESTS_STREAM_WORLD_H

#include "tests/unit/api/http_world.h"

#include <poll.h>

#define STREAM_MAX (8 << 20)

struct stream {
    int fd;
    char *text; /* head and body, as they come; a NUL is behind them */
    size_t len;
    bool closed; /* by the server */
};

/* Asks, with these lines of headers, and does not wait. */
static inline struct stream stream_request(const char *target, const char *headers)
{
    struct stream stream = {.fd = connect_tcp(), .text = calloc(1, STREAM_MAX + 1)};
    char request[512];
    int len = snprintf(request, sizeof(request),
                       "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n",
                       target, fx.token, headers);
    assert_non_null(stream.text);
    assert_int_equal(evutil_make_socket_nonblocking(stream.fd), 0);
    assert_int_equal(send(stream.fd, request, (size_t)len, MSG_NOSIGNAL), len);
    return stream;
}

static inline void stream_close(struct stream *stream)
{
    close(stream->fd);
    free(stream->text);
}

/* One turn of the server's loop, and whatever it has sent. */
static inline void stream_turn(struct stream *stream)
{
    struct pollfd readable = {.fd = stream->fd, .events = POLLIN};
    event_base_loop(fx.base, EVLOOP_NONBLOCK);
    if (poll(&readable, 1, 1) <= 0)
        return;
    assert_true(stream->len < STREAM_MAX);
    ssize_t len = recv(stream->fd, stream->text + stream->len, STREAM_MAX - stream->len, 0);
    if (len > 0)
        stream->len += (size_t)len;
    else if (len == 0 || errno != EAGAIN)
        stream->closed = true;
    stream->text[stream->len] = '\0';
}

/* What is behind these bytes, or NULL: they have not come. */
static inline const char *stream_find(const struct stream *stream, const void *bytes, size_t len)
{
    const char *found = memmem(stream->text, stream->len, bytes, len);
    return found != NULL ? found + len : NULL;
}

static inline bool stream_has(const struct stream *stream, const char *text)
{
    return stream_find(stream, text, strlen(text)) != NULL;
}

/* Reads until the text comes, which must; what is behind it. */
static inline const char *stream_await(struct stream *stream, const char *text)
{
    const char *behind;
    while ((behind = stream_find(stream, text, strlen(text))) == NULL) {
        if (stream->closed)
            fail_msg("\"%s\" did not come: %s", text, stream->text);
        stream_turn(stream);
    }
    return behind;
}

#endif
