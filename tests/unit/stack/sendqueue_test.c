/* sendqueue: what one connection may keep, and all of them together. */
#include "engine/stack/sendqueue.h"

#include "tests/support/cmocka_all.h"

#define KIB         1024u
#define USEFUL      (1024 * KIB)
#define CONNECTIONS 20000

static void test_one(void **state)
{
    struct sendqueue queue = {0};
    bool limited = false;

    (void)state;
    assert_int_equal(sendqueue_limit(&queue, 0, &limited), SENDQUEUE_MIN);
    assert_int_equal(sendqueue_limit(&queue, 100 * KIB, &limited), 100 * KIB);
    assert_int_equal(sendqueue_limit(&queue, USEFUL, &limited), USEFUL);
    sendqueue_update(&queue, USEFUL);
    assert_int_equal(sendqueue_limit(&queue, USEFUL, &limited), USEFUL);
    assert_false(limited);
    sendqueue_update(&queue, 0);
    assert_int_equal(queue.grown, 0);
}

/* All take what they are given and nothing is acknowledged; the last one still has its minimum. */
static void test_all(void **state)
{
    static struct sendqueue queues[CONNECTIONS];
    uint64_t grown = 0;
    bool limited = false;

    (void)state;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        uint32_t limit = sendqueue_limit(&queues[i], USEFUL, &limited);

        assert_in_range(limit, SENDQUEUE_MIN, USEFUL);
        sendqueue_update(&queues[i], limit);
        grown += limit - SENDQUEUE_MIN;
    }
    assert_true(limited);
    assert_true(grown <= SENDQUEUE_GROWTH_MAX);
    assert_true(grown > SENDQUEUE_GROWTH_MAX / 10 * 9);

    /* Who came first keeps what it has, and no more; who lets go makes room for others. */
    assert_int_equal(sendqueue_limit(&queues[0], USEFUL, &limited), USEFUL);
    for (size_t i = 0; i < CONNECTIONS / 2; i++)
        sendqueue_update(&queues[i], 0);
    limited = false;
    assert_int_equal(sendqueue_limit(&queues[CONNECTIONS - 1], USEFUL, &limited), USEFUL);
    assert_false(limited);
    for (size_t i = 0; i < CONNECTIONS; i++)
        sendqueue_update(&queues[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
