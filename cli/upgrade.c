/*
 * upgrade: owns the handler of SIGUSR2, and looks after the newer program until it has taken over:
 * then this process is gone.
 *
 *   IDLE ─ SIGUSR2 ─▶ STARTED (child, process) ─ it has ended ─▶ IDLE
 */
#include "cli/upgrade.h"

#include "base/log.h"
#include "cli/notify.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAKEOVER_OPTION "--takeover"

struct upgrade {
    struct event_base *base;
    struct notify *notify;
    char **arguments; /* with TAKEOVER_OPTION; the texts are borrowed */
    struct event *asked;
    pid_t child; /* 0 = IDLE */
    int process; /* a descriptor of the child, readable when it has ended, or -1 */
    struct event *ended;
};

/* --- The newer program ------------------------------------------------------------------------ */

static void forget_child(struct upgrade *upgrade)
{
    if (upgrade->ended)
        event_free(upgrade->ended);
    if (upgrade->process >= 0)
        close(upgrade->process);
    upgrade->ended = NULL;
    upgrade->process = -1;
    upgrade->child = 0;
}

static void on_ended(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct upgrade *upgrade = arg;
    int status = 0;
    waitpid(upgrade->child, &status, 0);
    if (WIFSIGNALED(status))
        log_error("the newer program was ended by signal %d (%s); this one goes on",
                  WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        log_error("the newer program ended with status %d; this one goes on", WEXITSTATUS(status));
    forget_child(upgrade);
}

/* Without being told of its end, it could not be reaped, nor the next one be started. */
static int watch_child(struct upgrade *upgrade)
{
    upgrade->process = (int)syscall(SYS_pidfd_open, upgrade->child, 0);
    if (upgrade->process < 0)
        return -errno;
    upgrade->ended = event_new(upgrade->base, upgrade->process, EV_READ, on_ended, upgrade);
    return upgrade->ended && event_add(upgrade->ended, NULL) == 0 ? 0 : -ENOMEM;
}

/* 0 or -errno. What this one ignores or blocks, a new program does not. */
static int spawn(struct upgrade *upgrade)
{
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    int error = posix_spawnattr_init(&attributes);
    if (error)
        return -error;
    if (!(error = posix_spawnattr_setsigmask(&attributes, &none)) &&
        !(error = posix_spawnattr_setsigdefault(&attributes, &defaults)) &&
        !(error = posix_spawnattr_setflags(&attributes,
                                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)))
        error = posix_spawnp(&upgrade->child, upgrade->arguments[0], NULL, &attributes,
                             upgrade->arguments, environ);
    posix_spawnattr_destroy(&attributes);
    if (error)
        upgrade->child = 0;
    return -error;
}

static int start(struct upgrade *upgrade)
{
    int error = notify_lend(upgrade->notify);
    if (!error)
        error = spawn(upgrade);
    notify_take_back(upgrade->notify);
    if (error)
        return error;
    error = watch_child(upgrade);
    if (error) {
        kill(upgrade->child, SIGKILL);
        waitpid(upgrade->child, NULL, 0);
        forget_child(upgrade);
    }
    return error;
}

static void on_asked(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct upgrade *upgrade = arg;
    if (upgrade->child != 0) {
        log_warn("a newer program was started already, as process %ld", (long)upgrade->child);
        return;
    }
    int error = start(upgrade);
    if (error)
        log_error("the newer program %s cannot be started: %s; this one goes on",
                  upgrade->arguments[0], strerror(-error));
    else
        log_info("a newer program was started as process %ld, to take over", (long)upgrade->child);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static char **copy_arguments(char *const *arguments)
{
    size_t count = 0;
    bool takes_over = false;
    for (; arguments[count]; count++)
        takes_over |= strcmp(arguments[count], TAKEOVER_OPTION) == 0;
    char **copy = calloc(count + 2, sizeof(*copy));
    if (!copy)
        return NULL;
    memcpy(copy, arguments, count * sizeof(*copy));
    if (!takes_over) /* an upgraded program has it already */
        copy[count] = TAKEOVER_OPTION;
    return copy;
}

int upgrade_new(struct event_base *base, char *const *arguments, struct notify *notify,
                struct upgrade **out)
{
    struct upgrade *upgrade = calloc(1, sizeof(*upgrade));
    if (!upgrade)
        return -ENOMEM;
    upgrade->base = base;
    upgrade->notify = notify;
    upgrade->process = -1;
    upgrade->arguments = copy_arguments(arguments);
    upgrade->asked = evsignal_new(base, SIGUSR2, on_asked, upgrade);
    if (!upgrade->arguments || !upgrade->asked || evsignal_add(upgrade->asked, NULL) < 0) {
        upgrade_free(upgrade);
        return -ENOMEM;
    }
    *out = upgrade;
    return 0;
}

void upgrade_free(struct upgrade *upgrade)
{
    if (!upgrade)
        return;
    forget_child(upgrade);
    if (upgrade->asked)
        event_free(upgrade->asked);
    free(upgrade->arguments);
    free(upgrade);
}
