/* counters: one segment, mapped twice, as control and a worker do. */
#include "engine/counters.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_shared_and_starts_at_zero)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
