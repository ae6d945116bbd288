/*
 * wg-quick files over HTTP: import with and without dry run, and the file of a tunnel.
 */
#include "tests/unit/api/http_world.h"

#define KEY_C "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="

#define CONFIG "/v1/tunnels/home/config"
#define TEXT   "Content-Type: text/plain\r\n"

static const char file[] = "[Interface]\n"
                           "PrivateKey = " KEY_A "\n"
                           "Address = 10.9.0.2/32\n"
                           "DNS = 10.9.0.1\n"
                           "[Peer]\n"
                           "# Name = gw\n"
                           "PublicKey = " KEY_B "\n"
                           "PresharedKey = " KEY_C "\n"
                           "AllowedIPs = 192.168.4.0/24\n"
                           "Endpoint = vpn.example.org:51820\n"
                           "PostUp = x\n";

/* The file without its error, which is in the last line. */
static const char *good_file(void)
{
    static char text[sizeof(file)];
    size_t len = (size_t)(strstr(file, "PostUp") - file);
    memcpy(text, file, len);
    text[len] = '\0';
    return text;
}

static struct answer put(const char *path, const char *extra, const char *text, int status)
{
    char headers[128];
    snprintf(headers, sizeof(headers), TEXT "%s", extra);
    struct answer answer = call("PUT", path, headers, text);
    if (answer.status != status)
        fail_msg("PUT %s: expected %d, got: %s", path, status, answer.text);
    return answer;
}

static void assert_no_secrets(const struct answer *answer)
{
    assert_null(strstr(answer->text, KEY_A));
    assert_null(strstr(answer->text, KEY_C));
}

static void test_creates_and_changes(void **state)
{
    (void)state;
    struct answer answer = put(CONFIG, "", good_file(), 201);
    assert_true(has_header(&answer, "ETag: \"1\""));
    assert_true(has_header(&answer, "Location: /v1/tunnels/home"));
    assert_no_secrets(&answer);
    assert_string_equal(text_of(answer.json, "name"), "home");
    assert_non_null(json_member(answer.json, "status"));
    const cJSON *peer = json_member(answer.json, "peers")->child;
    assert_string_equal(text_of(peer, "name"), "gw");
    assert_true(cJSON_IsTrue(json_member(peer, "has_preshared_key")));
    const cJSON *warning = json_member(answer.json, "warnings")->child;
    assert_int_equal(json_member(warning, "line")->valueint, 4);
    assert_string_equal(text_of(warning, "code"), "ignored");
    assert_null(warning->next);
    free_answer(&answer);

    answer = put(CONFIG, "", good_file(), 200);
    assert_true(has_header(&answer, "ETag: \"1\""));
    assert_null(strstr(answer.text, "Location:"));
    free_answer(&answer);
    assert_int_equal(fake.updates, 0);

    answer = put(CONFIG, "", "[Interface]\nPrivateKey = " KEY_A "\nAddress = 10.9.0.2\n", 200);
    assert_true(has_header(&answer, "ETag: \"2\""));
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "peers")), 0);
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "warnings")), 0);
    free_answer(&answer);
}

/* What a file cannot say is not changed by one. */
static void test_keeps_the_listen_address(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    struct answer answer = put(CONFIG, "", good_file(), 200);
    assert_string_equal(text_of(answer.json, "listen_address"), "127.0.0.1");
    free_answer(&answer);
}

static void test_dry_run_changes_nothing(void **state)
{
    (void)state;
    struct answer answer = put(CONFIG "?dry_run=true", "", good_file(), 200);
    assert_string_equal(text_of(answer.json, "name"), "home");
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "warnings")), 1);
    assert_null(json_member(answer.json, "status"));
    assert_null(strstr(answer.text, "ETag:"));
    assert_no_secrets(&answer);
    free_answer(&answer);
    expect_status("GET", "/v1/tunnels/home", "", 404);

    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    answer = put(CONFIG "?dry_run", "", good_file(), 200);
    free_answer(&answer);
    answer = call("GET", "/v1/tunnels/home", "", "");
    assert_true(has_header(&answer, "ETag: \"1\""));
    free_answer(&answer);

    /* It tells of what only shows beside the other objects. */
    expect_status("POST", "/v1/forwards", FORWARD("web"), 201);
    answer = put(CONFIG "?dry_run=true", "",
                 "[Interface]\nPrivateKey = " KEY_A "\nAddress = fd00::2\n", 422);
    check_problem(&answer, 422, "validation");
    free_answer(&answer);
    answer = put(CONFIG "?dry_run=maybe", "", good_file(), 400);
    check_problem(&answer, 400, "invalid_parameter");
    free_answer(&answer);
}

static void test_errors_have_lines(void **state)
{
    (void)state;
    struct answer answer = put(CONFIG, "", file, 422);
    check_problem(&answer, 422, "validation");
    const cJSON *error = json_member(answer.json, "errors")->child;
    assert_int_equal(json_member(error, "line")->valueint, 11);
    assert_string_equal(text_of(error, "code"), "misplaced");
    assert_null(error->next);
    free_answer(&answer);
    answer = put(CONFIG, "", "hello", 422);
    free_answer(&answer);
    expect_status("GET", "/v1/tunnels/home", "", 404);
}

static void test_preconditions_and_types(void **state)
{
    (void)state;
    struct answer answer = put(CONFIG, "If-Match: \"1\"\r\n", good_file(), 412);
    free_answer(&answer);
    answer = put(CONFIG, "If-None-Match: *\r\n", good_file(), 201);
    free_answer(&answer);
    answer = put(CONFIG, "If-None-Match: *\r\n", good_file(), 412);
    free_answer(&answer);
    answer = put(CONFIG, "If-Match: \"1\"\r\n", good_file(), 200);
    free_answer(&answer);
    expect_problem("PUT", CONFIG, "", "{}", 415, "unsupported_media_type");
    expect_problem("PUT", "/v1/tunnels/home", TEXT, good_file(), 415, "unsupported_media_type");
    expect_problem("GET", "/v1/tunnels/none/config", "", "", 404, "not_found");
}

/* What GET gives can be edited and put back: hidden secrets stay. */
static void test_the_file_of_a_tunnel_comes_back(void **state)
{
    (void)state;
    struct answer answer = put(CONFIG, "", good_file(), 201);
    free_answer(&answer);
    struct answer printed = call("GET", CONFIG, "", "");
    assert_int_equal(printed.status, 200);
    assert_true(has_header(&printed, "Content-Type: text/plain; charset=utf-8"));
    assert_true(has_header(&printed, "ETag: \"1\""));
    assert_no_secrets(&printed);
    assert_non_null(strstr(printed.body, "# Name = gw\nPublicKey = " KEY_B "\n"));
    answer = put(CONFIG, "", printed.body, 200);
    assert_true(has_header(&answer, "ETag: \"1\""));
    free_answer(&answer);
    answer = put("/v1/tunnels/other/config", "", printed.body, 422);
    assert_int_equal(json_member(json_member(answer.json, "errors")->child, "line")->valueint, 2);
    free_answer(&answer);
    free_answer(&printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_creates_and_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keeps_the_listen_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dry_run_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors_have_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_preconditions_and_types, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_file_of_a_tunnel_comes_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
