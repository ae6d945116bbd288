/*
 * The bounds of a listener: slow and idle clients, and too many of them.
 */
#include "api/listener.h"

#include "engine/log.h"
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

static void test_connections_per_address(void **state)
{
    (void)state;
    fx.limits.connections_per_address = 4;
    start();
    int fds[6];
    for (int i = 0; i < 6; i++)
        fds[i] = connect_client();
    char buf[64];
    assert_int_equal(wait_for(fds[5], buf, sizeof(buf)), 0);
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_int_equal(send(fds[0], request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
    assert_true(wait_for(fds[0], buf, sizeof(buf)) > 0);
    for (int i = 0; i < 6; i++)
        close(fds[i]);
}

/* Those beyond the limit wait, and are served when others leave. */
static void test_connections_in_all(void **state)
{
    (void)state;
    fx.limits.connections = 2;
    start();
    int fds[3];
    for (int i = 0; i < 3; i++)
        fds[i] = connect_client();
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char buf[1024];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send(fds[i], request, sizeof(request) - 1, MSG_NOSIGNAL),
                         sizeof(request) - 1);
        assert_true(wait_for(fds[i], buf, sizeof(buf)) > 0);
        close(fds[i]);
    }
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
        TEST(test_connections_per_address),
        TEST(test_connections_in_all),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
