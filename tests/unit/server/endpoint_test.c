/* endpoint: when a name is looked up again, and which of its addresses is tried. */
#include "server/endpoint.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

#define MIDDLE (UINT32_MAX / 2)

static const union inet_sockaddr nowhere;
static bool ipv6_has_a_route = true;
static bool ipv4_has_a_route = true;

static union inet_sockaddr address(const char *text)
{
    struct inet_addr addr;
    union inet_sockaddr sa;
    assert_int_equal(inet_addr_parse(text, &addr), 0);
    inet_sockaddr_make(&sa, &addr, 51820);
    return sa;
}

static bool reachable(const union inet_sockaddr *to)
{
    return to->sa.sa_family == AF_INET6 ? ipv6_has_a_route : ipv4_has_a_route;
}

static struct resolved answer_of(const char *first, const char *second)
{
    struct resolved resolved = {.count = second ? 2 : 1, .addresses[0] = address(first)};
    if (second)
        resolved.addresses[1] = address(second);
    return resolved;
}

static int setup(void **state)
{
    (void)state;
    ipv6_has_a_route = ipv4_has_a_route = true;
    return 0;
}

static void assert_address(const union inet_sockaddr *is, const char *expected)
{
    char text[INET_SOCKADDR_TEXT] = "none";
    const union inet_sockaddr wanted = address(expected);
    if (!is || !inet_sockaddr_equal(is, &wanted))
        fail_msg("%s, not %s", is ? inet_sockaddr_print(is, text) : text, expected);
}

/* One look at a peer at `used`, in milliseconds of its time. */
static struct endpoint_advice look(struct endpoint *endpoint, uint64_t ms, uint64_t handshakes,
                                   uint64_t unanswered, const char *used)
{
    const union inet_sockaddr at = address(used);
    const struct endpoint_facts facts = {handshakes, unanswered, &at};
    return endpoint_judge(endpoint, &facts, ms, 0);
}

static void nothing_is_done_while_handshakes_are_answered(void **state)
{
    (void)state;
    struct endpoint endpoint = {.resolved = answer_of("192.0.2.1", NULL)};
    for (uint64_t ms = 0; ms < 600000; ms += 1000) {
        /* Each initiation is under way for less than a second. */
        struct endpoint_advice advice =
            look(&endpoint, ms, 1 + ms / 120000, ms % 120000 == 0, "192.0.2.1");
        assert_false(advice.move_on);
        assert_false(advice.look_up);
    }
    assert_address(&endpoint.proven, "192.0.2.1");
}

static void an_unanswered_initiation_is_acted_on_once(void **state)
{
    (void)state;
    struct endpoint endpoint = {.resolved = answer_of("192.0.2.1", NULL)};
    struct endpoint_advice advice = look(&endpoint, 10000, 0, 1, "192.0.2.1");
    assert_false(advice.look_up); /* it may be on its way */
    assert_false(advice.move_on);
    advice = look(&endpoint, 10000 + ENDPOINT_PATIENCE_MS, 0, 1, "192.0.2.1");
    assert_true(advice.look_up);
    assert_true(advice.move_on);
    for (uint64_t ms = 12000; ms < 3600000; ms += 1000) { /* nobody talks to the peer any more */
        advice = look(&endpoint, ms, 0, 1, "192.0.2.1");
        assert_false(advice.look_up);
        assert_false(advice.move_on);
    }
}

static void lookups_back_off_with_jitter(void **state)
{
    (void)state;
    static const uint32_t randoms[] = {0, MIDDLE, UINT32_MAX};
    unsigned counts[3];
    for (size_t i = 0; i < sizeof(randoms) / sizeof(randoms[0]); i++) {
        struct endpoint endpoint = {.resolved = answer_of("192.0.2.1", NULL)};
        const union inet_sockaddr at = address("192.0.2.1");
        uint64_t last = 0;
        unsigned lookups = 0;
        for (uint64_t ms = 1000; ms < 3600000; ms += 100) { /* an initiation every five seconds */
            const struct endpoint_facts facts = {0, 1 + ms / 5000, &at};
            if (!endpoint_judge(&endpoint, &facts, ms, randoms[i]).look_up)
                continue;
            if (lookups > 0) /* five seconds more, because an initiation must be in between */
                assert_in_range(ms - last, ENDPOINT_LOOKUP_MIN_MS * 3 / 4,
                                ENDPOINT_LOOKUP_MAX_MS * 5 / 4 + 5000);
            last = ms;
            lookups++;
        }
        assert_in_range(lookups, 3600 / 80, 3600 / 45 + 5);
        counts[i] = lookups;
        /* When it has answered, the next trouble is looked into at once. */
        look(&endpoint, 3600000, 1, 0, "192.0.2.1");
        look(&endpoint, 3601000, 1, 1, "192.0.2.1");
        assert_true(look(&endpoint, 3602000, 1, 1, "192.0.2.1").look_up);
    }
    assert_true(counts[0] > counts[1]); /* it is by chance when exactly */
}

static void the_address_that_answered_has_a_second_chance(void **state)
{
    (void)state;
    struct endpoint endpoint = {.resolved = answer_of("2001:db8::1", "192.0.2.1")};
    look(&endpoint, 1000, 1, 0, "192.0.2.1");
    look(&endpoint, 2000, 1, 1, "192.0.2.1");
    struct endpoint_advice advice = look(&endpoint, 3000, 1, 1, "192.0.2.1");
    assert_false(advice.move_on);
    assert_true(advice.look_up);
    look(&endpoint, 7000, 1, 2, "192.0.2.1");
    assert_true(look(&endpoint, 8000, 1, 2, "192.0.2.1").move_on);
}

static void addresses_are_tried_in_a_circle(void **state)
{
    (void)state;
    struct endpoint endpoint = {.resolved = answer_of("2001:db8::1", "192.0.2.1")};
    union inet_sockaddr v6 = address("2001:db8::1");
    union inet_sockaddr v4 = address("192.0.2.1");
    union inet_sockaddr roamed = address("198.51.100.7");
    assert_address(endpoint_next(&endpoint, &nowhere, reachable), "2001:db8::1");
    assert_address(endpoint_next(&endpoint, &v6, reachable), "192.0.2.1");
    assert_address(endpoint_next(&endpoint, &v4, reachable), "2001:db8::1");
    assert_address(endpoint_next(&endpoint, &roamed, reachable), "2001:db8::1");

    endpoint.proven = roamed; /* it is part of the circle */
    assert_address(endpoint_next(&endpoint, &v4, reachable), "198.51.100.7");
    assert_address(endpoint_next(&endpoint, &roamed, reachable), "2001:db8::1");
    assert_address(endpoint_first(&endpoint, reachable), "198.51.100.7");

    endpoint.proven = v4; /* … once */
    assert_address(endpoint_next(&endpoint, &v4, reachable), "2001:db8::1");
    assert_address(endpoint_next(&endpoint, &v6, reachable), "192.0.2.1");
}

static void addresses_without_a_route_come_last(void **state)
{
    (void)state;
    struct endpoint endpoint = {.resolved = answer_of("2001:db8::1", "192.0.2.1")};
    union inet_sockaddr v6 = address("2001:db8::1");
    union inet_sockaddr v4 = address("192.0.2.1");
    ipv6_has_a_route = false;
    assert_address(endpoint_next(&endpoint, &nowhere, reachable), "192.0.2.1");
    assert_address(endpoint_next(&endpoint, &v6, reachable), "192.0.2.1");
    assert_null(endpoint_next(&endpoint, &v4, reachable));
    ipv4_has_a_route = false; /* the host is offline: whichever has a route first will do */
    assert_address(endpoint_next(&endpoint, &nowhere, reachable), "2001:db8::1");
    assert_address(endpoint_next(&endpoint, &v6, reachable), "192.0.2.1");
}

static void a_single_address_stays(void **state)
{
    (void)state;
    struct endpoint endpoint = {.resolved = answer_of("192.0.2.1", NULL)};
    union inet_sockaddr v4 = address("192.0.2.1");
    assert_null(endpoint_next(&endpoint, &v4, reachable));
    const struct endpoint empty = {0};
    assert_null(endpoint_next(&empty, &v4, reachable));
    assert_null(endpoint_first(&empty, reachable));
}

static void an_answer_moves_a_peer_that_is_not_in_it(void **state)
{
    (void)state;
    struct endpoint endpoint = {0};
    union inet_sockaddr v4 = address("192.0.2.1");
    struct resolved before = answer_of("2001:db8::1", "192.0.2.1");
    struct resolved after = answer_of("192.0.2.9", NULL);
    assert_true(endpoint_resolved(&endpoint, &before, &nowhere));
    assert_false(endpoint_resolved(&endpoint, &before, &v4));
    assert_true(endpoint_resolved(&endpoint, &after, &v4));
    assert_address(endpoint_next(&endpoint, &v4, reachable), "192.0.2.9");
}

static void what_is_not_known_proves_nothing(void **state)
{
    (void)state;
    struct endpoint endpoint = {.resolved = answer_of("192.0.2.1", NULL)};
    const struct endpoint_facts facts = {.handshakes = 1, .used = &nowhere};
    endpoint_judge(&endpoint, &facts, 1000, 0);
    assert_int_equal(endpoint.proven.sa.sa_family, AF_UNSPEC);
    look(&endpoint, 2000, 1, 0, "192.0.2.1");
    assert_address(&endpoint.proven, "192.0.2.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_done_while_handshakes_are_answered, setup),
        cmocka_unit_test_setup(an_unanswered_initiation_is_acted_on_once, setup),
        cmocka_unit_test_setup(lookups_back_off_with_jitter, setup),
        cmocka_unit_test_setup(the_address_that_answered_has_a_second_chance, setup),
        cmocka_unit_test_setup(addresses_are_tried_in_a_circle, setup),
        cmocka_unit_test_setup(addresses_without_a_route_come_last, setup),
        cmocka_unit_test_setup(a_single_address_stays, setup),
        cmocka_unit_test_setup(an_answer_moves_a_peer_that_is_not_in_it, setup),
        cmocka_unit_test_setup(what_is_not_known_proves_nothing, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
