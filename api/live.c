/*
 * live: sending (the daemon asks for more whenever the client takes some), waiting (everything was
 * taken: suspended), or ended. Owns the event that watches the socket, not the socket.
 */
#include "api/live.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>

/* --- All of one kind -------------------------------------------------------------------------- */

void live_group_init(struct live_group *group)
{
    TAILQ_INIT(&group->lives);
    group->count = 0;
    group->ending = NULL;
}

void live_group_end(struct live_group *group, const struct event *run)
{
    struct live *live;
    group->ending = run;
    TAILQ_FOREACH(live, &group->lives, entry)
    {
        if (live->run == run)
            live_end(live);
    }
}

void live_join(struct live *live, struct live_group *group)
{
    live->group = group;
    TAILQ_INSERT_TAIL(&group->lives, live, entry);
    group->count++;
}

/* --- One -------------------------------------------------------------------------------------- */

void live_wake(struct live *live)
{
    if (!live->waiting)
        return;
    live->waiting = false;
    MHD_resume_connection(live->connection);
    event_active(live->run, EV_TIMEOUT, 0);
}

void live_end(struct live *live)
{
    live->ended = true;
    live_wake(live);
}

void live_cut(struct live *live)
{
    live_end(live);
    shutdown(event_get_fd(live->socket), SHUT_RDWR);
}

void live_wait(struct live *live)
{
    live->waiting = true;
    MHD_suspend_connection(live->connection);
}

/*
 * Something happened at the socket. Nothing is read: it may be the client's next request. An edge
 * is reported once, or what lies there unread would be reported for ever.
 */
static void on_socket(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct pollfd state = {.fd = fd, .events = POLLRDHUP};
    if (poll(&state, 1, 0) > 0)
        live_end(ctx);
}

int live_start(struct live *live, struct event_base *base, struct MHD_Connection *connection,
               struct event *run, unsigned patience_seconds)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    live->connection = connection;
    live->run = run;
    live->ended = run == live->group->ending;
    if (info == NULL || MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                                  patience_seconds) != MHD_YES)
        return -EIO;
    /* The daemon closes the socket after it has freed the response. */
    live->socket = event_new(base, info->connect_fd, EV_READ | EV_ET | EV_PERSIST, on_socket, live);
    return live->socket != NULL ? event_add(live->socket, NULL) : -ENOMEM;
}

void live_fini(struct live *live)
{
    TAILQ_REMOVE(&live->group->lives, live, entry);
    live->group->count--;
    if (live->socket != NULL)
        event_free(live->socket);
    live->socket = NULL;
}
