/* serve: the service: database, workers, API, until it is told to stop. */
#include "api/api.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/handover.h"
#include "cli/loop.h"
#include "cli/notify.h"
#include "cli/resume.h"
#include "cli/takeover.h"
#include "cli/upgrade.h"
#include "server/declared.h"
#include "server/retired.h"
#include "server/service.h"
#include "server/service_takeover.h"
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
/* How long the connections of a program that was taken over from may go on. */
#define DEFAULT_RETIRE_SECONDS 3600
/* In which the workers must be there before a takeover. */
#define WORKERS_SECONDS 15

struct serve {
    struct event_base *base;
    struct notify *notify;
    struct store *store;
    struct supervisor *supervisor;
    struct service *service;
    struct declared *declared;
    struct event *hangup;
    struct api *api;
    struct retired *retired;
    struct takeover *takeover; /* while it starts, or NULL */
    struct inherited *resumed; /* while it starts: what it had before, or NULL (cli/resume.h) */
    struct handover *handover; /* NULL = nobody can take over */
    struct upgrade *upgrade;
};

struct serve_config {
    struct data_paths data;
    struct supervisor_config supervisor;
    struct api_config api;
    char *const *arguments;
    const char *config; /* NULL = none */
    unsigned drain_seconds;
    unsigned retire_seconds;
    bool take_over;
    enum service_ready_when ready_when;
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

static int read_ready_when(const struct options *options, enum service_ready_when *out)
{
    const char *value = options_get(options, OPTION_READY_WHEN);
    if (!value || service_ready_when_parse(value, out) == 0)
        return 0;
    fprintf(stderr, "manytun: --ready-when: \"%s\" is none of started, required, all\n", value);
    return -1;
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
    config->take_over = options->values[OPTION_TAKEOVER].count > 0;
    config->arguments = options->arguments;
    config->api.data_directory = config->data.directory;
    config->config = options_get(options, OPTION_CONFIG);
    if (read_listen(options, &config->api) < 0 ||
        read_workers(options, &config->supervisor.workers) < 0 ||
        loop_read_seconds(options, OPTION_DRAIN_SECONDS, DEFAULT_DRAIN_SECONDS,
                          &config->drain_seconds) < 0 ||
        loop_read_seconds(options, OPTION_RETIRE_SECONDS, DEFAULT_RETIRE_SECONDS,
                          &config->retire_seconds) < 0 ||
        read_ready_when(options, &config->ready_when) < 0 || data_find(options, &config->data) < 0)
        return -1;
    return read_log_level(options);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

/* What was there before this program, or NULL. */
static struct inherited *inherited_of(const struct serve *serve)
{
    return serve->takeover ? takeover_inherited(serve->takeover) : serve->resumed;
}

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
    if (inherited_of(serve))
        notify_successor(serve->notify, status);
    else
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

/*
 * Without --config, an earlier configuration that is still in use is no reason not to start; nor is
 * any after a takeover, when there is nobody else any more: what was restored goes on.
 */
static int load_declared(struct serve *serve, const struct serve_config *config)
{
    serve->hangup = evsignal_new(serve->base, SIGHUP, on_hangup, serve);
    if (!serve->hangup || evsignal_add(serve->hangup, NULL) < 0)
        return -1;
    return declared_load(serve->declared) < 0 && config->config && !inherited_of(serve) ? -1 : 0;
}

static int open_store(struct serve *serve, const struct serve_config *config, char error[256])
{
    const char *directory = config->data.directory;
    const char *key_file = data_key_file(&config->data);
    int lock[INHERITED_FDS_MAX];
    if (!inherited_of(serve))
        return store_open_with_key(directory, key_file, &serve->store, error);
    inherited_take(inherited_of(serve), INHERITED_LOCK, "", lock);
    int result = serve->resumed
                     ? store_open_again(directory, key_file, lock[0], &serve->store, error)
                     : store_open_locked(directory, key_file, lock[0], &serve->store, error);
    if (result < 0 && lock[0] >= 0)
        close(lock[0]);
    return result;
}

/* 0, or -1 explained in the log. */
static int open_data(struct serve *serve, const struct serve_config *config)
{
    char error[256];
    int result = resume_find(&serve->resumed);
    if (result < 0)
        snprintf(error, sizeof(error), "what this program had cannot be found: %s",
                 strerror(-result));
    else if (config->take_over && !serve->resumed)
        result = takeover_begin(serve->base, config->data.directory, &serve->takeover, error);
    if (result == 0)
        result = open_store(serve, config, error);
    if (result < 0)
        log_error("%s", error);
    return result < 0 ? -1 : 0;
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    ++*(unsigned *)arg;
}

/* Whether all workers are alive in time. */
static bool wait_for_workers(struct serve *serve)
{
    struct timeval interval = {.tv_sec = 1};
    unsigned seconds = 0;
    struct event *tick = event_new(serve->base, -1, EV_PERSIST, on_tick, &seconds);
    bool alive = false;
    if (tick && event_add(tick, &interval) == 0) {
        while (!alive && seconds < WORKERS_SECONDS &&
               event_base_loop(serve->base, EVLOOP_ONCE) == 0)
            alive = supervisor_workers_alive(serve->supervisor) ==
                    supervisor_workers(serve->supervisor);
    }
    if (tick)
        event_free(tick);
    return alive;
}

/* From here on the older program serves nobody, until we do, or have died. */
static int take_over(struct serve *serve, const struct serve_config *config)
{
    char error[256];
    struct api_config api = config->api;
    api.inherited = takeover_inherited(serve->takeover);
    if (api_prepare(&api, error) < 0) {
        log_error("cannot take over: %s", error);
        return -1;
    }
    if (!wait_for_workers(serve)) {
        log_error("cannot take over: the workers do not start");
        return -1;
    }
    switch (takeover_take(serve->takeover, error)) {
    case TAKEOVER_DONE:
        return 0;
    case TAKEOVER_ALONE:
        log_warn("%s; it has ended: this one goes on without it, its connections are lost", error);
        return 0;
    case TAKEOVER_REFUSED:
        log_error("%s", error);
        return -1;
    }
    return -1;
}

static int start_service(struct serve *serve, const struct serve_config *config)
{
    char error[256];
    struct problem problem = {0};
    struct inherited *inherited = inherited_of(serve);
    int result = retired_new(serve->base, config->retire_seconds, &serve->retired);
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
    api.retired = serve->retired;
    api.inherited = inherited;
    if (api_new(serve->base, serve->service, serve->store, &api, &serve->api, error) < 0) {
        log_error("%s", error);
        return -1;
    }
    service_set_ready_when(serve->service, config->ready_when);
    service_inherit(serve->service, inherited);
    result = service_restore(serve->service, &problem);
    service_inherit(serve->service, NULL);
    retired_inherit(serve->retired, inherited, serve->service);
    if (result < 0) {
        log_error("%s", problem.detail);
        return -1;
    }
    return load_declared(serve, config);
}

static void await_successor(struct serve *serve, const struct serve_config *config)
{
    struct handover_config handover = {
        .directory = config->data.directory,
        .service = serve->service,
        .api = serve->api,
        .store = serve->store,
        .retired = serve->retired,
    };
    int error = handover_new(serve->base, &handover, &serve->handover);
    if (!error)
        error = upgrade_new(serve->base, config->arguments, serve->notify, &serve->upgrade);
    if (error)
        log_warn("nobody can take over from this process: %s", strerror(-error));
}

static int start(struct serve *serve, const struct serve_config *config)
{
    serve->base = event_base_new();
    if (!serve->base || open_data(serve, config) < 0)
        return -1;
    start_notify(serve); /* before there are workers, who are not to inherit what it takes */
    int result = supervisor_new(serve->base, &config->supervisor, &serve->supervisor);
    if (result) {
        log_error("cannot start: %s", strerror(-result));
        return -1;
    }
    if (serve->takeover && take_over(serve, config) < 0)
        return -1;
    if (serve->resumed && !wait_for_workers(serve)) /* who take the connections of those before */
        log_error("the workers do not start: the connections that there were are lost");
    if (start_service(serve, config) < 0)
        return -1;
    await_successor(serve, config);
    tell_ready(serve, config);
    /* Only now, so that a service manager knows of this one before the older one ends. */
    if (serve->takeover)
        takeover_tell_ready(serve->takeover);
    takeover_free(serve->takeover);
    serve->takeover = NULL;
    inherited_free(serve->resumed);
    serve->resumed = NULL;
    return 0;
}

static void stop(struct serve *serve)
{
    upgrade_free(serve->upgrade);
    handover_free(serve->handover);
    inherited_free(serve->resumed);
    api_free(serve->api);
    if (serve->hangup)
        event_free(serve->hangup);
    declared_free(serve->declared);
    service_free(serve->service);
    retired_free(serve->retired);
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
    signal(SIGUSR2, SIG_IGN); /* until it can be followed */
    if (read_config(options, &config) < 0)
        return 2;
    int status = 1;
    if (start(&serve, &config) == 0) {
        struct loop_config loop = {.service = serve.service,
                                   .notify = serve.notify,
                                   .handover = serve.handover,
                                   .drain_seconds = config.drain_seconds};
        status = loop_run(serve.base, &loop) < 0 || handover_is_lost(serve.handover) ? 1 : 0;
    }
    struct inherited *kept;
    if (handover_is_back(serve.handover, &kept)) {
        int error = resume_execute(config.arguments, kept, serve.notify);
        log_error("this program cannot go on: %s", strerror(-error));
        _exit(1);
    }
    /* Sockets, workers and database are another's: nothing is to be unwound. */
    if (serve.takeover || handover_is_done(serve.handover) || handover_is_lost(serve.handover))
        _exit(status);
    stop(&serve);
    return status;
}
