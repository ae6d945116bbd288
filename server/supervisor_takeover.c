/*
 * supervisor_takeover: both sides of a takeover, for the workers of a supervisor: those of the
 * older program retire behind bridges, those of the newer one are given them.
 */
#include "base/descriptor.h"
#include "base/log.h"
#include "base/messages.h"
#include "server/supervisor_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* How long a worker may take to retire. */
#define SUPERVISOR_RETIRE_SECONDS 5

static void on_retire_late(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct supervisor *supervisor = arg;
    for (unsigned i = 0; i < supervisor->workers_count; i++)
        worker_link_give_up(supervisor->workers[i].link);
}

/* Without a bridge the tunnel's connections end: its sockets are the newer worker's all the same.
 */
static void hand_over(struct supervised_tunnel *tunnel)
{
    struct message_slot message = {.slot = tunnel->slot};
    int pair[2] = {-1, -1};
    if (!tunnel->told || !worker_link_is_up(tunnel->worker->link))
        return;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        log_about(LOG_LEVEL_ERROR, LOG_TUNNEL, tunnel->spec->name,
                  "its connections are lost in the takeover: %s", strerror(errno));
    const int fds[CHANNEL_FDS_MAX] = {pair[0], -1};
    worker_link_send(tunnel->worker->link, MESSAGE_TUNNEL_HAND_OVER, &message, sizeof(message),
                     NULL, fds);
    if (pair[0] >= 0)
        descriptor_close(pair[0]);
    if (tunnel->bridge >= 0)
        descriptor_close(tunnel->bridge);
    tunnel->bridge = pair[1];
}

void supervisor_retire(struct supervisor *supervisor, void (*done)(void *ctx), void *ctx)
{
    struct timeval wait = {.tv_sec = SUPERVISOR_RETIRE_SECONDS};
    supervisor->drain.done = done;
    supervisor->drain.ctx = ctx;
    supervisor->drain.left = supervisor->workers_count;
    supervisor->retiring = true;
    if (!supervisor->retire_late)
        supervisor->retire_late = evtimer_new(supervisor->base, on_retire_late, supervisor);
    if (supervisor->retire_late)
        evtimer_add(supervisor->retire_late, &wait);
    for (unsigned i = 0; i < supervisor->workers_count; i++) {
        struct supervised_tunnel *tunnel;
        TAILQ_FOREACH(tunnel, &supervisor->workers[i].tunnels, link)
        hand_over(tunnel);
        worker_link_retire(supervisor->workers[i].link);
    }
}

int supervisor_bridge(const struct supervised_tunnel *tunnel)
{
    return tunnel->bridge;
}

int supervisor_share_worker(const struct supervisor *supervisor, unsigned index, int fds[2],
                            pid_t *pid)
{
    return worker_link_share(supervisor->workers[index].link, fds, pid);
}

const void *supervisor_worker_segment(const struct supervisor *supervisor, unsigned index, int *fd)
{
    const struct worker_link *link = supervisor->workers[index].link;
    *fd = worker_link_counters_fd(link);
    return worker_link_counters(link);
}

void supervisor_adopt_tunnel(struct supervised_tunnel *tunnel, int bridge)
{
    struct message_slot message = {.slot = tunnel->slot};
    const int fds[CHANNEL_FDS_MAX] = {bridge, -1};
    worker_link_send(tunnel->worker->link, MESSAGE_TUNNEL_ADOPT, &message, sizeof(message), NULL,
                     fds);
    descriptor_close(bridge);
}
