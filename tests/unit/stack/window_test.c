/*
 * How far a receive window opens: as far as the path can use, in no more than its share, and not
 * for a reader that does not keep up.
 */
#include "engine/stack/window.h"

#include "tests/support/cmocka_all.h"

#include <lwip/tcp.h>

#define MILLISECOND UINT64_C(1000000)
#define KIB         1024u

static const struct tcp_pcb scaled = {.flags = TF_WND_SCALE};

/* So many bytes each round trip, in ten reads; returns the window that comes of it. */
static uint64_t stream(struct window *window, const struct tcp_pcb *pcb, size_t per_round,
                       uint32_t rtt_us, size_t pending, unsigned rounds)
{
    bool limited = false;

    for (uint64_t i = 0; i < UINT64_C(10) * rounds; i++) {
        const struct window_read read = {
            .taken = per_round / 10,
            .pending = pending,
            .now = i * rtt_us * 100,
            .rtt_us = rtt_us,
        };

        assert_true(window_take(window, pcb, &read, &limited) >= read.taken);
    }
    return (uint64_t)WINDOW_INITIAL + window->grown;
}

static void test_follows_the_path(void **state)
{
    const struct {
        size_t per_round;
        uint32_t rtt_us;
        uint64_t least, most;
    } rows[] = {
        {10 * KIB, 50000, WINDOW_INITIAL, WINDOW_INITIAL},
        {1024 * KIB, 50000, 3 * 1024 * KIB, 4 * 1024 * KIB}, /* 168 Mbit/s */
        {6000 * KIB, 50000, TCP_WND - KIB, TCP_WND},
        {100 * KIB, 100, 3 * 1024 * KIB, 4 * 1024 * KIB}, /* as in a millisecond */
        {10 * KIB, 100, 3 * 100 * KIB, 4 * 100 * KIB},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct window window = {0};
        uint64_t size = stream(&window, &scaled, rows[i].per_round, rows[i].rtt_us, 0, 20);

        assert_in_range(size, rows[i].least, rows[i].most);
        window_close(&window);
        assert_int_equal(window.grown, 0);
    }
}

/* A window that is used up in each round trip opens fourfold: it is never behind slow start. */
static void test_keeps_ahead(void **state)
{
    struct window window = {0};
    bool limited = false;
    uint64_t now = 0;

    (void)state;
    for (size_t flight = 16 * KIB; flight < 4096 * KIB; flight *= 2) {
        const struct window_read read = {.taken = flight, .now = now, .rtt_us = 50000};

        window_take(&window, &scaled, &read, &limited);
        assert_true(WINDOW_INITIAL + window.grown >= 4 * flight);
        now += 50 * MILLISECOND;
    }
    window_close(&window);
}

static void test_does_not_grow(void **state)
{
    const struct tcp_pcb unscaled = {0};
    struct window window = {0};

    (void)state;
    assert_int_equal(stream(&window, &scaled, 1024 * KIB, 50000, 1, 20), WINDOW_INITIAL);
    assert_int_equal(stream(&window, &unscaled, 1024 * KIB, 50000, 0, 20), WINDOW_INITIAL);
}

#define CONNECTIONS 1000

/* All of them fast: the sum is bounded, and whoever comes last is told so. */
static void test_shares(void **state)
{
    static struct window windows[CONNECTIONS];
    uint64_t grown = 0;
    bool limited = false;

    (void)state;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        const struct window_read read = {.taken = 8192 * KIB, .now = 1, .rtt_us = 50000};

        window_take(&windows[i], &scaled, &read, &limited);
        grown += windows[i].grown;
    }
    assert_true(limited);
    assert_true(grown <= WINDOW_GROWTH_MAX);
    assert_true(grown > WINDOW_GROWTH_MAX / 10 * 9);
    for (size_t i = 0; i < CONNECTIONS; i++)
        window_close(&windows[i]);
}

/* When shares are small already, who wants less than its own is not held back, and not counted. */
static void test_less_than_a_share(void **state)
{
    const struct window_read much = {.taken = 8192 * KIB, .now = 1, .rtt_us = 50000};
    const struct window_read some = {.taken = 20 * KIB, .now = 1, .rtt_us = 50000};
    static struct window windows[100];
    struct window slow = {0};
    bool limited = false;

    (void)state;
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
        window_take(&windows[i], &scaled, &much, &limited);
    assert_true(limited);
    limited = false;
    window_take(&slow, &scaled, &some, &limited);
    assert_int_equal(WINDOW_INITIAL + slow.grown, 80 * KIB);
    assert_false(limited);
    window_close(&slow);
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
        window_close(&windows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows_the_path),  cmocka_unit_test(test_keeps_ahead),
        cmocka_unit_test(test_does_not_grow),     cmocka_unit_test(test_shares),
        cmocka_unit_test(test_less_than_a_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
