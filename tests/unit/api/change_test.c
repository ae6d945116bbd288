/*
 * PUT, PATCH and preconditions over HTTP.
 */
#include "tests/unit/api/http_world.h"

#define TUNNELS_HOME "/v1/tunnels/home"
#define WEB          "/v1/forwards/web"

/* --- Helpers ---------------------------------------------------------------------------------- */

static void make_home_and_web(void)
{
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("web"), 201);
}

/* A call that succeeds with this generation. The caller frees the answer. */
static struct answer change(const char *method, const char *path, const char *extra,
                            const char *body, int status, int generation)
{
    struct answer answer = call(method, path, extra, body);
    if (answer.status != status)
        fail_msg("%s %s: expected %d, got: %s", method, path, status, answer.text);
    char etag[32];
    snprintf(etag, sizeof(etag), "ETag: \"%d\"", generation);
    assert_true(has_header(&answer, etag));
    assert_int_equal(json_member(answer.json, "generation")->valueint, generation);
    return answer;
}

static void expect_change(const char *method, const char *path, const char *extra, const char *body,
                          int status, int generation)
{
    struct answer answer = change(method, path, extra, body, status, generation);
    free_answer(&answer);
}

static int number_of(const cJSON *json, const char *name)
{
    const cJSON *item = json_member(json, name);
    return cJSON_IsNumber(item) ? item->valueint : -1;
}

static void expect_pointer(const char *method, const char *path, const char *body,
                           const char *pointer, const char *code)
{
    struct answer answer = call(method, path, "", body);
    check_problem(&answer, 422, "validation");
    const cJSON *error = json_member(answer.json, "errors")->child;
    assert_string_equal(text_of(error, "pointer"), pointer);
    assert_string_equal(text_of(error, "code"), code);
    free_answer(&answer);
}

/* --- PUT -------------------------------------------------------------------------------------- */

static void test_put_creates_and_changes(void **state)
{
    (void)state;
    static const char tunnel[] = "{\"private_key\":\"" KEY_A "\",\"addresses\":[\"10.9.0.2/32\"],"
                                 "\"listen_address\":\"127.0.0.1\"}";
    struct answer answer = change("PUT", TUNNELS_HOME, "", tunnel, 201, 1);
    assert_true(has_header(&answer, "Location: /v1/tunnels/home"));
    free_answer(&answer);
    expect_change("PUT", TUNNELS_HOME, "", tunnel, 200, 1);
    answer = change("PUT", WEB, "", FORWARD("web"), 201, 1);
    assert_true(has_header(&answer, "Location: /v1/forwards/web"));
    free_answer(&answer);
    expect_change("PUT", WEB, "", FORWARD("web"), 200, 1);
    assert_int_equal(fake.updates, 0);
    answer =
        change("PUT", WEB, "",
               "{\"tunnel\":\"home\",\"target\":{\"host\":\"192.168.4.3\",\"port\":80}}", 200, 2);
    assert_string_equal(text_of(json_member(answer.json, "target"), "host"), "192.168.4.3");
    assert_null(strstr(answer.text, "Location:"));
    free_answer(&answer);
    assert_int_equal(fake.updates, 1);
}

/* What is left out of a PUT has its default again. */
static void test_put_replaces(void **state)
{
    (void)state;
    make_home_and_web();
    expect_change("PATCH", WEB, "", "{\"idle_timeout_seconds\":5}", 200, 2);
    struct answer answer = change("PUT", WEB, "", FORWARD("web"), 200, 3);
    assert_int_equal(number_of(answer.json, "idle_timeout_seconds"), 0);
    free_answer(&answer);
}

static void test_names_do_not_change(void **state)
{
    (void)state;
    make_home_and_web();
    expect_pointer("PUT", WEB, FORWARD("other"), "/name", "immutable");
    expect_pointer("PATCH", TUNNELS_HOME, "{\"name\":\"other\"}", "/name", "immutable");
    expect_pointer("PATCH", TUNNELS_HOME, "{\"name\":7}", "/name", "immutable");
    expect_change("PATCH", TUNNELS_HOME, "", "{\"name\":null}", 200, 1);
    expect_pointer("PUT", WEB, "[]", "", "invalid_type");
}

/* --- PATCH ------------------------------------------------------------------------------------ */

static void test_patch_merges(void **state)
{
    (void)state;
    make_home_and_web();
    struct answer answer =
        change("PATCH", WEB, "", "{\"target\":{\"port\":81},\"idle_timeout_seconds\":60}", 200, 2);
    assert_string_equal(text_of(json_member(answer.json, "target"), "host"), "192.168.4.2");
    assert_int_equal(number_of(json_member(answer.json, "target"), "port"), 81);
    assert_int_equal(number_of(answer.json, "idle_timeout_seconds"), 60);
    free_answer(&answer);

    /* null takes out: here, back to the default. */
    answer = change("PATCH", WEB, "", "{\"idle_timeout_seconds\":null}", 200, 3);
    assert_int_equal(number_of(answer.json, "idle_timeout_seconds"), 0);
    free_answer(&answer);
    answer = change("PATCH", TUNNELS_HOME, "", "{\"peers\":null}", 200, 2);
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "peers")), 0);
    free_answer(&answer);
    expect_pointer("PATCH", WEB, "{\"target\":{\"port\":null}}", "/target/port", "required");
    expect_pointer("PATCH", WEB, "{\"nonsense\":1}", "/nonsense", "unknown_field");
    expect_change("PATCH", WEB, "", "{}", 200, 3);
}

static void test_patch_needs_an_object(void **state)
{
    (void)state;
    expect_problem("PATCH", WEB, "", "{}", 404, "not_found");
    expect_problem("PATCH", TUNNELS_HOME, "", "{}", 404, "not_found");
    make_home_and_web();
    expect_pointer("PATCH", WEB, "[1]", "", "invalid_type");
    expect_problem("PATCH", WEB, "", "{", 400, "invalid_json");
}

static int send_typed(const char *method, const char *type)
{
    char request[1024];
    int len = snprintf(request, sizeof(request),
                       "%s " WEB " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                       "Authorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: 2\r\n"
                       "\r\n{}",
                       method, fx.token, type);
    struct answer answer = exchange(connect_tcp(), request, (size_t)len);
    int status = answer.status;
    free_answer(&answer);
    return status;
}

static void test_media_types(void **state)
{
    (void)state;
    make_home_and_web();
    assert_int_equal(send_typed("PATCH", "application/merge-patch+json"), 200);
    assert_int_equal(send_typed("PATCH", "application/merge-patch+json; charset=utf-8"), 200);
    assert_int_equal(send_typed("PATCH", "application/json"), 200);
    assert_int_equal(send_typed("PATCH", "application/json-patch+json"), 415);
    assert_int_equal(send_typed("PATCH", "text/plain"), 415);
    assert_int_equal(send_typed("PUT", "application/merge-patch+json"), 415);
}

/* --- Secrets ---------------------------------------------------------------------------------- */

#define PEER(more) "{\"peers\":[{\"name\":\"gw\",\"public_key\":\"" KEY_B "\"" more "}]}"

static bool has_preshared_key(const struct answer *answer)
{
    const cJSON *peer = json_member(answer->json, "peers")->child;
    return cJSON_IsTrue(json_member(peer, "has_preshared_key"));
}

static void expect_preshared_key(const char *body, int generation, bool expected)
{
    struct answer answer = change("PATCH", TUNNELS_HOME, "", body, 200, generation);
    assert_int_equal(has_preshared_key(&answer), expected);
    assert_null(strstr(answer.text, KEY_A));
    free_answer(&answer);
}

static void test_secrets_stay(void **state)
{
    (void)state;
    make_home_and_web();
    char public_key[SPEC_KEY_TEXT];
    struct answer answer = call("GET", TUNNELS_HOME, "", "");
    snprintf(public_key, sizeof(public_key), "%s", text_of(answer.json, "public_key"));
    free_answer(&answer);

    expect_preshared_key(PEER(",\"preshared_key\":\"" KEY_A "\""), 2, true);
    expect_preshared_key(PEER(""), 2, true);
    expect_preshared_key(PEER(",\"keepalive_seconds\":9"), 3, true);
    expect_preshared_key("{\"mtu\":1400}", 4, true);
    answer = change("PUT", TUNNELS_HOME, "",
                    "{\"addresses\":[\"10.9.0.2/32\"],\"listen_address\":\"127.0.0.1\","
                    "\"peers\":[{\"name\":\"gw\",\"public_key\":\"" KEY_B "\"}]}",
                    200, 5);
    assert_true(has_preshared_key(&answer));
    assert_string_equal(text_of(answer.json, "public_key"), public_key);
    free_answer(&answer);
    expect_preshared_key(PEER(",\"preshared_key\":null"), 6, false);
    expect_preshared_key(PEER(""), 6, false);
    expect_pointer("PUT", "/v1/tunnels/new", "{\"addresses\":[\"10.9.0.2/32\"]}", "/private_key",
                   "required");
}

/* --- Preconditions ---------------------------------------------------------------------------- */

static void test_if_match(void **state)
{
    (void)state;
    make_home_and_web();
    expect_problem("PATCH", WEB, "If-Match: \"2\"\r\n", "{\"enabled\":false}", 412,
                   "precondition_failed");
    expect_problem("PATCH", WEB, "If-Match: W/\"1\"\r\n", "{}", 412, "precondition_failed");
    expect_problem("PATCH", WEB, "If-Match: 1\r\n", "{}", 400, "bad_request");
    expect_problem("PUT", WEB, "If-Match: \"1\r\n", FORWARD("web"), 400, "bad_request");
    expect_problem("PUT", "/v1/forwards/new", "If-Match: *\r\n", FORWARD("new"), 412,
                   "precondition_failed");
    expect_change("PATCH", WEB, "If-Match: \"7\", \"1\"\r\n", "{\"enabled\":false}", 200, 2);
    expect_change("PATCH", WEB, "If-Match: *\r\n", "{\"enabled\":true}", 200, 3);
    expect_change("PUT", TUNNELS_HOME, "If-Match: \"1\"\r\n", TUNNEL("home"), 200, 1);
    expect_problem("PUT", TUNNELS_HOME, "If-Match: \"3\"\r\n", TUNNEL("home"), 412,
                   "precondition_failed");
    expect_problem("DELETE", WEB, "If-Match: \"1\"\r\n", "", 412, "precondition_failed");
    expect_problem("DELETE", TUNNELS_HOME, "If-Match: \"2\"\r\n", "", 412, "precondition_failed");
    struct answer answer = call("DELETE", WEB, "If-Match: \"3\"\r\n", "");
    assert_int_equal(answer.status, 204);
    free_answer(&answer);
}

static void test_if_none_match(void **state)
{
    (void)state;
    expect_change("PUT", TUNNELS_HOME, "If-None-Match: *\r\n", TUNNEL("home"), 201, 1);
    expect_problem("PUT", TUNNELS_HOME, "If-None-Match: *\r\n", TUNNEL("home"), 412,
                   "precondition_failed");
    expect_problem("PUT", TUNNELS_HOME, "If-None-Match: W/\"1\"\r\n", TUNNEL("home"), 412,
                   "precondition_failed");
    expect_change("PUT", TUNNELS_HOME, "If-None-Match: \"9\"\r\n", TUNNEL("home"), 200, 1);
    expect_change("PUT", WEB, "If-None-Match: *\r\n", FORWARD("web"), 201, 1);
}

/* --- Conflicts -------------------------------------------------------------------------------- */

static void test_a_taken_port_changes_nothing(void **state)
{
    (void)state;
    make_home_and_web();
    struct answer answer = change("PUT", "/v1/forwards/other", "", FORWARD("other"), 201, 1);
    int port = number_of(json_member(json_member(answer.json, "status"), "bound"), "port");
    free_answer(&answer);
    char body[64];
    snprintf(body, sizeof(body), "{\"listen\":{\"port\":%d}}", port);
    expect_problem("PATCH", WEB, "", body, 409, "address_in_use");
    answer = change("PATCH", WEB, "", "{}", 200, 1);
    assert_true(number_of(json_member(json_member(answer.json, "status"), "bound"), "port") !=
                port);
    free_answer(&answer);
}

static void test_addresses_that_forwards_need(void **state)
{
    (void)state;
    make_home_and_web();
    expect_pointer("PATCH", TUNNELS_HOME, "{\"addresses\":[\"fd00::1/128\"]}", "/addresses",
                   "no_address_of_family");
    expect_pointer("PATCH", WEB, "{\"tunnel\":\"nowhere\"}", "/tunnel", "unknown_tunnel");
}

static int set_up_counting(void **state)
{
    fake.updates = 0;
    return set_up(state);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_counting, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_put_creates_and_changes),
        TEST(test_put_replaces),
        TEST(test_names_do_not_change),
        TEST(test_patch_merges),
        TEST(test_patch_needs_an_object),
        TEST(test_media_types),
        TEST(test_secrets_stay),
        TEST(test_if_match),
        TEST(test_if_none_match),
        TEST(test_a_taken_port_changes_nothing),
        TEST(test_addresses_that_forwards_need),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
