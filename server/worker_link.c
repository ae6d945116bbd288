/*
 * worker_link: owns one worker's process, channel, counters segment and slots; see worker_link.h
 * for its states.
 */
#include "server/worker_link.h"

#include "base/log.h"
#include "engine/worker.h"
#include "server/monotonic.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long worker_link_free() waits for a worker to end by itself. */
#define FREE_WAIT_MS 2000

enum slot_state { SLOT_FREE, SLOT_USED, SLOT_REMOVING };

struct slots {
    uint8_t *state; /* enum slot_state by slot */
    uint32_t *free; /* a stack of free slots */
    uint32_t free_count;
    uint32_t capacity;
};

static const struct {
    uint32_t capacity;
    size_t offset, size; /* of the first slot in the segment, and of each */
    enum message_type remove, removed;
} slot_kinds[WORKER_SLOT_KINDS] = {
    [WORKER_SLOT_TUNNEL] = {COUNTERS_TUNNELS_MAX, offsetof(struct counters, tunnels),
                            sizeof(struct counters_tunnel), MESSAGE_TUNNEL_REMOVE,
                            MESSAGE_TUNNEL_REMOVED},
    [WORKER_SLOT_FORWARD] = {COUNTERS_FORWARDS_MAX, offsetof(struct counters, forwards),
                             sizeof(struct counters_forward), MESSAGE_FORWARD_REMOVE,
                             MESSAGE_FORWARD_REMOVED},
    [WORKER_SLOT_PEER] = {COUNTERS_PEERS_MAX, offsetof(struct counters, peers),
                          sizeof(struct counters_peer), MESSAGE_PEER_REMOVE, MESSAGE_PEER_REMOVED},
};

enum state { DOWN, STARTING, UP };

struct worker_link {
    struct event_base *base;
    unsigned index;
    char name[12]; /* the index, in text */
    const char *program;
    const struct worker_link_ops *ops;
    void *ctx;
    enum state state;
    bool draining;
    bool retiring;
    bool drained;        /* drained() was called */
    bool doomed;         /* UP, but it has missed a command, or its channel is closed */
    pid_t pid;           /* 0 = no process */
    uint64_t started_at; /* monotonic.h */
    unsigned failures;   /* in a row */
    uint64_t starts;
    struct channel *channel;
    struct event *timer; /* DOWN: start again; STARTING: HELLO is overdue */
    int counters_fd;
    struct counters *counters;
    struct slots slots[WORKER_SLOT_KINDS];
};

static unsigned start_later(struct worker_link *link);

/* --- Slots ------------------------------------------------------------------------------------ */

static int slots_init(struct slots *slots, uint32_t capacity)
{
    slots->state = calloc(capacity, sizeof(*slots->state));
    slots->free = calloc(capacity, sizeof(*slots->free));
    if (!slots->state || !slots->free)
        return -ENOMEM;
    slots->capacity = capacity;
    while (slots->free_count < capacity) {
        slots->free[slots->free_count] = capacity - 1 - slots->free_count;
        slots->free_count++;
    }
    return 0;
}

static void slots_fini(struct slots *slots)
{
    free(slots->state);
    free(slots->free);
}

static void slot_release(struct slots *slots, uint32_t slot)
{
    slots->state[slot] = SLOT_FREE;
    slots->free[slots->free_count++] = slot;
}

/* Nobody but the worker, which is gone, writes the counters of what it was removing. */
static void slot_reset(struct worker_link *link, enum worker_slot_kind kind, uint32_t slot)
{
    size_t size = slot_kinds[kind].size;
    memset((char *)link->counters + slot_kinds[kind].offset + slot * size, 0, size);
    slot_release(&link->slots[kind], slot);
}

static void slots_release_removing(struct worker_link *link, enum worker_slot_kind kind)
{
    const struct slots *slots = &link->slots[kind];
    for (uint32_t slot = 0; slot < slots->capacity; slot++) {
        if (slots->state[slot] == SLOT_REMOVING)
            slot_reset(link, kind, slot);
    }
}

int worker_link_slot_get(struct worker_link *link, enum worker_slot_kind kind, uint32_t *slot)
{
    struct slots *slots = &link->slots[kind];
    if (slots->free_count == 0)
        return -ENOSPC;
    *slot = slots->free[--slots->free_count];
    slots->state[*slot] = SLOT_USED;
    return 0;
}

void worker_link_slot_put(struct worker_link *link, enum worker_slot_kind kind, uint32_t slot)
{
    slot_release(&link->slots[kind], slot);
}

void worker_link_slot_remove(struct worker_link *link, enum worker_slot_kind kind, uint32_t slot)
{
    struct message_slot message = {.slot = slot};
    link->slots[kind].state[slot] = SLOT_REMOVING;
    if (link->state == UP)
        worker_link_send(link, slot_kinds[kind].remove, &message, sizeof(message), NULL, NULL);
    else
        slot_reset(link, kind, slot);
}

/* --- The channel ------------------------------------------------------------------------------ */

static void tell_drained(struct worker_link *link)
{
    if (link->drained)
        return;
    link->drained = true;
    link->ops->drained(link->ctx, link);
}

static int on_hello(struct worker_link *link, const struct channel_message *message)
{
    struct message_hello theirs;
    int error = message_read(message, &theirs, sizeof(theirs));
    if (error || theirs.version != MESSAGES_VERSION ||
        theirs.counters_size != sizeof(struct counters) || link->state != STARTING)
        return -EPROTO;
    link->state = UP;
    evtimer_del(link->timer);
    if (link->retiring) { /* it has nothing, and ends */
        worker_link_send(link, MESSAGE_RETIRE, NULL, 0, NULL, NULL);
        return 0;
    }
    if (link->draining) { /* it has nothing, and gets nothing any more */
        tell_drained(link);
        return 0;
    }
    log_about(LOG_LEVEL_INFO, LOG_WORKER, link->name, "running as process %d", (int)link->pid);
    channel_set_bounded(link->channel, false);
    link->ops->up(link->ctx, link);
    channel_set_bounded(link->channel, true);
    return 0;
}

static int on_removed(struct worker_link *link, enum worker_slot_kind kind,
                      const struct channel_message *message)
{
    struct message_slot removed;
    struct slots *slots = &link->slots[kind];
    int error = message_read(message, &removed, sizeof(removed));
    if (error || removed.slot >= slots->capacity || slots->state[removed.slot] != SLOT_REMOVING)
        return -EPROTO;
    slot_release(slots, removed.slot);
    return 0;
}

static int on_tunnel_event(struct worker_link *link, const struct channel_message *message)
{
    struct message_tunnel_event event;
    int error = message_read(message, &event, sizeof(event));
    if (error || event.slot >= COUNTERS_TUNNELS_MAX)
        return -EPROTO;
    if (link->slots[WORKER_SLOT_TUNNEL].state[event.slot] == SLOT_USED)
        link->ops->tunnel_event(link->ctx, link, &event);
    return 0;
}

static int on_result(struct worker_link *link, enum worker_slot_kind kind,
                     const struct channel_message *message)
{
    struct message_result result;
    const struct slots *slots = &link->slots[kind];
    int error = message_read(message, &result, sizeof(result));
    if (error || result.slot >= slots->capacity || result.error > INT_MAX)
        return -EPROTO;
    if (slots->state[result.slot] == SLOT_USED)
        link->ops->result(link->ctx, link, kind, &result);
    return 0;
}

static int on_message(void *ctx, struct channel_message *message)
{
    struct worker_link *link = ctx;
    if (message->type == MESSAGE_HELLO)
        return on_hello(link, message);
    if (link->state != UP)
        return -EPROTO;
    for (enum worker_slot_kind kind = 0; kind < WORKER_SLOT_KINDS; kind++) {
        if (message->type == slot_kinds[kind].removed)
            return on_removed(link, kind, message);
    }
    if (message->type == MESSAGE_TUNNEL_RESULT)
        return on_result(link, WORKER_SLOT_TUNNEL, message);
    if (message->type == MESSAGE_FORWARD_RESULT)
        return on_result(link, WORKER_SLOT_FORWARD, message);
    if (message->type == MESSAGE_TUNNEL_EVENT)
        return on_tunnel_event(link, message);
    if ((message->type == MESSAGE_DRAINED && link->draining) ||
        (message->type == MESSAGE_RETIRED && link->retiring)) {
        tell_drained(link);
        return 0;
    }
    return -EPROTO;
}

static void on_closed(void *ctx, int error)
{
    struct worker_link *link = ctx;
    if (error)
        log_about(LOG_LEVEL_ERROR, LOG_WORKER, link->name, "channel: %s", strerror(-error));
    link->doomed = true;
    bool ends_by_itself = link->retiring && link->drained;
    if (link->pid > 0 && !ends_by_itself) /* not reaped yet, so the number is still its own */
        kill(link->pid, SIGKILL);
}

static const struct channel_ops channel_ops = {.message = on_message, .closed = on_closed};

int worker_link_try_send(struct worker_link *link, enum message_type type, const void *fixed,
                         size_t len, const int fds[CHANNEL_FDS_MAX])
{
    if (link->state != UP || link->doomed)
        return -ENOTCONN;
    return message_send(link->channel, type, fixed, len, NULL, fds);
}

void worker_link_send(struct worker_link *link, enum message_type type, const void *fixed,
                      size_t len, const cJSON *json, const int fds[CHANNEL_FDS_MAX])
{
    if (link->state != UP || link->doomed)
        return;
    int error = message_send(link->channel, type, fixed, len, json, fds);
    if (error == -ENOMEM && json)
        error = message_send(link->channel, type, fixed, len, NULL, fds);
    if (error) {
        /* It has missed a command; a new one is told everything. */
        log_about(LOG_LEVEL_ERROR, LOG_WORKER, link->name,
                  "cannot be told what to do: %s; it is started again", strerror(-error));
        link->doomed = true;
        kill(link->pid, SIGKILL);
    }
}

/* --- The process ------------------------------------------------------------------------------ */

static int spawn(struct worker_link *link, int channel_fd)
{
    char *argv[] = {"manytun",
                    "worker",
                    link->name,
                    (char *)log_level_name(log_get_level()),
                    (char *)log_format_name(log_get_format()),
                    NULL};

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return -error;
    error = posix_spawnattr_init(&attributes);
    if (error) {
        posix_spawn_file_actions_destroy(&actions);
        return -error;
    }
    /* Both descriptors are above 4 here (see start()), so that neither is overwritten. */
    if (!(error = posix_spawn_file_actions_adddup2(&actions, channel_fd, WORKER_CHANNEL_FD)) &&
        !(error =
              posix_spawn_file_actions_adddup2(&actions, link->counters_fd, WORKER_COUNTERS_FD)) &&
        !(error = posix_spawnattr_setsigmask(&attributes, &none)) &&
        !(error = posix_spawnattr_setsigdefault(&attributes, &defaults)) &&
        !(error = posix_spawnattr_setflags(&attributes,
                                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)))
        error = posix_spawn(&link->pid, link->program, &actions, &attributes, argv, environ);
    if (error)
        link->pid = 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

/* A descriptor above those that a worker expects at fixed numbers. */
static int move_up(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, WORKER_COUNTERS_FD + 1);
    int error = errno;
    close(fd);
    errno = error;
    return moved;
}

static int start(struct worker_link *link)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    pair[1] = move_up(pair[1]);
    int error = pair[1] < 0 ? -errno : 0;
    if (!error)
        error = channel_new(link->base, pair[0], &channel_ops, link, &link->channel);
    if (error) {
        close(pair[0]);
        if (pair[1] >= 0)
            close(pair[1]);
        return error;
    }
    error = spawn(link, pair[1]);
    close(pair[1]);
    if (error) {
        channel_free(link->channel);
        link->channel = NULL;
        return error;
    }
    link->state = STARTING;
    link->doomed = false;
    link->starts++;
    link->started_at = monotonic_ns();
    struct timeval deadline = {.tv_sec = WORKER_LINK_HELLO_SECONDS};
    evtimer_add(link->timer, &deadline);
    struct message_hello ours = {.version = MESSAGES_VERSION,
                                 .counters_size = sizeof(struct counters)};
    error = message_send(link->channel, MESSAGE_HELLO, &ours, sizeof(ours), NULL, NULL);
    if (error)
        kill(link->pid, SIGKILL);
    return 0;
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct worker_link *link = arg;
    if (link->state == STARTING) {
        log_about(LOG_LEVEL_ERROR, LOG_WORKER, link->name,
                  "no sign of life after %d s; it is killed", WORKER_LINK_HELLO_SECONDS);
        kill(link->pid, SIGKILL);
        return;
    }
    int error = start(link);
    if (error) {
        log_about(LOG_LEVEL_ERROR, LOG_WORKER, link->name, "cannot be started: %s",
                  strerror(-error));
        start_later(link);
    }
}

/* Plans the next start; in how many milliseconds it is. */
static unsigned start_later(struct worker_link *link)
{
    unsigned wait_ms = 0;
    if (link->failures > 0) {
        unsigned shift = link->failures < 8 ? link->failures - 1 : 7;
        wait_ms = (unsigned)WORKER_LINK_BACKOFF_MIN_MS << shift;
        if (wait_ms > WORKER_LINK_BACKOFF_MAX_MS)
            wait_ms = WORKER_LINK_BACKOFF_MAX_MS;
    }
    link->failures++;
    struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000L};
    evtimer_add(link->timer, &wait);
    return wait_ms;
}

static void log_end(const struct worker_link *link, int status)
{
    const char *next = link->draining || link->retiring ? "" : "; starting it again";
    if (link->retiring && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    if (WIFSIGNALED(status))
        log_about(LOG_LEVEL_ERROR, LOG_WORKER, link->name, "process %d ended by signal %d (%s)%s",
                  (int)link->pid, WTERMSIG(status), strsignal(WTERMSIG(status)), next);
    else
        log_about(LOG_LEVEL_ERROR, LOG_WORKER, link->name, "process %d ended with status %d%s",
                  (int)link->pid, WEXITSTATUS(status), next);
}

void worker_link_reap(struct worker_link *link)
{
    int status;
    if (link->pid == 0 || waitpid(link->pid, &status, WNOHANG) != link->pid)
        return;
    log_end(link, status);
    struct worker_end end = {.pid = link->pid, .status = status, .again = !link->draining};
    link->pid = 0;
    link->state = DOWN;
    channel_free(link->channel);
    link->channel = NULL;
    for (enum worker_slot_kind kind = 0; kind < WORKER_SLOT_KINDS; kind++)
        slots_release_removing(link, kind);
    if (link->draining || link->retiring) {
        evtimer_del(link->timer);
        link->ops->down(link->ctx, link, &end);
        tell_drained(link);
        return;
    }
    if (monotonic_ns() - link->started_at >= WORKER_LINK_STABLE_SECONDS * MONOTONIC_NS_PER_S)
        link->failures = 0;
    end.wait_ms = start_later(link);
    link->ops->down(link->ctx, link, &end);
}

static void end_with(struct worker_link *link, enum message_type message)
{
    if (link->state == UP) {
        worker_link_send(link, message, NULL, 0, NULL, NULL);
    } else if (link->state == DOWN) {
        evtimer_del(link->timer);
        tell_drained(link);
    }
}

void worker_link_drain(struct worker_link *link)
{
    if (link->draining)
        return;
    link->draining = true;
    end_with(link, MESSAGE_DRAIN);
}

void worker_link_retire(struct worker_link *link)
{
    link->retiring = true;
    link->drained = false;
    end_with(link, MESSAGE_RETIRE);
}

void worker_link_give_up(struct worker_link *link)
{
    if (link->retiring && !link->drained && link->pid > 0)
        kill(link->pid, SIGKILL);
}

int worker_link_share(const struct worker_link *link, int fds[2], pid_t *pid)
{
    if (link->pid == 0)
        return -ESRCH;
    int pidfd = (int)syscall(SYS_pidfd_open, link->pid, 0);
    if (pidfd < 0)
        return -errno;
    int channel = fcntl(channel_fd(link->channel), F_DUPFD_CLOEXEC, 0);
    if (channel < 0) {
        int error = -errno;
        close(pidfd);
        return error;
    }
    fds[0] = channel;
    fds[1] = pidfd;
    *pid = link->pid;
    return 0;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

int worker_link_new(struct event_base *base, unsigned index, const char *program,
                    const struct worker_link_ops *ops, void *ctx, struct worker_link **out)
{
    struct worker_link *link = calloc(1, sizeof(*link));
    if (!link)
        return -ENOMEM;
    link->base = base;
    link->index = index;
    snprintf(link->name, sizeof(link->name), "%u", index);
    link->program = program;
    link->ops = ops;
    link->ctx = ctx;
    link->counters_fd = counters_create();
    int error = link->counters_fd < 0 ? link->counters_fd : 0;
    if (!error) {
        link->counters_fd = move_up(link->counters_fd);
        link->counters = link->counters_fd < 0 ? NULL : counters_map(link->counters_fd);
        link->timer = evtimer_new(base, on_timer, link);
        if (!link->counters || !link->timer)
            error = -ENOMEM;
    }
    for (enum worker_slot_kind kind = 0; kind < WORKER_SLOT_KINDS && !error; kind++)
        error = slots_init(&link->slots[kind], slot_kinds[kind].capacity);
    if (!error)
        error = start(link);
    if (error) {
        worker_link_free(link);
        return error;
    }
    *out = link;
    return 0;
}

/* Waits for the process to end by itself, which it does when its channel is closed. */
static void wait_for_end(pid_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0) {
        struct pollfd ended = {.fd = pidfd, .events = POLLIN};
        while (poll(&ended, 1, FREE_WAIT_MS) < 0 && errno == EINTR)
            ;
        close(pidfd);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

void worker_link_free(struct worker_link *link)
{
    if (!link)
        return;
    channel_free(link->channel);
    if (link->pid > 0)
        wait_for_end(link->pid);
    if (link->timer)
        event_free(link->timer);
    for (enum worker_slot_kind kind = 0; kind < WORKER_SLOT_KINDS; kind++)
        slots_fini(&link->slots[kind]);
    counters_unmap(link->counters);
    if (link->counters_fd >= 0)
        close(link->counters_fd);
    free(link);
}

unsigned worker_link_index(const struct worker_link *link)
{
    return link->index;
}

uint64_t worker_link_starts(const struct worker_link *link)
{
    return link->starts;
}

int worker_link_pid(const struct worker_link *link)
{
    return link->pid;
}

bool worker_link_is_up(const struct worker_link *link)
{
    return link->state == UP;
}

int worker_link_counters_fd(const struct worker_link *link)
{
    return link->counters_fd;
}

struct counters_peer *worker_link_fresh_peer(struct worker_link *link, uint32_t slot)
{
    return &link->counters->peers[slot];
}

const struct counters *worker_link_counters(const struct worker_link *link)
{
    return link->counters;
}
