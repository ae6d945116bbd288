/* path: what it does to datagrams, in virtual time. */
#include "tests/support/cmocka_all.h"

#include "tests/relay/path.h"

#include <stdlib.h>
#include <string.h>

#define MS     UINT64_C(1000000)
#define LEN    1000
#define MANY   20000
#define NEARLY 0.1 /* of what is expected, with MANY datagrams */

static int setup(void **state)
{
    static struct path path;
    path_init(&path, 7);
    *state = &path;
    return 0;
}

static int teardown(void **state)
{
    path_fini(*state);
    return 0;
}

/* Offers a datagram that carries its number. */
static void offer(struct path *path, uint64_t now, uint32_t number)
{
    uint8_t data[LEN] = {4};
    memcpy(data + 4, &number, sizeof(number));
    path_offer(path, now, 0, data, sizeof(data));
}

/* The number of the next datagram that has arrived by now, or -1. */
static int64_t take(struct path *path, uint64_t now)
{
    struct parcel *parcel = path_take(path, now);
    uint32_t number;
    if (!parcel)
        return -1;
    assert_true(parcel->len >= 4 + sizeof(number));
    memcpy(&number, parcel->data + 4, sizeof(number));
    free(parcel);
    return number;
}

static void assert_about(uint64_t count, double expected)
{
    assert_true((double)count > expected * (1 - NEARLY));
    assert_true((double)count < expected * (1 + NEARLY));
}

static void without_settings_it_is_a_wire(void **state)
{
    struct path *path = *state;
    assert_int_equal(path_deadline(path), PATH_NEVER);
    for (uint32_t i = 0; i < 100; i++)
        offer(path, 5 * MS, i);
    assert_int_equal(path_deadline(path), 5 * MS);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(take(path, 6 * MS), i);
    assert_int_equal(take(path, 6 * MS), -1);
    assert_int_equal(path->counters[PATH_FORWARDED], 100);
}

static void a_delay_keeps_the_order(void **state)
{
    struct path *path = *state;
    path->settings.delay = 0.025;
    offer(path, 0, 1);
    offer(path, 0, 2);
    offer(path, 10 * MS, 3);
    assert_int_equal(path_deadline(path), 25 * MS);
    assert_int_equal(take(path, 25 * MS - 1), -1);
    assert_int_equal(take(path, 26 * MS), 1);
    assert_int_equal(take(path, 26 * MS), 2);
    assert_int_equal(take(path, 26 * MS), -1);
    assert_int_equal(take(path, 35 * MS), 3);
}

static void jitter_reorders(void **state)
{
    struct path *path = *state;
    unsigned early = 0;
    path->settings.jitter = 0.010;
    for (uint32_t i = 0; i < 1000; i++)
        offer(path, i * MS, i);
    for (int64_t number, last = -1; (number = take(path, 2000 * MS)) >= 0; last = number)
        early += number < last;
    assert_true(early > 100);
    assert_int_equal(path->counters[PATH_FORWARDED], 1000);
}

static void losses_are_as_many_as_asked_for(void **state)
{
    struct path *path = *state;
    path->settings.loss = 0.03;
    for (uint32_t i = 0; i < MANY; i++) {
        offer(path, 0, i);
        take(path, MS);
    }
    assert_about(path->counters[PATH_LOST], 0.03 * MANY);
    assert_int_equal(path->counters[PATH_LOST] + path->counters[PATH_FORWARDED], MANY);
}

static void bursts_are_as_long_and_as_many_as_asked_for(void **state)
{
    struct path *path = *state;
    unsigned bursts = 0;
    bool before = false;
    path->settings.loss = 0.05;
    path->settings.burst = 4;
    for (uint32_t i = 0; i < 4 * MANY; i++) {
        offer(path, 0, i);
        const bool lost = take(path, MS) < 0;
        bursts += lost && !before;
        before = lost;
    }
    assert_about(path->counters[PATH_LOST], 0.05 * 4 * MANY);
    assert_about(bursts, 0.05 * MANY);
}

static void a_bottleneck_has_a_rate_and_a_queue(void **state)
{
    struct path *path = *state;
    path->settings.rate = 8e6; /* a datagram per millisecond */
    path->settings.queue = 10 * LEN;
    for (uint32_t i = 0; i < 20; i++)
        offer(path, 0, i);
    assert_int_equal(path->counters[PATH_OVERFLOWED], 10);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(path_deadline(path), (i + 1) * MS);
        assert_int_equal(take(path, (i + 1) * MS), i);
    }
    offer(path, 10 * MS, 20);
    assert_int_equal(path_deadline(path), 11 * MS);
}

static void a_datagram_is_changed_in_one_bit(void **state)
{
    struct path *path = *state;
    const uint8_t zeros[LEN] = {0};
    path->settings.corrupt = 1;
    path_offer(path, 0, 0, zeros, sizeof(zeros));
    path_offer(path, 0, 0, zeros, 0);
    struct parcel *parcel = path_take(path, MS);
    unsigned bits = 0;
    assert_non_null(parcel);
    for (size_t i = 0; i < parcel->len; i++)
        bits += (unsigned)__builtin_popcount(parcel->data[i]);
    assert_int_equal(parcel->len, LEN);
    assert_int_equal(bits, 1);
    free(parcel);
    free(path_take(path, MS));
    assert_int_equal(path->counters[PATH_CORRUPTED], 1);
    assert_int_equal(path->counters[PATH_FORWARDED], 2);
}

static void a_datagram_is_cut_short(void **state)
{
    struct path *path = *state;
    path->settings.truncate = 1;
    offer(path, 0, 1);
    struct parcel *parcel = path_take(path, MS);
    assert_non_null(parcel);
    assert_true(parcel->len < LEN);
    free(parcel);
    assert_int_equal(path->counters[PATH_TRUNCATED], 1);
}

static void datagrams_come_twice(void **state)
{
    struct path *path = *state;
    path->settings.duplicate = 1;
    offer(path, 0, 1);
    assert_int_equal(take(path, MS), 1);
    assert_int_equal(take(path, MS), 1);
    assert_int_equal(take(path, MS), -1);
}

static void older_datagrams_come_again(void **state)
{
    struct path *path = *state;
    unsigned older = 0;
    for (uint32_t i = 0; i < 100; i++) {
        offer(path, 0, i);
        take(path, MS);
    }
    path->settings.replay = 1;
    for (uint32_t i = 100; i < 200; i++) {
        offer(path, 0, i);
        assert_int_equal(take(path, MS), i);
        const int64_t again = take(path, MS);
        assert_true(again > (int64_t)i - CAPTURE_DATAGRAMS && again <= i);
        older += again < i;
    }
    assert_true(older > 50);
    assert_int_equal(path->counters[PATH_REPLAYED], 100);
}

static void what_is_held_leaves_in_order_when_it_may(void **state)
{
    struct path *path = *state;
    path->settings.hold = 1;
    offer(path, 0, 1);
    offer(path, MS, 2);
    assert_int_equal(path_deadline(path), PATH_NEVER);
    assert_int_equal(take(path, 1000 * MS), -1);
    path->settings.hold = 0;
    assert_int_equal(take(path, 1000 * MS), 1);
    assert_int_equal(take(path, 1000 * MS), 2);
}

static void what_is_on_the_way_is_bounded(void **state)
{
    struct path *path = *state;
    path->settings.hold = 1;
    for (uint32_t i = 0; i < PATH_PARCELS_MAX + 10; i++)
        path_offer(path, 0, 0, (const uint8_t[]){4}, 1);
    assert_int_equal(path->parcels.count, PATH_PARCELS_MAX);
    assert_int_equal(path->counters[PATH_OVERFLOWED], 10);
}

static void a_seed_determines_everything(void **state)
{
    struct path *path = *state;
    struct path *other = calloc(1, sizeof(*other));
    assert_non_null(other);
    path_init(other, 7);
    other->settings = path->settings = (struct path_settings){
        .jitter = 0.1, .loss = 0.1, .duplicate = 0.1, .corrupt = 0.1, .replay = 0.1};
    for (uint32_t i = 0; i < 1000; i++) {
        offer(path, i * MS, i);
        offer(other, i * MS, i);
    }
    struct parcel *a;
    struct parcel *b;
    while ((a = path_take(path, 10000 * MS))) {
        b = path_take(other, 10000 * MS);
        assert_non_null(b);
        assert_int_equal(a->len, b->len);
        assert_memory_equal(a->data, b->data, a->len);
        free(a);
        free(b);
    }
    assert_null(path_take(other, 10000 * MS));
    path_fini(other);
    free(other);
}

static void a_handshake_is_not_displaced_by_data(void **state)
{
    struct path *path = *state;
    path_offer(path, 0, 0, (const uint8_t[]){1, 42}, 2);
    path_offer(path, 0, 0, (const uint8_t[]){77, 43}, 2);
    path_offer(path, 0, 0, (const uint8_t[]){0}, 0);
    for (uint32_t i = 0; i < 1000; i++)
        offer(path, 0, i);
    assert_int_equal(capture_count(&path->capture, 4), CAPTURE_DATAGRAMS);
    assert_int_equal(capture_count(&path->capture, 1), 1);
    assert_int_equal(capture_at(&path->capture, 1, 0)->data[1], 42);
    assert_int_equal(capture_count(&path->capture, 0), 2);
    assert_int_equal(capture_at(&path->capture, 0, 0)->data[1], 43);
    assert_int_equal(capture_at(&path->capture, 0, 1)->len, 0);
    uint32_t oldest;
    memcpy(&oldest, capture_at(&path->capture, 4, 0)->data + 4, sizeof(oldest));
    assert_int_equal(oldest, 1000 - CAPTURE_DATAGRAMS);
}

#define path_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        path_test(without_settings_it_is_a_wire),
        path_test(a_delay_keeps_the_order),
        path_test(jitter_reorders),
        path_test(losses_are_as_many_as_asked_for),
        path_test(bursts_are_as_long_and_as_many_as_asked_for),
        path_test(a_bottleneck_has_a_rate_and_a_queue),
        path_test(a_datagram_is_changed_in_one_bit),
        path_test(a_datagram_is_cut_short),
        path_test(datagrams_come_twice),
        path_test(older_datagrams_come_again),
        path_test(what_is_held_leaves_in_order_when_it_may),
        path_test(what_is_on_the_way_is_bounded),
        path_test(a_seed_determines_everything),
        path_test(a_handshake_is_not_displaced_by_data),
    };
    return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
