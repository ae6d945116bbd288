#include "server/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static const struct inet_addr loopback4 = {.family = AF_INET, .bytes = {127, 0, 0, 1}};
static const struct inet_addr loopback6 = {.family = AF_INET6, .bytes = {[15] = 1}};
static const struct inet_addr any = {.family = AF_UNSPEC};

static struct sockets_released released;

static int reset(void **state)
{
    (void)state;
    memset(&released, 0, sizeof(released));
    return 0;
}

/* --- Listeners -------------------------------------------------------------------------------- */

static int connect_to(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    union inet_sockaddr sa;
    inet_sockaddr_make(&sa, &loopback4, port);
    if (connect(fd, &sa.sa, inet_sockaddr_len(&sa)) == 0)
        return fd;
    close(fd);
    return -errno;
}

static void test_listener_is_ready(void **state)
{
    (void)state;
    uint16_t port = 0;
    int fd = sockets_listen(&loopback4, 0, &port);
    assert_true(fd >= 0);
    assert_true(port > 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    int client = connect_to(port);
    assert_true(client >= 0);
    close(client);
    uint16_t again = 7;
    assert_int_equal(sockets_listen(&loopback4, port, &again), -EADDRINUSE);
    assert_int_equal(again, 7);
    sockets_close_listener(fd);
}

static void test_families_are_apart(void **state)
{
    (void)state;
    const struct inet_addr any4 = {.family = AF_INET};
    const struct inet_addr any6 = {.family = AF_INET6};
    uint16_t port;
    int four = sockets_listen(&any4, 0, &port);
    assert_true(four >= 0);
    int six = sockets_listen(&any6, port, &port);
    if (six == -EAFNOSUPPORT)
        print_message("no IPv6 on this host\n");
    else
        assert_true(six >= 0);
    sockets_close_listener(four);
    sockets_close_listener(six);
}

static void test_address_that_is_not_ours(void **state)
{
    (void)state;
    const struct inet_addr other = {.family = AF_INET, .bytes = {192, 0, 2, 1}};
    uint16_t port;
    assert_int_equal(sockets_listen(&other, 0, &port), -EADDRNOTAVAIL);
}

/* A worker still has a duplicate, and clients that it has not accepted. */
static void test_listener_port_is_free_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        uint16_t port;
        int fd = sockets_listen(&loopback4, 0, &port);
        assert_true(fd >= 0);
        int duplicate = dup(fd);
        int waiting = connect_to(port);
        assert_true(waiting >= 0);
        int accepted = -1;
        if (i == 1) {
            accepted = accept(duplicate, NULL, NULL);
            assert_true(accepted >= 0);
        }
        sockets_close_listener(fd);
        assert_int_equal(connect_to(port), -ECONNREFUSED);
        assert_true(accept(duplicate, NULL, NULL) < 0);

        uint16_t again;
        int next = sockets_listen(&loopback4, port, &again);
        assert_true(next >= 0);
        assert_int_equal(again, port);
        int client = connect_to(port);
        assert_true(client >= 0);
        close(client);
        sockets_close_listener(next);
        close(duplicate);
        close(waiting);
        if (accepted >= 0)
            close(accepted);
    }
}

/* The same for a port that was asked for by number. */
static void test_fixed_listener_port_is_free_at_once(void **state)
{
    (void)state;
    uint16_t port;
    int fd = sockets_listen(&loopback4, 0, &port);
    sockets_close_listener(fd);
    int duplicates[8];
    for (int i = 0; i < 8; i++) {
        fd = sockets_listen(&loopback4, port, &port);
        assert_true(fd >= 0);
        duplicates[i] = dup(fd);
        sockets_close_listener(fd);
    }
    for (int i = 0; i < 8; i++)
        close(duplicates[i]);
}

static void test_reserve_of_descriptors(void **state)
{
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = before;
    low.rlim_cur = SOCKETS_DESCRIPTORS_RESERVED + 4;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    uint16_t port;
    int pair[2];
    int rc = 0;
    int fds[8];
    size_t count = 0;
    while ((rc = sockets_listen(&loopback4, 0, &port)) >= 0 && count < 8)
        fds[count++] = rc;
    int udp = sockets_bind_udp(&loopback4, 0, &released, pair, &port);
    int other = dup(STDERR_FILENO);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rc, -EMFILE);
    assert_int_equal(udp, -EMFILE);
    assert_true(other >= 0);
    close(other);
    while (count > 0)
        sockets_close_listener(fds[--count]);
}

/* --- Outer sockets ---------------------------------------------------------------------------- */

static int option(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void test_pair_on_one_port(void **state)
{
    (void)state;
    int pair[2];
    uint16_t port;
    assert_int_equal(sockets_bind_udp(&any, 0, &released, pair, &port), 0);
    assert_true(port > 0);
    assert_true(pair[0] >= 0);
    assert_true(option(pair[0], SOL_SOCKET, SO_RCVBUF) >= 212992);
    assert_int_equal(option(pair[0], IPPROTO_IP, IP_PKTINFO), 1);
    assert_int_equal(option(pair[0], IPPROTO_IP, IP_RECVTOS), 1);
    assert_int_equal(option(pair[0], IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_OMIT);
    assert_int_equal(option(pair[0], SOL_SOCKET, SO_REUSEADDR), 0);
    if (pair[1] >= 0) {
        union inet_sockaddr sa = {0};
        socklen_t len = sizeof(sa);
        assert_int_equal(getsockname(pair[1], &sa.sa, &len), 0);
        assert_int_equal(ntohs(sa.in6.sin6_port), port);
        assert_int_equal(option(pair[1], IPPROTO_IPV6, IPV6_V6ONLY), 1);
        assert_int_equal(option(pair[1], IPPROTO_IPV6, IPV6_RECVTCLASS), 1);
    }
    int other[2] = {-7, -7};
    uint16_t unused;
    assert_int_equal(sockets_bind_udp(&any, port, &released, other, &unused), -EADDRINUSE);
    assert_int_equal(sockets_bind_udp(&loopback4, port, &released, other, &unused), -EADDRINUSE);
    assert_int_equal(other[0], -7);
    sockets_close_udp(pair, port, &released);
    assert_int_equal(pair[0], -1);
    assert_int_equal(pair[1], -1);
}

/* Every port that the kernel chooses for IPv4 must then be free for IPv6 too. */
static void test_chosen_port_avoids_the_other_family(void **state)
{
    (void)state;
    int pairs[64][2];
    uint16_t ports[64];
    for (int i = 0; i < 64; i++)
        assert_int_equal(sockets_bind_udp(&any, 0, &released, pairs[i], &ports[i]), 0);
    for (int i = 0; i < 64; i++)
        sockets_close_udp(pairs[i], ports[i], &released);
}

static void test_single_family(void **state)
{
    (void)state;
    int pair[2];
    uint16_t port;
    assert_int_equal(sockets_bind_udp(&loopback4, 0, &released, pair, &port), 0);
    assert_true(pair[0] >= 0);
    assert_int_equal(pair[1], -1);
    sockets_close_udp(pair, port, &released);
    int rc = sockets_bind_udp(&loopback6, 0, &released, pair, &port);
    if (rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT)
        return;
    assert_int_equal(rc, 0);
    assert_int_equal(pair[0], -1);
    assert_true(pair[1] >= 0);
    sockets_close_udp(pair, port, &released);
}

static void send_to(uint16_t port, const char *text)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    union inet_sockaddr sa;
    inet_sockaddr_make(&sa, &loopback4, port);
    assert_int_equal(sendto(fd, text, strlen(text), 0, &sa.sa, inet_sockaddr_len(&sa)),
                     (ssize_t)strlen(text));
    close(fd);
}

/* A worker that has not yet dropped its duplicate neither keeps the port nor gets its datagrams. */
static void test_udp_port_is_free_at_once(void **state)
{
    (void)state;
    int old[2];
    uint16_t port;
    assert_int_equal(sockets_bind_udp(&any, 0, &released, old, &port), 0);
    int duplicate = dup(old[0]);
    sockets_close_udp(old, port, &released);

    int next[2];
    uint16_t again;
    assert_int_equal(sockets_bind_udp(&any, port, &released, next, &again), 0);
    assert_int_equal(again, port);
    send_to(port, "hello");
    char buf[16];
    assert_int_equal(recv(next[0], buf, sizeof(buf), MSG_DONTWAIT), 5);
    assert_true(recv(duplicate, buf, sizeof(buf), MSG_DONTWAIT) < 0);

    /* What is bound now is a conflict again, released before or not. */
    int other[2];
    assert_int_equal(sockets_bind_udp(&any, port, &released, other, &again), -EADDRINUSE);
    assert_int_equal(sockets_bind_udp(&loopback4, port, &released, other, &again), -EADDRINUSE);
    close(duplicate);
    sockets_close_udp(next, port, &released);
}

/* SO_REUSEADDR of a stranger's socket opens no door: its port was not released here. */
static void test_shared_port_of_another_program_is_a_conflict(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    union inet_sockaddr sa;
    inet_sockaddr_make(&sa, &loopback4, 0);
    assert_int_equal(bind(fd, &sa.sa, inet_sockaddr_len(&sa)), 0);
    socklen_t len = sizeof(sa);
    assert_int_equal(getsockname(fd, &sa.sa, &len), 0);
    struct inet_addr address;
    uint16_t port;
    inet_sockaddr_split(&sa, &address, &port);
    int pair[2];
    assert_int_equal(sockets_bind_udp(&loopback4, port, &released, pair, &port), -EADDRINUSE);
    close(fd);
}

static void test_many_released_ports(void **state)
{
    (void)state;
    int pair[2];
    uint16_t port;
    for (int i = 0; i < SOCKETS_RELEASED_MAX + 10; i++) {
        assert_int_equal(sockets_bind_udp(&loopback4, 0, &released, pair, &port), 0);
        sockets_close_udp(pair, port, &released);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_listener_is_ready, reset),
        cmocka_unit_test_setup(test_families_are_apart, reset),
        cmocka_unit_test_setup(test_address_that_is_not_ours, reset),
        cmocka_unit_test_setup(test_listener_port_is_free_at_once, reset),
        cmocka_unit_test_setup(test_fixed_listener_port_is_free_at_once, reset),
        cmocka_unit_test_setup(test_reserve_of_descriptors, reset),
        cmocka_unit_test_setup(test_pair_on_one_port, reset),
        cmocka_unit_test_setup(test_chosen_port_avoids_the_other_family, reset),
        cmocka_unit_test_setup(test_single_family, reset),
        cmocka_unit_test_setup(test_udp_port_is_free_at_once, reset),
        cmocka_unit_test_setup(test_shared_port_of_another_program_is_a_conflict, reset),
        cmocka_unit_test_setup(test_many_released_ports, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
