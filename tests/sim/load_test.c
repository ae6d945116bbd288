/* A device under a flood of handshakes: cookies, limits and how much is done per turn. */
#include "tests/sim/attacker.h"

/* Fills b's queue with copies of an initiation, which are replays and so not worth anything. */
static void flood(struct pair *pair, const struct datagram *datagram, unsigned count)
{
    const union inet_sockaddr from = stranger();
    for (unsigned i = 0; i < count; i++)
        inject(pair->b, datagram, &from);
}

static void under_load_a_cookie_is_asked_for_and_works(void **state)
{
    struct pair *pair = *state;
    struct datagram replay = connect_and_keep(pair);
    network_run(pair->network, S(20));
    /* b forgets its sessions, so that a must make a new handshake while b is under load. */
    keypairs_expire_sending(&pair->a_to_b->keypairs);

    flood(pair, &replay, 1000);
    assert_int_equal(pair->b->device->handshakes.count, WG_HANDSHAKE_QUEUE_LOADED);
    assert_int_equal(node_drops(pair->b, WG_DROP_COOKIE_NEEDED), 1000 - WG_HANDSHAKE_QUEUE_LOADED);
    assert_int_equal(pair->b->sent[MESSAGE_COOKIE_REPLY], 1000 - WG_HANDSHAKE_QUEUE_LOADED);

    unsigned responses = pair->b->sent[MESSAGE_RESPONSE];
    a_sends(pair, 5);
    network_run(pair->network, MS(100));
    assert_true(pair->a_to_b->cookies.have_cookie);
    assert_int_equal(pair->b->sent[MESSAGE_RESPONSE], responses);
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 2); /* a cookie is stored, no more */
    assert_true(endpoint_is(pair->a_to_b, pair->b));

    /* Still under load when a tries again: the cookie lets it through. */
    while (pair->b->got[5] == 0) {
        flood(pair, &replay, 2);
        if (pair->b->device->loaded_until < pair->network->now + MS(500))
            flood(pair, &replay, 100);
        network_run(pair->network, MS(50));
        assert_true(pair->network->now < S(1000) + S(60));
    }
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 3);
    assert_true(pair->network->now < pair->b->device->loaded_until);
}

/* Neither is one that its owner does not let go of after 115 s. */
static void a_cookie_of_an_old_secret_is_not_enough(void **state)
{
    struct pair *pair = *state;
    struct datagram replay = connect_and_keep(pair);
    network_run(pair->network, S(20));
    keypairs_expire_sending(&pair->a_to_b->keypairs);
    flood(pair, &replay, WG_HANDSHAKE_QUEUE_LOADED + 1);
    a_sends(pair, 5);
    network_run(pair->network, MS(100));
    assert_true(pair->a_to_b->cookies.have_cookie);
    pair->network->loss_per_mille = 1000;
    network_run(pair->network, S(121));

    watch(pair->network, keep_and_drop, &initiation);
    pair->network->loss_per_mille = 0;
    pair->a_to_b->cookies.cookie_got_at = pair->network->now;
    a_sends(pair, 6);
    network_run(pair->network, S(6));
    struct datagram late = pair->network->kept;
    flood(pair, &replay, WG_HANDSHAKE_QUEUE_LOADED); /* with no cookie for it, nor a new secret */
    const uint64_t before = node_drops(pair->b, WG_DROP_COOKIE_NEEDED);
    inject(pair->b, &late, &pair->a->addr);
    assert_int_equal(node_drops(pair->b, WG_DROP_COOKIE_NEEDED), before + 1);
    assert_int_equal(pair->b->device->handshakes.count, WG_HANDSHAKE_QUEUE_LOADED);
}

static void load_subsides(void **state)
{
    struct pair *pair = *state;
    struct datagram replay = connect_and_keep(pair);
    flood(pair, &replay, 100);
    network_run(pair->network, S(2));
    assert_int_equal(pair->b->device->handshakes.count, 0);
    uint64_t cookies = pair->b->sent[MESSAGE_COOKIE_REPLY];
    flood(pair, &replay, 1);
    network_run(pair->network, MS(1));
    assert_int_equal(pair->b->sent[MESSAGE_COOKIE_REPLY], cookies);
}

/* A flood that is spread over the ports of many devices, with a little for each. */
static void load_of_other_devices_is_load(void **state)
{
    struct pair *pair = *state;
    struct handshake_queue others = {0};
    const struct wg_endpoint from = {.remote = stranger()};
    struct datagram replay = connect_and_keep(pair);
    assert_int_equal(handshake_queue_total(), 0);
    for (int i = 0; i < WG_HANDSHAKES_LOADED; i++) {
        assert_int_equal(pair->b->sent[MESSAGE_COOKIE_REPLY], 0);
        assert_int_equal(handshake_queue_push(&others, &from, replay.data, replay.len), 0);
    }
    flood(pair, &replay, 1);
    assert_int_equal(pair->b->sent[MESSAGE_COOKIE_REPLY], 1);
    assert_int_equal(pair->b->device->handshakes.count, 0);

    handshake_queue_fini(&others);
    assert_int_equal(handshake_queue_total(), 0);
    network_run(pair->network, WG_UNDER_LOAD_TIME);
    flood(pair, &replay, 1);
    assert_int_equal(pair->b->sent[MESSAGE_COOKIE_REPLY], 1);
    assert_int_equal(pair->b->device->handshakes.count, 1);
}

/* One address that has a cookie gets through 5 at once; another is not hurt by that. */
static void under_load_each_address_has_its_own_limit(void **state)
{
    struct pair *pair = *state;
    struct node *c = node_add(pair->network, "192.0.2.3");
    struct wg_peer *c_to_b = node_peer(c, pair->b, INNER_B "/32");
    node_peer(pair->b, c, "10.0.0.3/32");
    struct datagram greedy = connect_and_keep(pair);
    flood(pair, &greedy, 100);
    keypairs_expire_sending(&pair->a_to_b->keypairs);
    assert_int_equal(node_send(c, "10.0.0.3", INNER_B, 7), 0);
    network_run(pair->network, S(3));
    assert_int_equal(pair->b->got[7], 0);
    assert_true(c_to_b->cookies.have_cookie);

    /* a asks for a cookie, too, and sends 100 with it. */
    flood(pair, &greedy, 100);
    fix_mac1(pair->b, &greedy);
    cookie_add_macs(&pair->a_to_b->cookies, greedy.data, greedy.len, pair->network->now);
    inject(pair->b, &greedy, &pair->a->addr);
    network_run(pair->network, MS(30));
    assert_true(pair->a_to_b->cookies.have_cookie);
    cookie_add_macs(&pair->a_to_b->cookies, greedy.data, greedy.len, pair->network->now);
    uint64_t limited = node_drops(pair->b, WG_DROP_RATE_LIMITED);
    for (int i = 0; i < 100; i++)
        inject(pair->b, &greedy, &pair->a->addr);
    assert_int_equal(node_drops(pair->b, WG_DROP_RATE_LIMITED) - limited, 95);
    while (pair->b->got[7] == 0) {
        flood(pair, &greedy, 100);
        network_run(pair->network, MS(100));
        assert_true(pair->network->now < S(1000) + S(20));
    }
}

/* One long batch after the other is more than the device can work off. */
static void behind_it_answers_some(void **state)
{
    struct pair *pair = *state;
    struct datagram replay = connect_and_keep(pair);
    flood(pair, &replay, WG_HANDSHAKE_QUEUE_LOADED);
    const struct {
        unsigned times;
        unsigned batch;
        unsigned answered;
    } cases[] = {
        {WG_LONG_BATCHES_BEHIND - 1, WG_BATCH_LONG, WG_BATCH_LONG},
        {1, WG_BATCH_LONG - 1, WG_BATCH_LONG - 1}, /* which ends the row */
        {WG_LONG_BATCHES_BEHIND, WG_BATCH_LONG, WG_BATCH_LONG},
        {5, WG_BATCH_LONG, WG_COOKIES_BEHIND},
        {1, WG_BATCH_LONG - 1, WG_COOKIES_BEHIND},
        {1, WG_BATCH_LONG, WG_BATCH_LONG}, /* it had caught up */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned n = 0; n < cases[i].times; n++) {
            unsigned before = pair->b->sent[MESSAGE_COOKIE_REPLY];
            pair->network->now++;
            flood(pair, &replay, cases[i].batch);
            assert_int_equal(pair->b->sent[MESSAGE_COOKIE_REPLY] - before, cases[i].answered);
        }
    }
}

static void work_per_turn_is_bounded(void **state)
{
    struct pair *pair = *state;
    struct datagram replay = connect_and_keep(pair);
    flood(pair, &replay, 10);
    assert_int_equal(wg_device_deadline(pair->b->device), 0);
    wg_device_expire(pair->b->device);
    assert_int_equal(pair->b->device->handshakes.count, 10 - WG_HANDSHAKES_PER_TURN);
    /* Data does not wait for them. */
    a_sends(pair, 8);
    struct heap_node *first = heap_first(&pair->network->datagrams);
    heap_remove(&pair->network->datagrams, first);
    network_deliver(pair->network, (struct datagram *)(void *)first);
    free(first);
    assert_int_equal(pair->b->got[8], 1);
}

static void responses_are_asked_for_cookies_too(void **state)
{
    struct pair *pair = *state;
    watch(pair->network, keep, &initiation);
    pair_connect(pair);
    network_run(pair->network, S(20));
    /* a is flooded with initiations of b's while it waits for b's response. */
    struct datagram replay = pair->network->kept;
    fix_mac1(pair->a, &replay);
    const union inet_sockaddr from = stranger();
    for (int i = 0; i < 80; i++)
        inject(pair->a, &replay, &from);
    keypairs_expire_sending(&pair->a_to_b->keypairs);
    watch(pair->network, keep, &cookie_reply);
    a_sends(pair, 5);
    network_run(pair->network, MS(100));
    assert_true(inet_sockaddr_equal(&pair->network->kept.to, &pair->b->addr));
    assert_true(pair->b_to_a->cookies.have_cookie);
    assert_int_equal(pair->b->got[5], 0);
    network_run(pair->network, S(6));
    assert_int_equal(pair->b->got[5], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(under_load_a_cookie_is_asked_for_and_works),
        pair_test(a_cookie_of_an_old_secret_is_not_enough),
        pair_test(load_subsides),
        pair_test(load_of_other_devices_is_load),
        pair_test(under_load_each_address_has_its_own_limit),
        pair_test(behind_it_answers_some),
        pair_test(work_per_turn_is_bounded),
        pair_test(responses_are_asked_for_cookies_too),
    };
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
