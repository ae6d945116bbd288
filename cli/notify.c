/* notify: owns the socket, connected to the manager's, and the timer that feeds its watchdog. */
#include "cli/notify.h"

#include "base/log.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX    512
#define USEC_PER_S     1000000ULL
#define WATCHDOG_MAX_S 86400ULL
/* Beyond the drain: what ending takes without one. */
#define STOP_SECONDS 5
/* How long a manager that is busy is waited for, by whoever must not be missed. */
#define BUSY_MS 1000

struct notify {
    int fd;
    char *name;             /* NOTIFY_SOCKET … */
    char *usec;             /* … and WATCHDOG_USEC as they were, NULL = was not */
    struct event *watchdog; /* NULL = none is wanted */
};

static void send_text(const struct notify *notify, const char *text)
{
    if (send(notify->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        log_debug("the service manager was not told: %s", strerror(errno));
}

void notify_ready(struct notify *notify, const char *status)
{
    char text[MESSAGE_MAX];
    if (!notify)
        return;
    snprintf(text, sizeof(text), "READY=1\nSTATUS=%s\n", status);
    send_text(notify, text);
}

void notify_successor(struct notify *notify, const char *status)
{
    char text[MESSAGE_MAX];
    if (!notify)
        return;
    snprintf(text, sizeof(text), "MAINPID=%ld\nREADY=1\nSTATUS=%s\n", (long)getpid(), status);
    /* Ten datagrams fill a queue, and without this one the former's end is the service's. */
    struct pollfd room = {.fd = notify->fd, .events = POLLOUT};
    (void)poll(&room, 1, BUSY_MS);
    send_text(notify, text);
}

void notify_stopping(struct notify *notify, unsigned seconds, const char *status)
{
    char text[MESSAGE_MAX];
    if (!notify)
        return;
    snprintf(text, sizeof(text), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu\nSTATUS=%s\n",
             (seconds + STOP_SECONDS) * USEC_PER_S, status);
    send_text(notify, text);
}

/* --- The watchdog ----------------------------------------------------------------------------- */

static void on_watchdog(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    send_text(arg, "WATCHDOG=1\n");
}

/* A number that is the whole text, from 1 to max; 0 = it is not. */
static unsigned long long read_number(const char *text, unsigned long long max)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && number <= max ? number : 0;
}

/* Fed twice in the manager's time, as sd_watchdog_enabled(3) asks. */
static int start_watchdog(struct notify *notify, struct event_base *base, const char *usec,
                          const char *pid)
{
    if (!usec || (pid && read_number(pid, (unsigned long long)getpid()) != (unsigned)getpid()))
        return 0;
    unsigned long long half = read_number(usec, WATCHDOG_MAX_S * USEC_PER_S) / 2;
    if (half == 0)
        return -EINVAL;
    struct timeval interval = {.tv_sec = (time_t)(half / USEC_PER_S),
                               .tv_usec = (suseconds_t)(half % USEC_PER_S)};
    notify->watchdog = event_new(base, -1, EV_PERSIST, on_watchdog, notify);
    if (!notify->watchdog || event_add(notify->watchdog, &interval) < 0)
        return -ENOMEM;
    return 0;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

/* "/path", or "@name" in the abstract namespace (unix(7)). */
static int connect_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(address.sun_path))
        return -EINVAL;
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    else
        len++; /* the NUL */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (connect(fd, (const struct sockaddr *)&address, size) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static int make(struct event_base *base, const char *name, const char *usec, const char *pid,
                struct notify **out)
{
    struct notify *notify = calloc(1, sizeof(*notify));
    if (!notify)
        return -ENOMEM;
    notify->fd = connect_socket(name);
    int error = notify->fd < 0 ? notify->fd : start_watchdog(notify, base, usec, pid);
    notify->name = strdup(name);
    notify->usec = notify->watchdog ? strdup(usec) : NULL;
    if (!error && (!notify->name || (notify->watchdog && !notify->usec)))
        error = -ENOMEM;
    if (error) {
        notify_free(notify);
        return error;
    }
    *out = notify;
    return 0;
}

int notify_new(struct event_base *base, struct notify **out)
{
    const char *name = getenv("NOTIFY_SOCKET");
    int error = 0;
    *out = NULL;
    if (name)
        error = make(base, name, getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), out);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return error;
}

void notify_free(struct notify *notify)
{
    if (!notify)
        return;
    if (notify->watchdog)
        event_free(notify->watchdog);
    if (notify->fd >= 0)
        close(notify->fd);
    free(notify->name);
    free(notify->usec);
    free(notify);
}

/* --- For the next program --------------------------------------------------------------------- */

int notify_lend(const struct notify *notify)
{
    if (notify && (setenv("NOTIFY_SOCKET", notify->name, 1) < 0 ||
                   (notify->usec && setenv("WATCHDOG_USEC", notify->usec, 1) < 0)))
        return -ENOMEM;
    return 0;
}

void notify_take_back(const struct notify *notify)
{
    if (!notify)
        return;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
}
