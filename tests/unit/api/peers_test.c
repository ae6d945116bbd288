/*
 * The peers of a tunnel as resources of their own, over HTTP.
 */
#include "tests/unit/api/http_world.h"

#define KEY_C "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="
#define KEY_D "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ="
#define OWN   "pOCSkrZRwni5dyxWn1+puxPZBrRqtoyd+dwrRAn4ogk=" /* the public key of KEY_A */

#define PEERS  "/v1/tunnels/home/peers"
#define OFFICE PEERS "/office"

/* A tunnel with the peer peer-1, whose key is KEY_B. */
static void make_home(void)
{
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
}

static struct answer put(const char *path, const char *extra, const char *body, int status)
{
    struct answer answer = call("PUT", path, extra, body);
    if (answer.status != status)
        fail_msg("PUT %s: expected %d, got: %s", path, status, answer.text);
    return answer;
}

static void test_one_peer(void **state)
{
    (void)state;
    make_home();
    expect_problem("GET", OFFICE, "", "", 404, "not_found");
    struct answer answer = put(OFFICE, "",
                               "{\"public_key\":\"" KEY_C "\",\"preshared_key\":\"" KEY_D "\","
                               "\"allowed_ips\":[\"10.1.2.3/16\"],\"keepalive_seconds\":25}",
                               201);
    assert_true(has_header(&answer, "Location: " OFFICE));
    assert_true(has_header(&answer, "ETag: \"2\""));
    assert_null(strstr(answer.text, KEY_D));
    assert_string_equal(text_of(answer.json, "name"), "office");
    assert_string_equal(text_of(answer.json, "public_key"), KEY_C);
    assert_true(cJSON_IsTrue(json_member(answer.json, "has_preshared_key")));
    assert_string_equal(json_member(answer.json, "allowed_ips")->child->valuestring, "10.1.0.0/16");
    assert_string_equal(text_of(json_member(answer.json, "status"), "name"), "office");
    free_answer(&answer);

    /* A secret that is not repeated stays; what changes nothing changes nothing. */
    answer = put(OFFICE, "",
                 "{\"name\":\"office\",\"public_key\":\"" KEY_C "\","
                 "\"allowed_ips\":[\"10.1.0.0/16\"],\"keepalive_seconds\":25}",
                 200);
    assert_true(has_header(&answer, "ETag: \"2\""));
    assert_null(strstr(answer.text, "Location:"));
    free_answer(&answer);
    answer = put(OFFICE, "", "{\"public_key\":\"" KEY_C "\",\"preshared_key\":null}", 200);
    assert_true(has_header(&answer, "ETag: \"3\""));
    assert_true(cJSON_IsFalse(json_member(answer.json, "has_preshared_key")));
    free_answer(&answer);

    /* It is in the tunnel, beside the other, which is as it was. */
    answer = call("GET", "/v1/tunnels/home", "", "");
    const cJSON *peers = json_member(answer.json, "peers");
    assert_int_equal(cJSON_GetArraySize(peers), 2);
    assert_string_equal(text_of(peers->child, "name"), "peer-1");
    assert_string_equal(text_of(peers->child, "endpoint"), "vpn.example.org:51820");
    assert_string_equal(text_of(peers->child->next, "name"), "office");
    free_answer(&answer);

    answer = call("DELETE", PEERS "/peer-1", "", "");
    assert_int_equal(answer.status, 204);
    free_answer(&answer);
    expect_problem("DELETE", PEERS "/peer-1", "", "", 404, "not_found");
    answer = call("GET", OFFICE, "", "");
    assert_int_equal(answer.status, 200);
    assert_true(has_header(&answer, "ETag: \"4\""));
    free_answer(&answer);
    expect_status("DELETE", OFFICE, "", 204);
    answer = call("GET", PEERS, "", "");
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "items")), 0);
    free_answer(&answer);
}

static void test_of_no_tunnel(void **state)
{
    (void)state;
    expect_problem("GET", PEERS, "", "", 404, "not_found");
    expect_problem("GET", OFFICE, "", "", 404, "not_found");
    expect_problem("PUT", OFFICE, "", "{\"public_key\":\"" KEY_C "\"}", 404, "not_found");
    expect_problem("DELETE", OFFICE, "", "", 404, "not_found");
    expect_problem("POST", PEERS, "", "{}", 405, "method_not_allowed");
}

static void expect_error(const char *body, int status, const char *problem, const char *pointer,
                         const char *code)
{
    struct answer answer = call("PUT", OFFICE, "", body);
    check_problem(&answer, status, problem);
    const cJSON *error = json_member(answer.json, "errors")->child;
    assert_string_equal(text_of(error, "pointer"), pointer);
    assert_string_equal(text_of(error, "code"), code);
    assert_null(error->next);
    free_answer(&answer);
}

static void test_errors_point_into_the_body(void **state)
{
    (void)state;
    make_home();
    size_t updates = fake.updates;
    expect_error("{}", 422, "validation", "/public_key", "required");
    expect_error("[]", 422, "validation", "", "invalid_type");
    expect_error("{\"public_key\":\"" KEY_C "\",\"name\":\"x\"}", 422, "validation", "/name",
                 "immutable");
    expect_error("{\"public_key\":\"" KEY_C "\",\"allowed_ips\":[\"10.0.0.0/8\",\"x\"]}", 422,
                 "validation", "/allowed_ips/1", "invalid_prefix");
    expect_error("{\"public_key\":\"" KEY_C "\",\"status\":{}}", 422, "validation", "/status",
                 "unknown_field");
    expect_error("{\"public_key\":\"" OWN "\"}", 422, "validation", "/public_key", "own_key");
    expect_problem("PUT", OFFICE, "", "{", 400, "invalid_json");
    assert_int_equal(fake.updates, updates);
}

static void test_conflicts_with_other_peers(void **state)
{
    (void)state;
    make_home();
    struct answer answer =
        put(PEERS "/lab", "",
            "{\"public_key\":\"" KEY_D "\",\"allowed_ips\":[\"10.1.0.0/16\",\"fd00::/64\"]}", 201);
    free_answer(&answer);
    expect_error("{\"public_key\":\"" KEY_B "\"}", 409, "overlap", "/public_key", "overlap");
    expect_error("{\"public_key\":\"" KEY_C "\","
                 "\"allowed_ips\":[\"10.0.0.0/8\",\"fd00::1/64\",\"10.2.0.0/16\"]}",
                 409, "overlap", "/allowed_ips/1", "overlap");
    /* The longest prefix counts: one within another is no conflict, and one's own never is. */
    answer = put(OFFICE, "",
                 "{\"public_key\":\"" KEY_C "\",\"allowed_ips\":[\"10.1.2.0/24\",\"10.1.2.0/24\"]}",
                 201);
    free_answer(&answer);
    answer = put(PEERS "/lab", "", "{\"public_key\":\"" KEY_D "\",\"allowed_ips\":[\"fd00::/64\"]}",
                 200);
    free_answer(&answer);
}

static void test_preconditions(void **state)
{
    (void)state;
    static const char body[] = "{\"public_key\":\"" KEY_C "\"}";
    make_home();
    struct answer answer = put(OFFICE, "If-Match: \"1\"\r\n", body, 412);
    free_answer(&answer);
    answer = put(OFFICE, "If-None-Match: *\r\n", body, 201);
    free_answer(&answer);
    answer = put(OFFICE, "If-None-Match: *\r\n", body, 412);
    free_answer(&answer);
    answer = put(OFFICE, "If-Match: \"1\"\r\n", body, 412);
    free_answer(&answer);
    answer = put(OFFICE, "If-Match: \"2\"\r\n", body, 200);
    free_answer(&answer);
    expect_problem("DELETE", OFFICE, "If-Match: \"1\"\r\n", "", 412, "precondition_failed");
    answer = call("DELETE", OFFICE, "If-Match: \"2\"\r\n", "");
    assert_int_equal(answer.status, 204);
    assert_true(has_header(&answer, "ETag: \"3\""));
    free_answer(&answer);
}

/* Pages are in the order of names, whatever that of the definition is. */
static void test_pages(void **state)
{
    (void)state;
    static const char *const names[] = {"zoo", "ant", "bee"};
    static const char *const order[] = {"ant", "bee", "peer-1", "zoo"};
    make_home();
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        char body[128];
        char key[SPEC_KEY_TEXT];
        uint8_t raw[SPEC_KEY_LEN] = {(uint8_t)(9 + i)};
        snprintf(path, sizeof(path), PEERS "/%s", names[i]);
        snprintf(body, sizeof(body), "{\"public_key\":\"%s\"}", spec_key_print(raw, key));
        struct answer answer = put(path, "", body, 201);
        free_answer(&answer);
    }
    char path[64] = PEERS "?limit=1";
    for (size_t i = 0; i < 4; i++) {
        struct answer answer = call("GET", path, "", "");
        assert_int_equal(answer.status, 200);
        const cJSON *items = json_member(answer.json, "items");
        assert_int_equal(cJSON_GetArraySize(items), 1);
        assert_string_equal(text_of(items->child, "name"), order[i]);
        assert_int_equal(json_member(answer.json, "next_cursor") != NULL, i < 3);
        if (i < 3)
            snprintf(path, sizeof(path), PEERS "?limit=1&cursor=%s",
                     text_of(answer.json, "next_cursor"));
        free_answer(&answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_of_no_tunnel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors_point_into_the_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_conflicts_with_other_peers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_preconditions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
