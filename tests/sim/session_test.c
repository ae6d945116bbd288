/* Sessions in virtual time: handshakes, renewal and every timer (section 6). */
#include "tests/sim/network.h"

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

static void padding_stops_at_the_mtu(void **state)
{
    static const struct {
        size_t len;
        size_t padded;
    } cases[] = {{44, 48},     {48, 48},     {1400, 1408}, {1408, 1408},
                 {1409, 1420}, {1420, 1420}, {1421, 1421}, {1500, 1500}};
    struct pair *pair = *state;
    pair_connect(pair);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t before = wg_peer_stats(pair->a_to_b)->tx_bytes;
        assert_int_equal(node_send_sized(pair->a, INNER_A, INNER_B, 10, cases[i].len), 0);
        assert_int_equal(wg_peer_stats(pair->a_to_b)->tx_bytes - before,
                         cases[i].padded + DATA_OVERHEAD);
    }
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[10], sizeof(cases) / sizeof(cases[0]));
}

static void pieces_are_gathered(void **state)
{
    struct pair *pair = *state;
    uint8_t packet[120];
    pair_connect(pair);
    packet_make(packet, sizeof(packet), INNER_A, INNER_B, 33);
    const struct iovec pieces[] = {
        {.iov_base = packet, .iov_len = 41},
        {.iov_base = packet + 41, .iov_len = 2},
        {.iov_base = packet + 43, .iov_len = sizeof(packet) - 43},
    };
    assert_int_equal(wg_device_send(pair->a->device, pieces, 3, sizeof(packet)), 0);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[33], 1);
}

static void ecn_is_copied_and_dscp_is_not(void **state)
{
    struct pair *pair = *state;
    uint8_t packet[64];
    const struct iovec piece = {.iov_base = packet, .iov_len = sizeof(packet)};
    packet_make(packet, sizeof(packet), INNER_A, INNER_B, 1);
    packet[1] = 0xb9;
    assert_int_equal(wg_device_send(pair->a->device, &piece, 1, sizeof(packet)), 0);
    assert_int_equal(pair->a->last_tos, WG_TOS_HANDSHAKE);
    network_run(pair->network, S(1)); /* it was staged */
    assert_int_equal(pair->b->got[1], 1);
    assert_int_equal(pair->a->last_tos, 0x01);
    packet[1] = 0xba;
    assert_int_equal(wg_device_send(pair->a->device, &piece, 1, sizeof(packet)), 0);
    assert_int_equal(pair->a->last_tos, 0x02);
}

/* What the network marks on the outside reaches the packet inside, or drops it (RFC 6040). */
static void congestion_marks_come_in(void **state)
{
    static const struct {
        uint8_t inner, outer, result;
    } cases[] = {
        {0xb8, 0, 0xb8}, {0xba, 3, 0xbb}, {0xb9, 3, 0xbb}, {0xba, 1, 0xb9}, {0xbb, 0, 0xbb}};
    struct pair *pair = *state;
    uint8_t packet[64];
    const struct iovec piece = {.iov_base = packet, .iov_len = sizeof(packet)};
    pair_connect(pair);
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        packet_make(packet, sizeof(packet), INNER_A, INNER_B, 100 + i);
        packet[1] = cases[i].inner;
        pair->network->mark = cases[i].outer;
        assert_int_equal(wg_device_send(pair->a->device, &piece, 1, sizeof(packet)), 0);
        network_run(pair->network, MS(20));
        assert_int_equal(pair->b->got[100 + i], 1);
        assert_int_equal(pair->b->last_inner_tos, cases[i].result);
    }
    packet[1] = 0xb8;
    pair->network->mark = 3;
    assert_int_equal(wg_device_send(pair->a->device, &piece, 1, sizeof(packet)), 0);
    network_run(pair->network, MS(20));
    assert_int_equal(pair->b->got[104], 1);
    assert_int_equal(node_drops(pair->b, WG_DROP_CONGESTED), 1);
}

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
    wg_peer_set_preshared_key(pair->b_to_a, NULL);
    a_sends(pair, 2);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[2], 1);
}

static void initiations_are_retransmitted_and_given_up(void **state)
{
    struct pair *pair = *state;
    uint64_t began = pair->network->now;
    uint64_t last = began;
    unsigned sent = 1;

    pair->network->loss_per_mille = 1000;
    a_sends(pair, 1);
    while (pair->a->events[WG_EVENT_HANDSHAKE_GAVE_UP] == 0) {
        assert_true(network_step(pair->network, began + S(100)));
        if (pair->a->sent[MESSAGE_INITIATION] == sent)
            continue;
        sent++;
        assert_in_range(pair->network->now - last, S(5), S(5) + MS(333));
        last = pair->network->now;
    }
    assert_in_range(sent, 17, 18);
    assert_in_range(pair->network->now - began, S(90), S(90) + S(5) + MS(333));
    network_run(pair->network, S(600));
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], sent);
    assert_int_equal(wg_device_deadline(pair->a->device), WG_NEVER);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes_given_up, 1);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->unanswered, sent);

    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_NONE); /* wiped, with its index */
    assert_int_equal(pair->a->device->indices.table.count, 0);

    /* The packet was purged; a new one starts over. */
    pair->network->loss_per_mille = 0;
    a_sends(pair, 2);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[1], 0);
    assert_int_equal(pair->b->got[2], 1);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes_given_up, 1);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->unanswered, 0);
}

static void traffic_begins_the_attempts_anew(void **state)
{
    struct pair *pair = *state;
    pair->network->loss_per_mille = 1000;
    for (uint32_t i = 0; i < 5; i++) {
        a_sends(pair, i);
        network_run(pair->network, S(60));
    }
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 0);
    network_run(pair->network, S(40));
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 1);
}

static void staged_packets_are_bounded_and_the_oldest_go(void **state)
{
    struct pair *pair = *state;
    pair->network->loss_per_mille = 1000;
    for (uint32_t i = 0; i < WG_STAGED_MAX + 10; i++)
        a_sends(pair, i);
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 1);
    assert_int_equal(node_drops(pair->a, WG_DROP_STAGED_OVERFLOW), 10);
    assert_int_equal(wg_device_staged(pair->a->device), WG_STAGED_MAX);
    pair->network->loss_per_mille = 0;
    network_run(pair->network, S(6));
    assert_int_equal(pair->b->delivered, WG_STAGED_MAX);
    assert_int_equal(wg_device_staged(pair->a->device), 0);
    assert_int_equal(pair->b->got[9], 0);
    assert_int_equal(pair->b->got[10], 1);
    assert_true(pair->b->in_order);
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

static void initiator_renews_after_120_seconds_without_loss(void **state)
{
    struct pair *pair = *state;
    uint32_t number = 0;
    uint64_t began;

    pair_connect(pair);
    began = pair->network->now;
    while (pair->network->now < began + S(300)) {
        number++;
        a_sends(pair, number);
        b_sends(pair, number);
        network_run(pair->network, MS(50));
    }
    network_run(pair->network, S(1));
    for (uint32_t i = 1; i <= number; i++) {
        assert_int_equal(pair->a->got[i], 1);
        assert_int_equal(pair->b->got[i], 1);
    }
    assert_true(pair->a->in_order);
    assert_true(pair->b->in_order);
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 3); /* at 0, 120 and 240 s */
    assert_int_equal(pair->b->sent[MESSAGE_INITIATION], 0); /* the responder never renews */
}

/* b, which hears nothing, initiates too; at the same time as a's this would need a second try. */
static enum fate drop_initiations_of_b(struct network *network, struct datagram *datagram)
{
    bool of_b = inet_sockaddr_equal(&datagram->from.remote, &network->nodes[1].addr);
    return of_b && datagram->data[0] == MESSAGE_INITIATION ? FATE_DROP : FATE_PASS;
}

static void receiving_initiator_renews_after_165_seconds_once(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    const struct keypair *keypair = pair->a_to_b->keypairs.current;
    uint64_t due = keypair->created_at + S(165);

    /* a cannot send, not even keepalives, so that only receiving can make it renew. */
    pair->a->blocked = true;
    pair->network->watch = drop_initiations_of_b;
    while (pair->network->now < due - S(1)) {
        b_sends(pair, 1);
        network_run(pair->network, MS(500));
    }
    assert_false(keypair->renewing);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_NONE);
    network_run(pair->network, S(1));
    b_sends(pair, 1);
    network_run(pair->network, MS(20));
    assert_true(keypair->renewing);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_CREATED_INITIATION);
    pair->a->blocked = false;
    network_run(pair->network, S(1));
    assert_ptr_not_equal(pair->a_to_b->keypairs.current, keypair);
}

static void passive_keepalive_answers_once(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    network_run(pair->network, S(30));
    unsigned keepalives_a = pair->a->sent[0];
    unsigned keepalives_b = pair->b->sent[0];

    a_sends(pair, 1);
    network_run(pair->network, S(10));
    assert_int_equal(pair->b->sent[0], keepalives_b); /* 10 s after arrival, which is later */
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->sent[0], keepalives_b + 1);
    network_run(pair->network, S(60));
    assert_int_equal(pair->b->sent[0], keepalives_b + 1);
    assert_int_equal(pair->a->sent[0], keepalives_a); /* a keepalive is never answered */
}

/* What is sent anyway within the 10 s stands for the keepalive. */
static void an_answer_stands_for_the_keepalive(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    network_run(pair->network, S(30));
    unsigned before = pair->b->sent[0];
    a_sends(pair, 1);
    network_run(pair->network, S(5));
    b_sends(pair, 1);
    network_run(pair->network, S(60));
    assert_int_equal(pair->b->sent[0], before);
}

static void passive_keepalive_follows_more_data(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    network_run(pair->network, S(30));
    unsigned before = pair->b->sent[0];
    a_sends(pair, 1);
    network_run(pair->network, S(5));
    a_sends(pair, 2);
    network_run(pair->network, S(30));
    assert_int_equal(pair->b->sent[0], before + 2);
}

static void unanswered_data_starts_a_handshake_after_15_seconds(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    network_run(pair->network, S(30));
    unsigned before = pair->a->sent[MESSAGE_INITIATION];
    uint64_t began = pair->network->now;

    pair->network->loss_per_mille = 1000;
    a_sends(pair, 1);
    /* Later packets do not put it off. */
    while (pair->a->sent[MESSAGE_INITIATION] == before) {
        network_run(pair->network, MS(100));
        if (pair->network->now < began + S(14))
            a_sends(pair, 2);
    }
    assert_in_range(pair->network->now - began, S(15), S(15) + MS(333 + 100));
}

static void silence_after_180_seconds(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    struct keypair *keypair = pair->a_to_b->keypairs.current;
    uint64_t created_at = keypair->created_at;
    pair->network->loss_per_mille = 1000;

    network_run(pair->network, created_at + S(180) - 1 - pair->network->now);
    unsigned sent = pair->a->sent[MESSAGE_DATA];
    a_sends(pair, 1);
    assert_int_equal(pair->a->sent[MESSAGE_DATA], sent + 1);
    network_run(pair->network, 1);
    a_sends(pair, 2);
    assert_int_equal(pair->a->sent[MESSAGE_DATA], sent + 1);
    assert_int_equal(pair->a_to_b->staged.count, 1);
}

static void nothing_is_received_after_180_seconds(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    uint64_t created_at = pair->b_to_a->keypairs.current->created_at;
    /* Sent in time, received too late. */
    network_run(pair->network, created_at + S(179) - pair->network->now);
    pair->network->delay = S(2);
    a_sends(pair, 5);
    network_run(pair->network, S(2));
    assert_int_equal(pair->b->got[5], 0);
    assert_int_equal(node_drops(pair->b, WG_DROP_EXPIRED_KEY), 1);
}

static void keys_are_wiped_after_540_seconds(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    uint64_t created_at = pair->a_to_b->keypairs.current->created_at;
    network_run(pair->network, created_at + S(540) - 1 - pair->network->now);
    assert_non_null(pair->a_to_b->keypairs.current);
    network_run(pair->network, 1);
    assert_null(pair->a_to_b->keypairs.current);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_NONE);
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->device->indices.table.count, 0);
    assert_int_equal(pair->b->device->indices.table.count, 0);
    assert_int_equal(wg_device_deadline(pair->a->device), WG_NEVER);
    assert_int_equal(wg_device_deadline(pair->b->device), WG_NEVER);
}

/* A handshake that is going on when the keys are wiped goes with them. */
static void a_handshake_is_wiped_with_the_keys(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    uint64_t wiped_at = pair->a_to_b->keypairs.current->created_at + S(540);
    network_run(pair->network, wiped_at - S(2) - pair->network->now);
    pair->network->loss_per_mille = 1000;
    a_sends(pair, 1);
    network_run(pair->network, wiped_at - 1 - pair->network->now);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_CREATED_INITIATION);
    network_run(pair->network, 1);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_NONE);
    assert_int_equal(pair->a->device->indices.table.count, 0);
}

/* Each packet in either direction puts the persistent keepalive off. */
static void persistent_keepalive_waits_for_silence(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    wg_peer_set_keepalive(pair->b_to_a, 20);
    network_run(pair->network, MS(100));
    wg_peer_set_keepalive(pair->a_to_b, 25);
    network_run(pair->network, MS(100));
    unsigned before = pair->a->sent[0];
    network_run(pair->network, S(50));
    assert_int_equal(pair->a->sent[0], before); /* b's own came every 20 s */
    wg_peer_set_keepalive(pair->b_to_a, 0);
    b_sends(pair, 1);
    network_run(pair->network, S(20));
    before = pair->a->sent[0]; /* one was the answer to that, 10 s ago */
    a_sends(pair, 2);
    network_run(pair->network, S(24));
    assert_int_equal(pair->a->sent[0], before);
    network_run(pair->network, S(12)); /* b's answer after 10 s put it off once more */
    assert_int_equal(pair->a->sent[0], before + 1);
}

/* Not even a sending side that is full for longer than attempts are made ends it. */
static void persistent_keepalive_never_stops_trying(void **state)
{
    struct pair *pair = *state;
    pair->a->blocked = true;
    wg_peer_set_keepalive(pair->a_to_b, 200);
    network_run(pair->network, S(150));
    assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes_given_up, 1);
    pair->a->blocked = false;
    network_run(pair->network, S(60));
    assert_int_equal(pair->b->events[WG_EVENT_HANDSHAKE_DONE], 1);
}

static void persistent_keepalive_goes_on(void **state)
{
    struct pair *pair = *state;
    wg_peer_set_keepalive(pair->a_to_b, 25);
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 1); /* no session: it starts one */
    assert_int_equal(pair->a->sent[0], 1);
    network_run(pair->network, S(100));
    assert_int_equal(pair->a->sent[0], 5);
    assert_int_equal(pair->b->sent[0], 0);

    /* It goes on trying while the peer is away, and finds it when it is back. */
    pair->network->loss_per_mille = 1000;
    network_run(pair->network, S(1000));
    pair->network->loss_per_mille = 0;
    network_run(pair->network, S(31));
    unsigned done = pair->b->events[WG_EVENT_HANDSHAKE_DONE];
    assert_int_equal(done, 2);

    wg_peer_set_keepalive(pair->a_to_b, 0);
    network_run(pair->network, S(20));
    unsigned before = pair->a->sent[0];
    network_run(pair->network, S(100));
    assert_int_equal(pair->a->sent[0], before);
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

    /* Without anything to send, too: b could not reach us any more. */
    wg_device_set_private_key(pair->a->device, pair->a->private_key);
    wg_peer_remove(pair->b_to_a);
    pair->b_to_a = node_peer(pair->b, pair->a, INNER_A "/32");
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_DONE], 3);
}

/* However many are due at once, the loop gets its turn in between. */
static void timers_of_few_peers_run_per_turn(void **state)
{
    enum { PEERS = 100 };
    struct pair *pair = *state;
    for (unsigned i = 0; i < PEERS; i++) {
        struct wg_peer *peer;
        struct noise_keys keys;
        node_random(pair->a, keys.private_key, WG_KEY_LEN);
        noise_keys_init(&keys, keys.private_key);
        assert_int_equal(wg_peer_add(pair->a->device, keys.public_key, NULL, &peer), 0);
        wg_peer_set_endpoint(peer, &pair->b->addr);
        wg_peer_set_keepalive(peer, 25);
    }
    for (unsigned done = WG_PEERS_PER_TURN; done < PEERS; done += WG_PEERS_PER_TURN) {
        assert_true(wg_device_deadline(pair->a->device) <= pair->network->now);
        wg_device_expire(pair->a->device);
        assert_int_equal(pair->a->sent[MESSAGE_INITIATION], done);
    }
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

static void staged_packets_wait_for_key_and_endpoint(void **state)
{
    struct pair *pair = *state;
    struct node *c = node_add(pair->network, "192.0.2.3");
    struct inet_prefix prefix;
    struct wg_peer *c_to_b;

    wg_device_free(c->device);
    assert_int_equal(wg_device_new(&node_ops, c, &c->device), 0);
    assert_int_equal(wg_peer_add(c->device, pair->b->public_key, NULL, &c_to_b), 0);
    assert_int_equal(inet_prefix_parse(INNER_B "/32", &prefix), 0);
    assert_int_equal(wg_peer_allow(c_to_b, &prefix), 0);
    node_peer(pair->b, c, "10.0.0.3/32");

    assert_int_equal(node_send(c, "10.0.0.3", INNER_B, 9), 0);
    network_run(pair->network, S(3));
    wg_peer_set_endpoint(c_to_b, &pair->b->addr);
    network_run(pair->network, S(3));
    assert_int_equal(c->sent[MESSAGE_INITIATION], 0);
    wg_device_set_private_key(c->device, c->private_key);
    network_run(pair->network, MS(100));
    assert_int_equal(pair->b->got[9], 1);
}

static void staged_packets_wait_for_an_endpoint(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr nowhere = {.sa.sa_family = AF_UNSPEC};
    wg_peer_set_endpoint(pair->a_to_b, &nowhere);
    a_sends(pair, 1);
    network_run(pair->network, S(3));
    wg_peer_set_endpoint(pair->a_to_b, &pair->b->addr);
    network_run(pair->network, MS(100));
    assert_int_equal(pair->b->got[1], 1);
}

static void unknown_endpoint_is_given_up(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr nowhere = {.sa.sa_family = AF_UNSPEC};
    wg_peer_set_endpoint(pair->a_to_b, &nowhere);
    a_sends(pair, 1);
    network_run(pair->network, S(100));
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 0);
    assert_int_equal(node_drops(pair->a, WG_DROP_NO_ENDPOINT), 1);
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 1);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes_given_up, 1);
    assert_in_range(wg_peer_stats(pair->a_to_b)->unanswered, 17, 19);
}

static void full_sending_side_takes_no_nonce(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    uint64_t counter = pair->a_to_b->keypairs.current->send_counter;
    pair->a->blocked = true;
    assert_int_equal(node_send(pair->a, INNER_A, INNER_B, 1), -EAGAIN);
    assert_int_equal(pair->a_to_b->keypairs.current->send_counter, counter);
    pair->a->blocked = false;
    a_sends(pair, 1);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[1], 1);
}

static void staged_packets_survive_a_full_sending_side(void **state)
{
    struct pair *pair = *state;
    for (uint32_t i = 0; i < 10; i++)
        a_sends(pair, i);
    network_run(pair->network, MS(15));
    pair->a->blocked = true;
    network_run(pair->network, MS(100));
    assert_int_equal(node_send(pair->a, INNER_A, INNER_B, 10), -EAGAIN);
    pair->a->blocked = false;
    a_sends(pair, 11); /* behind what is staged */
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->delivered, 11);
    assert_true(pair->b->in_order);
}

static void blocked_handshake_is_sent_soon(void **state)
{
    struct pair *pair = *state;
    pair->a->blocked = true;
    a_sends(pair, 1);
    network_run(pair->network, S(2));
    pair->a->blocked = false;
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[1], 1);
}

/* What waits for a session does not make initiations that cannot be sent, nor use up timestamps. */
static void blocked_handshake_is_not_made_per_packet(void **state)
{
    struct pair *pair = *state;
    struct timespec wall;
    pair->a->blocked = true;
    for (uint32_t i = 0; i < 500; i++)
        a_sends(pair, i);
    node_wall_clock(pair->a, &wall);
    const uint64_t wall_ns = (uint64_t)wall.tv_sec * WG_SECOND + (uint64_t)wall.tv_nsec;
    assert_in_range(pair->a->timestamp, wall_ns - MS(20), wall_ns + MS(20));
    pair->a->blocked = false;
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[499], 1);
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

static void what_cannot_be_sent_is_refused(void **state)
{
    struct pair *pair = *state;
    uint8_t packet[64] = {0};
    const struct iovec piece = {.iov_base = packet, .iov_len = sizeof(packet)};
    assert_int_equal(node_send(pair->a, INNER_A, "10.0.0.9", 1), -EHOSTUNREACH);
    assert_int_equal(node_drops(pair->a, WG_DROP_NO_ROUTE), 1);
    assert_int_equal(wg_device_send(pair->a->device, &piece, 1, sizeof(packet)), -EINVAL);
    assert_int_equal(wg_device_send(pair->a->device, &piece, 1, WG_PACKET_MAX + 1), -EMSGSIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(one_round_trip_establishes_a_session),
        pair_test(message_sizes_are_exact),
        pair_test(padding_stops_at_the_mtu),
        pair_test(pieces_are_gathered),
        pair_test(ecn_is_copied_and_dscp_is_not),
        pair_test(congestion_marks_come_in),
        pair_test(preshared_keys_must_match),
        pair_test(initiations_are_retransmitted_and_given_up),
        pair_test(traffic_begins_the_attempts_anew),
        pair_test(staged_packets_are_bounded_and_the_oldest_go),
        pair_test(changed_peers_are_told_of_once_and_summed_up),
        pair_test(initiator_renews_after_120_seconds_without_loss),
        pair_test(receiving_initiator_renews_after_165_seconds_once),
        pair_test(passive_keepalive_answers_once),
        pair_test(an_answer_stands_for_the_keepalive),
        pair_test(passive_keepalive_follows_more_data),
        pair_test(unanswered_data_starts_a_handshake_after_15_seconds),
        pair_test(silence_after_180_seconds),
        pair_test(nothing_is_received_after_180_seconds),
        pair_test(keys_are_wiped_after_540_seconds),
        pair_test(a_handshake_is_wiped_with_the_keys),
        pair_test(persistent_keepalive_waits_for_silence),
        pair_test(persistent_keepalive_never_stops_trying),
        pair_test(persistent_keepalive_goes_on),
        pair_test(simultaneous_initiations_converge),
        pair_test(restarted_peer_is_found_again),
        pair_test(private_key_change_renews_the_session),
        pair_test(timers_of_few_peers_run_per_turn),
        pair_test(own_public_key_is_no_peer),
        pair_test(staged_packets_wait_for_key_and_endpoint),
        pair_test(staged_packets_wait_for_an_endpoint),
        pair_test(unknown_endpoint_is_given_up),
        pair_test(full_sending_side_takes_no_nonce),
        pair_test(staged_packets_survive_a_full_sending_side),
        pair_test(blocked_handshake_is_sent_soon),
        pair_test(blocked_handshake_is_not_made_per_packet),
        pair_test(session_ends_at_the_message_limit),
        pair_test(previous_session_is_still_received_on),
        pair_test(clock_set_back_does_not_stop_handshakes),
        pair_test(a_restart_with_the_clock_set_back_is_survived),
        pair_test(a_used_up_bound_stops_initiations_until_it_is_moved),
        pair_test(ipv6_inside_and_outside),
        pair_test(what_cannot_be_sent_is_refused),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
