/* tai64n: the format, the rounding and the order. */
#include "tests/support/hex.h"

#include "engine/wg/tai64n.h"

static void format_and_rounding(void **state)
{
    (void)state;
    static const struct {
        struct timespec wall;
        const char *stamp;
    } cases[] = {
        {{0, 0}, "400000000000000a00000000"},
        {{1, 0xffffff}, "400000000000000b00000000"},
        {{1, 0x1000000}, "400000000000000b01000000"},
        {{1, 999999999}, "400000000000000b3b000000"},
        {{1700000000, 500000000}, "400000006553f10a1d000000"},
        {{-1, 5000000}, "400000000000000a00000000"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t stamp[TAI64N_LEN];
        tai64n_make(stamp, &cases[i].wall);
        assert_hex(stamp, sizeof(stamp), cases[i].stamp);
    }
}

static void order(void **state)
{
    (void)state;
    uint8_t a[TAI64N_LEN];
    uint8_t b[TAI64N_LEN];
    const struct timespec first = {255, 900000000};
    const struct timespec second = {256, 0};
    tai64n_make(a, &first);
    tai64n_make(b, &second);
    assert_true(tai64n_after(b, a));
    assert_false(tai64n_after(a, b));
    assert_false(tai64n_after(a, a));
}

static void advancing_is_always_later_and_carries(void **state)
{
    (void)state;
    uint8_t stamp[TAI64N_LEN];
    uint8_t last[TAI64N_LEN];
    const struct timespec wall = {100, 0};
    const struct timespec later = {102, 0};
    uint8_t end[TAI64N_LEN];
    unsigned steps = 0;
    tai64n_make(stamp, &wall);
    tai64n_make(end, &later);
    while (!tai64n_after(stamp, end)) {
        memcpy(last, stamp, sizeof(last));
        tai64n_advance(stamp);
        assert_true(tai64n_after(stamp, last));
        assert_int_equal(stamp[9] | stamp[10] | stamp[11], 0);
        assert_true(stamp[8] <= 0x3b); /* below 10^9 */
        steps++;
    }
    assert_in_range(steps, 119, 122);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_and_rounding),
        cmocka_unit_test(order),
        cmocka_unit_test(advancing_is_always_later_and_carries),
    };
    return cmocka_run_group_tests_name("tai64n", tests, NULL, NULL);
}
