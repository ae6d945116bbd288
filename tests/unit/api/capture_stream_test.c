/*
 * /v1/tunnels/{name}/capture: what its clients are sent, when it ends, and what they cannot do to
 * the server. The tunnel's worker is the test itself.
 */
#include "tests/unit/api/stream_world.h"

#include "api/listener.h"
#include "server/capture.h"

/* The last chunk: the client knows that nothing is missing. */
static void await_end(struct stream *stream)
{
    stream_await(stream, "\r\n0\r\n\r\n");
}

static struct stream request_stream(const char *query)
{
    char target[64];
    snprintf(target, sizeof(target), "/v1/tunnels/home/capture%s", query);
    return stream_request(target, "");
}

/* Comes back when the file header has come. */
static struct stream open_stream(const char *query)
{
    struct stream stream = request_stream(query);
    uint8_t header[PCAP_FILE_HEADER];
    pcap_file_header(header);
    stream_await(&stream, "\r\n\r\n18\r\n");
    while (stream_find(&stream, header, sizeof(header)) == NULL)
        stream_turn(&stream);
    assert_memory_equal(stream.text, "HTTP/1.1 200 ", 13);
    assert_true(stream_has(&stream, "\r\nContent-Type: application/vnd.tcpdump.pcap\r\n"));
    assert_true(stream_has(&stream, "\r\nCache-Control: no-store\r\n"));
    return stream;
}

/* --- The worker ------------------------------------------------------------------------------- */

static ssize_t send_records(const char *records, size_t len)
{
    static uint8_t frame[TAP_FRAME_MAX];
    const struct tap_totals totals = {.packets = 1};
    memcpy(frame, &totals, sizeof(totals));
    memcpy(frame + sizeof(totals), records, len);
    return send(fake.tap, frame, sizeof(totals) + len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void send_text(const char *text)
{
    assert_true(send_records(text, strlen(text)) > 0);
}

/* Whether the reader has asked for the end, or is gone. */
static bool is_stopped(void)
{
    char byte;
    return recv(fake.tap, &byte, 1, MSG_DONTWAIT) == 0;
}

static void await_stop(struct stream *stream)
{
    while (!is_stopped())
        stream_turn(stream);
}

static struct api_limits limits;

static int set_up_limited(void **state)
{
    limits = api_limits_default;
    limits.captures = (struct capture_streams_limits){.streams = 2, .patience_seconds = 1};
    fx.limits = &limits;
    int rc = set_up(state);
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    fake.tap = -1;
    return rc;
}

static int tear_down_limited(void **state)
{
    if (fake.tap >= 0)
        close(fake.tap);
    fx.limits = NULL;
    return tear_down(state);
}

/* --- What it sends ---------------------------------------------------------------------------- */

static void test_packets_come_as_they_pass(void **state)
{
    (void)state;
    struct stream stream = open_stream("");
    assert_int_equal(fake.tap_bytes, 64 << 20);
    send_text("one");
    stream_await(&stream, "\r\n3\r\none\r\n");
    send_text("another");
    stream_await(&stream, "\r\n7\r\nanother\r\n");
    struct answer metrics = call("GET", "/metrics", "", "");
    assert_non_null(strstr(metrics.text, "\nmanytun_captures 1\n"));
    free_answer(&metrics);
    close(fake.tap); /* the tunnel is gone */
    fake.tap = -1;
    await_end(&stream);
    stream_close(&stream);
}

static void test_parameters(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "?seconds=0", "?seconds=3601",         "?seconds=x", "?seconds=",     "?max_bytes=23",
        "?seconds",   "?max_bytes=1073741825", "?limit=5",   "?max_bytes=-1",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "/v1/tunnels/home/capture%s", wrong[i]);
        expect_problem("GET", path, "", "", 400,
                       strstr(wrong[i], "limit") != NULL ? "unknown_parameter"
                                                         : "invalid_parameter");
    }
    struct stream stream = open_stream("?seconds=3600&max_bytes=1073741824");
    assert_int_equal(fake.tap_bytes, 1 << 30);
    stream_close(&stream);
}

static void test_who_is_refused(void **state)
{
    (void)state;
    expect_problem("GET", "/v1/tunnels/other/capture", "", "", 404, "not_found");
    expect_problem("POST", "/v1/tunnels/home/capture", "", "{}", 405, "method_not_allowed");
    fake.alive = 0;
    expect_problem("GET", "/v1/tunnels/home/capture", "", "", 409, "not_running");
    fake.alive = 1;
    struct answer answer =
        call("POST", "/v1/tokens", "", "{\"name\":\"reader\",\"role\":\"read\"}");
    assert_int_equal(answer.status, 201);
    snprintf(fx.token, sizeof(fx.token), "%s", text_of(answer.json, "token"));
    free_answer(&answer);
    expect_problem("GET", "/v1/tunnels/home/capture", "", "", 403, "forbidden");
    assert_int_equal(fake.tap, -1);
}

static void test_head_has_no_body(void **state)
{
    (void)state;
    struct answer answer = call("HEAD", "/v1/tunnels/home/capture", "", "");
    assert_int_equal(answer.status, 200);
    assert_true(has_header(&answer, "Content-Type: application/vnd.tcpdump.pcap"));
    free_answer(&answer);
    assert_true(is_stopped());
}

/* --- Its end ---------------------------------------------------------------------------------- */

static void test_it_ends_in_time(void **state)
{
    (void)state;
    struct stream stream = open_stream("?seconds=1");
    await_stop(&stream);
    assert_false(stream_has(&stream, "\r\n0\r\n\r\n"));
    send_text("the rest");
    close(fake.tap);
    fake.tap = -1;
    await_end(&stream);
    assert_true(stream_has(&stream, "the rest"));
    stream_close(&stream);
}

/* One that is stuck does not hold the client. */
static void test_a_worker_that_does_not_end(void **state)
{
    (void)state;
    struct stream stream = open_stream("?seconds=1");
    await_end(&stream);
    stream_close(&stream);
}

static void test_captures_are_few_and_free_when_clients_leave(void **state)
{
    (void)state;
    struct stream one = open_stream("");
    int first = fake.tap;
    struct stream two = open_stream("");
    expect_problem("GET", "/v1/tunnels/home/capture", "", "", 503, "exhausted");
    stream_close(&one);
    struct stream three = {.closed = true};
    while (three.closed) { /* until the server has seen the end */
        three = request_stream("");
        stream_await(&three, "\r\n\r\n");
        three.closed = memcmp(three.text, "HTTP/1.1 200 ", 13) != 0;
        if (three.closed)
            stream_close(&three);
    }
    char byte;
    assert_int_equal(recv(first, &byte, 1, 0), 0);
    close(first);
    stream_close(&two);
    stream_close(&three);
}

/* What it does not take stays in the worker's socket, and then nowhere. */
static void test_a_client_that_does_not_read(void **state)
{
    (void)state;
    static char records[32768];
    struct stream stream = request_stream("");
    int small = 4096;
    setsockopt(stream.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    while (fake.tap < 0)
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
    size_t sent = 0;
    while (!is_stopped()) { /* it is disconnected */
        ssize_t len = send_records(records, sizeof(records));
        if (len > 0)
            sent += (size_t)len;
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
        assert_true(sent < 32 << 20);
    }
    stream_close(&stream);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    *(bool *)arg = true;
}

/* Nor one that does not stop sending: a second after its time the client is disconnected. */
static void test_a_worker_that_goes_on(void **state)
{
    (void)state;
    const struct timeval soon = {.tv_sec = 1, .tv_usec = 500000};
    bool late = false;
    struct stream stream = open_stream("?seconds=1");
    await_stop(&stream);
    assert_int_equal(event_base_once(fx.base, -1, EV_TIMEOUT, on_late, &late, &soon), 0);
    while (!stream.closed && !late) {
        while (send_records("x", 1) > 0) /* there is always more */
            ;
        stream_turn(&stream);
    }
    for (int turns = 0; turns < 100; turns++) /* what it was sent before */
        stream_turn(&stream);
    assert_true(stream.closed);
    while (!late)
        event_base_loop(fx.base, EVLOOP_ONCE);
    stream_close(&stream);
}

static void test_stop_while_capturing(void **state)
{
    (void)state;
    struct stream stream = open_stream("");
    stop();
    await_end(&stream);
    assert_true(is_stopped());
    stream_close(&stream);
    start(false);
}

static void test_a_capture_ends_with_its_token(void **state)
{
    (void)state;
    char admin[sizeof(fx.token)];
    memcpy(admin, fx.token, sizeof(admin));
    struct answer answer = call("POST", "/v1/tokens", "", "{\"name\":\"ci\",\"role\":\"admin\"}");
    assert_int_equal(answer.status, 201);
    snprintf(fx.token, sizeof(fx.token), "%s", text_of(answer.json, "token"));
    free_answer(&answer);
    struct stream stream = open_stream("");
    memcpy(fx.token, admin, sizeof(admin));
    expect_status("DELETE", "/v1/tokens/ci", "", 204);
    await_end(&stream);
    stream_close(&stream);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_limited, tear_down_limited)
    const struct CMUnitTest tests[] = {
        TEST(test_packets_come_as_they_pass),
        TEST(test_parameters),
        TEST(test_who_is_refused),
        TEST(test_head_has_no_body),
        TEST(test_it_ends_in_time),
        TEST(test_a_worker_that_does_not_end),
        TEST(test_captures_are_few_and_free_when_clients_leave),
        TEST(test_a_client_that_does_not_read),
        TEST(test_a_worker_that_goes_on),
        TEST(test_stop_while_capturing),
        TEST(test_a_capture_ends_with_its_token),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
