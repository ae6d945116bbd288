/* keypair: ages, limits, and how sessions move through the three places. */
#include "tests/support/cmocka_all.h"

#include "engine/wg/keypair.h"
#include "engine/wg/messages.h"

static uint32_t counter;

static void count_up(void *ctx, void *out, size_t len)
{
    (void)ctx;
    assert_int_equal(len, sizeof(counter));
    counter++;
    memcpy(out, &counter, sizeof(counter));
}

struct fixture {
    struct indices indices;
    struct keypairs keypairs;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    indices_init(&f.indices, count_up, NULL);
    assert_int_equal(indices_reserve(&f.indices, 16), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    keypairs_clear(&f->keypairs, &f->indices);
    assert_int_equal(f->indices.table.count, 0);
    indices_fini(&f->indices);
    return 0;
}

static struct keypair *make(struct fixture *f, bool initiator)
{
    struct keypair *keypair = keypair_new();
    assert_non_null(keypair);
    keypair->initiator = initiator;
    indices_insert(&f->indices, &keypair->entry, INDEX_KEYPAIR, NULL);
    return keypair;
}

static struct keypair *add(struct fixture *f, bool initiator)
{
    struct keypair *keypair = make(f, initiator);
    keypairs_add(&f->keypairs, keypair, &f->indices);
    return keypair;
}

static void expect(const struct fixture *f, const struct keypair *current,
                   const struct keypair *previous, const struct keypair *next)
{
    assert_ptr_equal(f->keypairs.current, current);
    assert_ptr_equal(f->keypairs.previous, previous);
    assert_ptr_equal(f->keypairs.next, next);
    assert_int_equal(f->indices.table.count, !!current + !!previous + !!next);
}

static void initiators_session_is_current_at_once(void **state)
{
    struct fixture *f = *state;
    struct keypair *first = add(f, true);
    expect(f, first, NULL, NULL);
    struct keypair *second = add(f, true);
    expect(f, second, first, NULL);
    struct keypair *third = add(f, true);
    expect(f, third, second, NULL);
    assert_false(keypairs_confirm(&f->keypairs, third, &f->indices));
    assert_false(keypairs_confirm(&f->keypairs, second, &f->indices));
    expect(f, third, second, NULL);
}

static void responders_session_waits_for_the_initiator(void **state)
{
    struct fixture *f = *state;
    struct keypair *first = add(f, false);
    expect(f, NULL, NULL, first);
    assert_true(keypairs_confirm(&f->keypairs, first, &f->indices));
    expect(f, first, NULL, NULL);
    struct keypair *second = add(f, false);
    expect(f, first, NULL, second);
    assert_false(keypairs_confirm(&f->keypairs, first, &f->indices));
    assert_true(keypairs_confirm(&f->keypairs, second, &f->indices));
    expect(f, second, first, NULL);
    struct keypair *third = add(f, false); /* drops previous */
    expect(f, second, NULL, third);
    struct keypair *fourth = add(f, false); /* the third was never used */
    expect(f, second, NULL, fourth);
}

static void pending_next_becomes_previous_of_an_initiator(void **state)
{
    struct fixture *f = *state;
    add(f, true);
    struct keypair *next = add(f, false);
    struct keypair *mine = add(f, true);
    expect(f, mine, next, NULL);
}

static void ages_and_limits(void **state)
{
    (void)state;
    static const struct {
        uint64_t age;
        uint64_t sent;
        bool send, stale_initiator, stale_responder;
    } cases[] = {
        {0, 0, true, false, false},
        {120 * WG_SECOND - 1, 0, true, false, false},
        {120 * WG_SECOND, 0, true, true, false},
        {180 * WG_SECOND - 1, 0, true, true, false},
        {180 * WG_SECOND, 0, false, true, false},
        {0, WG_REKEY_AFTER_MESSAGES, true, false, false},
        {0, WG_REKEY_AFTER_MESSAGES + 1, true, true, true},
        {0, WG_REJECT_AFTER_MESSAGES - 1, true, true, true},
        {0, WG_REJECT_AFTER_MESSAGES, false, true, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint64_t now = 1000 * WG_SECOND;
        struct keypair keypair = {.created_at = now - cases[i].age, .send_counter = cases[i].sent};
        assert_int_equal(keypair_can_send(&keypair, now), cases[i].send);
        assert_int_equal(keypair_stale_after_send(&keypair, now), cases[i].stale_responder);
        keypair.initiator = true;
        assert_int_equal(keypair_stale_after_send(&keypair, now), cases[i].stale_initiator);
    }
}

static void receiving_limits(void **state)
{
    (void)state;
    const struct keypair keypair = {.created_at = 5 * WG_SECOND};
    assert_true(keypair_can_receive(&keypair, 0, 185 * WG_SECOND - 1));
    assert_false(keypair_can_receive(&keypair, 0, 185 * WG_SECOND));
    assert_true(keypair_can_receive(&keypair, WG_REJECT_AFTER_MESSAGES - 1, 0));
    assert_false(keypair_can_receive(&keypair, WG_REJECT_AFTER_MESSAGES, 0));
    assert_true(keypair_can_receive(&keypair, 0, 0)); /* the clock stepped back */
}

static void receiving_renews_once_after_165_seconds(void **state)
{
    (void)state;
    struct keypair keypair = {.initiator = true};
    assert_false(keypair_stale_after_receive(&keypair, 165 * WG_SECOND - 1));
    assert_true(keypair_stale_after_receive(&keypair, 165 * WG_SECOND));
    assert_false(keypair_stale_after_receive(&keypair, 166 * WG_SECOND));
    struct keypair responder = {.initiator = false};
    assert_false(keypair_stale_after_receive(&responder, 170 * WG_SECOND));
}

static void expired_sessions_do_not_send(void **state)
{
    struct fixture *f = *state;
    struct keypair *current = add(f, true);
    struct keypair *next = add(f, false);
    keypairs_expire_sending(&f->keypairs);
    assert_false(keypair_can_send(current, 0));
    assert_false(keypair_can_send(next, 0));
    assert_true(keypair_can_receive(current, 0, 0));
}

#define keypair_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        keypair_test(initiators_session_is_current_at_once),
        keypair_test(responders_session_waits_for_the_initiator),
        keypair_test(pending_next_becomes_previous_of_an_initiator),
        keypair_test(expired_sessions_do_not_send),
        cmocka_unit_test(ages_and_limits),
        cmocka_unit_test(receiving_limits),
        cmocka_unit_test(receiving_renews_once_after_165_seconds),
    };
    return cmocka_run_group_tests_name("keypair", tests, NULL, NULL);
}
