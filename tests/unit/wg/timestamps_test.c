/* timestamps: each is later than the last, whatever the clock does, and none beyond the bound. */
#include "engine/wg/timestamps.h"

#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <string.h>

#define S UINT64_C(1000000000)

struct fixture {
    struct timestamps timestamps;
    uint8_t last[TAI64N_LEN]; /* of one peer */
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    timestamps_init(&f.timestamps);
    *state = &f;
    return 0;
}

/* The next timestamp at this second; 0 = it was refused. */
static uint64_t next_at(struct fixture *f, time_t second)
{
    const struct timespec wall = {.tv_sec = second};
    uint8_t before[TAI64N_LEN];
    memcpy(before, f->last, sizeof(before));
    int error = timestamps_next(&f->timestamps, &wall, f->last);
    if (error) {
        assert_int_equal(error, -EAGAIN);
        assert_memory_equal(f->last, before, sizeof(before));
        return 0;
    }
    assert_true(tai64n_after(f->last, before));
    return tai64n_unix_ns(f->last);
}

static void the_clock_is_followed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(next_at(f, 100), 100 * S);
    assert_int_equal(next_at(f, 2000000000), 2000000000 * S);
}

static void a_clock_that_stands_or_goes_back_is_not(void **state)
{
    struct fixture *f = *state;
    next_at(f, 100);
    assert_in_range(next_at(f, 100), 100 * S + 1, 100 * S + S / 50);
    assert_in_range(next_at(f, 7), 100 * S + 2, 100 * S + S / 25);
}

static void all_are_later_than_what_came_before_a_restart(void **state)
{
    struct fixture *f = *state;
    timestamps_limit(&f->timestamps, 500 * S + 7, 510 * S);
    assert_in_range(next_at(f, 100), 500 * S + 8, 500 * S + S / 50);
    assert_in_range(next_at(f, 100), 500 * S + 8, 500 * S + S / 25);
    assert_int_equal(next_at(f, 505), 505 * S);
}

static void none_is_beyond_the_bound(void **state)
{
    struct fixture *f = *state;
    timestamps_limit(&f->timestamps, 0, 110 * S);
    assert_int_equal(next_at(f, 110), 110 * S);
    assert_int_equal(next_at(f, 110), 0);
    assert_int_equal(next_at(f, 5000), 0);
    timestamps_limit(&f->timestamps, 0, 120 * S); /* it is moved: the peer goes on */
    assert_in_range(next_at(f, 5000), 110 * S + 1, 110 * S + S / 50);
    assert_int_equal(next_at(f, 115), 115 * S);
}

static void a_jump_beyond_the_bound_is_not_followed_at_once(void **state)
{
    struct fixture *f = *state;
    timestamps_limit(&f->timestamps, 0, 200 * S);
    next_at(f, 100);
    for (unsigned i = 0; i < 1000; i++) /* over an hour of initiations to one peer */
        assert_in_range(next_at(f, 1000000), 100 * S + 1, 120 * S);
    assert_int_equal(next_at(f, 150), 150 * S);
}

static void each_peer_has_its_own(void **state)
{
    struct fixture *f = *state;
    uint8_t other[TAI64N_LEN] = {0};
    const struct timespec wall = {.tv_sec = 100};
    next_at(f, 5000);
    assert_int_equal(timestamps_next(&f->timestamps, &wall, other), 0);
    assert_int_equal(tai64n_unix_ns(other), 100 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_clock_is_followed, setup),
        cmocka_unit_test_setup(a_clock_that_stands_or_goes_back_is_not, setup),
        cmocka_unit_test_setup(all_are_later_than_what_came_before_a_restart, setup),
        cmocka_unit_test_setup(none_is_beyond_the_bound, setup),
        cmocka_unit_test_setup(a_jump_beyond_the_bound_is_not_followed_at_once, setup),
        cmocka_unit_test_setup(each_peer_has_its_own, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
