/*
 * /v1/config over HTTP.
 */
#include "tests/unit/api/http_world.h"

#include <unistd.h>

#define CONFIG                     "/v1/config"
#define NAMES(json, outcome, kind) json_member(json_member(json, outcome), kind)

static void make_home_and_web(void)
{
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("web"), 201);
}

/* A copy of the answer's ETag, with its quotes. */
static const char *etag_of(const struct answer *answer)
{
    static char tag[32];
    const char *line = strstr(answer->text, "\r\nETag: ");
    assert_non_null(line);
    sscanf(line, "\r\nETag: %31[^\r]", tag);
    return tag;
}

static struct answer put(const char *query, const char *extra, const char *body, int status)
{
    char path[64];
    snprintf(path, sizeof(path), CONFIG "%s", query);
    struct answer answer = call("PUT", path, extra, body);
    if (answer.status != status)
        fail_msg("expected %d, got: %s", status, answer.text);
    return answer;
}

static const char *only_name(const struct answer *answer, const char *outcome, const char *kind)
{
    const cJSON *names = NAMES(answer->json, outcome, kind);
    assert_true(cJSON_IsArray(names));
    assert_int_equal(cJSON_GetArraySize(names), 1);
    return names->child->valuestring;
}

static void assert_none(const struct answer *answer, const char *outcome, const char *kind)
{
    const cJSON *names = NAMES(answer->json, outcome, kind);
    assert_true(cJSON_IsArray(names));
    assert_null(names->child);
}

/* What was read can be sent back, and nothing happens. */
static void test_round_trip(void **state)
{
    (void)state;
    make_home_and_web();
    struct answer read = call("GET", CONFIG, "", "");
    assert_int_equal(read.status, 200);
    assert_null(strstr(read.text, KEY_A));
    assert_null(strstr(read.text, "private_key"));
    assert_non_null(strstr(read.text, "192.168.4.2"));
    assert_null(strstr(read.text, "\"status\""));
    char tag[32];
    strcpy(tag, etag_of(&read));
    size_t updates = fake.updates;
    struct answer same = put("?prune", "", read.body, 200);
    assert_string_equal(only_name(&same, "unchanged", "tunnels"), "home");
    assert_string_equal(only_name(&same, "unchanged", "forwards"), "web");
    assert_none(&same, "updated", "tunnels");
    assert_string_equal(etag_of(&same), tag);
    assert_int_equal(fake.updates, updates);
    free_answer(&same);
    free_answer(&read);
}

static void test_creates_updates_and_deletes(void **state)
{
    (void)state;
    make_home_and_web();
    static const char body[] = "{\"tunnels\":[{\"name\":\"home\",\"addresses\":[\"10.9.0.2/32\"],"
                               "\"mtu\":1400}],\"forwards\":[" FORWARD("ssh") "]}";
    struct answer answer = put("?dry_run&prune", "", body, 200);
    assert_string_equal(only_name(&answer, "updated", "tunnels"), "home");
    assert_string_equal(only_name(&answer, "created", "forwards"), "ssh");
    assert_string_equal(only_name(&answer, "deleted", "forwards"), "web");
    free_answer(&answer);
    expect_status("GET", "/v1/forwards/ssh", "", 404);
    answer = put("?prune=true", "", body, 200);
    assert_string_equal(only_name(&answer, "deleted", "forwards"), "web");
    free_answer(&answer);
    expect_status("GET", "/v1/forwards/ssh", "", 200);
    expect_status("GET", "/v1/forwards/web", "", 404);
    /* The private key was left out, and stayed. */
    assert_int_equal(service_find_tunnel(fx.service, "home")->spec.private_key[0], 1);
    assert_int_equal(service_find_tunnel(fx.service, "home")->spec.mtu, 1400);
}

static void test_preconditions(void **state)
{
    (void)state;
    make_home_and_web();
    struct answer read = call("GET", CONFIG, "", "");
    char match[64];
    snprintf(match, sizeof(match), "If-Match: %s\r\n", etag_of(&read));
    expect_status("POST", "/v1/forwards", FORWARD("ssh"), 201); /* somebody else's change */
    struct answer answer = put("?prune", match, read.body, 412);
    check_problem(&answer, 412, "precondition_failed");
    free_answer(&answer);
    expect_status("GET", "/v1/forwards/ssh", "", 200);
    free_answer(&read);
    read = call("GET", CONFIG, "", "");
    snprintf(match, sizeof(match), "If-Match: %s\r\n", etag_of(&read));
    answer = put("", match, "{\"forwards\":[" FORWARD("dns") "]}", 200);
    assert_null(strstr(match, etag_of(&answer)));
    free_answer(&answer);
    free_answer(&read);
}

static void test_every_error_has_a_pointer(void **state)
{
    (void)state;
    static const char body[] = "{\"tunnels\":[{\"name\":\"home\",\"private_key\":\"" KEY_A
                               "\",\"addresses\":[]}],\"forwards\":[" FORWARD(
                                   "web") ",{\"tunnel\":\"home\",\"target\":"
                                          "{\"host\":\"nowhere\",\"port\":0}}],\"peers\":[]}";
    static const char *const pointers[] = {"/peers", "/tunnels/0/addresses",
                                           "/forwards/1/target/host", "/forwards/1/target/port",
                                           "/forwards/1/name"};
    struct answer answer = put("", "", body, 422);
    check_problem(&answer, 422, "validation");
    const cJSON *error = json_member(answer.json, "errors")->child;
    for (size_t i = 0; i < 5; i++, error = error->next) {
        assert_non_null(error);
        assert_string_equal(text_of(error, "pointer"), pointers[i]);
    }
    assert_null(error);
    free_answer(&answer);
    expect_problem("PUT", CONFIG, "", "[]", 422, "validation");
    expect_problem("PUT", CONFIG, "", "{\"tunnels\":null}", 422, "validation");
    expect_problem("PUT", CONFIG, "", "{", 400, "invalid_json");
    expect_problem("PUT", CONFIG "?cascade", "", "{}", 400, "unknown_parameter");
    expect_problem("PUT", CONFIG "?prune=maybe", "", "{}", 400, "invalid_parameter");
    expect_problem("POST", CONFIG, "", "{}", 405, "method_not_allowed");
}

/* More than any other request may have, and an end all the same. */
static void test_size(void **state)
{
    (void)state;
    enum { COUNT = 6000 };
    size_t room = (16 << 20) + 64;
    char *body = malloc(room);
    assert_non_null(body);
    size_t used = (size_t)sprintf(body, "{\"tunnels\":[" TUNNEL("home") "],\"forwards\":[");
    for (int i = 0; i < COUNT; i++)
        used += (size_t)sprintf(body + used,
                                "%s\n            {\"name\":\"f%d\",\"tunnel\":\"home\","
                                "\"enabled\":false,\"direction\":\"local\",\"protocol\":\"tcp\","
                                "\"listen\":{\"address\":\"127.0.0.1\",\"port\":0},"
                                "\"target\":{\"host\":\"192.168.4.2\",\"port\":80}}",
                                i > 0 ? "," : "", i);
    strcpy(body + used, "]}");
    assert_true(used > 1 << 20);
    struct answer answer = put("", "", body, 200);
    assert_int_equal(cJSON_GetArraySize(NAMES(answer.json, "created", "forwards")), COUNT);
    free_answer(&answer);
    for (size_t i = 0; i + 2 < room; i += 2)
        memcpy(body + i, i == 0 ? "[1" : ",1", 2);
    strcpy(body + (15 << 20), "]");
    answer = call("PUT", CONFIG, "", body);
    check_problem(&answer, 413, "too_large");
    assert_non_null(strstr(answer.text, "JSON values"));
    free_answer(&answer);
    memset(body, ' ', room - 1);
    body[room - 1] = '\0';
    answer = call("PUT", CONFIG, "", body);
    check_problem(&answer, 413, "too_large");
    free_answer(&answer);
    free(body);
}

/* A connection on which a large part of a body has been received, and the rest will never come. */
static int begin_large_body(void)
{
    enum { PART = 9 << 20 };
    char *text = malloc(PART + 1024);
    assert_non_null(text);
    size_t head = (size_t)sprintf(text,
                                  "PUT " CONFIG " HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                  "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                                  "Content-Length: %d\r\n\r\n",
                                  fx.token, PART + 1);
    memset(text + head, ' ', PART);
    int fd = connect_tcp();
    assert_int_equal(evutil_make_socket_nonblocking(fd), 0);
    for (size_t sent = 0; sent < head + PART;) {
        ssize_t n = send(fd, text + sent, head + PART - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
    }
    free(text);
    return fd;
}

/* Each takes 16 MiB of the 64 that there are for all. */
static void test_large_bodies_at_a_time(void **state)
{
    (void)state;
    int fds[4];
    for (int i = 0; i < 4; i++)
        fds[i] = begin_large_body();
    for (int i = 0; i < 100; i++) /* what was sent is received */
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
    struct answer answer = put("", "", "{}", 503);
    check_problem(&answer, 503, "exhausted");
    assert_true(has_header(&answer, "Retry-After: 1"));
    free_answer(&answer);
    close(fds[0]);
    for (int i = 0; i < 100; i++)
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
    answer = put("", "", "{}", 200);
    free_answer(&answer);
    for (int i = 1; i < 4; i++)
        close(fds[i]);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),    TEST(test_creates_updates_and_deletes),
        TEST(test_preconditions), TEST(test_every_error_has_a_pointer),
        TEST(test_size),          TEST(test_large_bodies_at_a_time),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
