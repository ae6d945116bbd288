/* loop: owns the handlers of the signals that stop the program, and the drain, while it runs. */
#include "cli/loop.h"

#include "base/log.h"
#include "cli/handover.h"
#include "cli/notify.h"
#include "cli/options.h"
#include "server/service.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loop {
    struct event_base *base;
    const struct loop_config *config;
    struct event *interrupt;
    struct event *terminate;
    struct event *deadline; /* of the drain */
};

int loop_read_seconds(const struct options *options, enum option_id id, unsigned otherwise,
                      unsigned *out)
{
    const char *value = options_get(options, id);
    char *end;
    unsigned long seconds = value ? strtoul(value, &end, 10) : otherwise;
    if (value && (*value < '0' || *value > '9' || *end != '\0' || seconds > LOOP_SECONDS_MAX)) {
        fprintf(stderr, "manytun: %s: \"%s\" is not a number from 0 to %d\n", options_name(id),
                value, LOOP_SECONDS_MAX);
        return -1;
    }
    *out = (unsigned)seconds;
    return 0;
}

/* --- Draining --------------------------------------------------------------------------------- */

static void on_drained(void *ctx)
{
    struct loop *loop = ctx;
    log_info("no connection is left");
    event_base_loopbreak(loop->base);
}

static void on_deadline(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct loop *loop = arg;
    log_warn("the time to drain is over: %llu connections are cut",
             (unsigned long long)service_connections(loop->config->service));
    event_base_loopbreak(loop->base);
}

static void drain(struct loop *loop)
{
    struct timeval wait = {.tv_sec = loop->config->drain_seconds};
    notify_stopping(loop->config->notify, loop->config->drain_seconds,
                    "draining: open connections may finish");
    log_info("draining: %llu connections may go on for %u s; a second signal ends them",
             (unsigned long long)service_connections(loop->config->service),
             loop->config->drain_seconds);
    if (event_add(loop->deadline, &wait) < 0)
        event_base_loopbreak(loop->base);
    else
        service_drain(loop->config->service, on_drained, loop);
}

static void on_stop(evutil_socket_t signal_number, short events, void *arg)
{
    (void)events;
    struct loop *loop = arg;
    bool again = service_draining(loop->config->service);
    if (handover_stop(loop->config->handover))
        return;
    log_info("%s: stopping", strsignal(signal_number));
    if (!again && loop->config->drain_seconds > 0) {
        drain(loop);
        return;
    }
    notify_stopping(loop->config->notify, 0, "stopping");
    event_base_loopbreak(loop->base);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static void loop_fini(struct loop *loop)
{
    struct event *events[] = {loop->interrupt, loop->terminate, loop->deadline};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i])
            event_free(events[i]);
    }
}

int loop_run(struct event_base *base, const struct loop_config *config)
{
    struct loop loop = {.base = base, .config = config};
    loop.interrupt = evsignal_new(base, SIGINT, on_stop, &loop);
    loop.terminate = evsignal_new(base, SIGTERM, on_stop, &loop);
    loop.deadline = evtimer_new(base, on_deadline, &loop);
    int result = -1;
    if (loop.interrupt && loop.terminate && loop.deadline &&
        evsignal_add(loop.interrupt, NULL) == 0 && evsignal_add(loop.terminate, NULL) == 0)
        result = event_base_dispatch(base) < 0 ? -1 : 0;
    loop_fini(&loop);
    return result;
}
