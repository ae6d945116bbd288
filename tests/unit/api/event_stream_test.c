/*
 * /v1/events as a stream: what its clients are told, and what they cannot do to the server.
 */
#include "tests/unit/api/stream_world.h"

#include "api/listener.h"
#include "server/events.h"

static void await_end(struct stream *stream)
{
    while (!stream->closed)
        stream_turn(stream);
}

static struct stream request_stream(const char *query, const char *headers)
{
    char target[64];
    snprintf(target, sizeof(target), "/v1/events%s", query);
    return stream_request(target, headers);
}

static struct stream open_stream(const char *query, const char *headers)
{
    struct stream stream = request_stream(query, headers);
    stream_await(&stream, "event: snapshot\n");
    assert_int_equal(strncmp(stream.text, "HTTP/1.1 200 ", 13), 0);
    assert_non_null(strstr(stream.text, "\r\nContent-Type: text/event-stream\r\n"));
    return stream;
}

/* Whether another client is served now. */
static bool is_served(void)
{
    struct stream stream = request_stream("", "");
    stream_await(&stream, "\r\n\r\n");
    bool served = strncmp(stream.text, "HTTP/1.1 200 ", 13) == 0;
    if (!served) {
        assert_int_equal(strncmp(stream.text, "HTTP/1.1 503 ", 13), 0);
        assert_non_null(strstr(stream.text, "\r\nRetry-After: "));
        stream_await(&stream, "/problems/exhausted");
    }
    stream_close(&stream);
    return served;
}

static void emit(const char *name)
{
    events_emit(service_events(fx.service),
                &(struct event_fact){.type = EVENT_TUNNEL_CONDITION, .name = name});
}

static void flush(void)
{
    assert_int_equal(events_flush(service_events(fx.service)), 0);
}

static int set_up_flushed(void **state)
{
    int rc = set_up(state);
    flush();
    return rc;
}

static struct api_limits limits;

static int set_up_limited(void **state)
{
    limits = api_limits_default;
    limits.events = (struct event_streams_limits){.streams = 2, .heartbeat_seconds = 1};
    fx.limits = &limits;
    return set_up_flushed(state);
}

static int tear_down_limited(void **state)
{
    fx.limits = NULL;
    return tear_down(state);
}

/* --- What it tells ---------------------------------------------------------------------------- */

static void test_changes_come_as_they_happen(void **state)
{
    (void)state;
    struct stream stream = open_stream("", "");
    stream_await(&stream, "\nid: 1\ndata: {\"last_event_id\":1}\n\n");
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    stream_await(&stream, "\nid: 2\ndata: {\"id\":2,\"time\":\"");
    stream_await(&stream, "\"type\":\"tunnel.created\",\"kind\":\"tunnel\",\"name\":\"home\","
                          "\"actor\":\"token:admin\",\"generation\":");
    expect_status("DELETE", "/v1/tunnels/home", "", 204);
    stream_await(&stream, "\nid: 3\ndata: {\"id\":3,");
    stream_await(&stream, "\"type\":\"tunnel.deleted\"");
    emit("later");
    stream_await(&stream, "\"name\":\"later\"");
    assert_null(strstr(stream.text, "event: gap"));
    stream_close(&stream);
}

/* A client that wants anything, and one that takes both. */
static void test_a_stream_is_the_default(void **state)
{
    (void)state;
    struct stream stream = open_stream("", "Accept: */*\r\n");
    stream_close(&stream);
    stream = open_stream("", "Accept: text/event-stream, application/json\r\n");
    stream_close(&stream);
    stream = open_stream("", "Accept: text/event-stream\r\nAccept: application/json\r\n");
    stream_close(&stream);
    expect_problem("GET", "/v1/events?limit=5", "", "", 400, "invalid_parameter");
    expect_problem("GET", "/v1/events", "Last-Event-ID: x\r\n", "", 400, "invalid_parameter");
}

static void test_head_is_short(void **state)
{
    (void)state;
    struct answer answer = call("HEAD", "/v1/events", "", "");
    assert_int_equal(answer.status, 200);
    assert_true(has_header(&answer, "Content-Type: text/event-stream"));
    free_answer(&answer);
}

static void test_it_goes_on_after_a_restart(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201); /* 2 */
    expect_status("POST", "/v1/forwards", FORWARD("web"), 201);
    stop();
    start(false);
    flush();
    struct stream stream = open_stream("?since=1", "Last-Event-ID: 2\r\n");
    stream_await(&stream, "\nid: 2\ndata: {\"last_event_id\":");
    stream_await(&stream, "\nid: 3\ndata: {\"id\":3,");
    stream_await(&stream, "\"type\":\"forward.created\"");
    stream_await(&stream, "\"type\":\"service.started\"");
    assert_null(strstr(stream.text, "\"type\":\"tunnel.created\""));
    assert_null(strstr(stream.text, "event: gap"));
    stream_close(&stream);

    stream = open_stream("?since=1", "");
    stream_await(&stream, "\"type\":\"tunnel.created\"");
    stream_close(&stream);
}

static void test_what_is_not_kept_is_a_gap(void **state)
{
    (void)state;
    for (int i = 0; i < EVENTS_KEPT + 9; i++)
        emit("a");
    flush();
    struct stream stream = open_stream("", "Last-Event-ID: 4\r\n");
    stream_await(&stream, "event: gap\nid: 10\ndata: {\"from\":5,\"to\":10}\n\nid: 11\n");
    stream_await(&stream, "\nid: 10010\n");
    stream_close(&stream);

    stream = open_stream("", "Last-Event-ID: 999999\r\n"); /* of another database */
    stream_await(&stream, "event: gap\nid: 10010\ndata: {\"from\":1,\"to\":10010}\n\n");
    stream_close(&stream);
}

static void test_only_what_is_wanted(void **state)
{
    (void)state;
    struct stream stream = open_stream("?kind=forward&name=web", "");
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("other"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("web"), 201);
    stream_await(&stream, "\"name\":\"web\"");
    assert_null(strstr(stream.text, "\"name\":\"home\""));
    assert_null(strstr(stream.text, "\"name\":\"other\""));
    assert_null(strstr(stream.text, "event: gap"));
    stream_close(&stream);
}

/* --- What it bounds --------------------------------------------------------------------------- */

static void test_heartbeat(void **state)
{
    (void)state;
    limits.request_seconds = 2;
    struct stream stream = open_stream("?kind=forward", "");
    const char *rest = stream_await(&stream, ": heartbeat\nid: 1\n\n");
    assert_null(strstr(rest, "heartbeat"));
    emit("unwanted");
    stream_await(&stream, ": heartbeat\nid: 2\n\n");
    /* It outlives the deadline that every other request has. */
    for (int i = 0; i < 3; i++) {
        char *text = strstr(stream.text, "heartbeat");
        while (text != NULL) {
            *text = '-';
            text = strstr(stream.text, "heartbeat");
        }
        stream_await(&stream, "heartbeat");
    }
    stream_close(&stream);
}

static void test_streams_are_few_and_free_when_clients_leave(void **state)
{
    (void)state;
    limits.events.heartbeat_seconds = 3600; /* nothing is written: only the socket tells */
    stop();
    start(false);
    struct stream one = open_stream("", "");
    struct stream two = open_stream("", "");
    assert_false(is_served());
    struct answer metrics = call("GET", "/metrics", "", "");
    assert_non_null(strstr(metrics.text, "\nmanytun_event_subscribers 2\n"));
    assert_non_null(strstr(metrics.text, "\nmanytun_events_lost_total 0\n"));
    free_answer(&metrics);
    expect_status("GET", "/v1/info", "", 200);
    stream_close(&one);
    while (!is_served())
        ;
    struct linger reset = {.l_onoff = 1};
    setsockopt(two.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    struct stream three = open_stream("", "");
    assert_false(is_served());
    stream_close(&two);
    while (!is_served())
        ;
    stream_close(&three);
}

/* A request that was sent behind the stream's hides nothing. */
static void test_a_client_that_leaves_more_behind(void **state)
{
    (void)state;
    limits.events = (struct event_streams_limits){.streams = 1, .heartbeat_seconds = 3600};
    stop();
    start(false);
    struct stream stream = open_stream("", "");
    static const char more[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_int_equal(send(stream.fd, more, sizeof(more) - 1, MSG_NOSIGNAL), sizeof(more) - 1);
    stream_turn(&stream);
    assert_false(is_served());
    stream_close(&stream);
    while (!is_served())
        ;
}

/* What its socket does not hold stays where it is; it is cut off when it takes nothing. */
static void test_a_client_that_does_not_read(void **state)
{
    (void)state;
    limits.events.streams = 1;
    struct stream stream = request_stream("", "");
    int small = 4096;
    setsockopt(stream.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    while (is_served())
        ;
    char message[EVENTS_MESSAGE_MAX + 1];
    memset(message, 'x', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    while (!is_served()) {
        for (int i = 0; i < 500; i++)
            events_emit(service_events(fx.service),
                        &(struct event_fact){.type = EVENT_CONFIG_FAILED, .message = message});
        flush();
    }
    stream_close(&stream);
}

static void test_stop_while_streaming(void **state)
{
    (void)state;
    struct stream waiting = open_stream("", "");
    struct stream sending = request_stream("", "");
    stream_turn(&sending);
    stop();
    await_end(&waiting);
    assert_non_null(strstr(waiting.text, "\r\n0\r\n\r\n")); /* told, not cut off */
    stream_close(&waiting);
    stream_close(&sending);
    start(false);
}

/* The text of a new token that ends in so many seconds, 0 = never. */
static void use_new_token(const char *name, unsigned seconds)
{
    char body[160];
    int len = snprintf(body, sizeof(body), "{\"name\":\"%s\",\"role\":\"read\"", name);
    time_t end = time(NULL) + seconds;
    struct tm utc;
    if (seconds > 0)
        len += (int)strftime(body + len, sizeof(body) - (size_t)len,
                             ",\"expires_at\":\"%Y-%m-%dT%H:%M:%SZ\"", gmtime_r(&end, &utc));
    snprintf(body + len, sizeof(body) - (size_t)len, "}");
    struct answer answer = call("POST", "/v1/tokens", "", body);
    assert_int_equal(answer.status, 201);
    snprintf(fx.token, sizeof(fx.token), "%s", text_of(answer.json, "token"));
    free_answer(&answer);
}

/* Who is not let in any more is not told any more either. */
static void test_a_stream_ends_with_its_token(void **state)
{
    (void)state;
    char admin[sizeof(fx.token)];
    memcpy(admin, fx.token, sizeof(admin));
    limits.events.heartbeat_seconds = 3600;
    stop();
    start(false);
    struct stream other = open_stream("", "");
    use_new_token("ci", 0);
    struct stream stream = open_stream("", "");
    memcpy(fx.token, admin, sizeof(admin));
    expect_status("DELETE", "/v1/tokens/ci", "", 204);
    use_new_token("ci", 0); /* of the same name, and another */
    stream_await(&stream, "\r\n0\r\n\r\n");
    assert_null(strstr(stream.text, "token.deleted"));
    stream_await(&other, "token.deleted");
    stream_close(&stream);
    stream_close(&other);
}

static void test_a_stream_ends_when_its_token_expires(void **state)
{
    (void)state;
    use_new_token("ci", 2);
    struct stream stream = open_stream("", "");
    stream_await(&stream, "\r\n0\r\n\r\n");
    stream_close(&stream);
}

/* Whatever a request for a stream has come to, its connection does not stop the stop. */
static void test_stop_while_a_stream_begins(void **state)
{
    (void)state;
    for (int turns = 0; turns < 6; turns++) {
        int fd = connect_tcp();
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
        char request[256];
        int len = snprintf(request, sizeof(request),
                           "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n"
                           "Authorization: Bearer %s\r\n\r\n",
                           fx.token);
        assert_int_equal(send(fd, request, (size_t)len, MSG_NOSIGNAL), len);
        for (int i = 0; i < turns; i++)
            event_base_loop(fx.base, EVLOOP_NONBLOCK);
        stop();
        close(fd);
        start(false);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name)         cmocka_unit_test_setup_teardown(name, set_up_flushed, tear_down)
#define LIMITED_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_limited, tear_down_limited)
    const struct CMUnitTest tests[] = {
        TEST(test_changes_come_as_they_happen),
        TEST(test_a_stream_is_the_default),
        TEST(test_head_is_short),
        TEST(test_it_goes_on_after_a_restart),
        TEST(test_what_is_not_kept_is_a_gap),
        TEST(test_only_what_is_wanted),
        LIMITED_TEST(test_heartbeat),
        LIMITED_TEST(test_streams_are_few_and_free_when_clients_leave),
        LIMITED_TEST(test_a_client_that_leaves_more_behind),
        LIMITED_TEST(test_a_client_that_does_not_read),
        LIMITED_TEST(test_a_stream_ends_with_its_token),
        LIMITED_TEST(test_a_stream_ends_when_its_token_expires),
        LIMITED_TEST(test_stop_while_streaming),
        LIMITED_TEST(test_stop_while_a_stream_begins),
    };
#undef TEST
#undef LIMITED_TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
