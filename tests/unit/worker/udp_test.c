/*
 * udp: datagrams go out whole, in order, to the right address, whatever the batching makes of them;
 * they come in whole; and a full batch is said so.
 */
#include "engine/udp.h"

#include "engine/clock.h"
#include "tests/support/cmocka_all.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* How far time has gone beyond the clock's. */
static uint64_t clock_ahead;

uint64_t __real_clock_now(void);
uint64_t __wrap_clock_now(void);
uint64_t __wrap_clock_now(void)
{
    return __real_clock_now() + clock_ahead;
}

static bool no_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

struct fixture {
    struct event_base *base;
    struct counters_worker counters;
    struct udp *udp;
    struct wg_endpoint self[2]; /* the sockets of udp: IPv4, and IPv6 where there is any */
    bool has_ipv6;
    int far[2]; /* plain sockets that stand for two peers */
    struct wg_endpoint peers[2];
    unsigned datagrams;
    size_t sizes[4096];
    uint8_t first_bytes[4096];
    uint8_t tos[4096];
    unsigned batches;
    union inet_sockaddr from;
};

static void on_datagram(void *ctx, const struct wg_endpoint *from, uint8_t tos, uint8_t *data,
                        size_t len)
{
    struct fixture *f = ctx;
    f->sizes[f->datagrams] = len;
    f->first_bytes[f->datagrams] = data[0];
    f->tos[f->datagrams] = tos;
    f->datagrams++;
    f->from = from->remote;
}

static void on_received(void *ctx)
{
    struct fixture *f = ctx;
    f->batches++;
}

static void on_writable(void *ctx)
{
    (void)ctx;
}

static const struct udp_ops ops = {.datagram = on_datagram,
                                   .received = on_received,
                                   .writable = on_writable};

/* A socket on the loopback address, or -1 when there is none of this family. */
static int open_socket(const char *loopback, struct wg_endpoint *endpoint)
{
    struct inet_addr addr;
    assert_int_equal(inet_addr_parse(loopback, &addr), 0);
    inet_sockaddr_make(&endpoint->remote, &addr, 0);
    socklen_t len = inet_sockaddr_len(&endpoint->remote);
    int size = 4 << 20;
    int fd = socket(addr.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(fd, &endpoint->remote.sa, len) < 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    assert_int_equal(getsockname(fd, &endpoint->remote.sa, &len), 0);
    return fd;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->base = event_base_new();
    int sockets[2] = {open_socket("127.0.0.1", &f->self[0]), open_socket("::1", &f->self[1])};
    int on = 1;
    setsockopt(sockets[0], SOL_UDP, UDP_GRO, &on, sizeof(on));
    setsockopt(sockets[0], IPPROTO_IP, IP_RECVTOS, &on, sizeof(on));
    setsockopt(sockets[1], SOL_UDP, UDP_GRO, &on, sizeof(on));
    setsockopt(sockets[1], IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on));
    f->has_ipv6 = sockets[1] >= 0;
    f->far[0] = open_socket("127.0.0.1", &f->peers[0]);
    f->far[1] = open_socket("127.0.0.1", &f->peers[1]);
    assert_int_equal(udp_new(f->base, sockets, &ops, f, &f->counters, &f->udp), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    udp_free(f->udp);
    udp_pools_free();
    close(f->far[0]);
    close(f->far[1]);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void put(struct fixture *f, unsigned peer, size_t len, uint8_t mark)
{
    uint8_t *room = udp_reserve(f->udp, &f->peers[peer], len, 0);
    assert_non_null(room);
    memset(room, mark, len);
    udp_commit(f->udp);
}

static void assert_next(struct fixture *f, unsigned peer, size_t len, uint8_t mark)
{
    uint8_t data[65536];
    ssize_t got = recv(f->far[peer], data, sizeof(data), 0);
    assert_int_equal(got, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(data[i], mark);
}

static void assert_no_more(struct fixture *f, unsigned peer)
{
    char byte;
    assert_int_equal(recv(f->far[peer], &byte, 1, 0), -1);
}

static void sends_runs_of_every_shape(void **state)
{
    static const struct {
        unsigned peer;
        size_t len;
    } datagrams[] = {{0, 1452}, {0, 1452}, {0, 1452}, {0, 100}, {0, 1452}, {0, 148},  {0, 1452},
                     {1, 1452}, {0, 32},   {0, 32},   {0, 33},  {1, 1452}, {1, 60000}};
    enum { COUNT = sizeof(datagrams) / sizeof(datagrams[0]) };
    struct fixture *f = *state;
    for (uint8_t i = 0; i < COUNT; i++)
        put(f, datagrams[i].peer, datagrams[i].len, i);
    udp_flush(f->udp);
    for (unsigned peer = 0; peer < 2; peer++) {
        for (uint8_t i = 0; i < COUNT; i++) {
            if (datagrams[i].peer == peer)
                assert_next(f, peer, datagrams[i].len, i);
        }
        assert_no_more(f, peer);
    }
}

static void sends_more_than_a_batch(void **state)
{
    enum { COUNT = 600, LEN = 1452 }; /* several times UDP_TX_BATCH_BYTES */
    struct fixture *f = *state;
    for (unsigned i = 0; i < COUNT; i++)
        put(f, 0, LEN, (uint8_t)i);
    udp_flush(f->udp);
    for (unsigned i = 0; i < COUNT; i++)
        assert_next(f, 0, LEN, (uint8_t)i);
    assert_no_more(f, 0);
}

static void forgets_what_was_not_committed(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 100, 1);
    assert_non_null(udp_reserve(f->udp, &f->peers[1], 100, 0));
    put(f, 0, 100, 2);
    assert_non_null(udp_reserve(f->udp, &f->peers[1], 100, 0));
    udp_flush(f->udp);
    assert_next(f, 0, 100, 1);
    assert_next(f, 0, 100, 2);
    assert_no_more(f, 0);
    assert_no_more(f, 1);
}

/* A run of two, from an address of ours or from any. */
static void put_two(struct fixture *f, struct udp *udp, const char *source)
{
    struct wg_endpoint to = f->peers[0];
    if (source)
        assert_int_equal(inet_addr_parse(source, &to.local), 0);
    for (int i = 0; i < 2; i++) {
        uint8_t *room = udp_reserve(udp, &to, 100, 0);
        assert_non_null(room);
        memset(room, 7, 100);
        udp_commit(udp);
    }
    udp_flush(udp);
}

/* The length of the next one, or of several that were sent and merged as one. */
static size_t next_from(struct fixture *f, const char *source)
{
    uint8_t data[512];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t got = recvfrom(f->far[0], data, sizeof(data), 0, (struct sockaddr *)&from, &from_len);
    assert_true(got > 0);
    assert_int_equal(from.sin_addr.s_addr, inet_addr(source));
    return (size_t)got;
}

static void set_option(int fd, int level, int option, int value)
{
    assert_int_equal(setsockopt(fd, level, option, &value, sizeof(value)), 0);
}

/* The kernel takes no segments from a socket that makes no checksums. */
static void tries_segmentation_again(void **state)
{
    struct fixture *f = *state;
    struct wg_endpoint self;
    struct udp *udp;
    int sockets[2] = {open_socket("0.0.0.0", &self), -1};
    set_option(f->far[0], SOL_UDP, UDP_GRO, 1);
    assert_int_equal(udp_new(f->base, sockets, &ops, f, &f->counters, &udp), 0);
    put_two(f, udp, NULL);
    assert_next(f, 0, 200, 7); /* merged, as it was sent */

    set_option(sockets[0], SOL_SOCKET, SO_NO_CHECK, 1);
    put_two(f, udp, "127.0.0.2");
    assert_int_equal(next_from(f, "127.0.0.2"), 100); /* which is not to blame */
    assert_int_equal(next_from(f, "127.0.0.2"), 100);
    set_option(sockets[0], SOL_SOCKET, SO_NO_CHECK, 0);
    put_two(f, udp, NULL);
    assert_next(f, 0, 100, 7);
    assert_next(f, 0, 100, 7);

    clock_ahead = 11 * CLOCK_NS_PER_S;
    put_two(f, udp, NULL);
    assert_next(f, 0, 200, 7);
    assert_int_equal(counter_get(&f->counters.udp_tx_errors), 0);
    udp_free(udp);
}

/* Runs end where kernels would refuse them: 64 datagrams (newer ones: 128), or what fits into one.
 */
static void runs_are_not_longer_than_the_kernel_takes(void **state)
{
    static const size_t lens[] = {32, 1452};
    struct fixture *f = *state;
    set_option(f->far[0], SOL_UDP, UDP_GRO, 1);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        enum { COUNT = 200 };
        for (unsigned n = 0; n < COUNT; n++)
            put(f, 0, lens[i], 7);
        udp_flush(f->udp);
        for (size_t got = 0; got < COUNT * lens[i];) {
            uint8_t data[65536];
            ssize_t len = recv(f->far[0], data, sizeof(data), 0);
            assert_true(len > 0);
            got += (size_t)len;
        }
        put_two(f, f->udp, NULL);
        assert_next(f, 0, 200, 7); /* merged: none was refused, or all would go out singly now */
    }
}

static void segments_are_not_to_blame_for_a_source_that_is_gone(void **state)
{
    struct fixture *f = *state;
    set_option(f->far[0], SOL_UDP, UDP_GRO, 1);
    put_two(f, f->udp, "192.0.2.1");
    for (size_t got = 0; got < 200;) /* one by one if the kernel says EINVAL */
        got += next_from(f, "127.0.0.1");
    put_two(f, f->udp, NULL);
    assert_int_equal(next_from(f, "127.0.0.1"), 200);
    assert_int_equal(counter_get(&f->counters.udp_tx_errors), 0);
}

/* It holds up nobody: what is for the other family goes out. */
static void loses_what_has_no_socket_of_the_family(void **state)
{
    struct fixture *f = *state;
    struct wg_endpoint to = {.remote.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)}};
    struct wg_endpoint self;
    struct udp *udp;
    int sockets[2] = {open_socket("127.0.0.1", &self), -1};
    assert_int_equal(udp_new(f->base, sockets, &ops, f, &f->counters, &udp), 0);
    for (unsigned i = 0; i < 2000; i++) { /* more than a batch */
        assert_non_null(udp_reserve(udp, &to, 100, 0));
        udp_commit(udp);
    }
    uint8_t *room = udp_reserve(udp, &f->peers[0], 64, 0);
    assert_non_null(room);
    memset(room, 7, 64);
    udp_commit(udp);
    udp_flush(udp);
    assert_next(f, 0, 64, 7);
    assert_int_equal(counter_get(&f->counters.udp_tx_errors), 2000);
    udp_free(udp);
}

/* To one peer, from the addresses of ours that it called. */
static void sends_each_from_its_source(void **state)
{
    static const char *const sources[] = {"127.0.0.3", "127.0.0.2", "127.0.0.3"};
    enum { COUNT = sizeof(sources) / sizeof(sources[0]) };
    struct fixture *f = *state;
    struct wg_endpoint self;
    struct udp *udp;
    int sockets[2] = {open_socket("0.0.0.0", &self), -1};
    assert_int_equal(udp_new(f->base, sockets, &ops, f, &f->counters, &udp), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        struct wg_endpoint to = f->peers[0];
        assert_int_equal(inet_addr_parse(sources[i], &to.local), 0);
        uint8_t *room = udp_reserve(udp, &to, 100, 0);
        assert_non_null(room);
        memset(room, (int)i, 100);
        udp_commit(udp);
    }
    udp_flush(udp);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(next_from(f, sources[i]), 100);
    udp_free(udp);
}

/* Anybody can have answers sent to port 0, which the kernel refuses: that costs others nothing. */
static void loses_what_the_kernel_refuses(void **state)
{
    struct fixture *f = *state;
    struct wg_endpoint nowhere = f->peers[1];
    nowhere.remote.in.sin_port = 0;
    set_option(f->far[0], SOL_UDP, UDP_GRO, 1);
    for (int i = 0; i < 2; i++) {
        /* As if it had called 127.0.0.1, and then as if it had not. */
        nowhere.local = (struct inet_addr){0};
        if (i == 0)
            assert_int_equal(inet_addr_parse("127.0.0.1", &nowhere.local), 0);
        for (int n = 0; n < 3; n++) {
            uint8_t *room = udp_reserve(f->udp, &nowhere, 64, 0);
            assert_non_null(room);
            memset(room, 1, 64);
            udp_commit(f->udp);
        }
        put_two(f, f->udp, NULL);
        assert_int_equal(next_from(f, "127.0.0.1"), 200);
        assert_int_equal(counter_get(&f->counters.udp_tx_errors), 3 * (i + 1));
        put_two(f, f->udp, NULL);
        assert_int_equal(next_from(f, "127.0.0.1"), 200);
    }
}

static void survives_a_source_address_that_is_gone(void **state)
{
    struct fixture *f = *state;
    struct wg_endpoint to = f->peers[0];
    to.local = (struct inet_addr){.family = AF_INET, .bytes = {192, 0, 2, 1}};
    uint8_t *room = udp_reserve(f->udp, &to, 64, 0);
    assert_non_null(room);
    memset(room, 7, 64);
    udp_commit(f->udp);
    udp_flush(f->udp);
    assert_next(f, 0, 64, 7);
}

static void receives_singles_and_merged_ones(void **state)
{
    enum { COUNT = 200 };
    struct fixture *f = *state;
    /* Our own socket as the peer: UDP_SEGMENT sends arrive merged, and are taken apart again. */
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t *room = udp_reserve(f->udp, &f->self[0], 1000, 0);
        assert_non_null(room);
        memset(room, (int)i, 1000);
        udp_commit(f->udp);
    }
    udp_flush(f->udp);
    assert_int_equal(
        sendto(f->far[0], "x", 1, 0, &f->self[0].remote.sa, sizeof(struct sockaddr_in)), 1);
    while (f->datagrams < COUNT + 1)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(f->sizes[i], 1000);
        assert_int_equal(f->first_bytes[i], (uint8_t)i);
    }
    assert_int_equal(f->sizes[COUNT], 1);
    assert_true(inet_sockaddr_equal(&f->from, &f->peers[0].remote));
    assert_true(f->batches >= 1);
}

/* Runs of equal size that differ in TOS: neither merged on their way out nor on their way in. */
static void tells_the_tos_of_each(struct fixture *f, const struct wg_endpoint *self)
{
    static const uint8_t tos[] = {0, 0, 3, 3, 3, 0x88, 1, 2, 2, 0, 3};
    enum { COUNT = sizeof(tos) / sizeof(tos[0]) };
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t *room = udp_reserve(f->udp, self, 1000, tos[i]);
        assert_non_null(room);
        memset(room, (int)i, 1000);
        udp_commit(f->udp);
    }
    udp_flush(f->udp);
    while (f->datagrams < COUNT)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(f->first_bytes[i], i);
        assert_int_equal(f->tos[i], tos[i]);
    }
}

static void tells_the_tos_of_ipv4(void **state)
{
    struct fixture *f = *state;
    tells_the_tos_of_each(f, &f->self[0]);
}

static void tells_the_traffic_class_of_ipv6(void **state)
{
    struct fixture *f = *state;
    if (!f->has_ipv6)
        skip();
    tells_the_tos_of_each(f, &f->self[1]);
}

/* Nobody is told to wait: nothing would ever say that there is memory again. */
static void loses_what_there_is_no_memory_for(void **state)
{
    struct fixture *f = *state;
    no_memory = true;
    put(f, 0, 1000, 1);
    put(f, 1, 65536, 2);
    udp_flush(f->udp);
    no_memory = false;
    assert_int_equal(counter_get(&f->counters.udp_tx_errors), 2);
    put(f, 0, 500, 3);
    udp_flush(f->udp);
    assert_next(f, 0, 500, 3);
    assert_int_equal(counter_get(&f->counters.udp_tx_errors), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sends_runs_of_every_shape, setup, teardown),
        cmocka_unit_test_setup_teardown(sends_more_than_a_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(forgets_what_was_not_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(tries_segmentation_again, setup, teardown),
        cmocka_unit_test_setup_teardown(loses_what_has_no_socket_of_the_family, setup, teardown),
        cmocka_unit_test_setup_teardown(loses_what_there_is_no_memory_for, setup, teardown),
        cmocka_unit_test_setup_teardown(runs_are_not_longer_than_the_kernel_takes, setup, teardown),
        cmocka_unit_test_setup_teardown(segments_are_not_to_blame_for_a_source_that_is_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sends_each_from_its_source, setup, teardown),
        cmocka_unit_test_setup_teardown(loses_what_the_kernel_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_a_source_address_that_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(receives_singles_and_merged_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_the_tos_of_ipv4, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_the_traffic_class_of_ipv6, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
