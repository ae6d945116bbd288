/* counters: one segment, mapped twice, as control and a worker do. */
#include "engine/counters.h"

#include "engine/inet.h"

#include "tests/support/cmocka_all.h"

#include <fcntl.h>
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
    } endpoints[] = {{"192.0.2.7", 51820}, {"2001:db8::1:2", 65535}, {"127.0.0.1", 1}};
    struct counters_peer peer = {0};
    union inet_sockaddr written, read;
    assert_false(counters_get_endpoint(&peer, &read));
    for (size_t i = 0; i < 3; i++) {
        struct inet_addr address;
        assert_int_equal(inet_addr_parse(endpoints[i].address, &address), 0);
        inet_sockaddr_make(&written, &address, endpoints[i].port);
        counters_set_endpoint(&peer, &written);
        uint64_t version = counter_get(&peer.seen_version);
        counters_set_endpoint(&peer, &written); /* nothing new */
        assert_int_equal(counter_get(&peer.seen_version), version);
        assert_true(counters_get_endpoint(&peer, &read));
        assert_true(inet_sockaddr_equal(&written, &read));
    }
    /* A writer that died in the middle is not waited for, and the next one repairs it. */
    counter_add(&peer.seen_version, 1);
    assert_false(counters_get_endpoint(&peer, &read));
    counters_set_endpoint(&peer, &written);
    assert_true(counters_get_endpoint(&peer, &read));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timestamp_is_beside_the_endpoint),
        cmocka_unit_test(is_shared_and_starts_at_zero),
        cmocka_unit_test(an_endpoint_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
