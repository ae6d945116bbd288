/* retelling: who is told, in which order, and when. */
#include "server/retelling.h"

#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <stdbool.h>

#define COUNT (RETELLING_PORTION + 8)

static struct fixture {
    struct event_base *base;
    struct retelling retelling;
    struct retelling_item items[COUNT];
    size_t told[COUNT];
    size_t total;
    bool fails; /* it answers at once that it has failed again */
} fx;

static void tell(struct retelling_item *item)
{
    fx.told[item - fx.items]++;
    fx.total++;
    if (fx.fails)
        retelling_failed(&fx.retelling, item, EMFILE);
}

static int set_up(void **state)
{
    (void)state;
    fx = (struct fixture){.base = event_base_new()};
    for (size_t i = 0; i < COUNT; i++)
        fx.items[i].tell = tell;
    return retelling_init(&fx.retelling, fx.base);
}

static int tear_down(void **state)
{
    (void)state;
    retelling_fini(&fx.retelling);
    event_base_free(fx.base);
    return 0;
}

/* Lets the timer come once. */
static void turn(void)
{
    size_t before = fx.total;
    while (fx.total == before)
        assert_int_equal(event_base_loop(fx.base, EVLOOP_ONCE), 0);
}

static bool is_waiting(void)
{
    assert_int_equal(event_base_loop(fx.base, EVLOOP_NONBLOCK), 0);
    return event_base_get_num_events(fx.base, EVENT_BASE_COUNT_ADDED) > 0;
}

static void a_few_at_a_time_and_in_turn(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        retelling_failed(&fx.retelling, &fx.items[i], ENOMEM);
    assert_int_equal(fx.total, 0); /* never at once: its owner is in the middle of something */
    fx.fails = true;
    turn();
    assert_int_equal(fx.total, RETELLING_PORTION);
    turn();
    assert_int_equal(fx.total, 2 * RETELLING_PORTION);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(fx.told[i], i < 2 * RETELLING_PORTION - COUNT ? 2 : 1);
        assert_int_equal(fx.items[i].error, EMFILE); /* the newest */
    }
}

static void one_is_told_once_in_a_turn(void **state)
{
    (void)state;
    retelling_failed(&fx.retelling, &fx.items[0], ENOMEM);
    retelling_failed(&fx.retelling, &fx.items[0], ENOMEM);
    turn();
    assert_int_equal(fx.total, 1);
    assert_int_equal(fx.retelling.count, 1);
}

/* A worker that takes its time finds it once in its queue, however long that is. */
static void one_that_has_not_answered_is_not_told(void **state)
{
    (void)state;
    retelling_failed(&fx.retelling, &fx.items[0], ENOMEM);
    turn();
    retelling_failed(&fx.retelling, &fx.items[1], ENOMEM);
    turn();
    assert_int_equal(fx.told[0], 1);
    assert_int_equal(fx.told[1], 1);
    retelling_failed(&fx.retelling, &fx.items[0], EMFILE); /* its answer */
    turn();
    assert_int_equal(fx.told[0], 2);
    assert_int_equal(fx.told[1], 1);
    retelling_forget(&fx.retelling, &fx.items[0]);
    retelling_succeeded(&fx.retelling, &fx.items[1]);
    assert_int_equal(fx.retelling.count, 0);
}

static void less_and_less_often(void **state)
{
    (void)state;
    fx.fails = true;
    retelling_failed(&fx.retelling, &fx.items[0], ENOMEM);
    retelling_failed(&fx.retelling, &fx.items[1], ENOMEM);
    assert_int_equal(fx.retelling.wait_ms, RETELLING_MIN_MS);
    turn();
    assert_int_equal(fx.retelling.wait_ms, 2 * RETELLING_MIN_MS);
    fx.retelling.wait_ms = RETELLING_MAX_MS - 1;
    turn();
    assert_int_equal(fx.retelling.wait_ms, RETELLING_MAX_MS);
    /* There is room again: the next one is told soon. */
    retelling_succeeded(&fx.retelling, &fx.items[0]);
    assert_int_equal(fx.items[0].error, 0);
    turn();
    assert_int_equal(fx.told[0], 2);
    assert_int_equal(fx.told[1], 3);
    assert_int_equal(fx.retelling.wait_ms, 2 * RETELLING_MIN_MS);
}

static void what_is_no_more_is_not_told(void **state)
{
    (void)state;
    retelling_failed(&fx.retelling, &fx.items[0], ENOMEM);
    retelling_failed(&fx.retelling, &fx.items[1], ENOMEM);
    retelling_forget(&fx.retelling, &fx.items[0]);
    retelling_forget(&fx.retelling, &fx.items[0]);
    retelling_succeeded(&fx.retelling, &fx.items[2]); /* was not there */
    turn();
    assert_int_equal(fx.told[0], 0);
    assert_int_equal(fx.told[1], 1);
    retelling_succeeded(&fx.retelling, &fx.items[1]);
    assert_true(is_waiting()); /* so that the next failure needs no memory for it */
    assert_int_equal(fx.total, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_few_at_a_time_and_in_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_is_told_once_in_a_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_has_not_answered_is_not_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(less_and_less_often, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_more_is_not_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
