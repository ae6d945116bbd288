/* Where a peer is: what is looked up against what is heard. */
#include "tests/sim/network.h"

#define ELSEWHERE "198.51.100.9"

static void offer(struct pair *pair, const char *address, bool taken)
{
    union inet_sockaddr remote;
    sockaddr_of(&remote, address, PORT);
    assert_int_equal(wg_peer_offer_endpoint(pair->a_to_b, &remote), taken);
    assert_int_equal(inet_sockaddr_equal(&wg_peer_endpoint(pair->a_to_b)->remote, &remote), taken);
}

static void an_offer_does_not_move_a_peer_that_is_heard(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    offer(pair, ELSEWHERE, false);

    /* It roams, and stays where it was heard for as long as it is. */
    sockaddr_of(&pair->b->addr, "203.0.113.5", PORT);
    for (uint32_t number = 1; number < 20; number++) {
        b_sends(pair, number);
        network_run(pair->network, S(10));
        offer(pair, ELSEWHERE, false);
    }
    network_run(pair->network, S(16));
    offer(pair, ELSEWHERE, true);
}

static void a_peer_that_moved_silently_is_found_by_an_offer(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    network_run(pair->network, S(30)); /* all is answered: the peer has no reason to speak */
    sockaddr_of(&pair->b->addr, "203.0.113.5", PORT);

    /* Data is not answered: after 15 s there is an initiation, which is not answered either. */
    a_sends(pair, 1);
    const uint64_t began = pair->network->now;
    const unsigned before = pair->a->sent[MESSAGE_INITIATION];
    while (pair->a->sent[MESSAGE_INITIATION] == before)
        assert_true(network_step(pair->network, began + S(20)));
    network_run(pair->network, S(2));
    assert_int_equal(wg_peer_stats(pair->a_to_b)->unanswered, 1);
    offer(pair, "203.0.113.5", true);
    a_sends(pair, 2);
    network_run(pair->network, S(4));
    assert_int_equal(pair->b->got[2], 1);
    assert_in_range(pair->network->now - began, S(15), S(23));
    assert_int_equal(wg_peer_stats(pair->a_to_b)->unanswered, 0);
}

static void an_offer_is_taken_where_nothing_is_known(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr nowhere = {.sa.sa_family = AF_UNSPEC};
    offer(pair, ELSEWHERE, true); /* never heard */
    pair_connect(pair);
    wg_peer_set_endpoint(pair->a_to_b, &nowhere);
    offer(pair, ELSEWHERE, true); /* heard, and then told to forget where */
}

/* The address of ours that the peer talked to may not lead to where it is now. */
static void another_endpoint_has_no_source_yet(void **state)
{
    struct pair *pair = *state;
    union inet_sockaddr remote;
    pair_connect(pair);
    assert_int_equal(inet_addr_parse("192.0.2.1", &pair->a_to_b->endpoint.local), 0);
    pair->a_to_b->endpoint.local_ifindex = 3;
    wg_peer_set_endpoint(pair->a_to_b, &pair->b->addr);
    assert_int_equal(wg_peer_endpoint(pair->a_to_b)->local.family, AF_INET);
    sockaddr_of(&remote, ELSEWHERE, PORT);
    wg_peer_set_endpoint(pair->a_to_b, &remote);
    assert_int_equal(wg_peer_endpoint(pair->a_to_b)->local.family, AF_UNSPEC);
    assert_int_equal(wg_peer_endpoint(pair->a_to_b)->local_ifindex, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(an_offer_does_not_move_a_peer_that_is_heard),
        pair_test(a_peer_that_moved_silently_is_found_by_an_offer),
        pair_test(an_offer_is_taken_where_nothing_is_known),
        pair_test(another_endpoint_has_no_source_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
