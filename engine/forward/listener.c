/*
 * listener: owns its descriptor of the listening socket (control holds another, so that the port
 * stays open when a worker dies) and the group of relays that it started.
 */
#include "engine/forward/listener.h"

#include "base/log.h"
#include "engine/clock.h"
#include "engine/forward/relay.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct listener {
    struct spec_forward spec; /* relays read it when they start */
    struct relay_group group;
    struct counters_worker *worker_counters;
    int fd;
    struct event readable;
    struct event resume; /* ends a pause */
};

/* The clients wait in the kernel's backlog meanwhile; nobody is refused. */
static void pause_accepting(struct listener *listener, int error)
{
    if (counter_get(&listener->worker_counters->accept_paused) == 0)
        log_about(LOG_LEVEL_WARN, LOG_FORWARD, listener->spec.name,
                  "cannot accept connections for now: %s; raise the limit of open "
                  "files if this goes on",
                  strerror(error));
    counter_add(&listener->worker_counters->accept_paused, 1);
    event_del(&listener->readable);
    struct timeval pause = {.tv_usec = LISTENER_PAUSE_MS * 1000L};
    event_add(&listener->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct listener *listener = arg;
    event_add(&listener->readable, NULL);
}

/* Accepts at most so many clients. 0, or errno of what ended it before: EAGAIN = no more wait. */
static int accept_clients(struct listener *listener, int max)
{
    for (int i = 0; i < max; i++) {
        int client = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0)
            relay_start(&listener->group, client);
        else if (errno != ECONNABORTED && errno != EINTR) /* else only this client is gone */
            return errno;
    }
    return 0;
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct listener *listener = arg;
    clock_refresh();
    int error = accept_clients(listener, LISTENER_ACCEPTS_PER_TURN);
    if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM)
        pause_accepting(listener, error);
}

int listener_new(const struct listener_config *config, const struct spec_forward *spec,
                 struct listener **out)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (!listener) {
        close(config->fd);
        return -ENOMEM;
    }
    listener->spec = *spec;
    listener->fd = config->fd;
    listener->worker_counters = config->worker_counters;
    listener->group = (struct relay_group){
        .base = config->base,
        .turn = config->turn,
        .tunnel = config->tunnel,
        .spec = &listener->spec,
        .counters = config->counters,
    };
    LIST_INIT(&listener->group.relays);
    /* A gauge that a worker before this one left behind. */
    counter_set(&config->counters->connections_active, 0);
    event_assign(&listener->readable, config->base, config->fd, EV_READ | EV_PERSIST, on_readable,
                 listener);
    evtimer_assign(&listener->resume, config->base, on_resume, listener);
    if (event_add(&listener->readable, NULL) < 0) {
        listener_free(listener);
        return -ENOMEM;
    }
    *out = listener;
    return 0;
}

static int move_to(struct listener *listener, int fd)
{
    listener_retire(listener);
    listener->fd = fd;
    event_assign(&listener->readable, listener->group.base, fd, EV_READ | EV_PERSIST, on_readable,
                 listener);
    return event_add(&listener->readable, NULL) < 0 ? -ENOMEM : 0;
}

int listener_update(struct listener *listener, const struct spec_forward *spec, int fd)
{
    listener->spec = *spec;
    return fd >= 0 ? move_to(listener, fd) : 0;
}

void listener_drain(struct listener *listener)
{
    event_del(&listener->readable);
    event_del(&listener->resume);
    accept_clients(listener, LISTENER_BACKLOG_MAX);
    shutdown(listener->fd, SHUT_RDWR);
}

void listener_retire(struct listener *listener)
{
    event_del(&listener->readable);
    event_del(&listener->resume);
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
}

struct tunnel *listener_tunnel(const struct listener *listener)
{
    return listener->group.tunnel;
}

const char *listener_name(const struct listener *listener)
{
    return listener->spec.name;
}

bool listener_is_idle(const struct listener *listener)
{
    return LIST_EMPTY(&listener->group.relays);
}

void listener_free(struct listener *listener)
{
    if (!listener)
        return;
    listener_retire(listener);
    relay_close_all(&listener->group);
    free(listener);
}
