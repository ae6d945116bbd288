/*
 * takeover: owns the channel to the older program and what came through it.
 */
#include "cli/takeover.h"

#include "server/handoff.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

struct takeover {
    struct event_base *base;
    struct channel *channel;
    struct inherited *inherited;
    struct event *timer;
    enum handoff_type awaited; /* ALL or DONE */
    bool arrived;              /* what was awaited */
    bool failed;               /* reason says why */
    bool refused;              /* … which the older one has said */
    bool late;                 /* it failed because there was no answer in time */
    int older; /* a descriptor of its process, readable when that has ended, or -1 */
    char reason[HANDOFF_REASON_MAX + 1];
};

static void fail(struct takeover *takeover, const char *reason)
{
    if (!takeover->failed)
        snprintf(takeover->reason, sizeof(takeover->reason), "%s", reason);
    takeover->failed = true;
}

static int on_item(struct takeover *takeover, struct channel_message *message)
{
    struct inherited_item item;
    int error = handoff_read_item(message, &item);
    if (error)
        return error;
    error = inherited_add(takeover->inherited, &item);
    for (int i = 0; i < INHERITED_FDS_MAX; i++) {
        if (item.fds[i] >= 0)
            close(item.fds[i]);
    }
    return error ? -EPROTO : 0;
}

static int on_message(void *ctx, struct channel_message *message)
{
    struct takeover *takeover = ctx;
    char reason[HANDOFF_REASON_MAX + 1];
    if (message->type == HANDOFF_ITEM)
        return on_item(takeover, message);
    if (message->type == HANDOFF_REFUSED && handoff_read_refused(message, reason) == 0) {
        fail(takeover, reason);
        takeover->refused = true;
        return 0;
    }
    if (message->type != takeover->awaited || handoff_read_empty(message) < 0)
        return -EPROTO;
    takeover->arrived = true;
    return 0;
}

static void on_closed(void *ctx, int error)
{
    fail(ctx, error ? "it does not speak as expected" : "it has ended, or hung up");
}

static const struct channel_ops channel_ops = {.message = on_message, .closed = on_closed};

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct takeover *takeover = arg;
    takeover->late = !takeover->failed;
    fail(takeover, "it does not answer");
}

/* Runs the loop until the message is there. */
static int await(struct takeover *takeover, enum handoff_type type, char error[256])
{
    struct timeval wait = {.tv_sec = type == HANDOFF_ALL ? TAKEOVER_OFFER_SECONDS
                                                         : TAKEOVER_DONE_SECONDS};
    takeover->awaited = type;
    takeover->arrived = false;
    event_add(takeover->timer, &wait);
    while (!takeover->arrived && !takeover->failed) {
        if (event_base_loop(takeover->base, EVLOOP_ONCE) < 0)
            fail(takeover, "the event loop failed");
    }
    event_del(takeover->timer);
    if (takeover->arrived)
        return 0;
    snprintf(error, 256, "cannot take over from the running program: %.200s", takeover->reason);
    return -1;
}

/* --- The older program's process -------------------------------------------------------------- */

static void find_process(struct takeover *takeover, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0)
        takeover->older = (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    *(short *)arg = events;
}

/* Whether it has ended, or does so in a moment. */
static bool has_ended(struct takeover *takeover)
{
    struct timeval wait = {.tv_sec = TAKEOVER_END_SECONDS};
    short events = 0;
    struct event *ended =
        takeover->older >= 0 ? event_new(takeover->base, takeover->older, EV_READ, on_tick, &events)
                             : NULL;
    if (ended && event_add(ended, &wait) == 0) {
        while (events == 0 && event_base_loop(takeover->base, EVLOOP_ONCE) >= 0)
            ;
    }
    if (ended)
        event_free(ended);
    return events & EV_READ;
}

/*
 * One that hung up by itself has ended, or goes on. One that hangs serves nobody. One that refuses
 * goes on, or ends because it is to: then it shuts down what it has offered.
 */
static bool outlives(struct takeover *takeover)
{
    if (takeover->refused)
        return false;
    if (takeover->late && takeover->older >= 0)
        syscall(SYS_pidfd_send_signal, takeover->older, SIGKILL, NULL, 0);
    return has_ended(takeover);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

/* Returns a descriptor, or -errno. */
static int connect_to(const char *directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len =
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory, HANDOFF_SOCKET);
    if (len < 0 || (size_t)len >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static int open_channel(struct takeover *takeover, const char *directory)
{
    takeover->timer = evtimer_new(takeover->base, on_timer, takeover);
    if (!takeover->timer || inherited_new(&takeover->inherited) < 0)
        return -ENOMEM;
    int fd = connect_to(directory);
    if (fd < 0)
        return fd;
    find_process(takeover, fd);
    int error = channel_new(takeover->base, fd, &channel_ops, takeover, &takeover->channel);
    if (error) {
        close(fd);
        return error;
    }
    return handoff_send_hello(takeover->channel);
}

int takeover_begin(struct event_base *base, const char *directory, struct takeover **out,
                   char error[256])
{
    struct takeover *takeover = calloc(1, sizeof(*takeover));
    int rc = -ENOMEM;
    if (takeover) {
        takeover->base = base;
        takeover->older = -1;
        rc = open_channel(takeover, directory);
    }
    if (rc) {
        snprintf(error, 256, "no program to take over from in %.150s: %s", directory,
                 strerror(-rc));
        takeover_free(takeover);
        return -1;
    }
    if (await(takeover, HANDOFF_ALL, error) < 0) {
        takeover_free(takeover);
        return -1;
    }
    *out = takeover;
    return 0;
}

enum takeover_outcome takeover_take(struct takeover *takeover, char error[256])
{
    if (takeover->failed || handoff_send(takeover->channel, HANDOFF_TAKE) < 0)
        snprintf(error, 256, "the running program is gone: %.200s", takeover->reason);
    else if (await(takeover, HANDOFF_DONE, error) == 0)
        return TAKEOVER_DONE;
    return outlives(takeover) ? TAKEOVER_ALONE : TAKEOVER_REFUSED;
}

void takeover_tell_ready(struct takeover *takeover)
{
    if (!takeover->failed) /* else there is nobody to hear it */
        handoff_send(takeover->channel, HANDOFF_READY);
}

void takeover_free(struct takeover *takeover)
{
    if (!takeover)
        return;
    channel_free(takeover->channel);
    inherited_free(takeover->inherited);
    if (takeover->timer)
        event_free(takeover->timer);
    if (takeover->older >= 0)
        close(takeover->older);
    free(takeover);
}

struct inherited *takeover_inherited(struct takeover *takeover)
{
    return takeover->inherited;
}
