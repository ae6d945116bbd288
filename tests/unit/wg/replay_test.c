/* replay: numbered tables of counters, and whether each is accepted. */
#include "tests/support/cmocka_all.h"

#include "engine/wg/messages.h"
#include "engine/wg/replay.h"

#define W     REPLAY_WINDOW
#define LIMIT WG_REJECT_AFTER_MESSAGES

struct step {
    uint64_t counter;
    bool accepted;
};

static void check(const struct step *steps, size_t count)
{
    struct replay replay = {0};
    for (size_t i = 0; i < count; i++)
        if (replay_accept(&replay, steps[i].counter) != steps[i].accepted)
            fail_msg("step %zu: counter %llu", i, (unsigned long long)steps[i].counter);
}

#define check_steps(...)                                                                           \
    do {                                                                                           \
        const struct step steps[] = {__VA_ARGS__};                                                 \
        check(steps, sizeof(steps) / sizeof(steps[0]));                                            \
    } while (0)

static void around_the_window(void **state)
{
    (void)state;
    check_steps({0, true}, {1, true}, {1, false}, {9, true}, {8, true}, {7, true}, {7, false},
                {W, true}, {W - 1, true}, {W - 1, false}, {W - 2, true}, {2, true}, {2, false},
                {W + 16, true}, {3, false}, {W + 16, false}, {W * 4, true}, {W * 4 - (W - 1), true},
                {10, false}, {W * 4 - W, true}, {W * 4 - (W + 1), false}, {W * 4 - (W - 2), true},
                {W * 4 + 1 - W, false}, {0, false}, {LIMIT - 1, true}, {LIMIT - 1, false},
                {LIMIT, false}, {LIMIT + 1, false}, {LIMIT + 2, false}, {LIMIT - 2, true},
                {LIMIT - 2, false}, {LIMIT - 3, true}, {0, false});
}

static void at_the_limit(void **state)
{
    (void)state;
    check_steps({LIMIT - 3, true}, {LIMIT - 2, true}, {LIMIT - 1, true}, {LIMIT, false},
                {LIMIT + 3, false}, {UINT64_MAX, false}, {LIMIT - 1 - W, true},
                {LIMIT - 2 - W, false});
}

static void counter_zero_is_accepted_once(void **state)
{
    (void)state;
    check_steps({0, true}, {0, false});
    check_steps({W, true}, {0, true}, {0, false});
    check_steps({W + 1, true}, {0, false});
}

static void distances_beyond_32_bits(void **state)
{
    (void)state;
    const uint64_t far = UINT64_C(1) << 32;
    check_steps({far + 5, true}, {5, false}, {4, false}, {far + 4, true}, {2 * far + 5, true},
                {far + 5, false}, {2 * far + 4, true});
}

static void ascending(void **state)
{
    (void)state;
    struct replay replay = {0};
    for (uint64_t i = 0; i <= W; i++)
        assert_true(replay_accept(&replay, i));
    for (uint64_t i = 0; i <= W; i++)
        assert_false(replay_accept(&replay, i));
}

static void descending(void **state)
{
    (void)state;
    struct replay replay = {0};
    for (uint64_t i = W + 1; i-- > 0;)
        assert_true(replay_accept(&replay, i));
    for (uint64_t i = W + 1; i-- > 0;)
        assert_false(replay_accept(&replay, i));

    replay = (struct replay){0};
    for (uint64_t i = W + 1; i-- > 1;)
        assert_true(replay_accept(&replay, i));
    assert_true(replay_accept(&replay, 0));
    assert_true(replay_accept(&replay, W + 1));
    assert_false(replay_accept(&replay, 0));
}

/* A jump of more than the ring leaves nothing of what it went round over. */
static void jumping_clears_the_whole_ring(void **state)
{
    (void)state;
    for (uint64_t jump = W; jump < W + 4 * REPLAY_WORD_BITS; jump++) {
        struct replay replay = {0};
        for (uint64_t i = 0; i <= W; i++)
            assert_true(replay_accept(&replay, i));
        assert_true(replay_accept(&replay, W + jump));
        for (uint64_t i = jump > W ? jump : W + 1; i < W + jump; i++)
            assert_true(replay_accept(&replay, i));
    }
}

#define SPAN 40000

/* Against the definition: once, and not more than a window behind. */
static void random_counters(void **state)
{
    (void)state;
    static uint8_t seen[SPAN];
    struct replay replay = {0};
    uint64_t random = 3;
    uint64_t greatest = 0;
    bool any = false;
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < 400000; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        /* Around a place that moves forward, with jumps. */
        uint64_t base = (uint64_t)i / 12;
        uint64_t counter = (base + (random >> 40) % (W + 500)) % SPAN;
        bool expected = !seen[counter] && (!any || counter + W >= greatest);
        assert_int_equal(replay_accept(&replay, counter), expected);
        if (expected) {
            seen[counter] = 1;
            greatest = any && greatest > counter ? greatest : counter;
            any = true;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(around_the_window),
        cmocka_unit_test(at_the_limit),
        cmocka_unit_test(counter_zero_is_accepted_once),
        cmocka_unit_test(distances_beyond_32_bits),
        cmocka_unit_test(ascending),
        cmocka_unit_test(descending),
        cmocka_unit_test(jumping_clears_the_whole_ring),
        cmocka_unit_test(random_counters),
    };
    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
