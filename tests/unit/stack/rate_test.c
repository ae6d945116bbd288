/*
 * The token bucket.
 */
#include "engine/stack/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static unsigned take_all(struct rate *rate, uint64_t now)
{
    unsigned count = 0;

    while (rate_take(rate, now))
        count++;
    return count;
}

static void test_burst_and_refill(void **state)
{
    struct rate rate;

    (void)state;
    rate_init(&rate, 100);
    assert_int_equal(take_all(&rate, 5 * SECOND), 100);
    assert_int_equal(take_all(&rate, 5 * SECOND + SECOND / 100 - 1), 0);
    assert_int_equal(take_all(&rate, 5 * SECOND + SECOND / 100), 1);
    assert_int_equal(take_all(&rate, 6 * SECOND), 99);
    /* It does not fill beyond its size. */
    assert_int_equal(take_all(&rate, 1000 * SECOND), 100);
}

static void test_from_zero(void **state)
{
    struct rate rate;

    (void)state;
    rate_init(&rate, 3);
    assert_int_equal(take_all(&rate, 0), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_and_refill),
        cmocka_unit_test(test_from_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
