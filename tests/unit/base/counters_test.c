/* counters: one segment, mapped twice, as control and a worker do. */
#include "base/counters.h"

#include "base/inet.h"

#include "tests/support/cmocka_all.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void is_shared_and_starts_at_zero(void **state)
{
    (void)state;
    int fd = counters_create();
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    struct counters *writer = counters_map(fd), *reader = counters_map(fd);
    assert_non_null(writer);
    assert_non_null(reader);
    assert_ptr_not_equal(writer, reader);

    counter *last = &writer->forwards[COUNTERS_FORWARDS_MAX - 1].bytes_out;
    const counter *seen = &reader->forwards[COUNTERS_FORWARDS_MAX - 1].bytes_out;
    assert_int_equal(counter_get(seen), 0);
    counter_add(last, UINT64_C(1) << 40);
    counter_add(last, 2);
    assert_int_equal(counter_get(seen), (UINT64_C(1) << 40) + 2);
    counter_add(last, (uint64_t)-1); /* a gauge that goes down */
    assert_int_equal(counter_get(seen), (UINT64_C(1) << 40) + 1);
    counter_set(last, 0);
    assert_int_equal(counter_get(seen), 0);

    /* It outlives one mapping, as the counters outlive a worker. */
    counter_set(&writer->tunnels[0].handshakes, 5);
    counters_unmap(writer);
    writer = counters_map(fd);
    assert_int_equal(counter_get(&writer->tunnels[0].handshakes), 5);
    counters_unmap(writer);
    counters_unmap(reader);
    counters_unmap(NULL);
    close(fd);
}

static void an_endpoint_is_read_as_it_was_written(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        uint16_t port;
        uint32_t zone;
    } endpoints[] = {{"192.0.2.7", 51820, 0},
                     {"2001:db8::1:2", 65535, 0},
                     {"fe80::1", 1, 4000000000},
                     {"127.0.0.1", 1, 0}};
    struct counters_peer peer = {0};
    union inet_sockaddr written, read;
    assert_false(counters_get_endpoint(&peer, &read));
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
        struct inet_addr address;
        assert_int_equal(inet_addr_parse(endpoints[i].address, &address), 0);
        inet_sockaddr_make(&written, &address, endpoints[i].port);
        if (address.family == AF_INET6)
            written.in6.sin6_scope_id = endpoints[i].zone;
        counters_set_endpoint(&peer, &written);
        uint64_t version = counter_get(&peer.seen_version);
        counters_set_endpoint(&peer, &written); /* nothing new */
        assert_int_equal(counter_get(&peer.seen_version), version);
        assert_true(counters_get_endpoint(&peer, &read));
        assert_true(inet_sockaddr_equal(&written, &read));
    }
    written = (union inet_sockaddr){.sa.sa_family = AF_UNSPEC};
    counters_set_endpoint(&peer, &written);
    assert_false(counters_get_endpoint(&peer, &read));
}

static void a_timestamp_is_beside_the_endpoint(void **state)
{
    (void)state;
    static const uint8_t newest[COUNTERS_TIMESTAMP_LEN] = {0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    uint8_t read[COUNTERS_TIMESTAMP_LEN];
    struct counters_peer peer = {0};
    struct inet_addr address = {.family = AF_INET, .bytes = {192, 0, 2, 7}};
    union inet_sockaddr written, endpoint;
    assert_false(counters_get_timestamp(&peer, read));
    inet_sockaddr_make(&written, &address, 51820);
    counters_set_endpoint(&peer, &written);
    assert_false(counters_get_timestamp(&peer, read));
    counters_set_timestamp(&peer, newest);
    assert_true(counters_get_timestamp(&peer, read));
    assert_memory_equal(read, newest, sizeof(newest));
    assert_true(counters_get_endpoint(&peer, &endpoint));
    assert_true(inet_sockaddr_equal(&written, &endpoint));
}

/* One of two values whose bytes are all the same, so that a mixture of both is known as such. */
static void write_value(struct counters_peer *peer, uint8_t value)
{
    uint8_t timestamp[COUNTERS_TIMESTAMP_LEN];
    struct inet_addr address = {.family = AF_INET6};
    union inet_sockaddr endpoint;
    memset(timestamp, value, sizeof(timestamp));
    memset(address.bytes, value, sizeof(address.bytes));
    inet_sockaddr_make(&endpoint, &address, (uint16_t)(value << 8 | value));
    counters_set_endpoint(peer, &endpoint);
    counters_set_timestamp(peer, timestamp);
}

static void assert_whole(const struct counters_peer *peer)
{
    uint8_t timestamp[COUNTERS_TIMESTAMP_LEN];
    uint8_t same[16];
    union inet_sockaddr endpoint;
    assert_true(counters_get_endpoint(peer, &endpoint));
    const uint8_t *bytes = endpoint.in6.sin6_addr.s6_addr;
    memset(same, bytes[0], sizeof(same));
    assert_true(bytes[0] == 1 || bytes[0] == 2);
    assert_memory_equal(bytes, same, sizeof(same));
    assert_int_equal(endpoint.in6.sin6_port, bytes[0] << 8 | bytes[0]);
    assert_true(counters_get_timestamp(peer, timestamp));
    memset(same, timestamp[0], sizeof(same));
    assert_memory_equal(timestamp, same, sizeof(timestamp));
}

_Noreturn static void write_for_ever(struct counters_peer *peer)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (uint8_t value = 1;; value ^= 3)
        write_value(peer, value);
}

/* Wherever it was: what it had written before is read, and the next one goes on from there. */
static void a_writer_that_is_killed_leaves_a_whole_value(void **state)
{
    (void)state;
    int fd = counters_create();
    struct counters *counters = counters_map(fd);
    assert_non_null(counters);
    struct counters_peer *peer = &counters->peers[0];
    write_value(peer, 1);
    for (int round = 0; round < 200; round++) {
        const uint64_t before = counter_get(&peer->seen_version);
        pid_t writer = fork();
        assert_true(writer >= 0);
        if (writer == 0)
            write_for_ever(peer);
        while (counter_get(&peer->seen_version) < before + 100 + (uint64_t)round)
            sched_yield();
        kill(writer, SIGKILL);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        assert_whole(peer);
    }
    counters_unmap(counters);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timestamp_is_beside_the_endpoint),
        cmocka_unit_test(a_writer_that_is_killed_leaves_a_whole_value),
        cmocka_unit_test(is_shared_and_starts_at_zero),
        cmocka_unit_test(an_endpoint_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
