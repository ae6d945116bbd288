/* serve: the service: database, workers, API, until it is told to stop. */
#include "api/api.h"
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/loop.h"
#include "cli/notify.h"
#include "engine/log.h"
#include "server/declared.h"
#include "server/service.h"
#include "server/supervisor.h"
#include "store/store.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_LISTEN "127.0.0.1:8585"
/* Within the ten seconds that container managers give before they kill. */
#define DEFAULT_DRAIN_SECONDS 8

struct serve {
    struct event_base *base;
    struct notify *notify;
    struct store *store;
    struct supervisor *supervisor;
    struct service *service;
    struct declared *declared;
    struct event *hangup;
    struct api *api;
};

struct serve_config {
    struct data_paths data;
    struct supervisor_config supervisor;
    struct api_config api;
    const char *config; /* NULL = none */
    unsigned drain_seconds;
};

/* --- Configuration ---------------------------------------------------------------------------- */

static int read_addresses(const struct option_values *values, const char *option,
                          union inet_sockaddr out[API_LISTEN_MAX], size_t *count)
{
    if (values->count > API_LISTEN_MAX) {
        fprintf(stderr, "manytun: %s: at most %d addresses\n", option, API_LISTEN_MAX);
        return -1;
    }
    for (size_t i = 0; i < values->count; i++) {
        const char *text = values->items[i];
        char host[INET_HOST_TEXT];
        uint16_t port;
        struct inet_addr addr;
        if (inet_host_port_parse(text, host, &port) < 0 || inet_addr_parse(host, &addr) < 0) {
            fprintf(stderr, "manytun: %s: \"%s\" is not ADDR:PORT\n", option, text);
            return -1;
        }
        inet_sockaddr_make(&out[i], &addr, port);
    }
    *count = values->count;
    return 0;
}

static int read_listen(const struct options *options, struct api_config *api)
{
    static const char *default_listen[] = {DEFAULT_LISTEN};
    static const struct option_values defaults = {.items = default_listen, .count = 1};
    const struct option_values *given = &options->values[OPTION_LISTEN];
    if (read_addresses(given->count > 0 ? given : &defaults, "--listen", api->listen,
                       &api->listen_count) < 0)
        return -1;
    return read_addresses(&options->values[OPTION_HEALTH_LISTEN], "--health-listen",
                          api->health_listen, &api->health_listen_count);
}

static int read_workers(const struct options *options, unsigned *out)
{
    const char *value = options_get(options, OPTION_WORKERS);
    if (!value)
        return 0;
    char *end;
    unsigned long workers = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || workers < 1 || workers > 256) {
        fprintf(stderr, "manytun: --workers: \"%s\" is not a number from 1 to 256\n", value);
        return -1;
    }
    *out = (unsigned)workers;
    return 0;
}

static int read_log_level(const struct options *options)
{
    const char *value = options_get(options, OPTION_LOG);
    enum log_level level;
    if (!value)
        return 0;
    if (log_level_parse(value, &level) < 0) {
        fprintf(stderr, "manytun: --log: \"%s\" is none of off, error, warn, info, debug\n", value);
        return -1;
    }
    log_set_level(level);
    return 0;
}

static int read_config(const struct options *options, struct serve_config *config)
{
    const char *auth = options_get(options, OPTION_AUTH);
    if (auth && strcmp(auth, "token") != 0 && strcmp(auth, "none") != 0) {
        fprintf(stderr, "manytun: --auth: \"%s\" is neither token nor none\n", auth);
        return -1;
    }
    config->api.tls_cert_file = options_get(options, OPTION_TLS_CERT);
    config->api.tls_key_file = options_get(options, OPTION_TLS_KEY);
    if ((config->api.tls_cert_file == NULL) != (config->api.tls_key_file == NULL)) {
        fprintf(stderr, "manytun: --tls-cert and --tls-key go together\n");
        return -1;
    }
    config->api.auth_none = auth && strcmp(auth, "none") == 0;
    config->api.allowed_hosts = options->values[OPTION_ALLOWED_HOST].items;
    config->api.allowed_hosts_count = options->values[OPTION_ALLOWED_HOST].count;
    config->api.data_directory = config->data.directory;
    config->config = options_get(options, OPTION_CONFIG);
    if (read_listen(options, &config->api) < 0 ||
        read_workers(options, &config->supervisor.workers) < 0 ||
        loop_read_drain_seconds(options, DEFAULT_DRAIN_SECONDS, &config->drain_seconds) < 0 ||
        data_find(options, &config->data) < 0)
        return -1;
    return read_log_level(options);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static void start_notify(struct serve *serve)
{
    int error = notify_new(serve->base, &serve->notify);
    if (error)
        log_warn("the service manager cannot be told anything: %s", strerror(-error));
}

static void tell_ready(const struct serve *serve, const struct serve_config *config)
{
    char status[128];
    unsigned workers = supervisor_workers(serve->supervisor);
    log_info("manytun %s is ready, %u workers, data in %s", MANYTUN_VERSION, workers,
             config->data.directory);
    snprintf(status, sizeof(status), "version %s, %u workers", MANYTUN_VERSION, workers);
    notify_ready(serve->notify, status);
}

static void on_hangup(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct serve *serve = arg;
    log_info("hangup: certificate and configuration are read again");
    api_reload(serve->api);
    if (!service_draining(serve->service))
        declared_load(serve->declared);
}

/* Without --config, an earlier configuration that is still in use is no reason not to start. */
static int load_declared(struct serve *serve, const struct serve_config *config)
{
    serve->hangup = evsignal_new(serve->base, SIGHUP, on_hangup, serve);
    if (!serve->hangup || evsignal_add(serve->hangup, NULL) < 0)
        return -1;
    return declared_load(serve->declared) < 0 && config->config ? -1 : 0;
}

static int start(struct serve *serve, const struct serve_config *config)
{
    char error[256];
    struct problem problem = {0};
    if (store_open_with_key(config->data.directory, data_key_file(&config->data), &serve->store,
                            error) < 0) {
        log_error("%s", error);
        return -1;
    }
    serve->base = event_base_new();
    int result = -ENOMEM;
    if (serve->base) {
        start_notify(serve); /* before there are workers, who are not to inherit what it takes */
        result = supervisor_new(serve->base, &config->supervisor, &serve->supervisor);
    }
    if (!result)
        result = service_new(serve->base, serve->supervisor, serve->store, &serve->service);
    if (!result)
        result = declared_new(serve->base, serve->service, config->config, &serve->declared);
    if (result) {
        log_error("cannot start: %s", strerror(-result));
        return -1;
    }
    struct api_config api = config->api;
    api.supervisor = serve->supervisor;
    api.declared = serve->declared;
    if (api_new(serve->base, serve->service, serve->store, &api, &serve->api, error) < 0) {
        log_error("%s", error);
        return -1;
    }
    if (service_restore(serve->service, &problem) < 0) {
        log_error("%s", problem.detail);
        return -1;
    }
    if (load_declared(serve, config) < 0)
        return -1;
    tell_ready(serve, config);
    return 0;
}

static void stop(struct serve *serve)
{
    api_free(serve->api);
    if (serve->hangup)
        event_free(serve->hangup);
    declared_free(serve->declared);
    service_free(serve->service);
    supervisor_free(serve->supervisor);
    store_close(serve->store);
    notify_free(serve->notify);
    if (serve->base)
        event_base_free(serve->base);
}

int serve_command(const struct options *options)
{
    struct serve_config config = {0};
    struct serve serve = {0};
    if (read_config(options, &config) < 0)
        return 2;
    int status = 1;
    if (start(&serve, &config) == 0) {
        struct loop_config loop = {.service = serve.service,
                                   .notify = serve.notify,
                                   .drain_seconds = config.drain_seconds};
        status = loop_run(serve.base, &loop) < 0 ? 1 : 0;
    }
    stop(&serve);
    return status;
}
