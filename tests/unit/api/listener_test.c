/*
 * The bounds of a listener: slow and idle clients, and too many of them.
 */
#include "api/listener.h"

#include "base/log.h"
#include "server/sockets.h"
#include "tests/unit/fake_supervisor.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

static const struct inet_addr loopback = {.family = AF_INET, .bytes = {127, 0, 0, 1}};

static struct fixture {
    struct event_base *base;
    struct service *service;
    struct api_context context;
    struct api_server server;
    struct api_limits limits;
    struct api_listener *listener;
    uint16_t port;
} fx;

static int set_up(void **state)
{
    (void)state;
    fx.base = event_base_new();
    fx.limits = api_limits_default;
    if (service_new(fx.base, NULL, NULL, &fx.service) < 0)
        return -1;
    fx.context = (struct api_context){.service = fx.service,
                                      .server = &fx.server,
                                      .access = {.auth_none = true}};
    return 0;
}

static void start(void)
{
    int fd = sockets_listen(&loopback, 0, &fx.port);
    assert_true(fd >= 0);
    assert_int_equal(
        api_listener_new(fx.base, fd, API_DOOR_TCP, &fx.context, &fx.limits, &fx.listener), 0);
}

static int tear_down(void **state)
{
    (void)state;
    api_listener_free(fx.listener);
    service_free(fx.service);
    event_base_free(fx.base);
    return 0;
}

static int connect_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    union inet_sockaddr sa;
    inet_sockaddr_make(&sa, &loopback, fx.port);
    assert_int_equal(connect(fd, &sa.sa, inet_sockaddr_len(&sa)), 0);
    assert_int_equal(evutil_make_socket_nonblocking(fd), 0);
    return fd;
}

/* Turns the loop until the client has an answer or was closed. Returns what recv() did. */
static ssize_t wait_for(int fd, char *buf, size_t size)
{
    for (;;) {
        ssize_t n = recv(fd, buf, size, 0);
        if (n >= 0 || errno != EAGAIN)
            return n;
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A byte now and then keeps the idle timer quiet; the deadline is what ends it. */
static void test_slow_request_ends_at_the_deadline(void **state)
{
    (void)state;
    fx.limits.request_seconds = 1;
    start();
    int fd = connect_client();
    static const char head[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ";
    assert_int_equal(send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL), sizeof(head) - 1);
    char buf[64];
    double begin = now();
    double sent = begin;
    while (recv(fd, buf, sizeof(buf), 0) < 0 && errno == EAGAIN) {
        if (now() - sent > 0.05) {
            send(fd, "x", 1, MSG_NOSIGNAL);
            sent = now();
        }
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
    }
    assert_true(now() - begin >= 0.9);
    close(fd);
}

/* A client that does not read its answers. */
static void test_slow_reader_ends_at_the_deadline(void **state)
{
    (void)state;
    fx.limits.request_seconds = 1;
    start();
    int fd = connect_client();
    int small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    static const char request[] = "GET /openapi.yaml HTTP/1.1\r\nHost: localhost\r\n\r\n";
    double begin = now();
    for (;;) {
        ssize_t n = send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break; /* reset */
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
    }
    assert_true(now() - begin >= 0.5);
    close(fd);
}

static void test_idle_connection_is_closed(void **state)
{
    (void)state;
    fx.limits.idle_seconds = 1;
    start();
    int fd = connect_client();
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
    char buf[1024];
    assert_true(wait_for(fd, buf, sizeof(buf)) > 0);
    assert_int_equal(wait_for(fd, buf, sizeof(buf)), 0);
    close(fd);
}

/* An answered request starts the deadline anew: a busy connection lives on. */
static void test_busy_connection_outlives_the_deadline(void **state)
{
    (void)state;
    fx.limits.request_seconds = 1;
    start();
    int fd = connect_client();
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char buf[1024];
    for (double begin = now(); now() - begin < 2.0;) {
        assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
        assert_true(wait_for(fd, buf, sizeof(buf)) > 0);
    }
    close(fd);
}

static const char livez[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool is_answered(int fd)
{
    char buf[1024];
    ssize_t n = wait_for(fd, buf, sizeof(buf));
    return n > 12 && memcmp(buf, "HTTP/1.1 200", 12) == 0;
}

static bool is_open(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* Both come at once, and the end is not overlooked, whether or not it was a whole request. */
static void test_end_right_after_the_request(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool answered;
    } rows[] = {
        {livez, true},
        {"GET /livez HT", false},
        {"GET /livez HTTP/1.1\r\nHost: localhost\r\n", false},
        {"\r\n\r\n\r\n", false},
        {"POST /v1/forwards HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{", false},
    };
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    int fds[ROWS];
    start();
    double begin = now();
    for (size_t i = 0; i < ROWS; i++) {
        fds[i] = connect_client();
        send_text(fds[i], rows[i].text);
        shutdown(fds[i], SHUT_WR);
    }
    for (size_t i = 0; i < ROWS; i++) {
        char buf[1024];
        assert_true(!rows[i].answered || is_answered(fds[i]));
        while (wait_for(fds[i], buf, sizeof(buf)) > 0)
            ;
    }
    assert_true(now() - begin < fx.limits.idle_seconds / 2.0);
    close_all(fds, ROWS);
}

/* A client that comes and asks is answered, whatever others hold: those that waited longest go. */
static void test_idle_connections_give_way(void **state)
{
    (void)state;
    enum { LIMIT = 8, ALL = 3 * LIMIT };
    for (int of_address = 0; of_address < 2; of_address++) {
        fx.limits = api_limits_default;
        *(of_address ? &fx.limits.connections_per_address : &fx.limits.connections) = LIMIT;
        start();
        int fds[ALL];
        for (int i = 0; i < ALL; i++) {
            fds[i] = connect_client();
            send_text(fds[i], i % 2 == 0 ? "GET /livez HT" : livez);
            if (i % 2 == 1)
                assert_true(is_answered(fds[i]));
        }
        int fd = connect_client();
        send_text(fd, livez);
        assert_true(is_answered(fd));
        int open = 0;
        for (int i = 0; i < ALL; i++)
            open += is_open(fds[i]);
        assert_in_range(open, 1, LIMIT - 1);
        assert_false(is_open(fds[0]));
        assert_true(is_open(fds[ALL - 1]));
        close_all(fds, ALL);
        close(fd);
        api_listener_free(fx.listener);
        fx.listener = NULL;
    }
}

/* Who reads slowly what was asked for goes only when nobody waits. */
static void test_answers_outlast_idle_connections(void **state)
{
    (void)state;
    enum { REQUESTS = 400, OTHERS = 16 };
    fx.limits.connections = 4;
    start();
    int reader = connect_client();
    const uint64_t *begun = &fx.server.requests.entries[0].count;
    uint64_t before = 0;
    size_t sent = 0;
    /* Until the sockets' buffers are full: nothing more is answered for a while. */
    for (double since = now(); now() - since < 0.2;) {
        static const char request[] = "GET /openapi.yaml HTTP/1.1\r\nHost: localhost\r\n\r\n";
        if (sent < REQUESTS && send(reader, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0)
            sent++;
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
        if (*begun != before)
            since = now();
        before = *begun;
    }
    assert_in_range(before, 1, REQUESTS - 1);
    int fds[OTHERS];
    for (int i = 0; i < OTHERS; i++) {
        fds[i] = connect_client();
        send_text(fds[i], livez);
        assert_true(is_answered(fds[i]));
    }
    assert_false(is_open(fds[0]));
    char buf[4096];
    while (*begun < REQUESTS)
        assert_true(wait_for(reader, buf, sizeof(buf)) > 0);
    close_all(fds, OTHERS);
    close(reader);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_slow_request_ends_at_the_deadline),
        TEST(test_slow_reader_ends_at_the_deadline),
        TEST(test_idle_connection_is_closed),
        TEST(test_busy_connection_outlives_the_deadline),
        TEST(test_end_right_after_the_request),
        TEST(test_idle_connections_give_way),
        TEST(test_answers_outlast_idle_connections),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
