/*
 * handover: owns the socket that is listened on, and the channel to one newer program at a time.
 *
 *   IDLE ─ HELLO ─▶ OFFERED ─ TAKE ─▶ RETIRING ─ workers have retired ─▶ GIVEN ─ linger ─▶ DONE
 *     ▲               │                  │ channel ends                    │ it died, without READY
 *     └─ channel ends, or wait_ms        └──────────▶ RETURNING ◀──────────┘ workers retire again
 *                                                         └─ workers have retired ─▶ RETURNED
 *
 * It lingers from when the newer program has hung up, was given too long, or this one is told to
 * end: each of these comes, so GIVEN ends whatever the newer one does.
 *
 * The workers' sessions are gone after TAKE, and their stacks go on. So what was to be given to the
 * newer program is kept, and given to this one, which begins anew with it as the newer one would.
 */
#include "cli/handover.h"

#include "api/api.h"
#include "api/unix_socket.h"
#include "base/log.h"
#include "server/handoff.h"
#include "server/retired.h"
#include "server/service.h"
#include "store/store.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum state { IDLE, OFFERED, RETIRING, GIVEN, DONE, RETURNING, RETURNED };

struct handover {
    struct event_base *base;
    struct handover_config config;
    enum state state;
    int fd; /* -1 = nobody can take over any more */
    char path[PATH_MAX];
    struct event *acceptable;
    struct event *timer;     /* up to OFFERED: it takes too long; GIVEN: see on_timer() */
    struct channel *channel; /* to the newer program, or NULL */
    int newer;               /* a descriptor of its process, readable when that has ended, or -1 */
    struct event *ended;     /* GIVEN: when that has ended; NULL = it is not looked for */
    bool is_ready;           /* it has said so */
    struct inherited *kept;  /* what it was given, and this one goes on with when it dies */
    bool stopping;           /* this program was told to end */
    bool is_alone;           /* DONE: it has ended already */
};

static void set_timer(struct handover *handover, unsigned ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_add(handover->timer, &wait);
}

/* A time that a newer program has for something. */
static unsigned patience_ms(const struct handover *handover, unsigned seconds)
{
    return handover->config.wait_ms ? handover->config.wait_ms : seconds * 1000;
}

/* --- Giving ----------------------------------------------------------------------------------- */

static int offer(void *ctx, enum inherited_kind kind, const char *name,
                 const int fds[INHERITED_FDS_MAX])
{
    struct handover *handover = ctx;
    return handoff_send_item(handover->channel, kind, name, fds);
}

/* Everything that has a name in the world, and the right to the data. */
static int offer_all(struct handover *handover)
{
    const struct handover_config *config = &handover->config;
    const int lock[INHERITED_FDS_MAX] = {store_lock_fd(config->store), -1};
    int error = offer(handover, INHERITED_LOCK, "", lock);
    if (!error)
        error = api_offer(config->api, offer, handover);
    if (!error)
        error = service_offer_sockets(config->service, offer, handover);
    if (!error)
        error = handoff_send(handover->channel, HANDOFF_ALL);
    return error;
}

/*
 * For this program itself. What there are thousands of stays open where it is, and is listed: the
 * next that happens to it is execve(), or the end of the process.
 */
static int keep(void *ctx, enum inherited_kind kind, const char *name,
                const int fds[INHERITED_FDS_MAX])
{
    struct handover *handover = ctx;
    struct inherited_item item = {.kind = (uint8_t)kind, .fds = {-1, -1}};
    int error = 0;
    snprintf(item.name, sizeof(item.name), "%s", name);
    const bool stays = inherited_is_numerous(kind);
    for (int i = 0; i < INHERITED_FDS_MAX && !error; i++) {
        item.fds[i] = fds[i] < 0 || stays ? fds[i] : fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        error = fds[i] >= 0 && item.fds[i] < 0 ? -errno : 0;
    }
    if (!error)
        error = inherited_add(handover->kept, &item);
    for (int i = 0; i < INHERITED_FDS_MAX && !stays; i++) {
        if (item.fds[i] >= 0)
            close(item.fds[i]);
    }
    return error;
}

/* Before nobody is accepted any more, which closes them. */
static void keep_api(struct handover *handover)
{
    int error = inherited_new(&handover->kept);
    if (!error)
        error = api_offer(handover->config.api, keep, handover);
    if (error)
        log_warn("if the newer program dies, the API's listeners are bound anew: %s",
                 strerror(-error));
}

static int offer_connections(struct handover *handover, service_offer *to)
{
    const struct handover_config *config = &handover->config;
    int error = service_offer_bridges(config->service, to, handover);
    if (!error)
        error = service_offer_workers(config->service, to, handover);
    if (!error)
        error = retired_offer(config->retired, to, handover);
    if (error)
        log_error("some connections are lost in the takeover: %s", strerror(-error));
    return error;
}

static void stop_listening(struct handover *handover)
{
    event_free(handover->acceptable);
    handover->acceptable = NULL;
    close(handover->fd);
    handover->fd = -1;
}

static void on_ended(evutil_socket_t fd, short events, void *arg);

/* The newer program's end is looked for from here on; where it cannot be, it is not missed. */
static void look_for_end(struct handover *handover)
{
    if (handover->newer < 0)
        return;
    handover->ended = event_new(handover->base, handover->newer, EV_READ, on_ended, handover);
    if (handover->ended)
        event_add(handover->ended, NULL);
}

static void give(struct handover *handover)
{
    offer_connections(handover, offer);
    stop_listening(handover);
    keep_api(handover);
    api_quiesce(handover->config.api);
    handover->state = GIVEN;
    look_for_end(handover);
    set_timer(handover, handover->stopping ? HANDOVER_LINGER_MS
                                           : patience_ms(handover, HANDOVER_GIVEN_SECONDS));
    if (handoff_send(handover->channel, HANDOFF_DONE) < 0)
        log_error("the newer program cannot be told that it is its turn");
}

/* What is not kept is lost, as it would be in a takeover. */
static void come_back(struct handover *handover)
{
    const struct handover_config *config = &handover->config;
    const int lock[INHERITED_FDS_MAX] = {store_lock_fd(config->store), -1};
    if (!handover->kept)
        keep_api(handover);
    int error = handover->kept ? keep(handover, INHERITED_LOCK, "", lock) : -ENOMEM;
    if (!error)
        error = service_offer_sockets(config->service, keep, handover);
    if (!error)
        error = offer_connections(handover, keep);
    if (error)
        log_error("not everything can be taken back: %s", strerror(-error));
    handover->state = RETURNED;
    event_base_loopbreak(handover->base);
}

static void on_retired(void *ctx)
{
    struct handover *handover = ctx;
    if (handover->state != RETIRING && handover->state != RETURNING) /* told to end meanwhile */
        return;
    service_save_totals(handover->config.service); /* who comes next counts on from there */
    if (handover->state == RETIRING)
        give(handover);
    else
        come_back(handover);
}

/* --- The channel ------------------------------------------------------------------------------ */

/* Says why not, and closes. */
static int refuse(struct handover *handover, const char *reason)
{
    log_warn("a takeover was refused: %s", reason);
    handoff_send_refused(handover->channel, reason);
    return -EPROTO;
}

static int on_hello(struct handover *handover, const struct channel_message *message)
{
    struct service *service = handover->config.service;
    int error = handoff_read_hello(message);
    if (error == -EPROTONOSUPPORT)
        return refuse(handover, "the running program hands over in another way; restart it");
    if (error || handover->state != IDLE)
        return -EPROTO;
    if (service_draining(service))
        return refuse(handover, "the running program is ending");
    log_info("a newer program prepares to take over");
    handover->state = OFFERED;
    service_freeze(service);
    return offer_all(handover) < 0 ? refuse(handover, "out of memory or descriptors") : 0;
}

static int on_take(struct handover *handover, const struct channel_message *message)
{
    if (handover->state != OFFERED || handoff_read_empty(message) < 0)
        return -EPROTO;
    log_info("a newer program takes over");
    handover->state = RETIRING;
    event_del(handover->timer);
    service_retire(handover->config.service, on_retired, handover);
    return 0;
}

static int on_ready(struct handover *handover, const struct channel_message *message)
{
    if (handover->state != GIVEN || handoff_read_empty(message) < 0)
        return -EPROTO;
    handover->is_ready = true;
    return 0;
}

static int on_message(void *ctx, struct channel_message *message)
{
    switch (message->type) {
    case HANDOFF_HELLO:
        return on_hello(ctx, message);
    case HANDOFF_TAKE:
        return on_take(ctx, message);
    case HANDOFF_READY:
        return on_ready(ctx, message);
    default:
        return -EPROTO;
    }
}

static void hang_up(struct handover *handover)
{
    channel_free(handover->channel);
    handover->channel = NULL;
}

static bool has_ended(const struct handover *handover)
{
    struct pollfd newer = {.fd = handover->newer, .events = POLLIN};
    return handover->newer >= 0 && poll(&newer, 1, 0) == 1;
}

static void finish(struct handover *handover)
{
    handover->state = DONE;
    event_base_loopbreak(handover->base);
}

static void end(struct handover *handover)
{
    handover->is_alone = has_ended(handover);
    if (handover->is_alone)
        log_error("the newer program took over, and has ended");
    else if (handover->channel)
        log_warn("a newer program has taken over, and does not say that it is ready");
    else
        log_info("a newer program has taken over");
    finish(handover);
}

/* It has hung up, and its process is gone: whether it was ready, or this one is to go on. */
static void miss(struct handover *handover)
{
    if (handover->is_ready || handover->stopping) {
        end(handover);
        return;
    }
    log_error("the newer program died before it was ready; this one takes everything back");
    handover->state = RETURNING;
    service_retire_again(handover->config.service, on_retired, handover);
}

/* One that has hung up and lives on is one that does not say READY, or is about to end. */
static void on_gone(struct handover *handover)
{
    if (has_ended(handover) && !handover->is_ready)
        miss(handover);
    else
        set_timer(handover, HANDOVER_LINGER_MS);
}

static void on_ended(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct handover *handover = arg;
    if (handover->state == GIVEN && !handover->channel && !handover->is_ready) {
        event_del(handover->timer);
        miss(handover);
    }
}

static void on_closed(void *ctx, int error)
{
    (void)error;
    struct handover *handover = ctx;
    hang_up(handover);
    event_del(handover->timer);
    switch (handover->state) {
    case OFFERED:
        log_warn("the newer program has not taken over; this one goes on");
        service_thaw(handover->config.service);
        handover->state = IDLE;
        break;
    case RETIRING:
        if (handover->stopping) {
            finish(handover);
            break;
        }
        log_error("the newer program died while it took over; this one takes everything back");
        handover->state = RETURNING; /* its workers are retiring */
        break;
    case GIVEN:
        on_gone(handover);
        break;
    case IDLE:
    case DONE:
    case RETURNING:
    case RETURNED:
        break;
    }
}

static const struct channel_ops channel_ops = {.message = on_message, .closed = on_closed};

static void look_at(struct handover *handover, int client)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (handover->newer >= 0)
        close(handover->newer);
    handover->newer = -1;
    if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0)
        handover->newer = (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct handover *handover = arg;
    if (handover->state == GIVEN)
        end(handover);
    else
        on_closed(handover, -ETIMEDOUT);
}

static void admit(struct handover *handover, int client)
{
    uid_t uid;
    if (handover->channel || !unix_socket_peer_is_owner(client, &uid) ||
        channel_new(handover->base, client, &channel_ops, handover, &handover->channel) < 0) {
        close(client);
        return;
    }
    look_at(handover, client);
    set_timer(handover, patience_ms(handover, HANDOVER_SECONDS));
}

/* An edge: who finds no descriptor left waits for the next one, and does not keep us busy. */
static void on_acceptable(evutil_socket_t fd, short events, void *arg)
{
    (void)events;
    int client;
    while ((client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        admit(arg, client);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

int handover_new(struct event_base *base, const struct handover_config *config,
                 struct handover **out)
{
    struct handover *handover = calloc(1, sizeof(*handover));
    if (!handover)
        return -ENOMEM;
    handover->base = base;
    handover->config = *config;
    handover->newer = -1;
    snprintf(handover->path, sizeof(handover->path), "%.4000s/%s", config->directory,
             HANDOFF_SOCKET);
    handover->fd = unix_socket_listen(handover->path, SOCK_SEQPACKET);
    int error = handover->fd < 0 ? handover->fd : 0;
    if (!error) {
        handover->timer = evtimer_new(base, on_timer, handover);
        handover->acceptable =
            event_new(base, handover->fd, EV_READ | EV_ET | EV_PERSIST, on_acceptable, handover);
        if (!handover->timer || !handover->acceptable || event_add(handover->acceptable, NULL) < 0)
            error = -ENOMEM;
    }
    if (error) {
        handover_free(handover);
        return error;
    }
    *out = handover;
    return 0;
}

void handover_free(struct handover *handover)
{
    if (!handover)
        return;
    channel_free(handover->channel);
    if (handover->acceptable)
        event_free(handover->acceptable);
    if (handover->timer)
        event_free(handover->timer);
    if (handover->ended)
        event_free(handover->ended);
    if (handover->newer >= 0)
        close(handover->newer);
    inherited_free(handover->kept);
    if (handover->fd >= 0) {
        unlink(handover->path);
        close(handover->fd);
    }
    free(handover);
}

bool handover_is_done(const struct handover *handover)
{
    return handover && handover->state == DONE;
}

bool handover_is_lost(const struct handover *handover)
{
    return handover && (handover->is_alone || (handover->state == RETURNED && !handover->kept));
}

bool handover_is_back(struct handover *handover, struct inherited **kept)
{
    if (!handover || handover->state != RETURNED || !handover->kept)
        return false;
    *kept = handover->kept;
    handover->kept = NULL;
    return true;
}

bool handover_stop(struct handover *handover)
{
    if (!handover)
        return false;
    switch (handover->state) {
    case RETIRING:
    case GIVEN:
        log_info("a newer program takes over; this one ends when that is done");
        if (handover->state == GIVEN && !handover->channel) /* it is: nobody needs to linger */
            end(handover);
        else if (handover->state == GIVEN && !handover->stopping)
            set_timer(handover, HANDOVER_LINGER_MS);
        handover->stopping = true;
        return true;
    case RETURNING: /* there is nothing that could be drained */
        finish(handover);
        return true;
    case IDLE:
    case OFFERED:
        if (!handover->channel)
            return false;
        /* Else it takes this for a crash, and goes on with what is shut down here. */
        handoff_send_refused(handover->channel, "the running program is ending");
        on_closed(handover, 0);
        return false;
    case RETURNED:
    case DONE:
        return false;
    }
    return false;
}
