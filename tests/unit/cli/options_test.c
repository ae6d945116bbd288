/* options: the command line, the environment, and which of them wins. */
#include "cli/options.h"

#include "tests/support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS_MAX = 12 };

/* Splits a line at spaces into an argv that may be written to. */
static int parse(const char *line, struct options *options)
{
    static char copy[512];
    char *argv[ARGUMENTS_MAX + 1] = {NULL};
    int argc = 0;
    char *rest = NULL;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    return options_parse(argc, argv, options);
}

static void assert_values(const struct options *options, enum option_id id, const char *expected)
{
    char joined[256] = "";
    for (size_t i = 0; i < options->values[id].count; i++) {
        strcat(joined, i ? " " : "");
        strcat(joined, options->values[id].items[i]);
    }
    assert_string_equal(joined, expected);
}

static void reads_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum command command;
        enum option_id id;
        const char *values;
    } rows[] = {
        {"manytun serve", COMMAND_SERVE, OPTION_LISTEN, ""},
        {"manytun serve --listen 127.0.0.1:1", COMMAND_SERVE, OPTION_LISTEN, "127.0.0.1:1"},
        {"manytun serve --listen=a:1 --listen b:2", COMMAND_SERVE, OPTION_LISTEN, "a:1 b:2"},
        {"manytun serve --data=", COMMAND_SERVE, OPTION_DATA, ""},
        {"manytun run 1:a:2 3:b:4", COMMAND_RUN, OPTION_FORWARD, "1:a:2 3:b:4"},
        {"manytun run 1:a:2 --log warn 3:b:4", COMMAND_RUN, OPTION_FORWARD, "1:a:2 3:b:4"},
        {"manytun run -- --log", COMMAND_RUN, OPTION_FORWARD, "--log"},
        {"manytun run -r 1:a:2 3:b:4 --log warn 5:c:6", COMMAND_RUN, OPTION_REMOTE, "1:a:2 3:b:4"},
        {"manytun run -r1:a:2", COMMAND_RUN, OPTION_REMOTE, "1:a:2"},
        {"/usr/bin/onetun 1:a:2", COMMAND_RUN, OPTION_FORWARD, "1:a:2"},
        {"onetun --keep-alive 5 1:a:2", COMMAND_RUN, OPTION_KEEP_ALIVE, "5"},
        {"manytun serve --drain-seconds 3", COMMAND_SERVE, OPTION_DRAIN_SECONDS, "3"},
        {"manytun run --drain-seconds=3 1:a:2", COMMAND_RUN, OPTION_DRAIN_SECONDS, "3"},
        {"manytun serve --config d", COMMAND_SERVE, OPTION_CONFIG, "d"},
        {"manytun validate d", COMMAND_VALIDATE, OPTION_PATH, "d"},
        {"manytun validate -- -d", COMMAND_VALIDATE, OPTION_PATH, "-d"},
        {"manytun keygen", COMMAND_KEYGEN, OPTION_FORWARD, ""},
        {"manytun rotate-master-key --data d --new-master-key-file f", COMMAND_ROTATE_MASTER_KEY,
         OPTION_NEW_MASTER_KEY_FILE, "f"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct options options;
        assert_int_equal(parse(rows[i].line, &options), 0);
        assert_int_equal(options.command, rows[i].command);
        assert_values(&options, rows[i].id, rows[i].values);
        options_fini(&options);
    }
}

static void takes_the_last_of_an_option(void **state)
{
    (void)state;
    struct options options;
    assert_int_equal(parse("manytun serve --data a --data b", &options), 0);
    assert_string_equal(options_get(&options, OPTION_DATA), "b");
    options_fini(&options);
}

static void refuses_wrong_usage(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "manytun",
        "manytun fly",
        "manytun serve --nope",
        "manytun serve --listen",
        "manytun serve extra",
        "manytun serve --mtu 5",
        "manytun serve --help=1",
        "manytun run -x",
        "manytun keygen extra",
        "manytun rotate-master-key extra",
        "manytun serve --new-master-key-file f",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct options options;
        assert_int_equal(parse(lines[i], &options), OPTIONS_USAGE_ERROR);
    }
}

static void reads_the_environment(void **state)
{
    (void)state;
    struct options options;
    setenv("MANYTUN_LISTEN", "a:1,b:2", 1);
    setenv("MANYTUN_LOG", "debug", 1);
    setenv("ONETUN_LOG", "warn", 1); /* another program's, for serve */
    assert_int_equal(parse("manytun serve", &options), 0);
    assert_values(&options, OPTION_LISTEN, "a:1 b:2");
    assert_values(&options, OPTION_LOG, "debug");
    options_fini(&options);

    setenv("MANYTUN_LISTEN", "a:1", 1);
    assert_int_equal(parse("manytun serve --listen c:3 --log info", &options), 0);
    assert_values(&options, OPTION_LISTEN, "c:3");
    assert_values(&options, OPTION_LOG, "info");
    options_fini(&options);
    unsetenv("MANYTUN_LISTEN");

    assert_int_equal(parse("manytun run", &options), 0);
    assert_values(&options, OPTION_LOG, "debug");
    options_fini(&options);
    unsetenv("MANYTUN_LOG");
    assert_int_equal(parse("onetun", &options), 0);
    assert_values(&options, OPTION_LOG, "warn");
    options_fini(&options);
    unsetenv("ONETUN_LOG");
}

static void adds_numbered_variables_up_to_the_first_gap(void **state)
{
    (void)state;
    struct options options;
    setenv("ONETUN_PORT_FORWARD_1", "1:a:1", 1);
    setenv("ONETUN_PORT_FORWARD_2", "2:a:2", 1);
    setenv("ONETUN_PORT_FORWARD_4", "4:a:4", 1);
    assert_int_equal(parse("manytun run 9:a:9", &options), 0);
    assert_values(&options, OPTION_FORWARD, "9:a:9 1:a:1 2:a:2");
    options_fini(&options);
    unsetenv("ONETUN_PORT_FORWARD_1");
    unsetenv("ONETUN_PORT_FORWARD_2");
    unsetenv("ONETUN_PORT_FORWARD_4");
}

static void takes_secrets_out_of_sight(void **state)
{
    (void)state;
    char program[] = "manytun", command[] = "run", name[] = "--private-key", key[] = "c2VjcmV0";
    char *argv[] = {program, command, name, key, NULL};
    struct options options;
    setenv("ONETUN_PRESHARED_KEY", "psk", 1);
    setenv("ONETUN_PRIVATE_KEY", "unused", 1);
    assert_int_equal(options_parse(4, argv, &options), 0);
    assert_values(&options, OPTION_PRIVATE_KEY, "c2VjcmV0");
    assert_values(&options, OPTION_PRESHARED_KEY, "psk");
    assert_string_equal(key, "********");
    assert_null(getenv("ONETUN_PRESHARED_KEY"));
    assert_null(getenv("ONETUN_PRIVATE_KEY"));
    options_fini(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_lines),
        cmocka_unit_test(takes_the_last_of_an_option),
        cmocka_unit_test(refuses_wrong_usage),
        cmocka_unit_test(reads_the_environment),
        cmocka_unit_test(adds_numbered_variables_up_to_the_first_gap),
        cmocka_unit_test(takes_secrets_out_of_sight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
