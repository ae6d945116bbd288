/* resolver: names of the hosts file, interfaces, retries; the rest needs a network (tests/e2e). */
#include "server/resolver.h"

#include "base/log.h"
#include "tests/support/cmocka_all.h"

#include <arpa/inet.h>
#include <event2/event.h>

struct answer {
    unsigned count;
    union inet_sockaddr address;
};

static void on_done(void *ctx, const struct resolved *resolved)
{
    struct answer *answer = ctx;
    answer->count++;
    answer->address = resolved->addresses[0];
}

static void finds_a_name_in_the_hosts_file(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct resolver *resolver;
    struct lookup *lookup;
    struct answer answer = {0};
    struct lookup_request request = {.host = "localhost", .port = 51820, .ipv4 = true};
    assert_int_equal(resolver_new(base, &resolver), 0);
    assert_int_equal(lookup_new(resolver, &request, on_done, &answer, &lookup), 0);
    while (answer.count == 0)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.address.sa.sa_family, AF_INET);
    assert_int_equal(ntohs(answer.address.in.sin_port), 51820);
    assert_int_equal(ntohl(answer.address.in.sin_addr.s_addr), INADDR_LOOPBACK);
    lookup_free(lookup);
    resolver_free(resolver);
    event_base_free(base);
}

/* An address of one link: its interface is there, is not, or there is no socket for it. */
static void finds_interfaces(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool ipv6;
        enum lookup_error error;
    } cases[] = {
        {"fe80::1%lo", true, LOOKUP_OK},
        {"fe80::1%LO", true, LOOKUP_NO_INTERFACE},
        {"fe80::1%lo", false, LOOKUP_OTHER_FAMILY},
    };
    struct event_base *base = event_base_new();
    struct resolver *resolver;
    assert_int_equal(resolver_new(base, &resolver), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lookup *lookup;
        struct answer answer = {0};
        struct timespec next;
        char text[INET_SOCKADDR_TEXT];
        const struct lookup_request request = {
            .host = cases[i].host, .port = 51820, .ipv4 = true, .ipv6 = cases[i].ipv6};
        const bool found = cases[i].error == LOOKUP_OK;
        assert_int_equal(lookup_new(resolver, &request, on_done, &answer, &lookup), 0);
        assert_int_equal(lookup_error(lookup), cases[i].error);
        assert_int_equal(answer.count, found ? 1 : 0);
        assert_int_equal(lookup_next_at(lookup, &next), !found);
        if (found)
            assert_string_equal(inet_sockaddr_print(&answer.address, text), "[fe80::1%lo]:51820");
        lookup_free(lookup);
    }
    resolver_free(resolver);
    event_base_free(base);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Those that fail together come back at times of their own, a quarter of the wait around it. */
static void retries_are_spread(void **state)
{
    (void)state;
    enum { LOOKUPS = 64, MIN_MS = 750, MAX_MS = 1250, SPREAD_MS = 250, TOLERANCE_MS = 20 };
    const struct lookup_request request = {.host = "fe80::1%LO", .port = 51820, .ipv6 = true};
    struct event_base *base = event_base_new();
    struct resolver *resolver;
    int64_t shortest = INT64_MAX; /* on a slow machine it and longest are too near, if at all */
    int64_t longest = 0;
    assert_int_equal(resolver_new(base, &resolver), 0);
    for (size_t i = 0; i < LOOKUPS; i++) {
        struct lookup *lookup;
        struct answer answer = {0};
        struct timespec next;
        const int64_t before = now_ms();
        assert_int_equal(lookup_new(resolver, &request, on_done, &answer, &lookup), 0);
        const int64_t after = now_ms();
        assert_true(lookup_next_at(lookup, &next));
        const int64_t at = (int64_t)next.tv_sec * 1000 + next.tv_nsec / 1000000;
        assert_true(at >= before + MIN_MS - TOLERANCE_MS);
        assert_true(at <= after + MAX_MS + TOLERANCE_MS);
        shortest = at - before < shortest ? at - before : shortest;
        longest = at - after > longest ? at - after : longest;
        lookup_free(lookup);
    }
    assert_true(longest - shortest >= SPREAD_MS);
    resolver_free(resolver);
    event_base_free(base);
}

static void does_not_answer_once_freed(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct resolver *resolver;
    struct lookup *lookup;
    struct answer answer = {0};
    struct lookup_request request = {.host = "name.invalid", .port = 1, .ipv4 = true, .ipv6 = true};
    assert_int_equal(resolver_new(base, &resolver), 0);
    assert_int_equal(lookup_new(resolver, &request, on_done, &answer, &lookup), 0);
    lookup_free(lookup);
    resolver_free(resolver); /* the leak check sees that nothing is left of the lookup */
    assert_int_equal(answer.count, 0);
    event_base_free(base);
    lookup_free(NULL);
    resolver_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_name_in_the_hosts_file),
        cmocka_unit_test(finds_interfaces),
        cmocka_unit_test(retries_are_spread),
        cmocka_unit_test(does_not_answer_once_freed),
    };
    log_set_level(LOG_LEVEL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
