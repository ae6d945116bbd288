/*
 * The scoreboard: what is on the way, arrived and lost, and the rates that follow.
 */
#include "engine/stack/flight.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define LEN  1000u
#define BASE 0xfffff000u /* wraps after four segments */

static void transmit(struct flight *flight, uint32_t first, uint32_t count, uint32_t now_us)
{
    for (uint32_t i = first; i < first + count; i++) {
        assert_int_equal(flight_reserve(flight), 0);
        flight_sent(flight, BASE + i * LEN, LEN, now_us);
    }
}

static struct flight_sample ack(struct flight *flight, uint32_t next, uint32_t now_us)
{
    struct flight_sample sample;

    flight_acked(flight, BASE + next * LEN, NULL, 0, now_us, &sample);
    return sample;
}

static struct flight_sample sack(struct flight *flight, uint32_t next, uint32_t left,
                                 uint32_t right, uint32_t now_us)
{
    const struct sack_block block = {BASE + left * LEN, BASE + right * LEN};
    struct flight_sample sample;

    flight_acked(flight, BASE + next * LEN, &block, 1, now_us, &sample);
    return sample;
}

/* What is on the way, in the order of sending, and the first that is lost. */
static void check_order(struct flight *flight)
{
    const struct flight_record *previous = NULL, *first_lost = NULL;
    uint32_t pipe = 0, index;

    for (const struct flight_record *record = flight_oldest(flight); record != NULL;
         record = flight_newer(flight, record)) {
        assert_int_equal(record->marks & (FLIGHT_ARRIVED | FLIGHT_LOST), 0);
        if (previous != NULL)
            assert_false(flight_after(previous->sent_us, record->sent_us));
        previous = record;
        pipe += record->len;
    }
    assert_int_equal(flight->pipe, pipe);
    for (uint32_t i = 0; i < flight->count && first_lost == NULL; i++) {
        if ((flight_at(flight, i)->marks & FLIGHT_LOST) != 0)
            first_lost = flight_at(flight, i);
    }
    assert_ptr_equal(flight_first_lost(flight, &index), first_lost);
    if (first_lost != NULL)
        assert_ptr_equal(flight_at(flight, index), first_lost);
}

/* What waited behind a hole tells of no round trip when that is filled. */
static void test_no_round_trip_behind_a_hole(void **state)
{
    struct flight flight = {0};
    struct flight_sample sample;

    (void)state;
    transmit(&flight, 0, 6, 1000);
    assert_int_equal(sack(&flight, 0, 1, 2, 21000).rtt_us, 20000);
    transmit(&flight, 0, 1, 50000);
    sample = ack(&flight, 3, 90000);
    assert_int_equal(sample.delivered, 2 * LEN);
    assert_int_equal(sample.rtt_us, 0);
    assert_true(sample.once);
    assert_int_equal(ack(&flight, 4, 91000).rtt_us, 90000);
    transmit(&flight, 4, 1, 92000);
    assert_int_equal(sack(&flight, 5, 5, 6, 95000).rtt_us, 0);
    transmit(&flight, 6, 2, 96000);
    assert_int_equal(sack(&flight, 5, 6, 7, 99000).rtt_us, 3000);
    flight_fini(&flight);
}

/* What is known of those that have arrived in a row, from the one at index on. */
static void check_run(const struct flight *flight, uint32_t index)
{
    uint32_t place = flight_at(flight, index)->newer;

    if (place == 0)
        return;
    do {
        assert_true(++index < flight->count);
        assert_true((flight_at(flight, index)->marks & FLIGHT_ARRIVED) != 0);
    } while (flight_at(flight, index) != &flight->records[place - 1]);
}

/* What the counts must always be. */
static void check(struct flight *flight)
{
    uint32_t pipe = 0, arrived = 0, lost = 0, arrived_count = 0;

    for (uint32_t i = 0; i < flight->count; i++) {
        const struct flight_record *record = flight_at(flight, i);

        assert_true(record->len > 0);
        if (i > 0)
            assert_int_equal(record->seq, flight_end(flight_at(flight, i - 1)));
        if ((record->marks & FLIGHT_ARRIVED) != 0) {
            arrived += record->len;
            arrived_count++;
            assert_false(record->marks & FLIGHT_LOST);
            check_run(flight, i);
        } else if ((record->marks & FLIGHT_LOST) != 0) {
            lost += record->len;
        } else {
            pipe += record->len;
        }
    }
    assert_int_equal(flight->pipe, pipe);
    assert_int_equal(flight->arrived, arrived);
    assert_int_equal(flight->lost, lost);
    assert_int_equal(flight->arrived_count, arrived_count);
    check_order(flight);
}

static void test_acknowledgments(void **state)
{
    struct flight flight = {0};
    struct flight_sample sample;

    (void)state;
    transmit(&flight, 0, 10, 1000);
    assert_int_equal(flight.pipe, 10 * LEN);
    sample = ack(&flight, 3, 21000);
    assert_int_equal(sample.delivered, 3 * LEN);
    assert_int_equal(sample.prior_pipe, 10 * LEN);
    assert_int_equal(sample.rtt_us, 20000);
    check(&flight);
    /* The middle of a segment. */
    flight_acked(&flight, BASE + 3 * LEN + 400, NULL, 0, 22000, &sample);
    assert_int_equal(sample.delivered, 400);
    assert_int_equal(flight.pipe, 7 * LEN - 400);
    check(&flight);
    sample = sack(&flight, 3, 6, 8, 23000);
    assert_int_equal(sample.delivered, 2 * LEN);
    assert_int_equal(flight.arrived_count, 2);
    /* The same report again brings nothing, and one of half a segment neither. */
    assert_int_equal(sack(&flight, 3, 6, 8, 24000).delivered, 0);
    {
        const struct sack_block half = {BASE + 8 * LEN, BASE + 8 * LEN + 500};

        flight_acked(&flight, BASE + 3 * LEN, &half, 1, 24000, &sample);
        assert_int_equal(sample.delivered, 0);
    }
    check(&flight);
    sample = ack(&flight, 10, 25000);
    assert_int_equal(sample.delivered, 5 * LEN - 400);
    assert_int_equal(flight.count, 0);
    assert_int_equal(flight.delivered, 10 * LEN);
    check(&flight);
    flight_fini(&flight);
}

static void test_losses(void **state)
{
    struct flight flight = {0};
    struct flight_sample sample;

    (void)state;
    transmit(&flight, 0, 6, 0);
    sack(&flight, 0, 3, 5, 20000);
    flight_lose(&flight, flight_at(&flight, 0));
    flight_lose(&flight, flight_at(&flight, 0));
    flight_lose(&flight, flight_at(&flight, 3)); /* which has arrived */
    assert_int_equal(flight.lost, LEN);
    check(&flight);
    /* Sent again: on the way, and no sample of the round trip (Karn). */
    assert_true(flight_sent(&flight, BASE, LEN, 30000));
    assert_int_equal(flight.lost, 0);
    check(&flight);
    sample = ack(&flight, 1, 50000);
    assert_int_equal(sample.rtt_us, 0);
    assert_true(sample.resent);
    assert_false(sample.reordered);
    /* An original that comes behind later ones was reordered. */
    sample = ack(&flight, 2, 51000);
    assert_true(sample.reordered);
    /* A timeout: everything that has not arrived, but what was just sent again. */
    flight_sent(&flight, BASE + 2 * LEN, LEN, 400000);
    flight_lose_all(&flight, false, 400000);
    assert_int_equal(flight.pipe, LEN);
    assert_int_equal(flight.lost, LEN);
    assert_int_equal(flight.arrived, 2 * LEN);
    check(&flight);
    flight_lose_all(&flight, true, 900000);
    assert_int_equal(flight.arrived, 0);
    assert_int_equal(flight.lost, 4 * LEN);
    check(&flight);
    flight_fini(&flight);
}

/* Segments that lwIP has cut, extended or joined since they were sent. */
static void test_other_borders(void **state)
{
    struct flight flight = {0};

    (void)state;
    transmit(&flight, 0, 4, 0);
    flight_lose_all(&flight, false, 1);
    assert_true(flight_sent(&flight, BASE + LEN / 2, LEN, 10)); /* the end of 0, the begin of 1 */
    check(&flight);
    assert_int_equal(flight.lost, 2 * LEN);
    assert_int_equal(flight_reserve(&flight), 0);
    assert_true(flight_sent(&flight, BASE + 3 * LEN, LEN + 500, 20));
    check(&flight);
    assert_int_equal(flight.count, 5);
    assert_int_equal(flight_end(flight_at(&flight, 4)), BASE + 4 * LEN + 500);
    flight_fini(&flight);
}

static void test_false_reports(void **state)
{
    static const struct sack_block blocks[] = {
        {BASE + 5 * LEN, BASE + 20 * LEN}, /* beyond what was sent */
        {BASE + 6 * LEN, BASE + 5 * LEN},  /* backwards */
        {BASE - 9 * LEN, BASE + 1},        /* nothing whole */
        {BASE + 2 * LEN, BASE + 2 * LEN},
    };
    struct flight flight = {0};
    struct flight_sample sample;

    (void)state;
    flight_acked(&flight, BASE, blocks, 4, 0, &sample);
    assert_int_equal(sample.delivered, 0);
    transmit(&flight, 0, 10, 0);
    flight_acked(&flight, BASE, blocks, 4, 1000, &sample);
    assert_int_equal(sample.delivered, 0);
    assert_false(sample.duplicate);
    check(&flight);
    flight_fini(&flight);
}

/*
 * Blocks that grow, join and come back tell each time of what is new in them, whatever was told of
 * the rest before.
 */
static void test_growing_reports(void **state)
{
    struct flight flight = {0};
    struct flight_sample sample;

    (void)state;
    transmit(&flight, 0, 4000, 0);
    for (uint32_t i = 1; i < 1000; i++)
        assert_int_equal(sack(&flight, 0, 1, i + 1, i).delivered, LEN);
    for (uint32_t i = 2000; i < 3000; i++) {
        const struct sack_block blocks[] = {{BASE + 2000 * LEN, BASE + (i + 1) * LEN},
                                            {BASE + LEN, BASE + 1000 * LEN}};

        flight_acked(&flight, BASE, blocks, 2, i, &sample);
        assert_int_equal(sample.delivered, LEN);
    }
    check(&flight);
    /* Half a segment more, and then the other half. */
    {
        const struct sack_block half = {BASE + LEN, BASE + 1000 * LEN + LEN / 2};

        flight_acked(&flight, BASE, &half, 1, 3000, &sample);
        assert_int_equal(sample.delivered, 0);
    }
    assert_int_equal(sack(&flight, 0, 1, 1001, 3001).delivered, LEN);
    /* The hole between them; both borders move at once. */
    assert_int_equal(sack(&flight, 0, 1, 3500, 3002).delivered, (999 + 500) * LEN);
    check(&flight);
    /* What is not believed any longer is told again. */
    flight_lose_all(&flight, true, 4000);
    check(&flight);
    assert_int_equal(flight.arrived_count, 0);
    assert_int_equal(sack(&flight, 0, 1, 3500, 4001).delivered, 3499 * LEN);
    check(&flight);
    flight_fini(&flight);
}

/* Seconds for reports that say the same again, in turns from either end, of so many segments. */
static double time_of_reports(uint32_t segments)
{
    struct flight flight = {0};
    struct timespec begin, end;
    double least = 1;

    transmit(&flight, 0, segments, 1000);
    sack(&flight, 0, 1, segments, 2000);
    for (int run = 0; run < 5; run++) {
        double seconds;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
        for (int i = 0; i < 200; i++) {
            sack(&flight, 0, segments - 1, segments, 2001);
            sack(&flight, 0, 1, segments, 2001);
        }
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        seconds =
            (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
        least = seconds < least ? seconds : least;
    }
    flight_fini(&flight);
    return least;
}

/* A peer cannot make its acknowledgments dear by what it reports again. */
static void test_repeated_reports(void **state)
{
    double few = time_of_reports(300), many = time_of_reports(30000);

    (void)state;
    print_message("%.0f and %.0f ns\n", few / 400 * 1e9, many / 400 * 1e9);
    assert_true(many < 20 * few);
}

/* D-SACK (RFC 2883, 4): below the acknowledgment, or inside the second block. */
static void test_duplicates(void **state)
{
    const struct sack_block below = {BASE, BASE + LEN};
    const struct sack_block inside[] = {{BASE + 5 * LEN, BASE + 6 * LEN},
                                        {BASE + 4 * LEN, BASE + 8 * LEN}};
    const struct sack_block apart[] = {{BASE + 9 * LEN, BASE + 10 * LEN},
                                       {BASE + 4 * LEN, BASE + 8 * LEN}};
    struct flight flight = {0};
    struct flight_sample sample;

    (void)state;
    transmit(&flight, 0, 10, 0);
    flight_acked(&flight, BASE + 2 * LEN, &below, 1, 1000, &sample);
    assert_true(sample.duplicate);
    flight_acked(&flight, BASE + 2 * LEN, inside, 2, 1000, &sample);
    assert_true(sample.duplicate);
    assert_int_equal(sample.delivered, 4 * LEN);
    flight_acked(&flight, BASE + 2 * LEN, apart, 2, 1000, &sample);
    assert_false(sample.duplicate);
    flight_fini(&flight);
}

/* One segment per millisecond, acknowledged 20 ms later: 1000 bytes per millisecond. */
static void test_delivery_rate(void **state)
{
    struct flight flight = {0};
    struct flight_sample sample = {0};

    (void)state;
    for (uint32_t i = 0; i < 200; i++) {
        transmit(&flight, i, 1, i * 1000);
        if (i >= 20)
            sample = ack(&flight, i - 19, i * 1000);
        if (i > 60) {
            uint64_t bytes = flight.delivered - sample.prior_delivered;

            assert_int_equal(bytes * 1000 / sample.interval_us, LEN);
            assert_false(sample.app_limited);
        }
    }
    /* A burst of acknowledgments is not a rate: the time of sending bounds it. */
    sample = ack(&flight, 200, 205000);
    assert_true(sample.interval_us >= 19000);
    flight_app_limited(&flight);
    transmit(&flight, 200, 1, 206000);
    assert_true(ack(&flight, 201, 226000).app_limited);
    transmit(&flight, 201, 1, 230000);
    assert_false(ack(&flight, 202, 250000).app_limited);
    flight_fini(&flight);
}

/* What has arrived has not, and what is on the way has. */
static void report_otherwise(struct flight *flight, struct flight_record *record)
{
    if ((record->marks & FLIGHT_ARRIVED) != 0)
        flight_missing(flight, record);
    else if ((record->marks & FLIGHT_LOST) == 0)
        flight_arrived(flight, record);
}

/* Anything at random: the counts hold, and nothing is read that is not there. */
static void test_random(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 50; seed++) {
        struct flight flight = {0};
        uint32_t next = 0, base = 0;

        srand(seed);
        for (uint32_t now = 0; now < 4000; now++) {
            uint32_t span = next - base + 2;
            uint32_t at = base + (uint32_t)rand() % span;

            switch (rand() % 6) {
            case 0:
            case 1:
                transmit(&flight, next++, 1, now);
                break;
            case 2: /* a part of what was sent, across the borders of segments */
                if (next > base + 1) {
                    uint32_t part = base + (uint32_t)rand() % (next - base - 1);

                    assert_int_equal(flight_reserve(&flight), 0);
                    flight_sent(&flight, BASE + part * LEN + 10 * ((uint32_t)rand() % 100), LEN / 2,
                                now);
                }
                break;
            case 3:
                sack(&flight, base, at, at + (uint32_t)rand() % 5, now);
                break;
            case 4:
                if (rand() % 4 == 0 && at <= next) {
                    ack(&flight, at, now);
                    base = at;
                } else if (flight.count > 0) {
                    flight_lose(&flight, flight_at(&flight, (uint32_t)rand() % flight.count));
                }
                break;
            default:
                if (rand() % 50 == 0)
                    flight_lose_all(&flight, rand() % 2, now);
                else if (rand() % 20 == 0)
                    flight_found(&flight);
                else if (flight.count > 0)
                    report_otherwise(&flight, flight_at(&flight, (uint32_t)rand() % flight.count));
                break;
            }
            check(&flight);
        }
        flight_fini(&flight);
    }
}

/* What is too long for the path is lost, in pieces; what has arrived stays so. */
static void test_lose_long(void **state)
{
    struct flight flight = {0};

    (void)state;
    assert_int_equal(flight_lose_long(&flight, 400), 0);
    transmit(&flight, 0, 5, 1000);
    sack(&flight, 0, 2, 3, 2000);
    assert_int_equal(flight_lose_long(&flight, LEN), 0);
    assert_int_equal(flight.count, 5);
    assert_int_equal(flight.lost, 0);
    assert_int_equal(flight_lose_long(&flight, 400), 0);
    check(&flight);
    assert_int_equal(flight.count, 15);
    assert_int_equal(flight.lost, 4 * LEN);
    assert_int_equal(flight.arrived, LEN);
    assert_int_equal(flight.pipe, 0);
    for (uint32_t i = 0; i < flight.count; i++)
        assert_in_range(flight_at(&flight, i)->len, 333, 334); /* even ones */
    /* One piece is sent again: the others are still lost. */
    assert_true(flight_sent(&flight, BASE, 334, 3000));
    check(&flight);
    assert_int_equal(flight.lost, 4 * LEN - 334);
    ack(&flight, 5, 4000);
    check(&flight);
    assert_int_equal(flight.count, 0);
    flight_fini(&flight);
}

/* The longest queue at the smallest MTU: 16 MiB in pieces of at most 536 bytes. */
static void test_lose_the_longest(void **state)
{
    const uint32_t len = 1380, count = 16 * 1024 * 1024 / len;
    struct flight flight = {0};

    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(flight_reserve(&flight), 0);
        flight_sent(&flight, BASE + i * len, len, i);
    }
    assert_int_equal(flight_lose_long(&flight, 536), 0);
    check(&flight);
    assert_int_equal(flight.count, count * 3);
    assert_int_equal(flight.lost, count * len);
    for (uint32_t i = 0; i < flight.count; i++)
        assert_int_equal(flight_at(&flight, i)->len, 460);
    flight_sent(&flight, BASE, 460, count);
    flight_lose_all(&flight, true, count + 1);
    check(&flight);
    flight_fini(&flight);
}

/* More pieces than there may be: nothing changes. */
static void test_lose_long_is_bounded(void **state)
{
    struct flight flight = {0};

    (void)state;
    transmit(&flight, 0, FLIGHT_RECORDS_MAX / 2, 1000);
    assert_int_equal(flight_lose_long(&flight, 100), -ENOMEM);
    check(&flight);
    assert_int_equal(flight.lost, 0);
    assert_int_equal(flight.count, FLIGHT_RECORDS_MAX / 2);
    flight_fini(&flight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lose_long),
        cmocka_unit_test(test_lose_long_is_bounded),
        cmocka_unit_test(test_acknowledgments),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_other_borders),
        cmocka_unit_test(test_false_reports),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_delivery_rate),
        cmocka_unit_test(test_no_round_trip_behind_a_hole),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_growing_reports),
        cmocka_unit_test(test_repeated_reports),
        cmocka_unit_test(test_lose_the_longest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
