/* ratelimit: rates, sources, and a table that stays bounded. */
#include "tests/support/cmocka_all.h"

#include "engine/wg/messages.h"
#include "engine/wg/ratelimit.h"

static const uint8_t key[RATELIMIT_KEY_LEN] = {1};

static unsigned allowed_of(struct ratelimit *limit, const char *source, uint64_t now,
                           unsigned tries)
{
    struct inet_addr addr;
    unsigned allowed = 0;
    assert_int_equal(inet_addr_parse(source, &addr), 0);
    for (unsigned i = 0; i < tries; i++)
        allowed += ratelimit_allow(limit, &addr, now);
    return allowed;
}

static void bursts_of_5_then_20_a_second(void **state)
{
    (void)state;
    struct ratelimit limit;
    ratelimit_init(&limit, key);
    assert_int_equal(allowed_of(&limit, "192.0.2.1", WG_SECOND, 100), 5);
    unsigned allowed = 0;
    for (unsigned ms = 0; ms < 1000; ms++)
        allowed += allowed_of(&limit, "192.0.2.1", WG_SECOND + (ms + 1) * WG_MILLISECOND, 1);
    assert_int_equal(allowed, 20);
    assert_int_equal(allowed_of(&limit, "192.0.2.1", 100 * WG_SECOND, 100), 5);
    ratelimit_fini(&limit);
}

static void sources_are_separate(void **state)
{
    (void)state;
    static const struct {
        const char *first;
        const char *second;
        unsigned allowed; /* of the second, when the first has used up its share */
    } cases[] = {
        {"192.0.2.1", "192.0.2.2", 5},          {"192.0.2.1", "192.0.2.1", 0},
        {"2001:db8::1", "2001:db8::ffff:1", 0}, /* one /64 */
        {"2001:db8::1", "2001:db8:0:1::1", 5},  {"1.2.3.4", "102:304::", 5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ratelimit limit;
        ratelimit_init(&limit, key);
        assert_int_equal(allowed_of(&limit, cases[i].first, WG_SECOND, 10), 5);
        assert_int_equal(allowed_of(&limit, cases[i].second, WG_SECOND, 10), cases[i].allowed);
        ratelimit_fini(&limit);
    }
}

static void a_clock_that_steps_back_gives_nothing(void **state)
{
    (void)state;
    struct ratelimit limit;
    ratelimit_init(&limit, key);
    assert_int_equal(allowed_of(&limit, "192.0.2.1", 100 * WG_SECOND, 10), 5);
    assert_int_equal(allowed_of(&limit, "192.0.2.1", 50 * WG_SECOND, 10), 0);
    ratelimit_fini(&limit);
}

static void any_number_of_sources_fits(void **state)
{
    (void)state;
    struct ratelimit limit;
    ratelimit_init(&limit, key);
    for (uint32_t i = 1; i < 200000; i++) {
        struct inet_addr addr = {.family = AF_INET};
        store_be32(addr.bytes, i);
        assert_true(ratelimit_allow(&limit, &addr, WG_SECOND + i));
    }
    ratelimit_fini(&limit);
}

/* Who was quiet longest makes room: those that have used up their share stay known. */
static void other_sources_do_not_lift_a_limit(void **state)
{
    (void)state;
    static const char *const limited[] = {"192.0.2.1", "192.0.2.2", "2001:db8::1"};
    const size_t count = sizeof(limited) / sizeof(limited[0]);
    struct ratelimit limit;
    ratelimit_init(&limit, key);
    for (uint32_t i = 1; i < 1000; i++) { /* long ago */
        struct inet_addr addr = {.family = AF_INET};
        store_be32(addr.bytes, i);
        assert_true(ratelimit_allow(&limit, &addr, i));
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(allowed_of(&limit, limited[i], WG_SECOND, 10), 5);
    for (uint32_t i = 1000; i < 1500; i++) { /* a quarter of what there is room for */
        struct inet_addr addr = {.family = AF_INET};
        store_be32(addr.bytes, i);
        assert_true(ratelimit_allow(&limit, &addr, WG_SECOND + i));
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(allowed_of(&limit, limited[i], WG_SECOND + 1500, 10), 0);
    ratelimit_fini(&limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bursts_of_5_then_20_a_second),
        cmocka_unit_test(sources_are_separate),
        cmocka_unit_test(a_clock_that_steps_back_gives_nothing),
        cmocka_unit_test(any_number_of_sources_fits),
        cmocka_unit_test(other_sources_do_not_lift_a_limit),
    };
    return cmocka_run_group_tests_name("ratelimit", tests, NULL, NULL);
}
