/*
 * Who may call, over HTTP: the health listener, tokens, and how often one may guess.
 */
#include "api/guess_limit.h"
#include "server/events.h"
#include "tests/unit/api/http_world.h"

/* A request to any listener; each line of the head with its CRLF. */
static struct answer send_to(uint16_t port, const char *line, const char *head)
{
    char request[512];
    int len = snprintf(request, sizeof(request), "%s\r\n%sConnection: close\r\n\r\n", line, head);
    uint16_t kept = fx.port;
    fx.port = port;
    int fd = connect_tcp();
    fx.port = kept;
    return exchange(fd, request, (size_t)len);
}

static void test_health_listener(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *head;
        int status;
    } rows[] = {
        {"GET /livez HTTP/1.1", "Host: 10.0.0.7:8686\r\n", 200},
        {"GET /readyz?verbose HTTP/1.1", "Host: 10.0.0.7:8686\r\n", 200},
        {"HEAD /readyz HTTP/1.1", "Host: [fd00::7]:8686\r\n", 200},
        {"GET /metrics HTTP/1.1", "Host: manytun.example.org\r\n", 200},
        {"GET /livez HTTP/1.0", "", 200},
        {"GET /livez HTTP/1.1", "Host: evil.example\r\n", 403},
        {"GET /v1/status HTTP/1.1", "Host: 10.0.0.7\r\n", 404},
        {"GET /v1/tunnels HTTP/1.1", "Host: 10.0.0.7\r\n", 404},
        {"GET /openapi.yaml HTTP/1.1", "Host: 10.0.0.7\r\n", 404},
        {"POST /metrics HTTP/1.1", "Host: 10.0.0.7\r\n", 405},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct answer answer = send_to(fx.health_port, rows[i].line, rows[i].head);
        if (answer.status != rows[i].status)
            fail_msg("%s: %s", rows[i].line, answer.text);
        free_answer(&answer);
        /* The API's own listener wants a token for all of it. */
        answer = send_to(fx.port, rows[i].line, "Host: 127.0.0.1\r\n");
        assert_int_equal(answer.status, 401);
        free_answer(&answer);
    }
}

/* What is to be done is another thing without a token than with one that opens nothing. */
static void test_what_a_caller_without_access_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        const char *detail; /* begins so */
    } rows[] = {
        {"", "send the header \"Authorization: Bearer <token>\"; the first token is in"},
        {"Authorization: Bearer mistyped\r\n", "what the header Authorization holds is not"},
        {"Authorization: Basic YTpi\r\n", "what the header Authorization holds is not"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char head[128];
        snprintf(head, sizeof(head), "Host: 127.0.0.1\r\n%s", rows[i].head);
        struct answer answer = send_to(fx.port, "GET /v1/forwards HTTP/1.1", head);
        assert_int_equal(answer.status, 401);
        if (strncmp(text_of(answer.json, "detail"), rows[i].detail, strlen(rows[i].detail)) != 0)
            fail_msg("%s", answer.text);
        free_answer(&answer);
    }
}

/* --- Tokens ----------------------------------------------------------------------------------- */

/* Makes a token; its text. */
static const char *create_token(const char *body)
{
    static char text[TOKEN_TEXT];
    struct answer answer = call("POST", "/v1/tokens", "", body);
    if (answer.status != 201)
        fail_msg("%s", answer.text);
    assert_int_equal(strlen(text_of(answer.json, "token")), TOKEN_TEXT - 1);
    snprintf(text, sizeof(text), "%s", text_of(answer.json, "token"));
    free_answer(&answer);
    return text;
}

static void use_token(const char *text)
{
    snprintf(fx.token, sizeof(fx.token), "%s", text);
}

static struct answer call_unix(const char *method, const char *path)
{
    char request[256];
    int len =
        snprintf(request, sizeof(request),
                 "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", method, path);
    return exchange(connect_unix(), request, (size_t)len);
}

static void test_token_life(void **state)
{
    (void)state;
    struct answer answer = call("POST", "/v1/tokens", "",
                                "{\"name\":\"ci\",\"role\":\"read\","
                                "\"expires_at\":\"2100-01-01T00:00:00+01:00\"}");
    assert_int_equal(answer.status, 201);
    assert_true(has_header(&answer, "Location: /v1/tokens/ci"));
    assert_true(has_header(&answer, "Cache-Control: no-store"));
    assert_string_equal(text_of(answer.json, "expires_at"), "2099-12-31T23:00:00.000Z");
    assert_string_equal(text_of(answer.json, "last_used_at"), "");
    char text[TOKEN_TEXT];
    snprintf(text, sizeof(text), "%s", text_of(answer.json, "token"));
    free_answer(&answer);

    /* It is never told again. */
    char admin[sizeof(fx.token)];
    memcpy(admin, fx.token, sizeof(admin));
    use_token(text);
    expect_status("GET", "/v1/forwards", "", 200);
    expect_problem("GET", "/v1/tokens", "", "", 403, "forbidden");
    answer = call("GET", "/v1/info", "", "");
    assert_string_equal(text_of(answer.json, "role"), "read");
    free_answer(&answer);
    use_token(admin);
    answer = call("GET", "/v1/tokens/ci", "", "");
    assert_int_equal(answer.status, 200);
    assert_null(strstr(answer.text, text));
    assert_null(json_member(answer.json, "token"));
    assert_null(json_member(answer.json, "hash"));
    assert_true(strlen(text_of(answer.json, "last_used_at")) > 0);
    free_answer(&answer);
    answer = call("GET", "/v1/tokens?limit=1", "", "");
    assert_string_equal(text_of(answer.json, "next_cursor"), "admin");
    free_answer(&answer);
    answer = call("GET", "/v1/tokens?cursor=admin", "", "");
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "items")), 1);
    assert_null(json_member(answer.json, "next_cursor"));
    free_answer(&answer);

    /* It outlives a restart, and ends at once. */
    stop();
    start(false);
    use_token(text);
    expect_status("GET", "/v1/forwards", "", 200);
    use_token(admin);
    expect_status("DELETE", "/v1/tokens/ci", "", 204);
    expect_problem("DELETE", "/v1/tokens/ci", "", "", 404, "not_found");
    expect_problem("GET", "/v1/tokens/ci", "", "", 404, "not_found");
    use_token(text);
    expect_problem("GET", "/v1/forwards", "", "", 401, "unauthorized");
}

/* A request whose head came with a token that is deleted, or deleted and made anew, since. */
static void late_body(bool replaced)
{
    static const char body[] = "{\"name\":\"home\",\"addresses\":[\"10.9.0.2/32\"]}";
    char head[512];
    struct answer answer = call("POST", "/v1/tokens", "", "{\"name\":\"ci\",\"role\":\"admin\"}");
    assert_int_equal(answer.status, 201);
    int len = snprintf(head, sizeof(head),
                       "PUT /v1/tunnels/home HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                       "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n\r\n{",
                       text_of(answer.json, "token"), sizeof(body) - 1);
    free_answer(&answer);
    int fd = connect_tcp();
    assert_int_equal(send(fd, head, (size_t)len, MSG_NOSIGNAL), len);
    /* The daemon has read the one when it answers the other. */
    expect_status("DELETE", "/v1/tokens/ci", "", 204);
    if (replaced)
        expect_status("POST", "/v1/tokens", "{\"name\":\"ci\",\"role\":\"admin\"}", 201);
    answer = exchange(fd, body + 1, sizeof(body) - 2);
    check_problem(&answer, 401, "unauthorized");
    assert_true(has_header(&answer, "WWW-Authenticate: Bearer realm=\"manytun\""));
    free_answer(&answer);
    expect_problem("GET", "/v1/tunnels/home", "", "", 404, "not_found");
    if (replaced)
        expect_status("DELETE", "/v1/tokens/ci", "", 204);
}

static void test_token_that_ends_before_the_body(void **state)
{
    (void)state;
    late_body(false);
    late_body(true);
}

static void test_token_rotation(void **state)
{
    (void)state;
    use_token(create_token("{\"name\":\"admin-2\",\"role\":\"admin\"}"));
    expect_status("DELETE", "/v1/tokens/admin", "", 204);
    expect_status("GET", "/v1/tokens", "", 200);
}

static int see_event(void *ctx, const struct store_event *event)
{
    char *text = ctx;
    if (strcmp(event->kind, "token") == 0)
        sprintf(text + strlen(text), "%s %s ", event->type, event->name);
    return 0;
}

static void test_token_changes_are_audited(void **state)
{
    (void)state;
    create_token("{\"name\":\"ci\",\"role\":\"read\"}");
    expect_problem("POST", "/v1/tokens", "", "{\"name\":\"ci\",\"role\":\"read\"}", 409,
                   "name_taken");
    expect_status("DELETE", "/v1/tokens/ci", "", 204);
    char text[256] = "";
    assert_int_equal(events_read(service_events(fx.service), 0, see_event, text), 0);
    assert_string_equal(text, "token.created ci token.deleted ci ");
}

static void test_last_admin_token_stays(void **state)
{
    (void)state;
    expect_problem("DELETE", "/v1/tokens/admin", "", "", 409, "last_admin_token");
    create_token("{\"name\":\"a\",\"role\":\"read\"}");
    create_token("{\"name\":\"b\",\"role\":\"admin\",\"expires_at\":\"2100-01-01T00:00:00Z\"}");
    expect_problem("DELETE", "/v1/tokens/admin", "", "", 409, "last_admin_token");
    expect_status("DELETE", "/v1/tokens/b", "", 204);
    expect_status("GET", "/v1/tokens", "", 200);
    /* The owner of the Unix socket does not need one. */
    struct answer answer = call_unix("DELETE", "/v1/tokens/admin");
    assert_int_equal(answer.status, 204);
    free_answer(&answer);
    expect_problem("GET", "/v1/tokens", "", "", 401, "unauthorized");
    answer = call_unix("GET", "/v1/tokens");
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "items")), 1);
    free_answer(&answer);
}

/* The last moment that the database can tell is the same after a restart. */
static void test_the_latest_expiry(void **state)
{
    (void)state;
    struct answer answer = call("POST", "/v1/tokens", "",
                                "{\"name\":\"ci\",\"role\":\"read\","
                                "\"expires_at\":\"2262-04-11T23:47:15.999Z\"}");
    assert_int_equal(answer.status, 201);
    free_answer(&answer);
    stop();
    start(false);
    answer = call("GET", "/v1/tokens/ci", "", "");
    assert_string_equal(text_of(answer.json, "expires_at"), "2262-04-11T23:47:15.999Z");
    free_answer(&answer);
}

static void test_what_is_no_token(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *pointer;
        const char *code;
    } rows[] = {
        {"{}", "/name", "required"},
        {"[]", "", "invalid_type"},
        {"{\"name\":\"a\"}", "/role", "required"},
        {"{\"name\":7,\"role\":\"read\"}", "/name", "invalid_type"},
        {"{\"name\":\"A\",\"role\":\"read\"}", "/name", "invalid_name"},
        {"{\"name\":\"a\",\"role\":\"nobody\"}", "/role", "invalid_value"},
        {"{\"name\":\"a\",\"role\":\"Admin\"}", "/role", "invalid_value"},
        {"{\"name\":\"a\",\"role\":\"read\",\"expires_at\":1}", "/expires_at", "invalid_type"},
        {"{\"name\":\"a\",\"role\":\"read\",\"expires_at\":\"soon\"}", "/expires_at",
         "invalid_time"},
        {"{\"name\":\"a\",\"role\":\"read\",\"expires_at\":\"2001-01-01T00:00:00Z\"}",
         "/expires_at", "invalid_time"},
        {"{\"name\":\"a\",\"role\":\"read\",\"expires_at\":\"2262-04-11T23:47:16Z\"}",
         "/expires_at", "invalid_time"},
        {"{\"name\":\"a\",\"role\":\"read\",\"expires_at\":\"9999-12-31T23:59:59Z\"}",
         "/expires_at", "invalid_time"},
        {"{\"name\":\"a\",\"role\":\"read\",\"token\":\"x\"}", "/token", "unknown_field"},
        {"{\"name\":\"admin\",\"role\":\"read\"}", "/name", "name_taken"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool taken = strcmp(rows[i].code, "name_taken") == 0;
        struct answer answer = call("POST", "/v1/tokens", "", rows[i].body);
        check_problem(&answer, taken ? 409 : 422, taken ? "name_taken" : "validation");
        const cJSON *error = cJSON_GetArrayItem(json_member(answer.json, "errors"), 0);
        assert_string_equal(text_of(error, "pointer"), rows[i].pointer);
        assert_string_equal(text_of(error, "code"), rows[i].code);
        free_answer(&answer);
    }
    struct answer answer = call("GET", "/v1/tokens", "", "");
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "items")), 1);
    free_answer(&answer);
}

static void test_as_many_tokens_as_there_may_be(void **state)
{
    (void)state;
    stop();
    char error[256];
    assert_int_equal(store_open(fx.directory, &fx.store, error), 0);
    assert_int_equal(store_begin(fx.store), 0);
    for (int i = 1; i < TOKENS_MAX; i++) {
        struct store_token token = {.role = STORE_ROLE_READ};
        snprintf(token.name, sizeof(token.name), "t%d", i);
        assert_int_equal(store_insert_token(fx.store, &token), 0);
    }
    assert_int_equal(store_end(fx.store, 0), 0);
    store_close(fx.store);
    start(false);
    expect_problem("POST", "/v1/tokens", "", "{\"name\":\"more\",\"role\":\"read\"}", 409,
                   "limit_reached");
    expect_status("DELETE", "/v1/tokens/t1", "", 204);
    expect_status("POST", "/v1/tokens", "{\"name\":\"more\",\"role\":\"read\"}", 201);
}

/* --- Guessing --------------------------------------------------------------------------------- */

static struct answer ask_from(const char *address, const char *token)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(fx.port)};
    assert_int_equal(inet_pton(AF_INET, address, &from.sin_addr), 1);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    char request[512];
    int len = snprintf(request, sizeof(request),
                       "GET /v1/info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                       "%s%s%s\r\n",
                       token[0] != '\0' ? "Authorization: Bearer " : "", token,
                       token[0] != '\0' ? "\r\n" : "");
    return exchange(fd, request, (size_t)len);
}

static void expect_from(const char *address, const char *token, int status)
{
    struct answer answer = ask_from(address, token);
    if (answer.status != status)
        fail_msg("%s %s: expected %d: %s", address, token, status, answer.text);
    free_answer(&answer);
}

static void test_guessing_is_limited(void **state)
{
    (void)state;
    for (int i = 0; i < GUESS_LIMIT_BURST; i++)
        expect_from("127.0.0.9", "wrong", 401);
    struct answer answer = ask_from("127.0.0.9", "wrong");
    check_problem(&answer, 429, "too_many_attempts");
    const char *wait = strstr(answer.text, "\r\nRetry-After: ");
    assert_non_null(wait);
    int seconds = atoi(wait + strlen("\r\nRetry-After: "));
    assert_true(seconds >= 1 && seconds <= GUESS_LIMIT_SECONDS);
    free_answer(&answer);
    /* From there no token is looked at; elsewhere all is as before, and without one it is no guess.
     */
    expect_from("127.0.0.9", fx.token, 429);
    expect_from("127.0.0.9", "", 401);
    expect_from("127.0.0.10", fx.token, 200);
    expect_from("127.0.0.10", "wrong", 401);
    answer = call_unix("GET", "/metrics");
    assert_int_equal(answer.status, 200);
    assert_non_null(
        strstr(answer.text, "manytun_auth_failures_total{reason=\"wrong_token\"} 21\n"));
    assert_non_null(strstr(answer.text, "manytun_auth_failures_total{reason=\"limited\"} 2\n"));
    free_answer(&answer);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_health_listener),
        TEST(test_what_a_caller_without_access_is_told),
        TEST(test_token_life),
        TEST(test_token_that_ends_before_the_body),
        TEST(test_token_rotation),
        TEST(test_token_changes_are_audited),
        TEST(test_last_admin_token_stays),
        TEST(test_the_latest_expiry),
        TEST(test_what_is_no_token),
        TEST(test_as_many_tokens_as_there_may_be),
        TEST(test_guessing_is_limited),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
