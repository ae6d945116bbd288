/* Bad networks: loss, reordering and many packets, with seeds of their own. */
#include "tests/sim/network.h"

/* Both sides send for ten minutes; nothing may arrive twice, and most must arrive. */
static void traffic_survives(struct pair *pair, unsigned loss_per_mille, uint64_t spread)
{
    const uint32_t count = 12000;
    pair->network->loss_per_mille = loss_per_mille;
    pair->network->delay_spread = spread;
    for (uint32_t number = 1; number <= count; number++) {
        a_sends(pair, number);
        if (number % 3 == 0)
            b_sends(pair, number);
        network_run(pair->network, MS(50));
    }
    network_run(pair->network, S(20));
    for (uint32_t number = 1; number <= count; number++) {
        assert_in_range(pair->a->got[number], 0, 1);
        assert_in_range(pair->b->got[number], 0, 1);
    }
    uint64_t expected = count * (uint64_t)(1000 - loss_per_mille) / 1000;
    assert_true(pair->b->delivered > expected * 8 / 10);
    assert_true(pair->a->delivered > expected / 3 * 8 / 10);
    assert_int_equal(node_drops(pair->a, WG_DROP_BAD_TAG), 0);
    assert_int_equal(node_drops(pair->b, WG_DROP_BAD_TAG), 0);
    assert_int_equal(node_drops(pair->a, WG_DROP_REPLAYED), 0);
    assert_int_equal(node_drops(pair->b, WG_DROP_REPLAYED), 0);
}

static void reordering_alone_loses_nothing(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    pair->network->delay_spread = S(3);
    for (uint32_t number = 1; number <= 12000; number++) {
        a_sends(pair, number);
        b_sends(pair, number);
        network_run(pair->network, MS(30));
    }
    network_run(pair->network, S(20));
    assert_int_equal(pair->b->delivered, 12001);
    assert_int_equal(pair->a->delivered, 12001);
}

static void ten_per_cent_loss(void **state)
{
    traffic_survives(*state, 100, MS(20));
}

static void thirty_per_cent_loss_and_much_reordering(void **state)
{
    traffic_survives(*state, 300, MS(500));
}

/* Ten thousand packets at once: the window holds, and nothing is lost in order. */
static void bursts_arrive_whole(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    for (uint32_t number = 1; number <= 10000; number++)
        assert_int_equal(node_send_sized(pair->a, INNER_A, INNER_B, number, 44 + number % 1400), 0);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->delivered, 10001);
    assert_true(pair->b->in_order);
}

/* Whatever the network did, the two find each other when it is good again. */
static void outages_end(void **state)
{
    struct pair *pair = *state;
    uint32_t number = 0;
    for (int round = 0; round < 30; round++) {
        pair->network->loss_per_mille = 1000;
        uint64_t outage = network_random(pair->network) % S(700);
        a_sends(pair, ++number);
        network_run(pair->network, outage / 2);
        b_sends(pair, ++number);
        network_run(pair->network, outage / 2);
        pair->network->loss_per_mille = 0;
        /* A program would send again; so it does here, within the time of three attempts. */
        number++;
        for (int i = 0; i < 18; i++) {
            a_sends(pair, number);
            b_sends(pair, number);
            network_run(pair->network, S(1));
        }
        assert_true(pair->a->got[number] > 0);
        assert_true(pair->b->got[number] > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(reordering_alone_loses_nothing),
        pair_test(ten_per_cent_loss),
        pair_test(thirty_per_cent_loss_and_much_reordering),
        pair_test(bursts_arrive_whole),
        pair_test(outages_end),
    };
    return cmocka_run_group_tests_name("lossy", tests, NULL, NULL);
}
