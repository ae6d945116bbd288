/*
 * The API as its clients meet it: objects, traps, bodies, tokens and limits, over raw HTTP.
 */
#include "tests/unit/api/http_world.h"

/* --- Objects ---------------------------------------------------------------------------------- */

static void test_tunnel_life(void **state)
{
    (void)state;
    struct answer answer = call("POST", "/v1/tunnels", "", TUNNEL("home"));
    assert_int_equal(answer.status, 201);
    assert_true(has_header(&answer, "Location: /v1/tunnels/home"));
    assert_true(has_header(&answer, "ETag: \"1\""));
    assert_true(has_header(&answer, "Content-Type: application/json"));
    assert_null(strstr(answer.text, "private_key"));
    assert_null(strstr(answer.text, KEY_A));
    const cJSON *status = json_member(answer.json, "status");
    const cJSON *ready = json_member(status, "conditions")->child;
    assert_string_equal(text_of(ready, "status"), "True");
    assert_string_equal(text_of(ready, "reason"), "Bound");
    assert_true(json_member(json_member(status, "bound"), "port")->valueint > 0);
    assert_null(json_member(status, "last_handshake_at"));
    assert_string_equal(text_of(answer.json, "source"), "api");
    free_answer(&answer);

    expect_problem("POST", "/v1/tunnels", "", TUNNEL("home"), 409, "name_taken");
    expect_status("GET", "/v1/tunnels/home", "", 200);
    expect_status("DELETE", "/v1/tunnels/home", "", 204);
    expect_problem("GET", "/v1/tunnels/home", "", "", 404, "not_found");
    expect_problem("DELETE", "/v1/tunnels/home", "", "", 404, "not_found");
}

static void test_forward_life(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    struct answer answer = call("POST", "/v1/forwards", "", FORWARD("web"));
    assert_int_equal(answer.status, 201);
    assert_true(has_header(&answer, "Location: /v1/forwards/web"));
    const cJSON *status = json_member(answer.json, "status");
    const cJSON *bound = json_member(status, "bound");
    assert_string_equal(text_of(bound, "address"), "127.0.0.1");
    int port = json_member(bound, "port")->valueint;
    assert_string_equal(text_of(json_member(status, "conditions")->child, "reason"), "Listening");
    assert_int_equal(json_member(status, "connections_total")->valueint, 0);
    free_answer(&answer);

    char taken[256];
    snprintf(taken, sizeof(taken),
             "{\"tunnel\":\"home\",\"listen\":{\"port\":%d},\"target\":{\"host\":\"10.0.0.1\","
             "\"port\":80}}",
             port);
    answer = call("POST", "/v1/forwards", "", taken);
    check_problem(&answer, 409, "address_in_use");
    const cJSON *error = json_member(answer.json, "errors")->child;
    assert_string_equal(text_of(error, "pointer"), "/listen/port");
    assert_non_null(strstr(text_of(error, "detail"), "127.0.0.1"));
    free_answer(&answer);

    expect_problem("DELETE", "/v1/tunnels/home", "", "", 409, "in_use");
    expect_status("DELETE", "/v1/tunnels/home?cascade=true", "", 204);
    expect_status("GET", "/v1/forwards/web", "", 404);
}

static void test_generated_name(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    struct answer answer =
        call("POST", "/v1/forwards", "",
             "{\"tunnel\":\"home\",\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}");
    assert_int_equal(answer.status, 201);
    const char *name = text_of(answer.json, "name");
    assert_int_equal(strncmp(name, "forward-", 8), 0);
    assert_true(spec_name_valid(name));
    free_answer(&answer);
}

static void test_validation_lists_everything(void **state)
{
    (void)state;
    struct answer answer = call("POST", "/v1/forwards", "",
                                "{\"name\":\"A\",\"protocol\":\"udp\",\"listen\":{\"port\":80.9},"
                                "\"target\":{\"host\":\"example.org\"},\"x\":1}");
    check_problem(&answer, 422, "validation");
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "errors")), 7);
    free_answer(&answer);
    answer = call("POST", "/v1/forwards", "", FORWARD("web"));
    check_problem(&answer, 422, "validation");
    assert_string_equal(text_of(json_member(answer.json, "errors")->child, "pointer"), "/tunnel");
    free_answer(&answer);
}

static void create_forwards(int count)
{
    for (int i = 0; i < count; i++) {
        char body[256];
        snprintf(body, sizeof(body),
                 "{\"name\":\"f%d\",\"tunnel\":\"%s\",\"target\":{\"host\":\"10.0.0.1\","
                 "\"port\":80}}",
                 i, i % 2 ? "home" : "work");
        expect_status("POST", "/v1/forwards", body, 201);
    }
}

static void test_pages(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/tunnels", TUNNEL("work"), 201);
    create_forwards(5);

    struct answer answer = call("GET", "/v1/forwards?limit=2", "", "");
    const cJSON *items = json_member(answer.json, "items");
    assert_int_equal(cJSON_GetArraySize(items), 2);
    assert_string_equal(text_of(items->child, "name"), "f0");
    assert_string_equal(text_of(answer.json, "next_cursor"), "f1");
    free_answer(&answer);

    answer = call("GET", "/v1/forwards?cursor=f1&limit=3", "", "");
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "items")), 3);
    assert_null(json_member(answer.json, "next_cursor"));
    free_answer(&answer);

    answer = call("GET", "/v1/forwards?tunnel=home", "", "");
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "items")), 2);
    assert_null(json_member(answer.json, "next_cursor"));
    free_answer(&answer);

    answer = call("GET", "/v1/tunnels?limit=1", "", "");
    assert_string_equal(text_of(answer.json, "next_cursor"), "home");
    free_answer(&answer);
}

/* Two tunnels of 15,000 peers do not fit one page, whatever its limit. */
static void test_heavy_pages(void **state)
{
    (void)state;
    enum { PEERS = 15000 };
    for (int n = 0; n < 2; n++) {
        struct spec_tunnel spec = {.mtu = 1420, .addresses_count = 1, .peers_count = PEERS};
        snprintf(spec.name, sizeof(spec.name), "t%d", n);
        inet_prefix_parse("10.9.0.2/32", &spec.addresses[0]);
        spec.private_key[0] = 1;
        spec.peers = calloc(PEERS, sizeof(*spec.peers));
        assert_non_null(spec.peers);
        for (int i = 0; i < PEERS; i++) {
            snprintf(spec.peers[i].name, sizeof(spec.peers[i].name), "p%d", i);
            memcpy(spec.peers[i].public_key, &i, sizeof(i));
        }
        const struct service_tunnel *tunnel;
        struct problem problem = {0};
        if (service_create_tunnel(fx.service, &spec, &tunnel, &problem) < 0)
            fail_msg("%s", problem.detail);
    }
    struct answer answer = call("GET", "/v1/tunnels", "", "");
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "items")), 1);
    assert_string_equal(text_of(answer.json, "next_cursor"), "t0");
    free_answer(&answer);
    answer = call("GET", "/v1/tunnels?cursor=t0", "", "");
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "items")), 1);
    assert_null(json_member(answer.json, "next_cursor"));
    free_answer(&answer);
}

static void test_restart_keeps_everything(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    struct answer before = call("POST", "/v1/forwards", "", FORWARD("web"));
    assert_int_equal(before.status, 201);
    char token[sizeof(fx.token)];
    memcpy(token, fx.token, sizeof(token));
    stop();
    start(false);
    assert_string_equal(fx.token, token);
    struct answer after = call("GET", "/v1/forwards/web", "", "");
    assert_int_equal(after.status, 200);
    const cJSON *bound = json_member(json_member(before.json, "status"), "bound");
    const cJSON *again = json_member(json_member(after.json, "status"), "bound");
    assert_int_equal(json_member(bound, "port")->valueint, json_member(again, "port")->valueint);
    free_answer(&before);
    free_answer(&after);
}

/* --- Traps ------------------------------------------------------------------------------------ */

static const struct {
    const char *method, *path, *extra, *body;
    int status;
    const char *code;
} traps[] = {
    /* Paths. */
    {"GET", "/v1/forwards/a%00b", "", "", 400, "bad_request"},
    {"DELETE", "/v1/forwards/web%00x", "", "", 400, "bad_request"},
    {"DELETE", "/v1/forwards/..%2Fforwards%2Fweb", "", "", 400, "bad_request"},
    {"GET", "/v1/forwards/%ff", "", "", 400, "bad_request"},
    {"GET", "/v1/forwards/%c3%a9", "", "", 400, "bad_request"},
    {"GET", "/v1/forwards/\xff", "", "", 400, "bad_request"},
    {"GET", "/v1/forwards/%zz", "", "", 400, "bad_request"},
    {"GET", "/v1/forwards/%", "", "", 400, "bad_request"},
    {"GET", "/v1/forwards/WEB", "", "", 404, "not_found"},
    {"GET", "/v1/forwards/", "", "", 404, "not_found"},
    {"GET", "/v1//forwards", "", "", 404, "not_found"},
    {"GET", "/v1/forwards/web/x", "", "", 404, "not_found"},
    {"GET", "/v1", "", "", 404, "not_found"},
    {"GET", "/V1/forwards", "", "", 404, "not_found"},
    {"GET", "/v1/../v1/forwards", "", "", 404, "not_found"},
    {"GET", "http://127.0.0.1/v1/forwards", "", "", 400, "bad_request"},
    /* Methods. */
    {"PUT", "/v1/forwards", "", "{}", 405, "method_not_allowed"},
    {"OPTIONS", "/v1/forwards", "", "", 405, "method_not_allowed"},
    {"DELETE", "/v1/forwards", "", "", 405, "method_not_allowed"},
    {"BREW", "/v1/forwards", "", "", 501, "not_implemented"},
    {"get", "/v1/forwards", "", "", 501, "not_implemented"},
    /* Queries. */
    {"GET", "/v1/forwards?nope=1", "", "", 400, "unknown_parameter"},
    {"GET", "/v1/forwards?Limit=1", "", "", 400, "unknown_parameter"},
    {"GET", "/v1/forwards/web?limit=1", "", "", 400, "unknown_parameter"},
    {"GET", "/v1/forwards?limit=0", "", "", 400, "invalid_parameter"},
    {"GET", "/v1/forwards?limit=1001", "", "", 400, "invalid_parameter"},
    {"GET", "/v1/forwards?limit=1.5", "", "", 400, "invalid_parameter"},
    {"GET", "/v1/forwards?limit", "", "", 400, "invalid_parameter"},
    {"GET", "/v1/forwards?limit=1&limit=2", "", "", 400, "invalid_parameter"},
    {"GET", "/v1/forwards?cursor=A", "", "", 400, "invalid_parameter"},
    {"GET", "/v1/forwards?cursor=a%00", "", "", 400, "invalid_parameter"},
    {"DELETE", "/v1/tunnels/home?cascade=yes", "", "", 400, "invalid_parameter"},
    /* Bodies. */
    {"POST", "/v1/forwards", "", "{", 400, "invalid_json"},
    {"POST", "/v1/forwards", "", "{} x", 400, "invalid_json"},
    {"POST", "/v1/forwards", "", "{\"name\":\"a\",\"name\":\"b\"}", 400, "invalid_json"},
    {"POST", "/v1/forwards", "", "{\"name\":\"a\\u0000b\"}", 400, "invalid_json"},
    {"POST", "/v1/forwards", "", "{\"name\":\"\xff\"}", 400, "invalid_json"},
    {"POST", "/v1/forwards", "", "{\"target\":{\"port\":1e400}}", 400, "invalid_json"},
    {"POST", "/v1/forwards", "", "{\"target\":{\"port\":01}}", 400, "invalid_json"},
    {"POST", "/v1/forwards", "", "{\"target\":{\"port\":80.9}}", 422, "validation"},
    {"POST", "/v1/forwards", "", "{\"NAME\":\"web\"}", 422, "validation"},
    {"POST", "/v1/forwards", "", "[]", 422, "validation"},
    {"POST", "/v1/forwards", "",
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 400,
     "invalid_json"},
    {"POST", "/v1/forwards", "", "", 415, "unsupported_media_type"},
    {"GET", "/v1/forwards", "", "{}", 400, "bad_request"},
    {"POST", "/v1/forwards", "Content-Encoding: gzip\r\n", "{}", 415, "unsupported_media_type"},
    /* Browsers. */
    {"POST", "/v1/forwards", "Origin: http://evil.example\r\n", "{}", 403, "origin_not_allowed"},
    {"POST", "/v1/forwards", "Origin: null\r\n", "{}", 403, "origin_not_allowed"},
    {"DELETE", "/v1/forwards/web", "Sec-Fetch-Site: cross-site\r\n", "", 403, "origin_not_allowed"},
    {"GET", "/v1/forwards", "Host: 127.0.0.1\r\n", "", 400, "bad_request"},
};

static void test_traps(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(traps) / sizeof(traps[0]); i++) {
        print_message("trap %zu: %s %s %s\n", i, traps[i].method, traps[i].path, traps[i].body);
        expect_problem(traps[i].method, traps[i].path, traps[i].extra, traps[i].body,
                       traps[i].status, traps[i].code);
    }
    assert_null(service_next_forward(fx.service, ""));
}

static void test_allow_header(void **state)
{
    (void)state;
    struct answer answer = call("PUT", "/v1/forwards", "", "{}");
    assert_true(has_header(&answer, "Allow: GET, HEAD, POST"));
    free_answer(&answer);
    answer = call("POST", "/v1/forwards/web", "", "{}");
    assert_true(has_header(&answer, "Allow: GET, HEAD, PUT, PATCH, DELETE"));
    free_answer(&answer);
}

static void test_instance_is_plain_text_only(void **state)
{
    (void)state;
    struct answer answer = call("GET", "/v1/forwards/none", "", "");
    assert_string_equal(text_of(answer.json, "instance"), "/v1/forwards/none");
    free_answer(&answer);
    answer = call("GET", "/v1/forwards/\xff", "", "");
    assert_null(json_member(answer.json, "instance"));
    free_answer(&answer);
}

/* Whatever the library itself makes of these, they do not reach a handler. */
static void test_malformed_http(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        size_t len;
    } rows[] = {
#define ROW(text) {text, sizeof(text) - 1}
        ROW("GET /v1/forwards HTTP/1.1\r\n\r\n"),
        ROW("GET /v1/forwards HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: abc\r\n\r\n"),
        ROW("GET /v1/forwards HTTP/2.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"),
        ROW("GET /v1/forwards\r\n\r\n"),
        ROW("GET\r\n\r\n"),
        ROW("DELETE /v1/forwards/web\0x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        ROW("\0\0\0\0\r\n\r\n"),
        ROW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
#undef ROW
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = connect_unix();
        assert_int_equal(send(fd, rows[i].request, rows[i].len, MSG_NOSIGNAL),
                         (ssize_t)rows[i].len);
        shutdown(fd, SHUT_WR);
        struct answer answer = exchange(fd, "", 0);
        if (answer.status >= 200 && answer.status < 300)
            fail_msg("row %zu: %s", i, answer.text);
        free_answer(&answer);
    }
}

static void test_long_request_line(void **state)
{
    (void)state;
    char *path = malloc(40001);
    assert_non_null(path);
    memset(path, 'a', 40000);
    path[0] = '/';
    path[40000] = '\0';
    int fd = connect_tcp();
    size_t size = 41000;
    char *request = malloc(size);
    assert_non_null(request);
    int len = snprintf(request, size, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
    struct answer answer = exchange(fd, request, (size_t)len);
    assert_true(answer.status == 0 || answer.status == 414 || answer.status == 413 ||
                answer.status == 431);
    free_answer(&answer);
    free(request);
    free(path);
}

/* --- Bodies ----------------------------------------------------------------------------------- */

static char *make_body(size_t len)
{
    char *body = malloc(len + 1);
    assert_non_null(body);
    memset(body, ' ', len);
    body[0] = '{';
    body[1] = '}';
    body[len] = '\0';
    return body;
}

static void test_largest_body(void **state)
{
    (void)state;
    char *body = make_body(1 << 20);
    struct answer answer = call("POST", "/v1/forwards", "", body);
    check_problem(&answer, 422, "validation");
    assert_string_equal(text_of(answer.json, "instance"), "/v1/forwards");
    free_answer(&answer);
    free(body);
}

static void test_too_large_body(void **state)
{
    (void)state;
    char *body = make_body((1 << 20) + 1);
    struct answer answer = call("POST", "/v1/forwards", "", body);
    check_problem(&answer, 413, "too_large");
    assert_string_equal(text_of(answer.json, "instance"), "/v1/forwards");
    free_answer(&answer);
    free(body);
}

static struct answer send_chunked(size_t total)
{
    size_t size = total + total / 1000 * 16 + 1024;
    char *request = malloc(size);
    assert_non_null(request);
    size_t len = (size_t)sprintf(request,
                                 "POST /v1/forwards HTTP/1.1\r\nHost: localhost\r\n"
                                 "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                                 "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
                                 fx.token);
    for (size_t sent = 0; sent < total; sent += 1000) {
        len += (size_t)sprintf(request + len, "3e8\r\n");
        memset(request + len, ' ', 1000);
        len += 1000;
        len += (size_t)sprintf(request + len, "\r\n");
    }
    len += (size_t)sprintf(request + len, "0\r\n\r\n");
    struct answer answer = exchange(connect_tcp(), request, len);
    free(request);
    return answer;
}

static void test_chunked_bodies(void **state)
{
    (void)state;
    struct answer answer = send_chunked(2000);
    check_problem(&answer, 400, "invalid_json");
    free_answer(&answer);
    answer = send_chunked(2000000);
    check_problem(&answer, 413, "too_large");
    free_answer(&answer);
    /* Who does not stop is cut off. */
    answer = send_chunked(8000000);
    assert_int_equal(answer.status, 0);
    free_answer(&answer);
}

static void test_expect_continue_is_refused_before_the_body(void **state)
{
    (void)state;
    char request[512];
    int len = snprintf(request, sizeof(request),
                       "POST /v1/forwards HTTP/1.1\r\nHost: localhost\r\n"
                       "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                       "Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n",
                       fx.token);
    struct answer answer = exchange(connect_tcp(), request, (size_t)len);
    check_problem(&answer, 413, "too_large");
    free_answer(&answer);
}

static void test_hopeless_length_is_refused_at_once(void **state)
{
    (void)state;
    char request[512];
    int len = snprintf(request, sizeof(request),
                       "POST /v1/forwards HTTP/1.1\r\nHost: localhost\r\n"
                       "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                       "Content-Length: 99999999999\r\n\r\n",
                       fx.token);
    struct answer answer = exchange(connect_tcp(), request, (size_t)len);
    check_problem(&answer, 413, "too_large");
    free_answer(&answer);
}

static void test_media_types(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        int status;
    } rows[] = {
        {"application/json", 422},    {"application/json; charset=utf-8", 422},
        {"Application/JSON", 422},    {"text/plain", 415},
        {"application/jsonx", 415},   {"application/x-www-form-urlencoded", 415},
        {"multipart/form-data", 415},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char request[512];
        int len = snprintf(request, sizeof(request),
                           "POST /v1/forwards HTTP/1.1\r\nHost: localhost\r\n"
                           "Authorization: Bearer %s\r\nContent-Type: %s\r\n"
                           "Connection: close\r\nContent-Length: 2\r\n\r\n{}",
                           fx.token, rows[i].type);
        struct answer answer = exchange(connect_tcp(), request, (size_t)len);
        assert_int_equal(answer.status, rows[i].status);
        free_answer(&answer);
    }
}

/* --- Who may call ----------------------------------------------------------------------------- */

static struct answer call_as(int fd, const char *host, const char *authorization, const char *path)
{
    char request[512];
    int len = snprintf(request, sizeof(request),
                       "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s%s%s\r\n", path, host,
                       authorization[0] ? "Authorization: " : "", authorization,
                       authorization[0] ? "\r\n" : "");
    return exchange(fd, request, (size_t)len);
}

static void test_tokens(void **state)
{
    (void)state;
    char right[128];
    char cut[128];
    snprintf(right, sizeof(right), "Bearer %s", fx.token);
    snprintf(cut, sizeof(cut), "Bearer %.42s", fx.token);
    const struct {
        const char *authorization;
        const char *path;
        int status;
    } rows[] = {
        {right, "/v1/forwards", 200},        {right, "/livez", 200},
        {"", "/v1/forwards", 401},           {"", "/v1/forwards/none", 401},
        {"", "/nothing/here", 401},          {"", "/livez", 401},
        {"", "/openapi.yaml", 401},          {cut, "/v1/forwards", 401},
        {"Bearer", "/v1/forwards", 401},     {"Bearer ", "/v1/forwards", 401},
        {"Basic YTpi", "/v1/forwards", 401}, {"Bearer x y", "/v1/forwards", 401},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct answer answer =
            call_as(connect_tcp(), "localhost", rows[i].authorization, rows[i].path);
        if (answer.status != rows[i].status)
            fail_msg("row %zu: %s", i, answer.text);
        if (answer.status == 401)
            assert_true(has_header(&answer, "WWW-Authenticate: Bearer realm=\"manytun\""));
        free_answer(&answer);
    }
}

static void test_read_role_cannot_write(void **state)
{
    (void)state;
    struct store_token reader = {.name = "reader", .role = STORE_ROLE_READ};
    token_hash("reader", reader.hash);
    assert_int_equal(store_insert_token(fx.store, &reader), 0);
    stop();
    start(false);
    strcpy(fx.token, "reader");
    expect_status("GET", "/v1/tunnels", "", 200);
    struct answer answer = call("POST", "/v1/tunnels", "", TUNNEL("home"));
    check_problem(&answer, 403, "forbidden");
    assert_non_null(strstr(text_of(answer.json, "detail"), "\"admin\""));
    free_answer(&answer);
}

static void test_hosts(void **state)
{
    (void)state;
    char right[128];
    snprintf(right, sizeof(right), "Bearer %s", fx.token);
    static const struct {
        const char *host;
        int status;
    } rows[] = {
        {"127.0.0.1:8585", 200},
        {"localhost", 200},
        {"LOCALHOST:1", 200},
        {"[::1]:8585", 200},
        {"192.0.2.7", 200},
        {"manytun.example.org:8585", 200},
        {"evil.example", 403},
        {"localhost.evil.example", 403},
        {"127.0.0.1.evil.example", 403},
        {"manytun.example.org.evil.example", 403},
        {"localhost:x", 403},
        {"[::1", 403},
        {"[localhost]", 403},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct answer answer = call_as(connect_tcp(), rows[i].host, right, "/v1/forwards");
        if (answer.status != rows[i].status)
            fail_msg("%s: %s", rows[i].host, answer.text);
        free_answer(&answer);
    }
}

static void test_unix_socket_needs_no_token(void **state)
{
    (void)state;
    struct answer answer = call_as(connect_unix(), "anything", "", "/v1/forwards");
    assert_int_equal(answer.status, 200);
    free_answer(&answer);
    char path[128];
    snprintf(path, sizeof(path), "%s/api.sock", fx.directory);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_auth_none(void **state)
{
    (void)state;
    stop();
    start(true);
    struct answer answer = call_as(connect_tcp(), "localhost", "", "/v1/forwards");
    assert_int_equal(answer.status, 200);
    free_answer(&answer);
    answer = call_as(connect_tcp(), "evil.example", "", "/v1/forwards");
    assert_int_equal(answer.status, 403);
    free_answer(&answer);
}

static void test_auth_none_is_for_loopback(void **state)
{
    (void)state;
    struct api_config config = {.data_directory = fx.directory,
                                .listen_count = 1,
                                .auth_none = true};
    const struct inet_addr any = {.family = AF_INET};
    inet_sockaddr_make(&config.listen[0], &any, 0);
    struct api *api;
    char error[256];
    assert_true(api_new(fx.base, fx.service, fx.store, &config, &api, error) < 0);
    assert_non_null(strstr(error, "loopback"));
}

/* --- Health and the rest ---------------------------------------------------------------------- */

static void test_health(void **state)
{
    (void)state;
    expect_status("GET", "/livez", "", 200);
    struct answer answer = call("GET", "/readyz?verbose", "", "");
    assert_int_equal(answer.status, 200);
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "checks")), 3);
    free_answer(&answer);
    fake.alive = 0;
    answer = call("GET", "/readyz", "", "");
    fake.alive = 1;
    assert_int_equal(answer.status, 503);
    assert_string_equal(text_of(answer.json, "status"), "not_ready");
    assert_true(has_header(&answer, "Retry-After: 1"));
    free_answer(&answer);
}

static void test_worker_down_is_told(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    fake.alive = 0;
    struct answer answer = call("GET", "/v1/tunnels/home", "", "");
    fake.alive = 1;
    const cJSON *ready = json_member(json_member(answer.json, "status"), "conditions")->child;
    assert_string_equal(text_of(ready, "status"), "False");
    assert_string_equal(text_of(ready, "reason"), "WorkerDown");
    free_answer(&answer);
}

static void test_head(void **state)
{
    (void)state;
    struct answer answer = call("HEAD", "/v1/forwards", "", "");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "");
    assert_non_null(strstr(answer.text, "\r\nContent-Length: "));
    free_answer(&answer);
    answer = call("HEAD", "/v1/forwards/none", "", "");
    assert_int_equal(answer.status, 404);
    free_answer(&answer);
}

static void test_openapi(void **state)
{
    (void)state;
    struct answer answer = call("GET", "/openapi.yaml", "", "");
    assert_int_equal(answer.status, 200);
    assert_true(has_header(&answer, "Content-Type: application/yaml"));
    assert_int_equal(strncmp(answer.body, "openapi: 3.0.3\n", 15), 0);
    free_answer(&answer);
}

static void test_keep_alive_and_pipelining(void **state)
{
    (void)state;
    static const char requests[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
                                   "GET /v1/forwards/none HTTP/1.1\r\nHost: x\r\n\r\n"
                                   "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    struct answer answer = exchange(connect_unix(), requests, sizeof(requests) - 1);
    int answers = 0;
    for (const char *at = answer.text; (at = strstr(at, "HTTP/1.1 ")) != NULL; at++)
        answers++;
    assert_int_equal(answers, 3);
    free_answer(&answer);
}

static void test_clients_that_leave(void **state)
{
    (void)state;
    static const char half[] = "POST /v1/forwards HTTP/1.1\r\nHost: x\r\n"
                               "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"na";
    for (size_t len = 1; len < sizeof(half); len += 7) {
        int fd = connect_unix();
        assert_int_equal(send(fd, half, len, MSG_NOSIGNAL), (ssize_t)len);
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
        close(fd);
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
    }
    expect_status("GET", "/livez", "", 200);
}

/* A successor has read everything when the body comes: what it would change is lost. */
static void test_a_body_that_comes_too_late(void **state)
{
    (void)state;
    static const char body[] = "{\"name\":\"ci\",\"role\":\"read\"}";
    char head[512];
    int len = snprintf(head, sizeof(head),
                       "POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                       "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n\r\n{",
                       fx.token, sizeof(body) - 1);
    int fd = connect_tcp();
    assert_int_equal(send(fd, head, (size_t)len, MSG_NOSIGNAL), len);
    /* The daemon has read the one when it answers the other. */
    expect_status("GET", "/v1/info", "", 200);
    service_freeze(fx.service);
    struct answer answer = exchange(fd, body + 1, sizeof(body) - 2);
    check_problem(&answer, 503, "draining");
    free_answer(&answer);
    service_thaw(fx.service);
    expect_problem("GET", "/v1/tokens/ci", "", "", 404, "not_found");
}

static void test_stale_socket_is_replaced(void **state)
{
    (void)state;
    stop();
    /* What a killed process leaves behind. */
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/api.sock", fx.directory);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    start(false);
    struct answer answer = call_as(connect_unix(), "x", "", "/livez");
    assert_int_equal(answer.status, 200);
    free_answer(&answer);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_tunnel_life),
        TEST(test_forward_life),
        TEST(test_generated_name),
        TEST(test_validation_lists_everything),
        TEST(test_pages),
        TEST(test_heavy_pages),
        TEST(test_restart_keeps_everything),
        TEST(test_traps),
        TEST(test_allow_header),
        TEST(test_instance_is_plain_text_only),
        TEST(test_malformed_http),
        TEST(test_long_request_line),
        TEST(test_largest_body),
        TEST(test_too_large_body),
        TEST(test_chunked_bodies),
        TEST(test_expect_continue_is_refused_before_the_body),
        TEST(test_hopeless_length_is_refused_at_once),
        TEST(test_media_types),
        TEST(test_tokens),
        TEST(test_read_role_cannot_write),
        TEST(test_hosts),
        TEST(test_unix_socket_needs_no_token),
        TEST(test_auth_none),
        TEST(test_auth_none_is_for_loopback),
        TEST(test_health),
        TEST(test_worker_down_is_told),
        TEST(test_head),
        TEST(test_openapi),
        TEST(test_keep_alive_and_pipelining),
        TEST(test_clients_that_leave),
        TEST(test_a_body_that_comes_too_late),
        TEST(test_stale_socket_is_replaced),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
