/* sighting: what of an earlier run is gone by. */
#include "server/sighting.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define NOW      (UINT64_C(1700000000) * NS_PER_S)

/* TAI64N of so many seconds from now. */
static void make_timestamp(struct sighting *sighting, int64_t seconds)
{
    const uint64_t label = UINT64_C(0x400000000000000a) + (uint64_t)(1700000000 + seconds);
    for (int i = 0; i < 8; i++)
        sighting->timestamp[i] = (uint8_t)(label >> (56 - 8 * i));
}

static struct sighting make(uint64_t heard_seconds_ago)
{
    struct inet_addr address = {.family = AF_INET, .bytes = {192, 0, 2, 7}};
    struct sighting sighting = {.heard_unix_ns = NOW - heard_seconds_ago * NS_PER_S};
    inet_sockaddr_make(&sighting.endpoint, &address, 51820);
    make_timestamp(&sighting, -(int64_t)heard_seconds_ago);
    return sighting;
}

static void test_endpoint(void **state)
{
    (void)state;
    static const struct {
        uint64_t ago;
        bool is_defined, kept;
    } rows[] = {{10, true, true},
                {179, true, true},
                {180, true, false},
                {180, false, true},
                {86400 * 365, false, true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct sighting before = make(rows[i].ago);
        struct sighting after = before;
        sighting_filter(&after, rows[i].is_defined, NOW);
        assert_int_equal(after.endpoint.sa.sa_family != AF_UNSPEC, rows[i].kept);
        assert_memory_equal(after.timestamp, before.timestamp, sizeof(after.timestamp));
    }
}

/* A handshake of the future tells nothing of how long ago it was; a clock is corrected a little. */
static void test_clock_that_went_back(void **state)
{
    (void)state;
    static const struct {
        uint64_t now;
        bool kept;
    } rows[] = {{NOW - 179 * NS_PER_S, true}, {NOW - 180 * NS_PER_S, false}, {NS_PER_S, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sighting sighting = make(0);
        sighting_filter(&sighting, true, rows[i].now);
        assert_int_equal(sighting.endpoint.sa.sa_family != AF_UNSPEC, rows[i].kept);
    }
}

/* A clock that was wrong must not lock a peer out for good. */
static void test_timestamp(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        bool kept;
    } rows[] = {{-86400, true}, {0, true}, {3600, true}, {3601, false}, {86400 * 365, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sighting sighting = make(10);
        make_timestamp(&sighting, rows[i].seconds);
        sighting_filter(&sighting, false, NOW);
        assert_int_equal(sighting.timestamp[0] != 0, rows[i].kept);
    }
}

static void test_reading(void **state)
{
    (void)state;
    struct counters_peer counters = {0};
    struct sighting read;
    sighting_read(&read, NULL);
    assert_true(sighting_is_empty(&read));
    sighting_read(&read, &counters);
    assert_true(sighting_is_empty(&read) && read.endpoint.sa.sa_family == AF_UNSPEC);
    const struct sighting written = make(10);
    counters_set_endpoint(&counters, &written.endpoint);
    sighting_read(&read, &counters);
    assert_true(sighting_is_empty(&read)); /* nobody was there */
    counters_set_timestamp(&counters, written.timestamp);
    counter_set(&counters.last_handshake_unix_ns, written.heard_unix_ns);
    sighting_read(&read, &counters);
    assert_true(sighting_equal(&read, &written));
    assert_false(sighting_is_empty(&read));
    for (int i = 0; i < 3; i++) {
        struct sighting other = written;
        other.heard_unix_ns += i == 0;
        other.timestamp[11] ^= i == 1;
        other.endpoint.in.sin_port ^= i == 2;
        assert_false(sighting_equal(&read, &other));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoint),
        cmocka_unit_test(test_clock_that_went_back),
        cmocka_unit_test(test_timestamp),
        cmocka_unit_test(test_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
