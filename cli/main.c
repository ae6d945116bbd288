/*
 * main: the one program: the commands of the command line, and the worker that control executes
 * itself as.
 */
#include "base/json.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "engine/worker.h"

#include <event2/event.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Keys must not end up in a core dump, nor be read by another process of the same user. */
static void hide_memory(void)
{
#ifndef SANITIZED /* the leak checker looks at the process from outside */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* Every connection is a descriptor: take as many as we may have. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What libevent has to say, of name servers above all, is a line of the log like any other. */
static void log_libevent(int severity, const char *message)
{
    static const enum log_level levels[] = {
        [EVENT_LOG_DEBUG] = LOG_LEVEL_DEBUG,
        [EVENT_LOG_MSG] = LOG_LEVEL_INFO,
        [EVENT_LOG_WARN] = LOG_LEVEL_WARN,
        [EVENT_LOG_ERR] = LOG_LEVEL_ERROR,
    };
    bool is_known = severity >= 0 && (size_t)severity < sizeof(levels) / sizeof(levels[0]);
    log_write(is_known ? levels[severity] : LOG_LEVEL_WARN, "libevent: %s", message);
}

/* manytun worker INDEX LOG-LEVEL LOG-FORMAT: how control starts a worker; not for people. */
static int worker_command(int argc, char **argv)
{
    enum log_level level;
    enum log_format format;
    if (argc != 5 || log_level_parse(argv[3], &level) < 0 || log_format_parse(argv[4], &format) < 0)
        return 2;
    log_set_worker(argv[2]);
    log_set_level(level);
    log_set_format(format);
    return worker_main();
}

static int read_log_format(const struct options *options)
{
    const char *value = options_get(options, OPTION_LOG_FORMAT);
    enum log_format format;
    if (!value)
        return 0;
    if (log_format_parse(value, &format) < 0) {
        fprintf(stderr, "manytun: --log-format: \"%s\" is neither text nor json\n", value);
        return -1;
    }
    log_set_format(format);
    return 0;
}

static int run_any(const struct options *options)
{
    switch (options->command) {
    case COMMAND_SERVE:
        return serve_command(options);
    case COMMAND_RUN:
        return run_command(options);
    case COMMAND_VALIDATE:
        return validate_command(options);
    case COMMAND_KEYGEN:
        return keygen_command();
    case COMMAND_ROTATE_MASTER_KEY:
        return rotate_master_key_command(options);
    case COMMAND_COUNT:
        break;
    }
    return 1;
}

int main(int argc, char **argv)
{
    hide_memory();
    json_wipe_freed();
    raise_file_limit();
    event_set_log_callback(log_libevent);
    if (sodium_init() < 0) {
        fprintf(stderr, "manytun: no source of random numbers\n");
        return 1;
    }
    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return worker_command(argc, argv);

    struct options options;
    int result = options_parse(argc, argv, &options);
    if (result)
        return result == OPTIONS_ANSWERED ? 0 : 2;
    signal(SIGPIPE, SIG_IGN);
    int status = read_log_format(&options) < 0 ? 2 : run_any(&options);
    options_fini(&options);
    return status;
}
