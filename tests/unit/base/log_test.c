#include "base/log.h"

#include "base/json.h"

#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr;
static int pipe_ends[2];

/* Standard error becomes a pipe; each read() of it returns what one write() put there. */
static int set_up(void **state)
{
    (void)state;
    saved_stderr = dup(STDERR_FILENO);
    if (pipe2(pipe_ends, O_CLOEXEC | O_DIRECT | O_NONBLOCK) < 0)
        return -1;
    return dup2(pipe_ends[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    log_set_level(LOG_LEVEL_INFO);
    log_set_worker(NULL);
    log_set_format(LOG_FORMAT_TEXT);
    return 0;
}

/* The text of the one write since the last call, or "" if there was none. */
static const char *take_write(void)
{
    static char text[4096];
    ssize_t n = read(pipe_ends[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int rc = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    if (rc != 0)
        fail_msg("\"%s\" does not match %s", text, pattern);
}

#define TIME_PATTERN "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

static void test_line(void **state)
{
    (void)state;
    log_info("listening on %s", "127.0.0.1:80");
    assert_matches(take_write(), TIME_PATTERN "info  listening on 127\\.0\\.0\\.1:80\n$");
    log_set_worker("1");
    log_error("gone");
    assert_matches(take_write(), TIME_PATTERN "error worker 1: gone\n$");
    log_about(LOG_LEVEL_INFO, LOG_TUNNEL, "home", "up");
    assert_matches(take_write(), TIME_PATTERN "info  worker 1: tunnel home: up\n$");
}

static struct json_error json_error;

/* The line as JSON; it must be valid, and one line. */
static cJSON *take_json(void)
{
    const char *line = take_write();
    size_t len = strlen(line);
    assert_true(len > 0 && len <= 2048);
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    cJSON *json = json_read(line, len - 1, &json_error);
    if (json == NULL)
        fail_msg("%s: %s", json_error.detail, line);
    return json;
}

static void assert_field(const cJSON *json, const char *name, const char *expected)
{
    const cJSON *item = json_member(json, name);
    if (expected == NULL)
        assert_null(item);
    else
        assert_string_equal(item->valuestring, expected);
}

static void test_json(void **state)
{
    (void)state;
    static const struct {
        enum log_subject subject;
        const char *name, *tunnel, *forward, *worker;
    } rows[] = {
        {LOG_NOTHING, NULL, NULL, NULL, NULL},
        {LOG_TUNNEL, "home", "home", NULL, NULL},
        {LOG_FORWARD, "web", NULL, "web", NULL},
        {LOG_WORKER, "3", NULL, NULL, "3"},
    };
    log_set_format(LOG_FORMAT_JSON);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        log_about(LOG_LEVEL_WARN, rows[i].subject, rows[i].name, "port %d", 80);
        cJSON *json = take_json();
        assert_matches(json_member(json, "time")->valuestring, "^2[0-9-]+T[0-9:.]+Z$");
        assert_field(json, "level", "warn");
        assert_field(json, "message", "port 80");
        assert_field(json, "tunnel", rows[i].tunnel);
        assert_field(json, "forward", rows[i].forward);
        assert_field(json, "worker", rows[i].worker);
        json_free(json);
    }
    log_set_worker("1");
    log_about(LOG_LEVEL_ERROR, LOG_TUNNEL, "home", "down");
    cJSON *json = take_json();
    assert_field(json, "worker", "1");
    assert_field(json, "tunnel", "home");
    json_free(json);
}

/* Valid UTF-8 comes through; everything else is replaced, byte by byte, and stays valid JSON. */
static void test_json_of_any_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *message, *expected;
    } rows[] = {
        {"a\nb\"c\\d\x7f", "a\nb\"c\\d\x7f"},
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
         "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc3", "\xef\xbf\xbd"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
    };
    log_set_format(LOG_FORMAT_JSON);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        log_error("%s", rows[i].message);
        cJSON *json = take_json();
        assert_field(json, "message", rows[i].expected);
        json_free(json);
    }
    for (unsigned seed = 1; seed < 500; seed++) {
        char text[3000];
        unsigned x = seed;
        for (size_t i = 0; i < sizeof(text) - 1; i++) {
            x = x * 1664525 + 1013904223;
            text[i] = (char)(x >> 24 ? x >> 24 : 1);
        }
        text[sizeof(text) - 1 - seed * 4] = '\0';
        log_about(LOG_LEVEL_ERROR, LOG_FORWARD, text, "%s", text);
        json_free(take_json());
    }
}

static void test_level(void **state)
{
    (void)state;
    log_debug("hidden");
    assert_string_equal(take_write(), "");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("shown");
    assert_matches(take_write(), "debug shown\n$");
    log_set_level(LOG_LEVEL_OFF);
    log_error("hidden");
    assert_string_equal(take_write(), "");
}

static void test_input_cannot_forge_a_line(void **state)
{
    (void)state;
    log_warn("name %s", "a\nb\x1b[31m\x7f");
    assert_matches(take_write(), "warn  name a\\\\x0ab\\\\x1b\\[31m\\\\x7f\n$");
}

static void test_long_text_is_cut_to_one_line(void **state)
{
    (void)state;
    char text[8192];
    memset(text, '\t', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_error("%s", text);
    const char *line = take_write();
    assert_true(strlen(line) <= 2048);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_string_equal(take_write(), "");
}

static void test_level_names(void **state)
{
    (void)state;
    enum log_level level;
    assert_int_equal(log_level_parse("trace", &level), 0);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    for (int i = LOG_LEVEL_OFF; i <= LOG_LEVEL_DEBUG; i++) {
        assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &level), 0);
        assert_int_equal(level, i);
    }
    assert_true(log_level_parse("INFO", &level) < 0);
    assert_true(log_level_parse("", &level) < 0);
    enum log_format format;
    assert_int_equal(log_format_parse("json", &format), 0);
    assert_string_equal(log_format_name(format), "json");
    assert_true(log_format_parse("xml", &format) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_level, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_input_cannot_forge_a_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_text_is_cut_to_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json_of_any_bytes, set_up, tear_down),
        cmocka_unit_test(test_level_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
