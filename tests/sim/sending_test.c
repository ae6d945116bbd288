/* What goes out: its size and marks, what waits for a session, and a sending side that is full. */
#include "tests/sim/network.h"

/* --- The shape of datagrams ------------------------------------------------------------------- */

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

/* --- What waits for a session ----------------------------------------------------------------- */

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

/* Random numbers come from the kernel, which costs as much as the packet. */
static void waiting_packets_draw_no_random_numbers(void **state)
{
    struct pair *pair = *state;
    a_sends(pair, 0);
    a_sends(pair, 1);
    const uint64_t random = pair->network->random;
    for (uint32_t i = 2; i < WG_STAGED_MAX; i++)
        a_sends(pair, i);
    assert_true(pair->network->random == random);
    assert_int_equal(pair->a_to_b->staged.count, WG_STAGED_MAX);
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

/* Also where there is a session: then they go on that, without a handshake. */
static void staged_packets_wait_for_the_endpoint_of_a_session(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr nowhere = {.sa.sa_family = AF_UNSPEC};
    pair_connect(pair);
    wg_peer_set_endpoint(pair->a_to_b, &nowhere);
    a_sends(pair, 1);
    assert_int_equal(pair->a_to_b->staged.count, 1);
    network_run(pair->network, S(1));
    wg_peer_set_endpoint(pair->a_to_b, &pair->b->addr);
    network_run(pair->network, MS(11));
    assert_int_equal(pair->b->got[1], 1);
}

/* A handshake that was wanted, too, with nothing staged. */
static void a_handshake_waits_for_an_endpoint(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr nowhere = {.sa.sa_family = AF_UNSPEC};
    wg_peer_set_endpoint(pair->a_to_b, &nowhere);
    wg_peer_send_keepalive(pair->a_to_b);
    network_run(pair->network, S(3));
    wg_peer_set_endpoint(pair->a_to_b, &pair->b->addr);
    network_run(pair->network, MS(100));
    assert_int_equal(pair->b->events[WG_EVENT_HANDSHAKE_DONE], 1);
}

/* --- Other sockets ---------------------------------------------------------------------------- */

/* A peer that only sends would go on sending to where we were. */
static void peers_hear_of_other_sockets(void **state)
{
    struct pair *pair = *state;
    wg_device_sockets_moved(pair->a->device);
    network_run(pair->network, S(30));
    assert_int_equal(pair->a->sent[0] + pair->a->sent[MESSAGE_INITIATION], 0); /* no session */

    pair_connect(pair);
    network_run(pair->network, S(30));
    unsigned keepalives = pair->a->sent[0];
    sockaddr_of(&pair->a->addr, "192.0.2.77", PORT + 1);
    wg_device_sockets_moved(pair->a->device);
    network_run(pair->network, MS(20));
    assert_int_equal(pair->a->sent[0], keepalives + 1);
    assert_true(inet_sockaddr_equal(&wg_peer_endpoint(pair->b_to_a)->remote, &pair->a->addr));
    b_sends(pair, 1);
    network_run(pair->network, MS(20));
    assert_int_equal(pair->a->got[1], 1);

    network_run(pair->network, S(200)); /* what is too old to send on is none */
    keepalives = pair->a->sent[0];
    wg_device_sockets_moved(pair->a->device);
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->sent[0], keepalives);
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 1);
}

/* --- A full sending side ---------------------------------------------------------------------- */

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

/* There may be room for what is short, and not for what is staged before it. */
static void staged_packets_are_not_overtaken(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(node_send_sized(pair->a, INNER_A, INNER_B, 1, 1000), 0);
    network_run(pair->network, MS(15));
    pair->a->room = 500;
    network_run(pair->network, MS(100));
    assert_int_equal(pair->a_to_b->staged.count, 1);
    assert_int_equal(node_send(pair->a, INNER_A, INNER_B, 2), -EAGAIN);
    pair->a->room = 0;
    a_sends(pair, 3);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->delivered, 2);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(padding_stops_at_the_mtu),
        pair_test(pieces_are_gathered),
        pair_test(ecn_is_copied_and_dscp_is_not),
        pair_test(congestion_marks_come_in),
        pair_test(what_cannot_be_sent_is_refused),
        pair_test(staged_packets_are_bounded_and_the_oldest_go),
        pair_test(waiting_packets_draw_no_random_numbers),
        pair_test(staged_packets_wait_for_key_and_endpoint),
        pair_test(staged_packets_wait_for_an_endpoint),
        pair_test(staged_packets_wait_for_the_endpoint_of_a_session),
        pair_test(a_handshake_waits_for_an_endpoint),
        pair_test(peers_hear_of_other_sockets),
        pair_test(full_sending_side_takes_no_nonce),
        pair_test(staged_packets_survive_a_full_sending_side),
        pair_test(staged_packets_are_not_overtaken),
        pair_test(blocked_handshake_is_sent_soon),
        pair_test(blocked_handshake_is_not_made_per_packet),
    };
    return cmocka_run_group_tests_name("sending", tests, NULL, NULL);
}
