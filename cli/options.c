/* options: owns the table of options and the arrays of values that were read for them. */
#include "cli/options.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ON(command) (1U << (command))
#define ON_ALL                                                                                     \
    (ON(COMMAND_SERVE) | ON(COMMAND_RUN) | ON(COMMAND_VALIDATE) | ON(COMMAND_KEYGEN) |             \
     ON(COMMAND_ROTATE_MASTER_KEY))

enum flags {
    REPEATABLE = 1, /* may be given more than once; in the environment separated by commas */
    NUMBERED = 2, /* in the environment NAME_1, NAME_2, … up to the first gap, added to the rest */
    SECRET = 4,   /* taken out of the process list and the environment */
    GREEDY = 8,   /* takes every following argument up to the next option */
    FLAG = 16,    /* has no value */
};

static const struct option_row {
    const char *name; /* without "--"; NULL = the positional arguments */
    char letter;
    unsigned flags;
    unsigned commands;
    const char *environment; /* without "MANYTUN_" / "ONETUN_" */
    const char *value;
    const char *help;
} rows[OPTION_COUNT] = {
    [OPTION_LISTEN] = {"listen", 0, REPEATABLE, ON(COMMAND_SERVE), "LISTEN", "ADDR:PORT",
                       "where the API listens; repeatable (default 127.0.0.1:8585)"},
    [OPTION_HEALTH_LISTEN] =
        {"health-listen", 0, REPEATABLE, ON(COMMAND_SERVE), "HEALTH_LISTEN", "ADDR:PORT",
         "where only /livez, /readyz and /metrics are served, without a token; repeatable"},
    [OPTION_TLS_CERT] =
        {"tls-cert", 0, 0, ON(COMMAND_SERVE), "TLS_CERT", "FILE",
         "the API's certificate and its chain (PEM): --listen speaks TLS then; read "
         "again on SIGHUP"},
    [OPTION_TLS_KEY] = {"tls-key", 0, 0, ON(COMMAND_SERVE), "TLS_KEY", "FILE",
                        "the certificate's private key (PEM)"},
    [OPTION_DATA] =
        {"data", 0, 0, ON(COMMAND_SERVE) | ON(COMMAND_ROTATE_MASTER_KEY), "DATA", "DIR",
         "folder of manytun.db, master.key, api.sock and admin.token (default /var/lib/manytun for "
         "root, else ~/.local/state/manytun)"},
    [OPTION_MASTER_KEY_FILE] = {"master-key-file", 0, 0,
                                ON(COMMAND_SERVE) | ON(COMMAND_ROTATE_MASTER_KEY),
                                "MASTER_KEY_FILE", "FILE",
                                "the key that keys in the database are sealed with: 32 bytes in "
                                "base64 (default: systemd's credential manytun.master-key, else "
                                "master.key in the data folder, made at the first start)"},
    [OPTION_CONFIG] = {"config", 0, 0, ON(COMMAND_SERVE), "CONFIG", "FILE|DIR",
                       "tunnels and forwards from a JSON file, or all *.json of a folder; it is "
                       "watched, and read again on SIGHUP"},
    [OPTION_NEW_MASTER_KEY_FILE] = {"new-master-key-file", 0, 0, ON(COMMAND_ROTATE_MASTER_KEY),
                                    "NEW_MASTER_KEY_FILE", "FILE",
                                    "where the new key is, or is put when there is no such file "
                                    "(default: in the place of the present one)"},
    [OPTION_TAKEOVER] =
        {"takeover", 0, FLAG, ON(COMMAND_SERVE), NULL, NULL,
         "take over from the program that runs on the same data; its open connections go on"},
    [OPTION_RETIRE_SECONDS] =
        {"retire-seconds", 0, 0, ON(COMMAND_SERVE), "RETIRE_SECONDS", "N",
         "after a takeover, how long connections of the former program may go on (default 3600)"},
    [OPTION_WORKERS] = {"workers", 0, 0, ON(COMMAND_SERVE), "WORKERS", "N",
                        "worker processes (default: one per CPU)"},
    [OPTION_AUTH] =
        {"auth", 0, 0, ON(COMMAND_SERVE), "AUTH", "token|none",
         "who may call the API over TCP; none needs loopback addresses (default token)"},
    [OPTION_ALLOWED_HOST] = {"allowed-host", 0, REPEATABLE, ON(COMMAND_SERVE), "ALLOWED_HOST",
                             "NAME",
                             "a host name by which the API may be called, besides localhost and IP "
                             "addresses; repeatable"},
    [OPTION_READY_WHEN] =
        {"ready-when", 0, 0, ON(COMMAND_SERVE), "READY_WHEN", "started|required|all",
         "which tunnels must have made a handshake before /readyz says 200: none, those with "
         "\"required\": true, or all (default started)"},
    [OPTION_PRIVATE_KEY] = {"private-key", 0, SECRET, ON(COMMAND_RUN), "PRIVATE_KEY", "KEY",
                            "our private key, in base64 (better: the file)"},
    [OPTION_PRIVATE_KEY_FILE] = {"private-key-file", 0, 0, ON(COMMAND_RUN), "PRIVATE_KEY_FILE",
                                 "FILE", "the file that holds our private key"},
    [OPTION_ENDPOINT_PUBLIC_KEY] = {"endpoint-public-key", 0, 0, ON(COMMAND_RUN),
                                    "ENDPOINT_PUBLIC_KEY", "KEY", "the peer's public key"},
    [OPTION_PRESHARED_KEY] = {"preshared-key", 0, SECRET, ON(COMMAND_RUN), "PRESHARED_KEY", "KEY",
                              "the preshared key, if there is one"},
    [OPTION_ENDPOINT_ADDR] = {"endpoint-addr", 0, 0, ON(COMMAND_RUN), "ENDPOINT_ADDR", "HOST:PORT",
                              "where the peer is"},
    [OPTION_ENDPOINT_BIND_ADDR] = {"endpoint-bind-addr", 0, 0, ON(COMMAND_RUN),
                                   "ENDPOINT_BIND_ADDR", "ADDR:PORT",
                                   "where to talk to the peer from (default: any)"},
    [OPTION_SOURCE_PEER_IP] = {"source-peer-ip", 0, 0, ON(COMMAND_RUN), "SOURCE_PEER_IP", "IP",
                               "our address inside the tunnel"},
    [OPTION_KEEP_ALIVE] = {"keep-alive", 0, 0, ON(COMMAND_RUN), "KEEP_ALIVE", "SECONDS",
                           "persistent keepalive (default: off)"},
    [OPTION_MTU] = {"max-transmission-unit", 0, 0, ON(COMMAND_RUN), "MTU", "BYTES",
                    "mtu inside the tunnel (default 1420)"},
    [OPTION_CONGESTION_CONTROL] =
        {"congestion-control", 0, 0, ON(COMMAND_RUN), "CONGESTION_CONTROL", "cubic|bbr",
         "how TCP inside the tunnel finds its speed; bbr suits paths that lose packets (default "
         "cubic)"},
    [OPTION_PCAP] = {"pcap", 0, 0, ON(COMMAND_RUN), "PCAP", "FILE",
                     "write the packets inside the tunnel to this file, for tcpdump and Wireshark"},
    [OPTION_REMOTE] = {"remote", 'r', REPEATABLE | NUMBERED | GREEDY, ON(COMMAND_RUN),
                       "REMOTE_PORT_FORWARD", "FORWARD",
                       "forwards from the peer's side to ours (not yet available)"},
    [OPTION_FORWARD] = {NULL, 0, REPEATABLE | NUMBERED, ON(COMMAND_RUN), "PORT_FORWARD", "FORWARD",
                        NULL},
    [OPTION_PATH] = {NULL, 0, 0, ON(COMMAND_VALIDATE), NULL, "PATH", NULL},
    [OPTION_DRAIN_SECONDS] =
        {"drain-seconds", 0, 0, ON(COMMAND_SERVE) | ON(COMMAND_RUN), "DRAIN_SECONDS", "N",
         "when told to end, how long open connections may go on (default 8 for serve, 0 for run)"},
    [OPTION_LOG] = {"log", 0, 0, ON(COMMAND_SERVE) | ON(COMMAND_RUN), "LOG", "LEVEL",
                    "off, error, warn, info or debug (default info)"},
    [OPTION_LOG_FORMAT] = {"log-format", 0, 0, ON(COMMAND_SERVE) | ON(COMMAND_RUN), "LOG_FORMAT",
                           "text|json", "how lines of the log are written (default text)"},
    [OPTION_HELP] = {"help", 'h', FLAG, ON_ALL, NULL, NULL, "print this and exit"},
    [OPTION_VERSION] = {"version", 'V', FLAG, ON_ALL, NULL, NULL, "print the version and exit"},
};

static const struct {
    const char *name;
    const char *arguments;
    const char *help;
} commands[COMMAND_COUNT] = {
    [COMMAND_SERVE] = {"serve", "[OPTION]...",
                       "run the service: tunnels and forwards are kept in a database and managed "
                       "through a REST API"},
    [COMMAND_RUN] = {"run", "[OPTION]... FORWARD...",
                     "one tunnel and its forwards from the command line, until interrupted"},
    [COMMAND_VALIDATE] = {"validate", "FILE|DIR",
                          "say everything that is wrong with what --config would read"},
    [COMMAND_KEYGEN] = {"keygen", "", "print a new private key and its public key"},
    [COMMAND_ROTATE_MASTER_KEY] = {"rotate-master-key", "[OPTION]...",
                                   "seal the secrets in the database of a stopped service with "
                                   "another master key"},
};

/* --- Help ------------------------------------------------------------------------------------- */

static void print_overview(FILE *out)
{
    fprintf(out, "manytun forwards ports through user-space WireGuard.\n\nUsage:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  manytun %-17s %-24s %s\n", commands[i].name, commands[i].arguments,
                commands[i].help);
    fprintf(out, "\n\"manytun COMMAND --help\" lists a command's options.\n");
}

static void print_option(FILE *out, const struct option_row *row)
{
    char left[64];
    int used = row->letter ? snprintf(left, sizeof(left), "  -%c, --%s", row->letter, row->name)
                           : snprintf(left, sizeof(left), "      --%s", row->name);
    if (row->value && used > 0 && (size_t)used < sizeof(left))
        snprintf(left + used, sizeof(left) - (size_t)used, " %s", row->value);
    fprintf(out, "%-38s %s", left, row->help);
    if (row->environment && (row->flags & NUMBERED))
        fprintf(out, " [MANYTUN_%s_1, _2, ...]", row->environment);
    else if (row->environment)
        fprintf(out, " [MANYTUN_%s]", row->environment);
    fprintf(out, "\n");
}

static void print_help(FILE *out, enum command command)
{
    fprintf(out, "Usage: manytun %s %s\n\n%s.\n", commands[command].name,
            commands[command].arguments, commands[command].help);
    if (command == COMMAND_RUN) {
        fprintf(
            out,
            "\nFORWARD is [ADDR:]PORT:HOST:PORT[:PROTOCOL]; IPv6 addresses go in brackets, ADDR\n"
            "is 127.0.0.1 if left out, PROTOCOL is TCP. Two arguments ADDR:PORT HOST:PORT are\n"
            "one forward. More may be in MANYTUN_PORT_FORWARD_1, _2, and so on.\n"
            "Every variable may also be called ONETUN_... instead of MANYTUN_...\n");
    }
    fprintf(out, "\nOptions:\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (rows[i].name && (rows[i].commands & ON(command)))
            print_option(out, &rows[i]);
    }
}

/* --- Values ----------------------------------------------------------------------------------- */

static int add_value(struct options *options, enum option_id id, char *value)
{
    const struct option_row *row = &rows[id];
    struct option_values *values = &options->values[id];
    if (values->count == OPTION_VALUES_MAX) {
        fprintf(stderr, "manytun: more than %d values for %s\n", OPTION_VALUES_MAX,
                options_name(id));
        return OPTIONS_USAGE_ERROR;
    }
    const char **items = realloc(values->items, (values->count + 1) * sizeof(*items));
    if (items)
        values->items = items;
    char *kept = row->flags & SECRET ? strdup(value) : value;
    if (!items || !kept) {
        if (row->flags & SECRET)
            free(kept);
        fprintf(stderr, "manytun: out of memory\n");
        return OPTIONS_USAGE_ERROR;
    }
    if (row->flags & SECRET)
        memset(value, '*', strlen(value));
    items[values->count++] = kept;
    return 0;
}

static int read_one_variable(struct options *options, enum option_id id, const char *name)
{
    char *value = getenv(name);
    if (!value || *value == '\0')
        return 0;
    int error = 0;
    if ((rows[id].flags & (REPEATABLE | NUMBERED)) == REPEATABLE) {
        char *rest = NULL;
        for (char *item = strtok_r(value, ",", &rest); item && !error;
             item = strtok_r(NULL, ",", &rest))
            error = add_value(options, id, item);
        return error;
    }
    error = add_value(options, id, value);
    if (rows[id].flags & SECRET)
        unsetenv(name);
    return error;
}

static int read_numbered_variables(struct options *options, enum option_id id, const char *prefix)
{
    for (unsigned i = 1; i <= OPTION_VALUES_MAX; i++) {
        char name[96];
        snprintf(name, sizeof(name), "%s_%s_%u", prefix, rows[id].environment, i);
        char *value = getenv(name);
        if (!value)
            return 0;
        int error = add_value(options, id, value);
        if (error)
            return error;
    }
    return 0;
}

/* What the command line left open is taken from the environment; numbered variables add to it. */
static int read_environment(struct options *options)
{
    static const char *const prefixes[] = {"MANYTUN", "ONETUN"};
    int error = 0;
    for (enum option_id id = 0; id < OPTION_COUNT && !error; id++) {
        const struct option_row *row = &rows[id];
        if (!row->environment || !(row->commands & ON(options->command)))
            continue;
        size_t prefixes_count = options->command == COMMAND_RUN ? 2 : 1;
        for (size_t i = 0; i < prefixes_count && !error; i++) {
            char name[96];
            snprintf(name, sizeof(name), "%s_%s", prefixes[i], row->environment);
            if (row->flags & NUMBERED)
                error = read_numbered_variables(options, id, prefixes[i]);
            else if (options->values[id].count == 0)
                error = read_one_variable(options, id, name);
            else if (row->flags & SECRET)
                unsetenv(name);
        }
    }
    return error;
}

/* --- The command line ------------------------------------------------------------------------- */

static int usage_error(const struct options *options, const char *what, const char *argument)
{
    fprintf(stderr, "manytun: %s: %s\nTry \"manytun %s --help\".\n", argument, what,
            commands[options->command].name);
    return OPTIONS_USAGE_ERROR;
}

static enum option_id find_long(const struct options *options, const char *name, size_t len)
{
    enum option_id id = 0;
    for (; id < OPTION_COUNT; id++) {
        if (rows[id].name && (rows[id].commands & ON(options->command)) &&
            strlen(rows[id].name) == len && strncmp(rows[id].name, name, len) == 0)
            break;
    }
    return id;
}

static enum option_id find_letter(const struct options *options, char letter)
{
    enum option_id id = 0;
    for (; id < OPTION_COUNT; id++) {
        if (rows[id].letter == letter && (rows[id].commands & ON(options->command)))
            break;
    }
    return id;
}

/* Reads the option at argv[*at] with its value or values, and moves *at behind them. */
static int read_option(struct options *options, int argc, char **argv, int *at)
{
    char *argument = argv[(*at)++];
    char *value = NULL;
    enum option_id id;
    if (argument[1] == '-') {
        size_t len = strcspn(argument + 2, "=");
        id = find_long(options, argument + 2, len);
        if (argument[2 + len] == '=')
            value = argument + 2 + len + 1;
    } else {
        id = find_letter(options, argument[1]);
        if (argument[2] != '\0')
            value = argument + 2;
    }
    if (id == OPTION_COUNT)
        return usage_error(options, "no such option", argument);
    if (rows[id].flags & FLAG)
        return value ? usage_error(options, "takes no value", argument)
                     : add_value(options, id, argument);
    if (!value && *at < argc)
        value = argv[(*at)++];
    if (!value)
        return usage_error(options, "needs a value", argument);
    int error = add_value(options, id, value);
    while (!error && (rows[id].flags & GREEDY) && *at < argc && argv[*at][0] != '-')
        error = add_value(options, id, argv[(*at)++]);
    return error;
}

/* What arguments without a "-" are for the command; OPTION_COUNT = nothing. */
static enum option_id find_positional(const struct options *options)
{
    enum option_id id = 0;
    while (id < OPTION_COUNT && (rows[id].name || !(rows[id].commands & ON(options->command))))
        id++;
    return id;
}

static int read_arguments(struct options *options, int argc, char **argv)
{
    int at = 0;
    bool only_positional = false;
    enum option_id positional = find_positional(options);
    while (at < argc) {
        int error;
        if (!only_positional && strcmp(argv[at], "--") == 0) {
            only_positional = true;
            at++;
            continue;
        }
        if (!only_positional && argv[at][0] == '-' && argv[at][1] != '\0')
            error = read_option(options, argc, argv, &at);
        else if (positional != OPTION_COUNT)
            error = add_value(options, positional, argv[at++]);
        else
            error = usage_error(options, "unexpected argument", argv[at]);
        if (error)
            return error;
    }
    return 0;
}

static int find_command(const char *name, enum command *out)
{
    for (enum command i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            *out = i;
            return 0;
        }
    }
    return -ENOENT;
}

static bool is_option(const char *argument, enum option_id id)
{
    return (strncmp(argument, "--", 2) == 0 && strcmp(argument + 2, rows[id].name) == 0) ||
           (argument[0] == '-' && argument[1] == rows[id].letter && argument[2] == '\0');
}

static int read_command(int argc, char **argv, struct options *options, int *used)
{
    const char *program = argc > 0 ? strrchr(argv[0], '/') : NULL;
    program = program ? program + 1 : argc > 0 ? argv[0] : "";
    *used = 1;
    options->command = COMMAND_RUN;
    if (strcmp(program, "onetun") == 0)
        return 0;
    if (argc >= 2 && is_option(argv[1], OPTION_VERSION)) {
        printf("manytun %s\n", MANYTUN_VERSION);
        return OPTIONS_ANSWERED;
    }
    if (argc >= 2 && is_option(argv[1], OPTION_HELP)) {
        print_overview(stdout);
        return OPTIONS_ANSWERED;
    }
    *used = 2;
    if (argc >= 2 && find_command(argv[1], &options->command) == 0)
        return 0;
    if (argc >= 2)
        fprintf(stderr, "manytun: no command \"%s\"\n", argv[1]);
    print_overview(stderr);
    return OPTIONS_USAGE_ERROR;
}

int options_parse(int argc, char **argv, struct options *options)
{
    int used;
    memset(options, 0, sizeof(*options));
    options->arguments = argv;
    int result = read_command(argc, argv, options, &used);
    if (!result)
        result = read_arguments(options, argc - used, argv + used);
    if (!result && options->values[OPTION_HELP].count > 0) {
        print_help(stdout, options->command);
        result = OPTIONS_ANSWERED;
    }
    if (!result && options->values[OPTION_VERSION].count > 0) {
        printf("manytun %s\n", MANYTUN_VERSION);
        result = OPTIONS_ANSWERED;
    }
    if (!result)
        result = read_environment(options);
    if (result)
        options_fini(options);
    return result;
}

void options_fini(struct options *options)
{
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        struct option_values *values = &options->values[id];
        for (size_t i = 0; i < values->count && (rows[id].flags & SECRET); i++) {
            char *secret = (char *)values->items[i];
            sodium_memzero(secret, strlen(secret));
            free(secret);
        }
        free(values->items);
        *values = (struct option_values){0};
    }
}

const char *options_get(const struct options *options, enum option_id id)
{
    const struct option_values *values = &options->values[id];
    return values->count > 0 ? values->items[values->count - 1] : NULL;
}

const char *options_name(enum option_id id)
{
    static char name[64];
    if (!rows[id].name)
        return rows[id].value;
    snprintf(name, sizeof(name), "--%s", rows[id].name);
    return name;
}
