/*
 * Pacing: the rate is kept, bursts are bounded, and silence is not saved up.
 */
#include "engine/stack/pacing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MSS 1400u
#define MS  UINT64_C(1000000)

/* Bytes sent in a second at this rate, with timers that are late by up to late_ns. */
static uint64_t run(uint64_t rate, uint64_t late_ns, uint32_t *burst_max)
{
    struct pacing pacing = {0};
    uint64_t now = 1000000 * MS, end = now + 1000 * MS, sent = 0;

    *burst_max = 0;
    for (unsigned i = 0; now < end; i++) {
        uint32_t allowance = pacing_allowance(&pacing, rate, MSS, now);

        if (allowance > *burst_max)
            *burst_max = allowance;
        for (; allowance >= MSS; allowance -= MSS) {
            pacing_sent(&pacing, rate, MSS, now);
            sent += MSS;
        }
        if (pacing.next_ns > now)
            now = pacing.next_ns + (i % 3) * late_ns / 2;
    }
    return sent;
}

static void test_rates(void **state)
{
    const uint64_t rates[] = {20000, 250000, 2500000, 12500000, 125000000};
    const uint64_t late[] = {0, MS / 2, 2 * MS};

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        for (size_t j = 0; j < sizeof(late) / sizeof(late[0]); j++) {
            uint32_t burst;
            uint64_t sent = run(rates[i], late[j], &burst);

            assert_in_range(sent, rates[i] * 90 / 100, rates[i] * 102 / 100 + 10 * MSS);
            assert_true(burst <= rates[i] * 5 / 1000 + 2 * MSS);
        }
    }
}

static void test_silence(void **state)
{
    struct pacing pacing = {0};
    uint64_t now = 1000000 * MS;

    (void)state;
    pacing_sent(&pacing, 1000000, 1000, now);
    now += 10000 * MS;
    /* 5 ms at one byte per microsecond, in whole segments. */
    assert_int_equal(pacing_allowance(&pacing, 1000000, MSS, now), 4 * MSS);
    pacing_sent(&pacing, 1000000, 5000, now);
    assert_true(pacing.next_ns > now);
    assert_int_equal(pacing_allowance(&pacing, 1000000, MSS, now), 0);
}

/* Else the sender, which waits for next_ns, would wait for an acknowledgment. */
static void test_the_next_burst_is_in_the_future(void **state)
{
    const uint64_t now = UINT64_C(1000000000000);

    (void)state;
    for (uint64_t rate = 100000; rate < 2000000000; rate += 77777 + rate / 100) {
        for (uint64_t late = 0; late < 2 * PACING_CATCH_UP_NS; late += 100000) {
            struct pacing pacing = {.next_ns = now - late};
            uint32_t len = pacing_allowance(&pacing, rate, MSS, now) / MSS * MSS;

            pacing_sent(&pacing, rate, len, now);
            if (pacing.next_ns <= now)
                fail_msg("%u bytes at %u bytes/s", (unsigned)len, (unsigned)rate);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_next_burst_is_in_the_future),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
