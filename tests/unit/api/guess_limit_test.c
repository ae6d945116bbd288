#include "api/guess_limit.h"

#include "tests/support/cmocka_all.h"

#include <sodium.h>
#include <stdio.h>

static struct guess_limit limit;

static int set_up(void **state)
{
    (void)state;
    guess_limit_init(&limit);
    return 0;
}

static struct inet_addr at(const char *text)
{
    struct inet_addr address;
    assert_int_equal(inet_addr_parse(text, &address), 0);
    return address;
}

static unsigned wait_of(const char *text, uint64_t now)
{
    const struct inet_addr address = at(text);
    return guess_limit_wait(&limit, &address, now);
}

static void fail_from(const char *text, uint64_t now, int times)
{
    const struct inet_addr address = at(text);
    for (int i = 0; i < times; i++)
        guess_limit_failed(&limit, &address, now);
}

static void succeed_from(const char *text, uint64_t now)
{
    const struct inet_addr address = at(text);
    guess_limit_succeeded(&limit, &address, now);
}

static void test_burst_then_one_at_a_time(void **state)
{
    (void)state;
    for (int i = 0; i < GUESS_LIMIT_BURST; i++) {
        assert_int_equal(wait_of("192.0.2.1", 1000), 0);
        fail_from("192.0.2.1", 1000, 1);
    }
    assert_int_equal(wait_of("192.0.2.1", 1000), GUESS_LIMIT_SECONDS);
    assert_int_equal(wait_of("192.0.2.1", 1004), GUESS_LIMIT_SECONDS - 4);
    assert_int_equal(wait_of("192.0.2.1", 1000 + GUESS_LIMIT_SECONDS), 0);
    fail_from("192.0.2.1", 1000 + GUESS_LIMIT_SECONDS, 1);
    assert_int_equal(wait_of("192.0.2.1", 1000 + GUESS_LIMIT_SECONDS), GUESS_LIMIT_SECONDS);
    /* Long after, all of them are back. */
    fail_from("192.0.2.1", 9000, GUESS_LIMIT_BURST - 1);
    assert_int_equal(wait_of("192.0.2.1", 9000), 0);
    assert_int_equal(limit.failed, 2 * GUESS_LIMIT_BURST);
    assert_int_equal(limit.refused, 3);
}

static void test_what_is_one_network(void **state)
{
    (void)state;
    fail_from("192.0.2.1", 1, GUESS_LIMIT_BURST);
    assert_int_not_equal(wait_of("::ffff:192.0.2.1", 1), 0);
    assert_int_equal(wait_of("192.0.2.2", 1), 0);
    assert_int_equal(wait_of("::ffff:192.0.2.2", 1), 0);
    assert_int_equal(wait_of("c000:201::", 1), 0); /* the same first bytes */
    fail_from("2001:db8:0:1::1", 1, GUESS_LIMIT_BURST);
    assert_int_not_equal(wait_of("2001:db8:0:1:ffff::", 1), 0);
    assert_int_equal(wait_of("2001:db8:0:2::1", 1), 0);
}

/* As many networks as there may be: the guesses in all stay bounded. */
static void test_flood_of_networks(void **state)
{
    (void)state;
    enum { NETWORKS = 20000 };
    uint64_t looked_at = 0;
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < NETWORKS; i++) {
            const struct inet_addr address = {.family = AF_INET6,
                                              .bytes = {0x20, 0x01, (uint8_t)(i >> 16),
                                                        (uint8_t)(i >> 8), (uint8_t)i}};
            while (guess_limit_wait(&limit, &address, 1) == 0) {
                guess_limit_failed(&limit, &address, 1);
                looked_at++;
            }
        }
    }
    const uint64_t places = GUESS_LIMIT_SETS * (GUESS_LIMIT_WAYS + 1);
    assert_true(looked_at <= places * GUESS_LIMIT_BURST);
    assert_true(looked_at > places * GUESS_LIMIT_BURST / 2);
    assert_true(sizeof(limit) < 64 << 10);
}

/* Whoever sent a right token before is looked at whatever the others do. */
static void test_known_networks_are_not_kept_out(void **state)
{
    (void)state;
    succeed_from("192.0.2.1", 1);
    fail_from("192.0.2.1", 1, GUESS_LIMIT_BURST - 1);
    for (unsigned i = 0; i < 20000; i++) {
        const struct inet_addr address = {.family = AF_INET6,
                                          .bytes = {0x20, 0x01, (uint8_t)(i >> 8), (uint8_t)i}};
        for (int guess = 0; guess < GUESS_LIMIT_BURST; guess++)
            guess_limit_failed(&limit, &address, 1);
    }
    assert_int_equal(wait_of("192.0.2.1", 1), 0);
    /* Its own wrong tokens count for it as for everybody. */
    fail_from("192.0.2.1", 1, 1);
    assert_int_not_equal(wait_of("192.0.2.1", 1), 0);
}

static void test_success_gives_no_guesses_back(void **state)
{
    (void)state;
    fail_from("192.0.2.1", 1, GUESS_LIMIT_BURST - 1);
    succeed_from("192.0.2.1", 1);
    fail_from("192.0.2.1", 1, 1);
    assert_int_not_equal(wait_of("192.0.2.1", 1), 0);
}

/* More known networks than places: the one that was not seen for longest goes. */
static void test_known_networks_replace_each_other(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        const struct inet_addr address = {.family = AF_INET,
                                          .bytes = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};
        guess_limit_succeeded(&limit, &address, 1 + i);
    }
    size_t old = 0;
    for (size_t set = 0; set < GUESS_LIMIT_KNOWN_SETS; set++) {
        for (size_t way = 0; way < GUESS_LIMIT_WAYS; way++)
            old += limit.known[set][way].seen_at < 2500;
    }
    assert_int_equal(old, 0);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_burst_then_one_at_a_time, set_up),
        cmocka_unit_test_setup(test_what_is_one_network, set_up),
        cmocka_unit_test_setup(test_flood_of_networks, set_up),
        cmocka_unit_test_setup(test_known_networks_are_not_kept_out, set_up),
        cmocka_unit_test_setup(test_success_gives_no_guesses_back, set_up),
        cmocka_unit_test_setup(test_known_networks_replace_each_other, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
