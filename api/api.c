/*
 * api: owns the listeners and what they share: the service's handle, the tokens, the names that it
 * may be called by.
 */
#include "api/api.h"

#include "api/admin_token.h"
#include "api/listener.h"
#include "api/tls.h"
#include "api/unix_socket.h"
#include "base/log.h"
#include "server/sockets.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* "health/" and an address. */
#define API_LABEL_MAX (INET_SOCKADDR_TEXT + 8)

struct api {
    struct event_base *base;
    struct inherited *inherited; /* borrowed, while it starts */
    struct api_context context;
    struct api_server server;
    const struct api_limits *limits;
    struct tokens tokens;
    struct guess_limit guesses;
    struct tls *tls; /* NULL = none */
    union inet_sockaddr bound[API_LISTEN_MAX];
    union inet_sockaddr health_bound[API_LISTEN_MAX];
    struct api_listener *listeners[2 * API_LISTEN_MAX + 1]; /* the Unix socket's last */
    char labels[2 * API_LISTEN_MAX + 1][API_LABEL_MAX];     /* of the listeners, as configured */
    size_t listeners_count;
    char *socket_path; /* NULL = not bound by us */
};

static int check_config(const struct api_config *config, char error[256])
{
    if (config->listen_count > API_LISTEN_MAX || config->health_listen_count > API_LISTEN_MAX) {
        snprintf(error, 256, "the API can listen on at most %d addresses", API_LISTEN_MAX);
        return -E2BIG;
    }
    for (size_t i = 0; i < config->listen_count && config->auth_none; i++) {
        struct inet_addr address;
        uint16_t port;
        char text[INET_SOCKADDR_TEXT];
        inet_sockaddr_split(&config->listen[i], &address, &port);
        if (inet_addr_is_loopback(&address))
            continue;
        snprintf(error, 256,
                 "without authentication the API may listen on loopback addresses only, not on %s",
                 inet_sockaddr_print(&config->listen[i], text));
        return -EACCES;
    }
    return 0;
}

static int load_tokens(struct api *api, struct service *service, struct store *store,
                       const char *directory, char error[256])
{
    int rc = admin_token_ensure(directory, store, error);
    if (rc < 0)
        return rc;
    rc = tokens_load(&api->tokens, store, service_events(service));
    if (rc < 0)
        snprintf(error, 256, "cannot read the tokens: %.200s",
                 rc == -EIO ? store_error(store) : strerror(-rc));
    return rc;
}

static void print_label(char label[API_LABEL_MAX], enum api_door door,
                        const union inet_sockaddr *where)
{
    char text[INET_SOCKADDR_TEXT];
    snprintf(label, API_LABEL_MAX, "%s/%s", door == API_DOOR_HEALTH ? "health" : "tcp",
             inet_sockaddr_print(where, text));
}

/* A listener that a predecessor has, or -1. */
static int inherit(struct api *api, const char *label)
{
    int fds[INHERITED_FDS_MAX];
    inherited_take(api->inherited, INHERITED_API, label, fds);
    return fds[0];
}

/* *bound becomes where, with the port that was chosen for a port 0. */
static int listen_tcp(struct api *api, enum api_door door, const union inet_sockaddr *where,
                      union inet_sockaddr *bound, char error[256])
{
    struct inet_addr address;
    uint16_t port;
    char text[INET_SOCKADDR_TEXT];
    inet_sockaddr_split(where, &address, &port);
    char *label = api->labels[api->listeners_count];
    print_label(label, door, where);
    int fd = inherit(api, label);
    if (fd >= 0)
        port = sockets_port(fd);
    else
        fd = sockets_listen(&address, port, &port);
    int rc = fd < 0 ? fd
                    : api_listener_new(api->base, fd, door, &api->context, api->limits,
                                       &api->listeners[api->listeners_count]);
    if (rc < 0) {
        snprintf(error, 256, "the API cannot listen on %s: %s", inet_sockaddr_print(where, text),
                 strerror(-rc));
        return rc;
    }
    api->listeners_count++;
    inet_sockaddr_make(bound, &address, port);
    log_info("%s on http%s://%s",
             door == API_DOOR_HEALTH ? "health and metrics are" : "the API listens",
             door == API_DOOR_TCP && api->context.tls ? "s" : "", inet_sockaddr_print(bound, text));
    return 0;
}

static int listen_unix(struct api *api, const char *directory, char error[256])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/api.sock", directory) >= (int)sizeof(path)) {
        snprintf(error, 256, "the data directory's name is too long");
        return -ENAMETOOLONG;
    }
    char *label = api->labels[api->listeners_count];
    snprintf(label, API_LABEL_MAX, "unix");
    int fd = inherit(api, label);
    if (fd < 0)
        fd = unix_socket_listen(path, SOCK_STREAM);
    int rc = fd;
    if (fd >= 0) {
        api->socket_path = strdup(path);
        rc = api_listener_new(api->base, fd, API_DOOR_UNIX, &api->context, api->limits,
                              &api->listeners[api->listeners_count]);
    }
    if (rc < 0) {
        snprintf(error, 256, "the API cannot listen on %.150s: %s", path, strerror(-rc));
        return rc;
    }
    api->listeners_count++;
    log_info("the API listens on %s", path);
    return 0;
}

static int serve_streams(struct api *api, struct service *service, char error[256])
{
    int rc = event_streams_new(api->base, service_events(service), &api->limits->events,
                               &api->server.event_streams);
    if (rc == 0)
        rc = capture_streams_new(api->base, service, &api->limits->captures,
                                 &api->server.capture_streams);
    if (rc < 0)
        snprintf(error, 256, "out of memory");
    return rc;
}

static int load_tls(struct api *api, const struct api_config *config, char error[256])
{
    if (config->tls_cert_file == NULL)
        return 0;
    if (MHD_is_feature_supported(MHD_FEATURE_HTTPS_CERT_CALLBACK2) != MHD_YES) {
        snprintf(error, 256, "TLS: the libmicrohttpd of this host was built without it");
        return -ENOTSUP;
    }
    int rc = tls_new(config->tls_cert_file, config->tls_key_file, &api->tls, error);
    api->context.tls = rc == 0;
    return rc;
}

void api_reload(struct api *api)
{
    char error[256];
    if (api->tls == NULL)
        return;
    if (tls_reload(api->tls, error) < 0)
        log_error("%s; the certificate in use stays", error);
    else
        log_info("the certificate was read again");
}

static int bind_ahead(struct inherited *inherited, enum api_door door,
                      const union inet_sockaddr *where, char error[256])
{
    struct inherited_item item = {.kind = INHERITED_API, .fds = {-1, -1}};
    char label[API_LABEL_MAX];
    char text[INET_SOCKADDR_TEXT];
    struct inet_addr address;
    uint16_t port;
    print_label(label, door, where);
    if (inherited_has(inherited, INHERITED_API, label))
        return 0;
    snprintf(item.name, sizeof(item.name), "%s", label);
    inet_sockaddr_split(where, &address, &port);
    int rc = item.fds[0] = sockets_listen(&address, port, &port);
    if (rc >= 0)
        rc = inherited_add(inherited, &item);
    if (rc < 0)
        snprintf(error, 256, "the API cannot listen on %s: %s", inet_sockaddr_print(where, text),
                 strerror(-rc));
    return rc;
}

int api_prepare(const struct api_config *config, char error[256])
{
    struct tls *tls = NULL;
    int rc = check_config(config, error);
    if (rc == 0 && config->tls_cert_file != NULL)
        rc = tls_new(config->tls_cert_file, config->tls_key_file, &tls, error);
    tls_free(tls);
    for (size_t i = 0; i < config->listen_count && rc == 0; i++)
        rc = bind_ahead(config->inherited, API_DOOR_TCP, &config->listen[i], error);
    for (size_t i = 0; i < config->health_listen_count && rc == 0; i++)
        rc = bind_ahead(config->inherited, API_DOOR_HEALTH, &config->health_listen[i], error);
    return rc;
}

int api_new(struct event_base *base, struct service *service, struct store *store,
            const struct api_config *config, struct api **out, char error[256])
{
    struct api *api = calloc(1, sizeof(*api));
    if (api == NULL) {
        snprintf(error, 256, "out of memory");
        return -ENOMEM;
    }
    api->base = base;
    api->limits = config->limits != NULL ? config->limits : &api_limits_default;
    api->inherited = config->inherited;
    api->server.supervisor = config->supervisor;
    api->server.declared = config->declared;
    api->server.retired = config->retired;
    api->server.auth_none = config->auth_none;
    clock_gettime(CLOCK_REALTIME, &api->server.started_at);
    clock_gettime(CLOCK_MONOTONIC, &api->server.started_monotonic);
    api->context.service = service;
    api->context.server = &api->server;
    guess_limit_init(&api->guesses);
    api->server.guesses = &api->guesses;
    api->context.access.tokens = &api->tokens;
    api->context.access.guesses = &api->guesses;
    api->context.access.auth_none = config->auth_none;
    api->context.access.allowed_hosts = config->allowed_hosts;
    api->context.access.allowed_hosts_count = config->allowed_hosts_count;
    int rc = check_config(config, error);
    if (rc == 0)
        rc = load_tls(api, config, error);
    if (rc == 0)
        rc = serve_streams(api, service, error);
    if (rc == 0)
        rc = load_tokens(api, service, store, config->data_directory, error);
    for (size_t i = 0; i < config->listen_count && rc == 0; i++)
        rc = listen_tcp(api, API_DOOR_TCP, &config->listen[i], &api->bound[i], error);
    for (size_t i = 0; i < config->health_listen_count && rc == 0; i++)
        rc = listen_tcp(api, API_DOOR_HEALTH, &config->health_listen[i], &api->health_bound[i],
                        error);
    if (rc == 0)
        rc = listen_unix(api, config->data_directory, error);
    if (rc < 0) {
        api_free(api);
        return rc;
    }
    *out = api;
    return 0;
}

void api_free(struct api *api)
{
    if (api == NULL)
        return;
    if (api->socket_path != NULL)
        unlink(api->socket_path);
    free(api->socket_path);
    for (size_t i = 0; i < api->listeners_count; i++)
        api_listener_free(api->listeners[i]);
    event_streams_free(api->server.event_streams);
    capture_streams_free(api->server.capture_streams);
    tls_free(api->tls);
    tokens_fini(&api->tokens);
    free(api);
}

int api_offer(const struct api *api, service_offer *offer, void *ctx)
{
    int error = 0;
    for (size_t i = 0; i < api->listeners_count && error == 0; i++) {
        const int fds[INHERITED_FDS_MAX] = {api_listener_fd(api->listeners[i]), -1};
        error = offer(ctx, INHERITED_API, api->labels[i], fds);
    }
    return error;
}

void api_quiesce(struct api *api)
{
    for (size_t i = 0; i < api->listeners_count; i++)
        api_listener_quiesce(api->listeners[i]);
}

const union inet_sockaddr *api_bound(const struct api *api, size_t index)
{
    return &api->bound[index];
}

const union inet_sockaddr *api_health_bound(const struct api *api, size_t index)
{
    return &api->health_bound[index];
}
