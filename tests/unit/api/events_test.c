/*
 * /v1/events as its clients meet it: pages.
 */
#include "tests/unit/api/http_world.h"

#include "server/events.h"

/* Writes what was reported but not written yet. */
static void flush(void)
{
    assert_int_equal(events_flush(service_events(fx.service)), 0);
}

static void emit(const char *name)
{
    events_emit(service_events(fx.service),
                &(struct event_fact){.type = EVENT_TUNNEL_CONDITION, .name = name});
}

static const cJSON *item(const struct answer *answer, int index)
{
    const cJSON *found = cJSON_GetArrayItem(json_member(answer->json, "items"), index);
    assert_non_null(found);
    return found;
}

static int count_of(const struct answer *answer)
{
    return cJSON_GetArraySize(json_member(answer->json, "items"));
}

static double number_of(const cJSON *json, const char *name)
{
    const cJSON *number = json_member(json, name);
    return cJSON_IsNumber(number) ? number->valuedouble : -1;
}

static struct answer get_page(const char *query)
{
    char path[128];
    snprintf(path, sizeof(path), "/v1/events%s", query);
    struct answer answer = call("GET", path, "Accept: application/json\r\n", "");
    if (answer.status != 200)
        fail_msg("%s", answer.text);
    return answer;
}

static void expect_page_problem(const char *query, int status, const char *code)
{
    char path[128];
    snprintf(path, sizeof(path), "/v1/events%s", query);
    expect_problem("GET", path, "Accept: application/json\r\n", "", status, code);
}

/* --- Pages ------------------------------------------------------------------------------------ */

static void test_a_page_tells_what_happened(void **state)
{
    (void)state;
    flush();
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("web"), 201);
    static const char request[] = "DELETE /v1/tunnels/home?cascade=true HTTP/1.1\r\n"
                                  "Host: x\r\nConnection: close\r\n\r\n";
    struct answer answer = exchange(connect_unix(), request, sizeof(request) - 1);
    assert_int_equal(answer.status, 204);
    free_answer(&answer);

    answer = get_page("");
    assert_int_equal(count_of(&answer), 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(number_of(item(&answer, i), "id"), i + 1);
    assert_int_equal(number_of(answer.json, "next_since"), 5);
    assert_string_equal(text_of(item(&answer, 0), "type"), "service.started");
    assert_string_equal(text_of(item(&answer, 0), "actor"), "system");
    const cJSON *created = item(&answer, 1);
    assert_string_equal(text_of(created, "type"), "tunnel.created");
    assert_string_equal(text_of(created, "kind"), "tunnel");
    assert_string_equal(text_of(created, "name"), "home");
    assert_string_equal(text_of(created, "actor"), "token:admin");
    assert_int_equal(number_of(created, "generation"), 1);
    assert_null(json_member(created, "reason"));
    char uid[32];
    snprintf(uid, sizeof(uid), "uid:%u", (unsigned)geteuid());
    assert_string_equal(text_of(item(&answer, 3), "type"), "forward.deleted");
    assert_string_equal(text_of(item(&answer, 3), "actor"), uid);
    assert_string_equal(text_of(item(&answer, 4), "actor"), uid);
    assert_null(strstr(answer.text, KEY_A));
    free_answer(&answer);
}

static void test_pages_go_on_where_they_ended(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        emit(i % 2 ? "odd" : "even");
    flush();
    struct answer answer = get_page("?limit=4");
    assert_int_equal(count_of(&answer), 4);
    assert_int_equal(number_of(answer.json, "next_since"), 4);
    free_answer(&answer);
    answer = get_page("?limit=4&since=4");
    assert_int_equal(count_of(&answer), 2);
    assert_int_equal(number_of(item(&answer, 0), "id"), 5);
    assert_int_equal(number_of(answer.json, "next_since"), 6);
    free_answer(&answer);
    answer = get_page("?since=6");
    assert_int_equal(count_of(&answer), 0);
    assert_int_equal(number_of(answer.json, "next_since"), 6);
    free_answer(&answer);
    answer = get_page("?name=odd");
    assert_int_equal(count_of(&answer), 2);
    assert_int_equal(number_of(answer.json, "next_since"), 6);
    free_answer(&answer);
    answer = get_page("?kind=service&limit=1");
    assert_int_equal(count_of(&answer), 1);
    free_answer(&answer);
    answer = get_page("?kind=tunnel&name=even&limit=2&since=2");
    assert_int_equal(count_of(&answer), 2);
    assert_int_equal(number_of(answer.json, "next_since"), 6);
    free_answer(&answer);
}

static void test_a_cursor_that_is_not_kept(void **state)
{
    (void)state;
    for (int i = 0; i < EVENTS_KEPT + 9; i++)
        emit("a");
    flush();
    struct answer answer = get_page("?limit=1"); /* the oldest */
    assert_int_equal(number_of(item(&answer, 0), "id"), 11);
    free_answer(&answer);
    answer = get_page("?limit=1&since=10");
    assert_int_equal(number_of(item(&answer, 0), "id"), 11);
    free_answer(&answer);
    expect_page_problem("?since=9", 410, "cursor_expired");
    expect_page_problem("?since=0", 410, "cursor_expired");
    answer = get_page("?since=10010");
    free_answer(&answer);
    expect_page_problem("?since=10011", 410, "cursor_expired");
}

static void test_parameters_of_pages(void **state)
{
    (void)state;
    expect_page_problem("?since=x", 400, "invalid_parameter");
    expect_page_problem("?kind=", 400, "invalid_parameter");
    expect_page_problem("?cursor=a", 400, "unknown_parameter");
}

/* What a status has seen, and the events since, are everything. */
static void test_status_names_the_last_event(void **state)
{
    (void)state;
    flush();
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    struct answer answer = call("GET", "/v1/status", "", "");
    assert_int_equal(number_of(answer.json, "last_event_id"), 2);
    free_answer(&answer);
}

static void test_a_failed_token_is_reported_and_not_told(void **state)
{
    (void)state;
    flush();
    static const char request[] = "GET /v1/info HTTP/1.1\r\nHost: localhost\r\n"
                                  "Connection: close\r\nAuthorization: Bearer guessed\r\n\r\n";
    struct answer answer = exchange(connect_tcp(), request, sizeof(request) - 1);
    assert_int_equal(answer.status, 401);
    free_answer(&answer);
    flush();
    answer = get_page("?kind=auth");
    assert_int_equal(count_of(&answer), 1);
    assert_string_equal(text_of(item(&answer, 0), "type"), "auth.failed");
    assert_non_null(strstr(text_of(item(&answer, 0), "message"), "127.0.0.1"));
    assert_null(strstr(answer.text, "guessed"));
    free_answer(&answer);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_page_tells_what_happened),  TEST(test_pages_go_on_where_they_ended),
        TEST(test_a_cursor_that_is_not_kept),   TEST(test_parameters_of_pages),
        TEST(test_status_names_the_last_event), TEST(test_a_failed_token_is_reported_and_not_told),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
