/*
 * listener: owns the daemon, its two events and the list of its connections.
 *
 * Connections are in a list in the order of their deadlines: all have the same time, so a new one,
 * and one that has just been answered, go to its end. A timer at the first one's deadline shuts
 * late connections down; the daemon then sees them end.
 */
#include "api/listener.h"

#include "api/unix_socket.h"
#include "engine/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

const struct api_limits api_limits_default = {
    .connections = 256,
    .connections_per_address = 128,
    .connection_memory = 32 << 10,
    .idle_seconds = 30,
    .request_seconds = 60,
};

struct connection {
    TAILQ_ENTRY(connection) entry;
    int fd;
    uint64_t deadline; /* monotonic, in ns */
};

struct api_listener {
    struct MHD_Daemon *daemon;
    struct event *readable; /* the daemon's epoll descriptor */
    struct event *timer;    /* the daemon's own timeouts */
    struct event *late;     /* the first connection's deadline */
    TAILQ_HEAD(connections, connection) connections;
    const struct api_context *context;
    const struct api_limits *limits;
    enum api_door door;
};

/* --- Deadlines -------------------------------------------------------------------------------- */

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void schedule_late(struct api_listener *listener)
{
    const struct connection *first = TAILQ_FIRST(&listener->connections);
    if (first == NULL) {
        event_del(listener->late);
        return;
    }
    uint64_t now = monotonic_ns();
    uint64_t left = first->deadline > now ? first->deadline - now : 0;
    struct timeval delay = {.tv_sec = (time_t)(left / NS_PER_S),
                            .tv_usec = (suseconds_t)(left % NS_PER_S / 1000)};
    event_add(listener->late, &delay);
}

static void start_deadline(struct api_listener *listener, struct connection *connection)
{
    connection->deadline = monotonic_ns() + listener->limits->request_seconds * NS_PER_S;
    TAILQ_INSERT_TAIL(&listener->connections, connection, entry);
}

static void on_late(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct api_listener *listener = ctx;
    uint64_t now = monotonic_ns();
    struct connection *connection;
    while ((connection = TAILQ_FIRST(&listener->connections)) != NULL &&
           connection->deadline <= now) {
        shutdown(connection->fd, SHUT_RDWR);
        TAILQ_REMOVE(&listener->connections, connection, entry);
        start_deadline(listener, connection);
    }
    schedule_late(listener);
}

/* --- The daemon's callbacks ------------------------------------------------------------------- */

static int connection_fd(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info != NULL ? info->connect_fd : -1;
}

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct api_listener *listener = ctx;
    struct connection *connection = *state;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        connection = calloc(1, sizeof(*connection));
        *state = connection;
        if (connection == NULL)
            return; /* without it, on_request() refuses */
        connection->fd = connection_fd(mhd);
        start_deadline(listener, connection);
    } else if (connection != NULL) {
        TAILQ_REMOVE(&listener->connections, connection, entry);
        free(connection);
        *state = NULL;
    }
    schedule_late(listener);
}

static struct connection *find_connection(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static struct api_peer find_peer(const struct api_listener *listener, struct MHD_Connection *mhd)
{
    struct api_peer peer = {.caller = API_CALLER_TCP};
    switch (listener->door) {
    case API_DOOR_TCP:
        break;
    case API_DOOR_UNIX:
        peer.caller = unix_socket_peer_is_owner(connection_fd(mhd), &peer.uid)
                          ? API_CALLER_OWNER
                          : API_CALLER_STRANGER;
        break;
    case API_DOOR_HEALTH:
        peer.caller = API_CALLER_PROBE;
        break;
    }
    return peer;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload_data,
                                  size_t *upload_data_size, void **state)
{
    const struct api_listener *listener = ctx;
    if (find_connection(mhd) == NULL)
        return MHD_NO;
    const struct api_peer peer = find_peer(listener, mhd);
    return api_request_handle(listener->context, &peer, mhd, url, method, version, upload_data,
                              upload_data_size, state);
}

static void on_completed(void *ctx, struct MHD_Connection *mhd, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)code;
    struct api_listener *listener = ctx;
    api_request_free(*state);
    *state = NULL;
    struct connection *connection = find_connection(mhd);
    if (connection == NULL)
        return;
    TAILQ_REMOVE(&listener->connections, connection, entry);
    start_deadline(listener, connection);
    schedule_late(listener);
}

/* Everything stays as it was sent: the router and the query decode, and refuse. */
static size_t keep_escapes(void *ctx, struct MHD_Connection *mhd, char *text)
{
    (void)ctx;
    (void)mhd;
    return strlen(text);
}

static void on_log(void *ctx, const char *format, va_list args)
{
    (void)ctx;
    char text[256];
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug("api: %s", text);
}

/* --- The loop --------------------------------------------------------------------------------- */

static void run(struct api_listener *listener)
{
    MHD_run(listener->daemon);
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(listener->daemon, &ms) != MHD_YES) {
        event_del(listener->timer);
        return;
    }
    struct timeval delay = {.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(listener->timer, &delay);
}

static void on_daemon(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    run(ctx);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static struct MHD_Daemon *start_daemon(struct api_listener *listener, int fd)
{
    const struct api_limits *limits = listener->limits;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)on_log, NULL}, /* first: options are logged too */
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, limits->connections, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, limits->connections_per_address, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)limits->connection_memory, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, limits->idle_seconds, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)keep_escapes, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, listener},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, listener},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, listener,
                            MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

static int start(struct api_listener *listener, struct event_base *base, int fd)
{
    listener->daemon = start_daemon(listener, fd);
    if (listener->daemon == NULL) {
        close(fd);
        return -ENOMEM;
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL)
        return -EIO;
    listener->readable = event_new(base, info->epoll_fd, EV_READ | EV_PERSIST, on_daemon, listener);
    listener->timer = evtimer_new(base, on_daemon, listener);
    listener->late = evtimer_new(base, on_late, listener);
    if (listener->readable == NULL || listener->timer == NULL || listener->late == NULL ||
        event_add(listener->readable, NULL) < 0)
        return -ENOMEM;
    run(listener);
    return 0;
}

int api_listener_new(struct event_base *base, int fd, enum api_door door,
                     const struct api_context *context, const struct api_limits *limits,
                     struct api_listener **out)
{
    struct api_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        close(fd);
        return -ENOMEM;
    }
    TAILQ_INIT(&listener->connections);
    listener->context = context;
    listener->limits = limits;
    listener->door = door;
    int rc = start(listener, base, fd);
    if (rc < 0) {
        api_listener_free(listener);
        return rc;
    }
    *out = listener;
    return 0;
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void api_listener_free(struct api_listener *listener)
{
    if (listener == NULL)
        return;
    /* The epoll descriptor leaves the loop before the daemon closes it. */
    free_event(listener->readable);
    if (listener->daemon != NULL)
        MHD_stop_daemon(listener->daemon);
    free_event(listener->timer);
    free_event(listener->late);
    free(listener);
}
