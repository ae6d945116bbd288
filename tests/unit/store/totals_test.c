/* What is counted of tunnels, peers and forwards comes back, and goes with what it was counted of.
 */
#include "tests/unit/store/store_world.h"

static struct {
    struct store_tunnel_totals tunnel;
    struct store_forward_totals forward;
    struct store_peer_totals peer;
    uint8_t public_key[SPEC_KEY_LEN];
    size_t count;
} loaded;

static void see_tunnel_totals(void *ctx, const struct store_tunnel_totals *totals)
{
    (void)ctx;
    loaded.tunnel = *totals;
    loaded.count++;
}

static void see_forward_totals(void *ctx, const struct store_forward_totals *totals)
{
    (void)ctx;
    loaded.forward = *totals;
    loaded.count++;
}

static void see_peer_totals(void *ctx, const struct store_peer_totals *totals)
{
    (void)ctx;
    loaded.peer = *totals;
    memcpy(loaded.public_key, totals->public_key, SPEC_KEY_LEN);
    loaded.count++;
}

static void load_totals(void)
{
    memset(&loaded, 0, sizeof(loaded));
    assert_int_equal(store_load_tunnel_totals(store, see_tunnel_totals, NULL), 0);
    assert_int_equal(store_load_forward_totals(store, see_forward_totals, NULL), 0);
    assert_int_equal(store_load_peer_totals(store, see_peer_totals, NULL), 0);
}

static void test_totals(void **state)
{
    (void)state;
    struct store_tunnel home = make_tunnel("home");
    const struct store_forward web = make_forward("web", "home");
    assert_int_equal(store_insert_tunnel(store, &home), 0);
    assert_int_equal(store_insert_forward(store, &web), 0);
    load_totals();
    assert_int_equal(loaded.count, 0);

    struct store_tunnel_totals tunnel = {"home", 1, 2, 3};
    struct store_forward_totals forwards[] = {{"web", 4, 5, 6, UINT64_MAX}, {"gone", 1, 1, 1, 1}};
    assert_int_equal(store_save_tunnel_totals(store, &tunnel, 1), 0);
    assert_int_equal(store_save_forward_totals(store, forwards, 1), 0);
    tunnel.rx_bytes = 10;
    assert_int_equal(store_save_tunnel_totals(store, &tunnel, 1), 0);
    static const uint8_t keys[2][SPEC_KEY_LEN] = {"one", "two"};
    const struct store_peer_totals peers[] = {{"home", keys[0], 7, 8, 9},
                                              {"home", keys[1], 1, 1, 1}};
    assert_int_equal(store_save_peer_totals(store, peers, 2), 0);
    assert_int_equal(store_forget_peer(store, "home", keys[1]), 0);
    assert_int_equal(store_forget_peer(store, "home", keys[1]), 0);
    /* All or none: there is no forward of the second name. */
    forwards[0].connections = 99;
    assert_true(store_save_forward_totals(store, forwards, 2) < 0);
    reopen_store();
    load_totals();
    assert_int_equal(loaded.count, 3);
    assert_memory_equal(loaded.public_key, keys[0], SPEC_KEY_LEN);
    assert_int_equal(loaded.peer.rx_bytes, 7);
    assert_int_equal(loaded.peer.tx_bytes, 8);
    assert_int_equal(loaded.peer.handshakes, 9);
    assert_int_equal(loaded.tunnel.rx_bytes, 10);
    assert_int_equal(loaded.tunnel.tx_bytes, 2);
    assert_int_equal(loaded.tunnel.handshakes, 3);
    assert_int_equal(loaded.forward.connections, 4);
    assert_int_equal(loaded.forward.connect_failures, 5);
    assert_int_equal(loaded.forward.bytes_in, 6);
    assert_int_equal(loaded.forward.bytes_out, INT64_MAX); /* the most that can be stored */

    /* A change of the object leaves them, its deletion does not. */
    assert_int_equal(store_update_forward(store, &web), 0);
    load_totals();
    assert_int_equal(loaded.count, 3);
    assert_int_equal(store_delete_tunnel(store, "home"), 0);
    load_totals();
    assert_int_equal(loaded.count, 0);
    spec_tunnel_fini(&home.spec);
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        store_test(test_totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
