/* Sessions in virtual time: how they come about, change and follow one another. */
#include "tests/sim/network.h"

/* --- Handshakes ------------------------------------------------------------------------------- */

static void one_round_trip_establishes_a_session(void **state)
{
    struct pair *pair = *state;
    uint64_t began = pair->network->now;

    a_sends(pair, 7);
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 1);
    assert_int_equal(pair->a->last_tos, WG_TOS_HANDSHAKE);
    while (pair->b->delivered == 0)
        assert_true(network_step(pair->network, began + S(1)));
    assert_int_equal(pair->network->now - began, 3 * pair->network->delay);
    assert_int_equal(pair->b->got[7], 1);
    assert_int_equal(pair->b->sent[MESSAGE_RESPONSE], 1);
    assert_int_equal(pair->a->sent[0], 0); /* what was staged stands for the keepalive */
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_DONE], 1);
    assert_int_equal(pair->b->events[WG_EVENT_HANDSHAKE_DONE], 1);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes, 1);
    assert_int_equal(wg_peer_stats(pair->b_to_a)->handshakes, 1);
    assert_int_equal(wg_peer_stats(pair->b_to_a)->last_handshake_unix_ns / (int64_t)WG_SECOND,
                     1700000000 + (int64_t)(pair->network->now / WG_SECOND));
}

static void message_sizes_are_exact(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    const struct wg_peer_stats *a = wg_peer_stats(pair->a_to_b);
    const struct wg_peer_stats *b = wg_peer_stats(pair->b_to_a);
    /* 100 bytes are padded to 112. */
    assert_int_equal(a->tx_bytes, INITIATION_LEN + DATA_OVERHEAD + 112);
    assert_int_equal(a->rx_bytes, RESPONSE_LEN + DATA_OVERHEAD + 112);
    assert_int_equal(b->rx_bytes, a->tx_bytes);
    assert_int_equal(b->tx_bytes, a->rx_bytes);
    assert_int_equal(a->tx_packets, 2);
    assert_int_equal(b->rx_packets, 2);
}

static void ipv6_inside_and_outside(void **state)
{
    struct pair *pair = *state;
    struct node *c = node_add(pair->network, "2001:db8::3");
    struct node *d = node_add(pair->network, "2001:db8::4");
    node_peer(c, d, "fd00::/64");
    node_peer(d, c, "::/0");
    assert_int_equal(node_send(c, "2001:db8:1::1", "fd00::4", 1), 0);
    network_run(pair->network, S(1));
    assert_int_equal(d->got[1], 1);
    assert_int_equal(node_send(d, "fd00::4", "2001:db8:1::1", 2), 0);
    network_run(pair->network, S(1));
    assert_int_equal(c->got[2], 1);
}

static void simultaneous_initiations_converge(void **state)
{
    struct pair *pair = *state;
    a_sends(pair, 1);
    b_sends(pair, 1);
    network_run(pair->network, S(12));
    assert_int_equal(pair->a->got[1], 1);
    assert_int_equal(pair->b->got[1], 1);
    a_sends(pair, 2);
    b_sends(pair, 2);
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->got[2], 1);
    assert_int_equal(pair->b->got[2], 1);
}

static void restarted_peer_is_found_again(void **state)
{
    struct pair *pair = *state;
    struct node *b = pair->b;
    pair_connect(pair);
    network_run(pair->network, S(20));
    /* b forgets everything. */
    wg_device_free(b->device);
    assert_int_equal(wg_device_new(&node_ops, b, &b->device), 0);
    wg_device_set_private_key(b->device, b->private_key);
    pair->b_to_a = node_peer(b, pair->a, INNER_A "/32");
    uint64_t began = pair->network->now;
    a_sends(pair, 3);
    network_run(pair->network, S(14));
    a_sends(pair, 4);
    assert_int_equal(pair->a->events[WG_EVENT_HEARD_AGAIN], 0);
    while (b->got[4] == 0) {
        network_run(pair->network, MS(100));
        if (pair->network->now < began + S(30))
            a_sends(pair, 4);
    }
    assert_in_range(pair->network->now - began, S(15), S(16));
    assert_int_equal(pair->a->events[WG_EVENT_HEARD_AGAIN], 1);
    /* A session that is renewed in time is no news. */
    network_run(pair->network, S(121));
    a_sends(pair, 5);
    network_run(pair->network, S(1));
    a_sends(pair, 5);
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_DONE], 3);
    assert_int_equal(pair->a->events[WG_EVENT_HEARD_AGAIN], 1);
}

static void previous_session_is_still_received_on(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    /* The packet is overtaken by a whole handshake. */
    pair->network->delay = S(2);
    a_sends(pair, 5);
    pair->network->delay = MS(10);
    network_run(pair->network, S(1));
    pair->a_to_b->handshake_sent_at = 0;
    pair->a_to_b->keypairs.current->send_expired = true;
    a_sends(pair, 6);
    network_run(pair->network, MS(100));
    assert_int_equal(pair->b->got[6], 1);
    network_run(pair->network, S(5));
    assert_int_equal(pair->b->got[5], 1);
}

static void session_ends_at_the_message_limit(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    struct keypair *keypair = pair->a_to_b->keypairs.current;
    keypair->send_counter = WG_REJECT_AFTER_MESSAGES - 1;
    network_run(pair->network, S(4)); /* so that an initiation may be sent again */
    a_sends(pair, 1);
    assert_int_equal(keypair->send_counter, WG_REJECT_AFTER_MESSAGES);
    a_sends(pair, 2);
    assert_int_equal(pair->a_to_b->staged.count, 1);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[1], 1);
    assert_int_equal(pair->b->got[2], 1);
    assert_ptr_not_equal(pair->a_to_b->keypairs.current, keypair);
}

/* --- Changes ---------------------------------------------------------------------------------- */

static void preshared_keys_must_match(void **state)
{
    struct pair *pair = *state;
    const uint8_t key[WG_KEY_LEN] = {1, 2, 3};

    wg_peer_set_preshared_key(pair->a_to_b, key);
    a_sends(pair, 1);
    network_run(pair->network, S(2));
    assert_int_equal(pair->b->delivered, 0);
    assert_int_equal(node_drops(pair->a, WG_DROP_HANDSHAKE), 1);

    wg_peer_set_preshared_key(pair->b_to_a, key);
    network_run(pair->network, S(10));
    assert_int_equal(pair->b->got[1], 1);

    /* Changing it leaves the session alone. */
    const uint8_t other[WG_KEY_LEN] = {4, 5, 6};
    wg_peer_set_preshared_key(pair->b_to_a, other);
    a_sends(pair, 3);
    network_run(pair->network, MS(100));
    assert_int_equal(pair->b->got[3], 1);

    /* The next handshake needs the new one, in place of the old one. */
    keypairs_expire_sending(&pair->a_to_b->keypairs);
    a_sends(pair, 2);
    network_run(pair->network, S(20));
    assert_int_equal(pair->b->got[2], 0);
    wg_peer_set_preshared_key(pair->a_to_b, other);
    network_run(pair->network, S(6));
    assert_int_equal(pair->b->got[2], 1);
}

static void private_key_change_renews_the_session(void **state)
{
    struct pair *pair = *state;
    struct noise_keys keys;
    struct inet_prefix prefix;
    pair_connect(pair);
    node_random(pair->a, keys.private_key, WG_KEY_LEN);
    noise_keys_init(&keys, keys.private_key);
    wg_peer_remove(pair->b_to_a);
    assert_int_equal(wg_peer_add(pair->b->device, keys.public_key, NULL, &pair->b_to_a), 0);
    assert_int_equal(inet_prefix_parse(INNER_A "/32", &prefix), 0);
    assert_int_equal(wg_peer_allow(pair->b_to_a, &prefix), 0);

    wg_device_set_private_key(pair->a->device, keys.private_key);
    a_sends(pair, 5);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[5], 1);
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_DONE], 2);

    /* Without anything to send, too, however long ago the last handshake was: b could not reach us
     * any more. */
    network_run(pair->network, S(100));
    wg_device_set_private_key(pair->a->device, pair->a->private_key);
    wg_peer_remove(pair->b_to_a);
    pair->b_to_a = node_peer(pair->b, pair->a, INNER_A "/32");
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_DONE], 3);
}

/* Whoever changes something else of a tunnel sets its key, too. */
static void the_same_private_key_changes_nothing(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    const struct keypair *keypair = pair->a_to_b->keypairs.current;
    wg_device_set_private_key(pair->a->device, pair->a->private_key);
    a_sends(pair, 1);
    network_run(pair->network, S(10));
    assert_int_equal(pair->b->got[1], 1);
    assert_ptr_equal(pair->a_to_b->keypairs.current, keypair);
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 1);
}

static void own_public_key_is_no_peer(void **state)
{
    struct pair *pair = *state;
    struct wg_peer *peer;
    assert_int_equal(wg_peer_add(pair->a->device, pair->a->public_key, NULL, &peer), -EINVAL);
    assert_int_equal(wg_peer_add(pair->a->device, pair->b->public_key, NULL, &peer), -EEXIST);
    /* And one that becomes our own key goes. */
    wg_device_set_private_key(pair->a->device, pair->b->private_key);
    assert_null(wg_peer_find(pair->a->device, pair->b->public_key));
    assert_int_equal(node_send(pair->a, INNER_A, INNER_B, 1), -EHOSTUNREACH);
}

static void changed_peers_are_told_of_once_and_summed_up(void **state)
{
    struct pair *pair = *state;
    struct wg_device *device = pair->a->device;
    static const uint8_t other_key[WG_KEY_LEN] = {9};
    struct wg_peer *other;
    pair_connect(pair);
    assert_int_equal(wg_peer_add(device, other_key, NULL, &other), 0);

    assert_ptr_equal(wg_device_next_changed(device), pair->a_to_b);
    assert_null(wg_device_next_changed(device));
    a_sends(pair, 1);
    a_sends(pair, 2);
    assert_ptr_equal(wg_device_next_changed(device), pair->a_to_b);
    assert_null(wg_device_next_changed(device)); /* the other one has nothing to tell */

    wg_peer_set_endpoint(other, &pair->b->addr);
    a_sends(pair, 3);
    wg_peer_remove(other); /* while it waits to be looked at */
    assert_ptr_equal(wg_device_next_changed(device), pair->a_to_b);
    assert_null(wg_device_next_changed(device));

    const struct wg_peer_stats before = *wg_peer_stats(pair->a_to_b);
    const struct wg_peer_stats *all = wg_device_stats(device);
    assert_true(before.rx_bytes > 0 && before.tx_bytes > 0);
    wg_peer_remove(pair->a_to_b); /* what it has carried stays counted */
    assert_int_equal(all->rx_bytes, before.rx_bytes);
    assert_int_equal(all->tx_bytes, before.tx_bytes);
    assert_int_equal(all->rx_packets, before.rx_packets);
    assert_int_equal(all->tx_packets, before.tx_packets);
    assert_int_equal(all->handshakes, before.handshakes);
    assert_int_equal(all->last_handshake_unix_ns, before.last_handshake_unix_ns);
}

/* --- Clocks ----------------------------------------------------------------------------------- */

static void clock_set_back_does_not_stop_handshakes(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    pair->network->wall_offset = -1000000;
    network_run(pair->network, S(200));
    a_sends(pair, 4);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[4], 1);
    assert_int_equal(node_drops(pair->b, WG_DROP_REPLAYED_HANDSHAKE), 0);
}

/* Another device with a's key takes a's place; its timestamps are bounded as these. */
static void restart_a(struct pair *pair, uint64_t after_unix_ns, uint64_t until_unix_ns)
{
    wg_device_free(pair->a->device);
    assert_int_equal(wg_device_new(&node_ops, pair->a, &pair->a->device), 0);
    wg_device_set_private_key(pair->a->device, pair->a->private_key);
    wg_device_limit_timestamps(pair->a->device, after_unix_ns, until_unix_ns);
    pair->a_to_b = node_peer(pair->a, pair->b, INNER_B "/32");
}

static uint64_t wall_ns(struct pair *pair)
{
    struct timespec wall;
    node_wall_clock(pair->a, &wall);
    return (uint64_t)wall.tv_sec * WG_SECOND + (uint64_t)wall.tv_nsec;
}

static void a_restart_with_the_clock_set_back_is_survived(void **state)
{
    struct pair *pair = *state;
    const uint64_t year = S(31536000);
    uint64_t until = wall_ns(pair) + S(60);
    wg_device_limit_timestamps(pair->a->device, 0, until);
    a_sends(pair, 0); /* and b has nothing to say, so that it does not start a handshake */
    network_run(pair->network, S(1));
    pair->network->wall_offset = -1000000;

    /* Who forgets what was sent is locked out: each initiation counts as a replay. */
    restart_a(pair, 0, UINT64_MAX);
    a_sends(pair, 4);
    network_run(pair->network, S(80));
    assert_int_equal(pair->b->got[4], 0);
    assert_true(node_drops(pair->b, WG_DROP_REPLAYED_HANDSHAKE) >= 15);

    /* Who knows the bound is not. A jump forward between restarts does not last, either. */
    restart_a(pair, until, until + S(10));
    a_sends(pair, 5);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[5], 1);
    pair->network->wall_offset = 31536000;
    restart_a(pair, until + S(10), until + year);
    a_sends(pair, 6);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[6], 1);
    pair->network->wall_offset = 0;
    restart_a(pair, until + year, until + year + S(10));
    a_sends(pair, 7);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[7], 1);
}

static void a_used_up_bound_stops_initiations_until_it_is_moved(void **state)
{
    struct pair *pair = *state;
    const uint64_t now = wall_ns(pair);
    wg_device_limit_timestamps(pair->a->device, now + S(10), now + S(10));
    a_sends(pair, 1);
    network_run(pair->network, S(20));
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 0);
    assert_int_equal(pair->a->timestamp, 0);
    wg_device_limit_timestamps(pair->a->device, now + S(10), now + S(20));
    network_run(pair->network, S(6));
    assert_int_equal(pair->b->got[1], 1);
    assert_in_range(pair->a->timestamp, now + S(9), now + S(20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(one_round_trip_establishes_a_session),
        pair_test(message_sizes_are_exact),
        pair_test(ipv6_inside_and_outside),
        pair_test(simultaneous_initiations_converge),
        pair_test(restarted_peer_is_found_again),
        pair_test(previous_session_is_still_received_on),
        pair_test(session_ends_at_the_message_limit),
        pair_test(preshared_keys_must_match),
        pair_test(private_key_change_renews_the_session),
        pair_test(the_same_private_key_changes_nothing),
        pair_test(own_public_key_is_no_peer),
        pair_test(changed_peers_are_told_of_once_and_summed_up),
        pair_test(clock_set_back_does_not_stop_handshakes),
        pair_test(a_restart_with_the_clock_set_back_is_survived),
        pair_test(a_used_up_bound_stops_initiations_until_it_is_moved),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
