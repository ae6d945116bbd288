/*
 * options: the command line and the environment, described by one table (options.c), which also
 * makes --help.
 *
 * Every option has the environment name MANYTUN_<NAME>; those of "run" that the predecessor had
 * have ONETUN_<NAME> too. The command line wins over the environment, and of an option that is
 * given more than once without being repeatable, the last counts.
 */
#ifndef MANYTUN_CLI_OPTIONS_H
#define MANYTUN_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Values of one option or of the positional arguments, from the command line and environment. */
#define OPTION_VALUES_MAX 1024

enum command {
    COMMAND_SERVE,
    COMMAND_RUN,
    COMMAND_VALIDATE,
    COMMAND_KEYGEN,
    COMMAND_ROTATE_MASTER_KEY,
    COMMAND_COUNT
};

enum option_id {
    /* serve */
    OPTION_LISTEN,
    OPTION_HEALTH_LISTEN,
    OPTION_TLS_CERT,
    OPTION_TLS_KEY,
    OPTION_DATA,
    OPTION_TAKEOVER,
    OPTION_RETIRE_SECONDS,
    OPTION_MASTER_KEY_FILE,
    OPTION_CONFIG,
    OPTION_NEW_MASTER_KEY_FILE, /* rotate-master-key */
    OPTION_WORKERS,
    OPTION_AUTH,
    OPTION_ALLOWED_HOST,
    OPTION_READY_WHEN,
    /* run */
    OPTION_PRIVATE_KEY,
    OPTION_PRIVATE_KEY_FILE,
    OPTION_ENDPOINT_PUBLIC_KEY,
    OPTION_PRESHARED_KEY,
    OPTION_ENDPOINT_ADDR,
    OPTION_ENDPOINT_BIND_ADDR,
    OPTION_SOURCE_PEER_IP,
    OPTION_KEEP_ALIVE,
    OPTION_MTU,
    OPTION_CONGESTION_CONTROL,
    OPTION_PCAP,
    OPTION_REMOTE,
    OPTION_FORWARD, /* the positional arguments */
    /* validate */
    OPTION_PATH, /* the positional arguments */
    /* all */
    OPTION_DRAIN_SECONDS,
    OPTION_LOG,
    OPTION_LOG_FORMAT,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_COUNT
};

struct option_values {
    const char **items;
    size_t count;
};

struct options {
    enum command command;
    char *const *arguments; /* all of them, the program's name first, ended by NULL */
    struct option_values values[OPTION_COUNT];
};

/* What options_parse() says besides 0. */
#define OPTIONS_USAGE_ERROR (-1) /* explained on standard error: exit with 2 */
#define OPTIONS_ANSWERED    1    /* --help or --version was printed: exit with 0 */

/*
 * Reads the command ("serve", …; "run" if the program is called through a link named onetun) and
 * its options. Values point into argv and the environment. Secrets are taken out of both, so that
 * they do not show in the process list: the values are copies, wiped by options_fini().
 */
int options_parse(int argc, char **argv, struct options *options);
void options_fini(struct options *options);

/* The option's last value, or NULL. */
const char *options_get(const struct options *options, enum option_id id);
/* "--name", for messages. */
const char *options_name(enum option_id id);

#endif
