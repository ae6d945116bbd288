/*
 * listener: owns the daemon and its two events. What its connections may do is in connections.h.
 */
#include "api/listener.h"

#include "api/connections.h"
#include "api/tls.h"
#include "api/unix_socket.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * How many connections beyond the limit the daemon may have, until it has seen the end of those
 * that were given up: more than it accepts in one turn.
 */
#define GIVEN_UP_MAX 64

/* What is left for requests that came before the client's end. */
#define ENDED_SECONDS 1U

const struct api_limits api_limits_default = {
    .connections = 256,
    .connections_per_address = 128,
    .answers = 64 << 20,
    /* More than 32 KiB: the library then maps it, and no token stays behind in freed memory. */
    .connection_memory = 36 << 10,
    .idle_seconds = 30,
    .request_seconds = 60,
    .events = {.streams = 64, .heartbeat_seconds = 15},
    .captures = {.streams = 8, .patience_seconds = 15},
};

struct api_listener {
    struct MHD_Daemon *daemon;
    struct event *readable; /* the daemon's epoll descriptor */
    struct event *timer;    /* the daemon's own timeouts; active = run it */
    struct connections connections;
    const struct api_context *context;
    const struct api_limits *limits;
    enum api_door door;
};

/* --- The daemon's callbacks ------------------------------------------------------------------- */

static int connection_fd(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info != NULL ? info->connect_fd : -1;
}

static const struct sockaddr *peer_address(struct MHD_Connection *connection)
{
    static const struct sockaddr unknown = {.sa_family = AF_UNSPEC};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info != NULL && info->client_addr != NULL ? info->client_addr : &unknown;
}

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct api_listener *listener = ctx;
    struct connection *connection = *state;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) { /* without one, on_request() refuses */
        *state =
            connections_add(&listener->connections, connection_fd(mhd), peer_address(mhd), mhd);
    } else if (connection != NULL) {
        connections_remove(&listener->connections, connection);
        *state = NULL;
    }
}

static struct connection *find_connection(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static struct inet_addr find_address(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct inet_addr address = {0};
    uint16_t port;
    if (info != NULL && info->client_addr != NULL)
        inet_sockaddr_split((const union inet_sockaddr *)(const void *)info->client_addr, &address,
                            &port);
    return address;
}

static struct api_peer find_peer(const struct api_listener *listener, struct MHD_Connection *mhd)
{
    struct api_peer peer = {.caller = API_CALLER_TCP, .run = listener->timer};
    switch (listener->door) {
    case API_DOOR_TCP:
        peer.address = find_address(mhd);
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

/*
 * A client may have ended its side together with the last that it said. The daemon, which hears of
 * each change once, then read both for the data alone, and would keep the connection until it is
 * idle for too long.
 */
static void on_ended(void *ctx, void *mhd)
{
    struct api_listener *listener = ctx;
    MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT, ENDED_SECONDS);
    event_active(listener->timer, EV_TIMEOUT, 0);
}

/* It had ended, but is given its answer as slowly as it takes it. */
static void answer_patiently(const struct api_listener *listener,
                             const struct connection *connection, struct MHD_Connection *mhd)
{
    if (connection->ended)
        MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                                  listener->limits->idle_seconds);
}

static void *on_target(void *ctx, const char *target, struct MHD_Connection *mhd)
{
    (void)ctx;
    struct connection *connection = find_connection(mhd);
    if (connection != NULL) {
        connection->target = target;
        connection->target_len = strlen(target);
    }
    return NULL;
}

/* How far behind the end of a text another one begins, as far as they are parts of one line. */
static uintptr_t distance(const char *text, size_t len, const char *next)
{
    return (uintptr_t)next - ((uintptr_t)text + len);
}

/*
 * Whether there is more between the parts of the request line than a space: what follows a NUL,
 * which the library takes for the end. The whole line is in the connection's memory.
 */
static bool hides_bytes(const struct api_listener *listener, const struct connection *connection,
                        const char *method, const char *version)
{
    const uintptr_t memory = listener->limits->connection_memory;
    uintptr_t after_method = distance(method, strlen(method), connection->target);
    uintptr_t after_target = distance(connection->target, connection->target_len, version);
    return (after_method > 1 && after_method < memory) ||
           (after_target > 1 && after_target < memory);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload_data,
                                  size_t *upload_data_size, void **state)
{
    struct api_listener *listener = ctx;
    struct connection *connection = find_connection(mhd);
    if (connection == NULL ||
        (*state == NULL && hides_bytes(listener, connection, method, version)))
        return MHD_NO;
    const struct api_peer peer = find_peer(listener, mhd);
    enum MHD_Result result = api_request_handle(listener->context, &peer, mhd, url, method, version,
                                                upload_data, upload_data_size, state);
    if (api_request_is_stream(*state)) {
        connections_streaming(&listener->connections, connection);
    } else if (api_request_is_answered(*state)) {
        connections_answering(&listener->connections, connection, api_request_answer_len(*state));
        answer_patiently(listener, connection, mhd);
    }
    return result;
}

static void on_completed(void *ctx, struct MHD_Connection *mhd, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)code;
    struct api_listener *listener = ctx;
    api_request_free(*state);
    *state = NULL;
    struct connection *connection = find_connection(mhd);
    if (connection != NULL)
        connections_answered(&listener->connections, connection);
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
        {MHD_OPTION_CONNECTION_LIMIT, limits->connections + GIVEN_UP_MAX, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)limits->connection_memory, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, limits->idle_seconds, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_target, NULL},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)keep_escapes, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, listener},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, listener},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME;
    if (!listener->context->tls || listener->door != API_DOOR_TCP)
        return MHD_start_daemon(flags, 0, NULL, NULL, on_request, listener, MHD_OPTION_ARRAY,
                                options, MHD_OPTION_END);
    return MHD_start_daemon(flags | MHD_USE_TLS, 0, NULL, NULL, on_request, listener,
                            MHD_OPTION_ARRAY, options, MHD_OPTION_HTTPS_CERT_CALLBACK2,
                            tls_retrieve, MHD_OPTION_HTTPS_PRIORITIES, TLS_PRIORITIES,
                            MHD_OPTION_END);
}

static int start(struct api_listener *listener, struct event_base *base, int fd)
{
    const struct api_limits *limits = listener->limits;
    const struct connections_config config = {
        .limit = limits->connections,
        .limit_per_address =
            listener->door == API_DOOR_UNIX ? limits->connections : limits->connections_per_address,
        .answers = limits->answers,
        .seconds = limits->request_seconds,
        .ended = on_ended,
        .ctx = listener,
    };
    int rc = connections_init(&listener->connections, base, &config);
    if (rc < 0) {
        close(fd);
        return rc;
    }
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
    if (listener->readable == NULL || listener->timer == NULL ||
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

int api_listener_fd(const struct api_listener *listener)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_LISTEN_FD);
    return info != NULL ? info->listen_fd : -1;
}

void api_listener_quiesce(struct api_listener *listener)
{
    int fd = MHD_quiesce_daemon(listener->daemon);
    if (fd >= 0)
        close(fd);
}

void api_listener_free(struct api_listener *listener)
{
    if (listener == NULL)
        return;
    /* The epoll descriptor leaves the loop before the daemon closes it. */
    free_event(listener->readable);
    if (listener->daemon != NULL) {
        /* Nobody may be suspended then; the streams' clients are told the end. */
        event_streams_end(listener->context->server->event_streams, listener->timer);
        capture_streams_end(listener->context->server->capture_streams, listener->timer);
        MHD_run(listener->daemon);
        MHD_stop_daemon(listener->daemon);
    }
    free_event(listener->timer);
    connections_fini(&listener->connections);
    free(listener);
}
