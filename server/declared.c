/*
 * declared: owns the watch on a folder, and a timer.
 *
 *   settled ─ change on disk ─▶ waiting ─ timer ─▶ loaded: settled, or refused
 *   refused ─ change on disk, or (if the reason may pass) DECLARED_RETRY_MS ─▶ loaded again
 *
 * While the service is frozen it waits on.
 */
#include "server/declared.h"

#include "base/config_files.h"
#include "base/log.h"
#include "server/apply.h"
#include "server/events.h"
#include "server/service_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* No IN_MODIFY: a file that is being written is looked at when it is closed. */
#define WATCHED                                                                                    \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF |       \
     IN_MOVE_SELF | IN_ONLYDIR)

struct declared {
    struct service *service;
    const char *path; /* NULL = there is no configuration */
    char folder[PATH_MAX];
    int inotify;
    int watch; /* -1 = the folder is not there */
    struct event *changed;
    struct event *timer;
    bool loaded;   /* once at least */
    bool is_retry; /* nobody has changed anything: what was told already is not told again */
    struct condition condition;
    char message[CONFIG_FILES_LINE];
};

/* --- What came of it -------------------------------------------------------------------------- */

static void judge(struct declared *declared, enum condition_status status, const char *reason)
{
    struct timespec now;
    const struct verdict verdict = {
        .status = status, .reason = reason, .message = declared->message, .subject = ""};
    clock_gettime(CLOCK_REALTIME, &now);
    condition_apply(&declared->condition, &verdict, &now);
}

static int note_applied(struct declared *declared)
{
    declared->message[0] = '\0';
    judge(declared, CONDITION_TRUE, "Applied");
    return 0;
}

/* first is what is told where there is room for one line only. */
static int refuse(struct declared *declared, const char *reason, const char *first)
{
    snprintf(declared->message, sizeof(declared->message), "%s", first);
    judge(declared, CONDITION_FALSE, reason);
    if (declared->is_retry)
        return -1;
    service_emit(declared->service, &(struct event_fact){.type = EVENT_CONFIG_FAILED,
                                                         .reason = reason,
                                                         .message = declared->message});
    if (declared->loaded)
        log_error("the configuration is refused, and what was applied before stays");
    return -1;
}

/* All errors, each a line of the log. */
static int refuse_errors(struct declared *declared, const char *reason,
                         const struct config_files *files, const struct spec_errors *errors)
{
    char line[CONFIG_FILES_LINE];
    for (size_t i = 0; i < errors->count && !declared->is_retry; i++)
        log_error("%s", config_files_print(files, &errors->items[i], line));
    return refuse(declared, reason, config_files_print(files, &errors->items[0], line));
}

static int refuse_problem(struct declared *declared, const struct config_files *files,
                          const struct problem *problem)
{
    const char *reason = problem->status == 422 ? "Invalid" : "NotApplied";
    if (problem->errors.count > 0)
        return refuse_errors(declared, reason, files, &problem->errors);
    if (!declared->is_retry)
        log_error("the configuration: %s", problem->detail);
    return refuse(declared, reason, problem->detail);
}

/* --- Loading ---------------------------------------------------------------------------------- */

static void start_timer(struct declared *declared, unsigned ms)
{
    declared->is_retry = ms == DECLARED_RETRY_MS;
    struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_add(declared->timer, &delay);
}

/* The folder may have been away, or be another one than before. */
static void watch_folder(struct declared *declared)
{
    if (declared->path != NULL && declared->watch < 0)
        declared->watch = inotify_add_watch(declared->inotify, declared->folder, WATCHED);
}

static int apply(struct declared *declared, struct config_files *files)
{
    static const struct apply_options options = {.source = SPEC_SOURCE_FILE, .prune = true};
    struct apply_result result;
    struct problem *problem = calloc(1, sizeof(*problem));
    if (problem == NULL)
        return refuse(declared, "NotApplied", "out of memory");
    service_set_actor(declared->service, "file");
    int rc = service_apply(declared->service, &files->config, &options, &result, problem);
    service_set_actor(declared->service, EVENTS_ACTOR_SYSTEM);
    if (rc == 0) {
        apply_result_fini(&result);
        rc = note_applied(declared);
    } else {
        rc = refuse_problem(declared, files, problem);
        if (problem->status != 422 && declared->path != NULL)
            start_timer(declared, DECLARED_RETRY_MS);
    }
    free(problem);
    return rc;
}

static int read_and_apply(struct declared *declared, struct config_files *files)
{
    int rc = declared->path != NULL ? config_files_read(declared->path, files) : 0;
    if (rc == -ENOMEM)
        return refuse(declared, "NotApplied", "out of memory");
    return rc < 0 ? refuse_errors(declared, "Invalid", files, &files->errors)
                  : apply(declared, files);
}

static int load(struct declared *declared)
{
    if (service_frozen(declared->service)) {
        start_timer(declared, DECLARED_SETTLE_MS);
        return 0;
    }
    struct config_files *files = calloc(1, sizeof(*files));
    if (files == NULL)
        return refuse(declared, "NotApplied", "out of memory");
    watch_folder(declared);
    int rc = read_and_apply(declared, files);
    config_files_fini(files);
    free(files);
    declared->loaded |= rc == 0;
    if (declared->path != NULL && declared->watch < 0)
        start_timer(declared, DECLARED_RETRY_MS);
    return rc;
}

int declared_load(struct declared *declared)
{
    declared->is_retry = false;
    return load(declared);
}

/* --- Watching --------------------------------------------------------------------------------- */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name);
    size_t suffix_len = strlen(suffix);
    return len >= suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

/* Whether an entry of the folder can be a part of the configuration. */
static bool is_part(const struct declared *declared, const char *name)
{
    return strncmp(name, "..", 2) == 0 || has_suffix(name, ".json") || has_suffix(name, ".conf") ||
           has_suffix(declared->path, name);
}

/* True when the event calls for another look. */
static bool look_at(struct declared *declared, const struct inotify_event *event)
{
    if (event->mask & IN_IGNORED) {
        declared->watch = -1;
        return true;
    }
    if (event->mask & IN_MOVE_SELF) {
        inotify_rm_watch(declared->inotify, declared->watch);
        return true;
    }
    return (event->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF)) != 0 ||
           (event->len > 0 && is_part(declared, event->name));
}

static void on_changed(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct declared *declared = ctx;
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool relevant = false;
    ssize_t len = read(fd, buffer, sizeof(buffer));
    for (ssize_t at = 0; at < len;) {
        const struct inotify_event *event = (const struct inotify_event *)(void *)(buffer + at);
        relevant |= look_at(declared, event);
        at += (ssize_t)(sizeof(*event) + event->len);
    }
    if (relevant)
        start_timer(declared, DECLARED_SETTLE_MS);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct declared *declared = ctx;
    if (!service_draining(declared->service))
        load(declared);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static int find_folder(struct declared *declared)
{
    struct stat st;
    const char *slash = strrchr(declared->path, '/');
    int len;
    if (stat(declared->path, &st) == 0 && S_ISDIR(st.st_mode))
        len = snprintf(declared->folder, PATH_MAX, "%s", declared->path);
    else if (slash != NULL)
        len = snprintf(declared->folder, PATH_MAX, "%.*s", (int)(slash - declared->path) + 1,
                       declared->path);
    else
        len = snprintf(declared->folder, PATH_MAX, ".");
    return len < 0 || len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int start_watching(struct declared *declared, struct event_base *base)
{
    int rc = find_folder(declared);
    if (rc < 0)
        return rc;
    declared->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (declared->inotify < 0)
        return -errno;
    declared->changed =
        event_new(base, declared->inotify, EV_READ | EV_PERSIST, on_changed, declared);
    return declared->changed == NULL || event_add(declared->changed, NULL) < 0 ? -ENOMEM : 0;
}

int declared_new(struct event_base *base, struct service *service, const char *path,
                 struct declared **out)
{
    struct declared *declared = calloc(1, sizeof(*declared));
    if (declared == NULL)
        return -ENOMEM;
    declared->service = service;
    declared->path = path;
    declared->inotify = declared->watch = -1;
    declared->timer = evtimer_new(base, on_timer, declared);
    int rc = declared->timer == NULL ? -ENOMEM : 0;
    if (rc == 0 && path != NULL)
        rc = start_watching(declared, base);
    if (rc < 0) {
        declared_free(declared);
        return rc;
    }
    *out = declared;
    return 0;
}

void declared_free(struct declared *declared)
{
    if (declared == NULL)
        return;
    if (declared->changed != NULL)
        event_free(declared->changed);
    if (declared->timer != NULL)
        event_free(declared->timer);
    if (declared->inotify >= 0)
        close(declared->inotify);
    free(declared);
}

const struct condition *declared_condition(const struct declared *declared)
{
    return declared->path != NULL ? &declared->condition : NULL;
}
