/*
 * Which segments are lost, and round trips and timeouts: tables in virtual time.
 */
#include "engine/stack/rack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define LEN 1000u
#define RTT 40000u

struct fixture {
    struct flight flight;
    struct rack rack;
    struct rtt rtt;
};

/* Ten segments, one per millisecond from 0, on a path of 40 ms. */
static void setup(struct fixture *f)
{
    *f = (struct fixture){0};
    rtt_sample(&f->rtt, RTT, 0);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(flight_reserve(&f->flight), 0);
        flight_sent(&f->flight, i * LEN, LEN, i * 1000);
    }
}

static void report(struct fixture *f, uint32_t ack, uint32_t left, uint32_t right, uint32_t now_us)
{
    const struct sack_block block = {left * LEN, right * LEN};
    struct flight_sample sample;

    flight_acked(&f->flight, ack * LEN, &block, left < right, now_us, &sample);
    if (sample.rtt_us > 0)
        rtt_sample(&f->rtt, sample.rtt_us, now_us);
    rack_update(&f->rack, &sample, &f->rtt, now_us);
}

/* A few later arrivals: a quarter of a round trip is waited for what may be on another way. */
static void test_waits_for_reordering(void **state)
{
    struct fixture f;
    uint32_t wait;

    (void)state;
    setup(&f);
    report(&f, 0, 1, 2, RTT + 1000);
    assert_int_equal(rack_detect(&f.rack, &f.flight, &f.rtt, false, RTT + 1000, &wait), 0);
    assert_int_equal(wait, RTT / 4 - 1000);
    assert_int_equal(rack_detect(&f.rack, &f.flight, &f.rtt, false, RTT + 1000 + wait, &wait), LEN);
    assert_int_equal(f.flight.lost, LEN);
    flight_fini(&f.flight);
}

/* Three later arrivals, or a recovery that is going on: at once (RFC 8985, 6.2, step 4). */
static void test_enough_arrived(void **state)
{
    struct fixture f;
    uint32_t wait;

    (void)state;
    setup(&f);
    report(&f, 0, 1, 4, RTT + 3000);
    assert_int_equal(rack_detect(&f.rack, &f.flight, &f.rtt, false, RTT + 3000, &wait), LEN);
    assert_int_equal(wait, 0);
    /* Not once reordering was seen. */
    flight_fini(&f.flight);
    setup(&f);
    rack_widen(&f.rack);
    report(&f, 0, 1, 4, RTT + 3000);
    assert_int_equal(rack_detect(&f.rack, &f.flight, &f.rtt, false, RTT + 3000, &wait), 0);
    assert_true(wait > 0);
    for (int i = 0; i < 16; i++)
        rack_recovered(&f.rack);
    assert_int_equal(f.rack.windows, 0);
    flight_fini(&f.flight);
}

/* So many segments are sent within spread_us. */
static void setup_many(struct fixture *f, uint32_t segments, uint32_t spread_us)
{
    *f = (struct fixture){0};
    rtt_sample(&f->rtt, RTT, 0);
    for (uint32_t i = 0; i < segments; i++) {
        assert_int_equal(flight_reserve(&f->flight), 0);
        flight_sent(&f->flight, i * LEN, LEN, i * spread_us / segments);
    }
}

/* Seconds for what is done per 1000 acknowledgments that bring no loss. */
static double time_of_detecting(struct fixture *f, bool recovering, uint32_t now_us, uint32_t *wait)
{
    struct timespec begin, end;
    double least = 1;

    for (int run = 0; run < 5; run++) {
        double seconds;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(rack_detect(&f->rack, &f->flight, &f->rtt, recovering, now_us, wait),
                             0);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        seconds =
            (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
        least = seconds < least ? seconds : least;
    }
    return least;
}

static double time_of_waiting(uint32_t segments)
{
    struct fixture f;
    uint32_t wait;
    double seconds;

    setup_many(&f, segments, 1000);
    report(&f, 0, segments - 1, segments, RTT + 1000);
    seconds = time_of_detecting(&f, false, RTT + 1000, &wait);
    assert_int_equal(wait, RTT / 4 - 999);
    flight_fini(&f.flight);
    return seconds;
}

/* A peer that reports the last segment only does not make its acknowledgments dear. */
static void test_many_are_waited_for(void **state)
{
    double few = time_of_waiting(1000), many = time_of_waiting(30000);

    (void)state;
    print_message("%.0f and %.0f ns\n", few * 1e6, many * 1e6);
    assert_true(many < 10 * few);
}

static double time_of_burst(uint32_t segments)
{
    struct fixture f;
    uint32_t wait;
    double seconds;

    setup_many(&f, segments, 0);
    report(&f, 1, 0, 0, RTT);
    seconds = time_of_detecting(&f, true, RTT, &wait);
    assert_int_equal(wait, 0);
    flight_fini(&f.flight);
    return seconds;
}

/* In a recovery, what was sent in one burst with what arrives is not walked through either. */
static void test_bursts(void **state)
{
    double few = time_of_burst(1000), many = time_of_burst(30000);

    (void)state;
    print_message("%.0f and %.0f ns\n", few * 1e6, many * 1e6);
    assert_true(many < 10 * few);
}

/* Each is lost when its own time is over. */
static void test_one_after_the_other(void **state)
{
    struct fixture f;
    uint32_t wait, now = RTT + 9000;

    (void)state;
    setup(&f);
    rack_widen(&f.rack);
    report(&f, 0, 9, 10, now);
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(rack_detect(&f.rack, &f.flight, &f.rtt, false, now, &wait),
                         i > 0 ? LEN : 0);
        assert_true(wait > 0);
        now += wait;
    }
    assert_int_equal(rack_detect(&f.rack, &f.flight, &f.rtt, false, now, &wait), LEN);
    assert_int_equal(wait, 0);
    assert_int_equal(now, 8000 + RTT + RTT / 4 * 2);
    flight_fini(&f.flight);
}

/* A retransmission that is lost too is found as soon as something sent later has arrived. */
static void test_lost_retransmission(void **state)
{
    struct fixture f;
    uint32_t wait, now = RTT + 3000;

    (void)state;
    setup(&f);
    report(&f, 0, 1, 4, now);
    assert_int_equal(rack_detect(&f.rack, &f.flight, &f.rtt, false, now, &wait), LEN);
    flight_sent(&f.flight, 0, LEN, now);
    report(&f, 0, 1, 10, now + 6000);
    assert_int_equal(rack_detect(&f.rack, &f.flight, &f.rtt, true, now + 6000, &wait), 0);
    assert_int_equal(flight_reserve(&f.flight), 0);
    flight_sent(&f.flight, 10 * LEN, LEN, now + 7000);
    report(&f, 0, 1, 11, now + 7000 + RTT);
    assert_int_equal(rack_detect(&f.rack, &f.flight, &f.rtt, true, now + 7000 + RTT, &wait), LEN);
    flight_fini(&f.flight);
}

/* An acknowledgment faster than any round trip was for the first transmission. */
static void test_early_acknowledgment(void **state)
{
    struct fixture f;
    uint32_t wait, now = RTT + 3000;

    (void)state;
    setup(&f);
    report(&f, 0, 1, 4, now);
    rack_detect(&f.rack, &f.flight, &f.rtt, false, now, &wait);
    flight_sent(&f.flight, 0, LEN, now);
    report(&f, 4, 0, 0, now + 1000);
    assert_int_equal(rack_detect(&f.rack, &f.flight, &f.rtt, true, now + 1000, &wait), 0);
    flight_fini(&f.flight);
}

/* RFC 6298, 2, with the bound of 200 ms above the average. */
static void test_timeouts(void **state)
{
    struct rtt rtt = {0};

    (void)state;
    assert_int_equal(rtt_timeout_us(&rtt), 0);
    rtt_sample(&rtt, 100000, 0);
    assert_int_equal(rtt.smoothed_us, 100000);
    assert_int_equal(rtt.variation_us, 50000);
    assert_int_equal(rtt_timeout_us(&rtt), 300000);
    for (uint32_t i = 0; i < 100; i++)
        rtt_sample(&rtt, 50000, i);
    assert_in_range(rtt.smoothed_us, 50000, 50010);
    assert_in_range(rtt_timeout_us(&rtt), 250000, 250010);
    rtt_sample(&rtt, 450000, 100);
    assert_in_range(rtt.smoothed_us, 99990, 100010);
    assert_in_range(rtt_timeout_us(&rtt), 499000, 501000);
    assert_int_equal(rtt.min_us, 50000);
    /* What was the shortest two windows ago is forgotten. */
    rtt_sample(&rtt, 60000, RTT_MIN_WINDOW_US + 200);
    rtt_sample(&rtt, 70000, 2 * RTT_MIN_WINDOW_US + 300);
    assert_int_equal(rtt.min_us, 60000);
    rtt_sample(&rtt, 0, 2 * RTT_MIN_WINDOW_US + 301);
    assert_int_equal(rtt.min_us, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_for_reordering), cmocka_unit_test(test_enough_arrived),
        cmocka_unit_test(test_many_are_waited_for),  cmocka_unit_test(test_bursts),
        cmocka_unit_test(test_one_after_the_other),  cmocka_unit_test(test_lost_retransmission),
        cmocka_unit_test(test_early_acknowledgment), cmocka_unit_test(test_timeouts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
