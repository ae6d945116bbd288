/* What an attacker on the network, or a peer that does not keep to the rules, can send. */
#include "tests/sim/attacker.h"

/* --- Malformed -------------------------------------------------------------------------------- */

static void malformed_datagrams_are_dropped(void **state)
{
    struct pair *pair = *state;
    static const struct {
        uint8_t type;
        size_t len;
        uint8_t reserved;
    } cases[] = {
        {0, 0, 0},    {1, 1, 0},   {1, 3, 0},  {1, 4, 0},  {1, 147, 0}, {1, 149, 0}, {2, 91, 0},
        {2, 93, 0},   {3, 63, 0},  {3, 65, 0}, {4, 4, 0},  {4, 31, 0},  {0, 148, 0}, {5, 148, 0},
        {255, 64, 0}, {1, 148, 1}, {2, 92, 1}, {3, 64, 1}, {4, 64, 1},
    };
    const size_t count = sizeof(cases) / sizeof(cases[0]);
    const union inet_sockaddr from = stranger();
    for (size_t i = 0; i < count; i++) {
        struct datagram datagram = {.len = cases[i].len};
        datagram.data[0] = cases[i].type;
        datagram.data[3] = cases[i].reserved;
        inject(pair->a, &datagram, &from);
        assert_int_equal(node_drops(pair->a, WG_DROP_MALFORMED), i + 1);
    }
}

/* The largest datagram that UDP can carry, of every type. */
static void oversized_datagrams_are_dropped(void **state)
{
    struct pair *pair = *state;
    const struct wg_endpoint from = {.remote = stranger()};
    const size_t len = 65535;
    pair_connect(pair);
    uint8_t *datagram = calloc(1, len);
    assert_non_null(datagram);
    for (uint8_t type = 0; type <= MESSAGE_DATA + 1; type++) {
        datagram[0] = type;
        store_le32(datagram + 4, index_value(&pair->a_to_b->keypairs.current->entry));
        wg_device_receive(pair->a->device, &from, 0, datagram, len);
    }
    free(datagram);
    assert_int_equal(node_drops(pair->a, WG_DROP_MALFORMED), MESSAGE_DATA + 1);
    assert_int_equal(node_drops(pair->a, WG_DROP_BAD_TAG), 1);
}

static void random_datagrams_do_nothing(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr from = stranger();
    pair_connect(pair);
    unsigned sent = pair->a->sent[MESSAGE_DATA] + pair->a->sent[MESSAGE_RESPONSE];
    for (int i = 0; i < 20000; i++) {
        struct datagram datagram = {.len = network_random(pair->network) % 300};
        node_random(pair->a, datagram.data, datagram.len);
        datagram.data[0] = (uint8_t)(network_random(pair->network) % 6);
        if (network_random(pair->network) % 4)
            memset(datagram.data + 1, 0, 3);
        if (datagram.len >= 8 && network_random(pair->network) % 2)
            store_le32(datagram.data + 4, index_value(&pair->a_to_b->keypairs.current->entry));
        inject(pair->a, &datagram, &from);
    }
    assert_int_equal(pair->a->sent[MESSAGE_DATA] + pair->a->sent[MESSAGE_RESPONSE], sent);
    assert_true(endpoint_is(pair->a_to_b, pair->b));
    a_sends(pair, 9);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[9], 1);
}

/* --- Handshakes ------------------------------------------------------------------------------- */

/* Every bit of an initiation matters, whether or not its mac1 is made right again. */
static void tampered_initiations_are_dropped(void **state)
{
    struct pair *pair = *state;
    watch(pair->network, keep_and_drop, &initiation);
    a_sends(pair, 1);
    struct datagram original = pair->network->kept;
    assert_int_equal(original.len, INITIATION_LEN);
    /* The sender's index is not authenticated; an answer to another index is ignored there. */
    for (size_t i = INITIATION_NOISE; i < INITIATION_MAC1; i++) {
        struct datagram copy = original;
        copy.data[i] ^= (uint8_t)(1u << (i % 7)); /* not bit 7 of a public key, which is unused */
        inject(pair->b, &copy, &pair->a->addr);
        fix_mac1(pair->b, &copy);
        inject(pair->b, &copy, &pair->a->addr);
        network_run(pair->network, MS(1));
    }
    assert_int_equal(node_drops(pair->b, WG_DROP_BAD_MAC1), INITIATION_MAC1 - INITIATION_NOISE);
    assert_int_equal(pair->b->sent[MESSAGE_COOKIE_REPLY], 0);
    assert_int_equal(node_drops(pair->b, WG_DROP_HANDSHAKE), INITIATION_MAC1 - INITIATION_NOISE);
    assert_int_equal(pair->b->sent[MESSAGE_RESPONSE], 0);
    inject(pair->b, &original, &pair->a->addr);
    network_run(pair->network, MS(1));
    assert_int_equal(pair->b->sent[MESSAGE_RESPONSE], 1);
}

static void forged_responses_leave_the_handshake_alone(void **state)
{
    struct pair *pair = *state;
    watch(pair->network, keep_and_drop, &response);
    a_sends(pair, 1);
    network_run(pair->network, MS(100));
    struct datagram original = pair->network->kept;
    for (size_t i = RESPONSE_NOISE; i < RESPONSE_MAC1; i++) {
        struct datagram copy = original;
        copy.data[i] ^= (uint8_t)(1u << (i % 7));
        fix_mac1(pair->a, &copy);
        inject(pair->a, &copy, &pair->b->addr);
        network_run(pair->network, MS(1));
    }
    assert_int_equal(node_drops(pair->a, WG_DROP_HANDSHAKE), RESPONSE_MAC1 - RESPONSE_NOISE);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_CREATED_INITIATION);
    inject(pair->a, &original, &pair->b->addr);
    network_run(pair->network, MS(100));
    assert_int_equal(pair->b->got[1], 1);
}

static void stale_and_repeated_responses_are_dropped(void **state)
{
    struct pair *pair = *state;
    watch(pair->network, keep, &response);
    pair_connect(pair);
    uint64_t drops = node_drops(pair->a, WG_DROP_UNKNOWN_INDEX);
    inject(pair->a, &pair->network->kept, &pair->b->addr);
    network_run(pair->network, MS(1));
    assert_int_equal(node_drops(pair->a, WG_DROP_UNKNOWN_INDEX), drops + 1);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes, 1);
}

static void replayed_initiations_are_dropped(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr from = stranger();
    struct datagram original = connect_and_keep(pair);
    inject(pair->b, &original, &from);
    network_run(pair->network, MS(1));
    assert_int_equal(node_drops(pair->b, WG_DROP_REPLAYED_HANDSHAKE), 1);
    assert_true(endpoint_is(pair->b_to_a, pair->a));
    assert_int_equal(pair->b->sent[MESSAGE_RESPONSE], 1);
}

/* A device that begins anew, told what the one before had taken, takes no recorded initiation. */
static void replayed_initiations_are_dropped_after_a_restart(void **state)
{
    struct pair *pair = *state;
    struct node *b = pair->b;
    uint8_t newest[TAI64N_LEN];
    watch(pair->network, keep, &initiation);
    pair_connect(pair);
    memcpy(newest, wg_peer_received_timestamp(pair->b_to_a), sizeof(newest));
    for (int told = 0; told < 2; told++) {
        wg_device_free(b->device);
        assert_int_equal(wg_device_new(&node_ops, b, &b->device), 0);
        wg_device_set_private_key(b->device, b->private_key);
        pair->b_to_a = node_peer(b, pair->a, INNER_A "/32");
        if (told)
            wg_peer_refuse_until(pair->b_to_a, newest);
        const union inet_sockaddr from = stranger();
        inject(b, &pair->network->kept, &from);
        network_run(pair->network, MS(100));
        /* Who is not told is moved by it: this test can fail. */
        assert_int_equal(node_drops(b, WG_DROP_REPLAYED_HANDSHAKE), told);
        assert_int_equal(inet_sockaddr_equal(&wg_peer_endpoint(pair->b_to_a)->remote, &from),
                         !told);
    }
    /* It never goes back, and what is new is taken. */
    static const uint8_t older[TAI64N_LEN] = {0x40};
    wg_peer_refuse_until(pair->b_to_a, older);
    assert_memory_equal(wg_peer_received_timestamp(pair->b_to_a), newest, sizeof(newest));
    network_run(pair->network, S(6));
    wg_peer_send_keepalive(pair->a_to_b);
    network_run(pair->network, S(30));
    a_sends(pair, 9);
    network_run(pair->network, S(30));
    assert_true(tai64n_after(wg_peer_received_timestamp(pair->b_to_a), newest));
}

static void initiations_of_one_peer_are_limited(void **state)
{
    struct pair *pair = *state;
    /* a makes initiations as fast as it can, against the rules. */
    for (int i = 0; i < 100; i++) {
        pair->a_to_b->handshake_sent_at = 0;
        wg_peer_forget_handshake(pair->a_to_b);
        a_sends(pair, 1);
        network_run(pair->network, MS(1));
    }
    network_run(pair->network, MS(11));
    assert_in_range(pair->b->sent[MESSAGE_RESPONSE], 1, 6);
    assert_int_equal(node_drops(pair->b, WG_DROP_REPLAYED_HANDSHAKE) +
                         pair->b->sent[MESSAGE_RESPONSE],
                     pair->a->sent[MESSAGE_INITIATION]);
    /* However many there were, only the last ones keep an index. */
    assert_in_range(pair->a->device->indices.table.count, 1, 4);
    assert_in_range(pair->b->device->indices.table.count, 1, 4);
}

static void unknown_static_keys_get_no_answer(void **state)
{
    struct pair *pair = *state;
    struct node *c = node_add(pair->network, "192.0.2.3");
    node_peer(c, pair->b, INNER_B "/32");
    assert_int_equal(node_send(c, "10.0.0.3", INNER_B, 1), 0);
    network_run(pair->network, S(1));
    assert_int_equal(node_drops(pair->b, WG_DROP_HANDSHAKE), 1);
    assert_int_equal(pair->b->sent[MESSAGE_RESPONSE], 0);
}

static void low_order_public_keys_send_nothing(void **state)
{
    static const uint8_t points[][WG_KEY_LEN] = {
        {0},
        {1},
        {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
         0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
         0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
        {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
         0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
         0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
        {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    };
    struct pair *pair = *state;
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        char address[INET_ADDR_TEXT];
        struct inet_prefix prefix;
        struct wg_peer *peer;
        snprintf(address, sizeof(address), "10.1.0.%zu", i);
        assert_int_equal(wg_peer_add(pair->a->device, points[i], NULL, &peer), 0);
        assert_int_equal(inet_prefix_parse(address, &prefix), 0);
        assert_int_equal(wg_peer_allow(peer, &prefix), 0);
        wg_peer_set_endpoint(peer, &pair->b->addr);
        assert_int_equal(node_send(pair->a, INNER_A, address, 1), 0);
    }
    network_run(pair->network, S(20));
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 0);
}

static void cookies_out_of_the_blue_are_dropped(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr from = stranger();
    pair_connect(pair);
    struct datagram datagram = {.len = COOKIE_REPLY_LEN};
    node_random(pair->a, datagram.data, datagram.len);
    store_le32(datagram.data, MESSAGE_COOKIE_REPLY);
    inject(pair->a, &datagram, &from);
    assert_int_equal(node_drops(pair->a, WG_DROP_UNKNOWN_INDEX), 1);
    store_le32(datagram.data + COOKIE_REPLY_RECEIVER,
               index_value(&pair->a_to_b->keypairs.current->entry));
    inject(pair->a, &datagram, &from);
    assert_int_equal(node_drops(pair->a, WG_DROP_HANDSHAKE), 1);
    assert_false(pair->a_to_b->cookies.have_cookie);
    assert_true(endpoint_is(pair->a_to_b, pair->b));
}

/* --- Data ------------------------------------------------------------------------------------- */

static void tampered_data_is_dropped(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    watch(pair->network, keep_and_drop, &data);
    a_sends(pair, 1);
    struct datagram original = pair->network->kept;
    const union inet_sockaddr from = stranger();
    for (size_t i = 0; i < original.len; i++) {
        struct datagram copy = original;
        copy.data[i] ^= 0x10;
        inject(pair->b, &copy, &from);
    }
    for (size_t len = DATA_OVERHEAD; len < original.len; len++) {
        struct datagram copy = original;
        copy.len = len;
        inject(pair->b, &copy, &from);
    }
    assert_int_equal(pair->b->got[1], 0);
    assert_true(endpoint_is(pair->b_to_a, pair->a));
    inject(pair->b, &original, &pair->a->addr);
    assert_int_equal(pair->b->got[1], 1);
}

/* Nothing of our memory goes out behind a packet. */
static void padding_is_zero(void **state)
{
    struct pair *pair = *state;
    uint8_t plain[112];
    const uint8_t zero[12] = {0};
    pair_connect(pair);
    watch(pair->network, keep_and_drop, &data);
    a_sends(pair, 1);
    const struct datagram *datagram = &pair->network->kept;
    assert_int_equal(datagram->len, DATA_OVERHEAD + sizeof(plain));
    assert_int_equal(aead_open(&pair->b_to_a->keypairs.current->receive,
                               load_le64(datagram->data + DATA_COUNTER), NULL,
                               datagram->data + DATA_CIPHERTEXT, datagram->len - DATA_CIPHERTEXT,
                               plain),
                     0);
    assert_memory_equal(plain + 100, zero, sizeof(zero));
}

/* An index stands for a handshake or for a session; data is for sessions. */
static void data_for_a_handshake_is_dropped(void **state)
{
    struct pair *pair = *state;
    watch(pair->network, keep_and_drop, &response);
    a_sends(pair, 1);
    network_run(pair->network, MS(100));
    struct datagram datagram = {.len = DATA_OVERHEAD};
    datagram.data[0] = MESSAGE_DATA;
    store_le32(datagram.data + DATA_RECEIVER, index_value(&pair->a_to_b->handshake_index));
    inject(pair->a, &datagram, &pair->b->addr);
    assert_int_equal(node_drops(pair->a, WG_DROP_UNKNOWN_INDEX), 1);
}

static void replayed_data_changes_nothing(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr from = stranger();
    pair_connect(pair);
    watch(pair->network, keep, &data);
    a_sends(pair, 1);
    network_run(pair->network, S(1));
    uint64_t received = wg_peer_stats(pair->b_to_a)->rx_bytes;
    inject(pair->b, &pair->network->kept, &from);
    assert_int_equal(pair->b->got[1], 1);
    assert_int_equal(node_drops(pair->b, WG_DROP_REPLAYED), 1);
    assert_true(endpoint_is(pair->b_to_a, pair->a));
    assert_int_equal(wg_peer_stats(pair->b_to_a)->rx_bytes, received);
}

static void replayed_keepalives_are_dropped(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr from = stranger();
    pair_connect(pair);
    network_run(pair->network, S(30));
    watch(pair->network, keep, &data);
    b_sends(pair, 1);
    network_run(pair->network, S(12));
    assert_int_equal(pair->network->kept.len, DATA_OVERHEAD);
    inject(pair->b, &pair->network->kept, &from);
    assert_int_equal(node_drops(pair->b, WG_DROP_REPLAYED), 1);
    assert_true(endpoint_is(pair->b_to_a, pair->a));
}

/* Of a counter beyond 2^32 no bit is lost, neither in the message nor in the nonce. */
static void counters_go_out_whole(void **state)
{
    const uint64_t counter = (UINT64_C(1) << 33) + 5;
    struct pair *pair = *state;
    pair_connect(pair);
    watch(pair->network, keep, &data);
    pair->a_to_b->keypairs.current->send_counter = counter;
    a_sends(pair, 1);
    assert_true(load_le64(pair->network->kept.data + DATA_COUNTER) == counter);
    network_run(pair->network, MS(20));
    assert_int_equal(pair->b->got[1], 1);
}

static void counters_at_the_edges(void **state)
{
    static const struct {
        uint64_t counter;
        bool accepted;
    } cases[] = {
        {WG_REJECT_AFTER_MESSAGES - 1, true},
        {WG_REJECT_AFTER_MESSAGES - 1, false},
        {WG_REJECT_AFTER_MESSAGES, false},
        {WG_REJECT_AFTER_MESSAGES + 1, false},
        {UINT64_MAX, false},
        {WG_REJECT_AFTER_MESSAGES - 2, true},
    };
    struct pair *pair = *state;
    pair_connect(pair);
    struct keypair *keypair = pair->a_to_b->keypairs.current;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct datagram datagram = {.len = DATA_OVERHEAD};
        uint64_t before = wg_peer_stats(pair->b_to_a)->rx_packets;
        datagram.data[0] = MESSAGE_DATA;
        store_le32(datagram.data + DATA_RECEIVER, keypair->remote_index);
        store_le64(datagram.data + DATA_COUNTER, cases[i].counter);
        aead_seal(&keypair->send, cases[i].counter, NULL, datagram.data, 0,
                  datagram.data + DATA_CIPHERTEXT);
        inject(pair->b, &datagram, &pair->a->addr);
        assert_int_equal(wg_peer_stats(pair->b_to_a)->rx_packets - before, cases[i].accepted);
    }
}

/* What comes late on the session before does not renew the one there is. */
static void the_session_before_is_not_renewed(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    const uint64_t created_at = pair->a_to_b->keypairs.current->created_at;
    network_run(pair->network, created_at + S(121) - pair->network->now);
    a_sends(pair, 1);
    network_run(pair->network, created_at + S(166) - pair->network->now);
    struct keypair *before = pair->b_to_a->keypairs.previous;
    const unsigned initiations = pair->a->sent[MESSAGE_INITIATION];
    const uint64_t received = wg_peer_stats(pair->a_to_b)->rx_packets;
    struct datagram datagram = {.len = DATA_OVERHEAD};
    assert_non_null(before);
    datagram.data[0] = MESSAGE_DATA;
    store_le32(datagram.data + DATA_RECEIVER, before->remote_index);
    store_le64(datagram.data + DATA_COUNTER, before->send_counter);
    aead_seal(&before->send, before->send_counter++, NULL, datagram.data, 0,
              datagram.data + DATA_CIPHERTEXT);
    inject(pair->a, &datagram, &pair->b->addr);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->rx_packets, received + 1);
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], initiations);
}

static void inner_sources_are_checked(void **state)
{
    /* Some are allowed to a, and yet impossible; the last has a more specific prefix, c's. */
    static const char *const allowed[] = {"127.0.0.0/8", "224.0.0.0/3", "0.0.0.0/32", "10.0.0.2/32",
                                          "10.8.0.0/14"};
    static const char *const forged[] = {"10.0.0.3", "127.0.0.1", "224.0.0.1", "255.255.255.255",
                                         "0.0.0.0",  INNER_B,     "10.9.9.9"};
    struct pair *pair = *state;
    struct node *c = node_add(pair->network, "192.0.2.3");
    struct inet_addr own;
    pair_connect(pair);
    node_peer(pair->b, c, "10.9.0.0/16");
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        struct inet_prefix prefix;
        assert_int_equal(inet_prefix_parse(allowed[i], &prefix), 0);
        assert_int_equal(wg_peer_allow(pair->b_to_a, &prefix), 0);
    }
    assert_int_equal(inet_addr_parse(INNER_B, &own), 0);
    assert_int_equal(wg_device_set_addresses(pair->b->device, &own, 1), 0);
    unsigned delivered = pair->b->delivered;
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        assert_int_equal(node_send(pair->a, forged[i], INNER_B, 1), 0);
        network_run(pair->network, MS(20));
        assert_int_equal(node_drops(pair->b, WG_DROP_BAD_SOURCE), i + 1);
    }
    assert_int_equal(pair->b->delivered, delivered);
    /* It was authentic all the same: the endpoint moves. */
    sockaddr_of(&pair->a->addr, "192.0.2.200", PORT);
    assert_int_equal(node_send(pair->a, "10.0.0.3", INNER_B, 1), 0);
    network_run(pair->network, MS(20));
    assert_true(endpoint_is(pair->b_to_a, pair->a));
}

static void inner_sources_are_checked_in_ipv6(void **state)
{
    static const char *const forged[] = {"fd00::2", "::1", "ff02::1", "::", "fd00:9::9"};
    struct pair *pair = *state;
    struct inet_prefix prefix;
    struct node *c = node_add(pair->network, "192.0.2.3");
    pair_connect(pair);
    node_peer(pair->b, c, "fd00:9::/32");
    node_peer(pair->a, c, "fd00::b/128");
    assert_int_equal(inet_prefix_parse("fd00::b/128", &prefix), 0);
    assert_int_equal(wg_peer_allow(pair->a_to_b, &prefix), 0);
    assert_int_equal(inet_prefix_parse("fd00::1/128", &prefix), 0);
    assert_int_equal(wg_peer_allow(pair->b_to_a, &prefix), 0);
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        assert_int_equal(node_send(pair->a, forged[i], "fd00::b", 1), 0);
        network_run(pair->network, MS(20));
        assert_int_equal(node_drops(pair->b, WG_DROP_BAD_SOURCE), i + 1);
    }
    assert_int_equal(node_send(pair->a, "fd00::1", "fd00::b", 1), 0);
    network_run(pair->network, MS(20));
    assert_int_equal(pair->b->got[1], 1);
}

static void inner_lengths_are_checked(void **state)
{
    static const struct {
        size_t offset; /* of the two bytes of length */
        uint16_t length;
        uint8_t first; /* byte of the packet */
    } cases[] = {
        {2, 19, 0x45},    {2, 0, 0x45},   {2, 113, 0x45}, {2, 65535, 0x45},
        {2, 100, 0x44},   {2, 20, 0x46},  {4, 73, 0x60},  {4, 65535, 0x60},
        {4, 65500, 0x60}, {2, 100, 0x05}, {2, 100, 0xf5},
    };
    struct pair *pair = *state;
    pair_connect(pair);
    struct keypair *keypair = pair->a_to_b->keypairs.current;
    const size_t padded = 112;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct datagram datagram = {.len = DATA_OVERHEAD + padded};
        uint8_t packet[112];
        packet_make(packet, sizeof(packet), INNER_A, INNER_B, 1);
        packet[0] = cases[i].first;
        packet[cases[i].offset] = (uint8_t)(cases[i].length >> 8);
        packet[cases[i].offset + 1] = (uint8_t)cases[i].length;
        datagram.data[0] = MESSAGE_DATA;
        store_le32(datagram.data + DATA_RECEIVER, keypair->remote_index);
        store_le64(datagram.data + DATA_COUNTER, keypair->send_counter);
        aead_seal(&keypair->send, keypair->send_counter++, NULL, packet, padded,
                  datagram.data + DATA_CIPHERTEXT);
        inject(pair->b, &datagram, &pair->a->addr);
        assert_int_equal(node_drops(pair->b, WG_DROP_BAD_PACKET), i + 1);
    }
}

/* --- Endpoints -------------------------------------------------------------------------------- */

static void authentic_data_moves_the_endpoint(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    sockaddr_of(&pair->a->addr, "2001:db8::77", 4444);
    unsigned before = pair->b->events[WG_EVENT_ENDPOINT_CHANGED];
    a_sends(pair, 1);
    network_run(pair->network, S(1));
    assert_true(endpoint_is(pair->b_to_a, pair->a));
    assert_int_equal(pair->b->events[WG_EVENT_ENDPOINT_CHANGED], before + 1);
    b_sends(pair, 2);
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->got[2], 1);
}

static void authentic_handshakes_move_the_endpoint(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr from = stranger();
    watch(pair->network, keep_and_drop, &initiation);
    a_sends(pair, 1);
    inject(pair->b, &pair->network->kept, &from);
    watch(pair->network, keep_and_drop, &response);
    network_run(pair->network, MS(1));
    assert_true(inet_sockaddr_equal(&wg_peer_endpoint(pair->b_to_a)->remote, &from));
    inject(pair->a, &pair->network->kept, &from);
    network_run(pair->network, MS(1));
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_DONE], 1);
    assert_true(inet_sockaddr_equal(&wg_peer_endpoint(pair->a_to_b)->remote, &from));
}

static void answers_leave_from_the_address_that_was_addressed(void **state)
{
    struct pair *pair = *state;
    struct inet_addr local;
    pair_connect(pair);
    watch(pair->network, keep_and_drop, &data);
    a_sends(pair, 1);
    struct datagram datagram = pair->network->kept;
    assert_int_equal(inet_addr_parse("198.51.100.9", &local), 0);
    datagram.from.local = local;
    datagram.from.local_ifindex = 3;
    inject(pair->b, &datagram, &pair->a->addr);
    assert_true(inet_addr_equal(&wg_peer_endpoint(pair->b_to_a)->local, &local));
    assert_int_equal(wg_peer_endpoint(pair->b_to_a)->local_ifindex, 3);
    /* Nothing comes back: the address may be to blame. */
    pair->network->loss_per_mille = 1000;
    b_sends(pair, 1);
    network_run(pair->network, S(16));
    assert_int_equal(wg_peer_endpoint(pair->b_to_a)->local.family, AF_UNSPEC);
    /* And again before each retry of the handshake. */
    pair->b_to_a->endpoint.local = local;
    network_run(pair->network, S(6));
    assert_int_equal(wg_peer_endpoint(pair->b_to_a)->local.family, AF_UNSPEC);
    /* And when the sockets are others. */
    pair->b_to_a->endpoint.local = local;
    wg_device_sockets_moved(pair->b->device);
    assert_int_equal(wg_peer_endpoint(pair->b_to_a)->local.family, AF_UNSPEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(malformed_datagrams_are_dropped),
        pair_test(oversized_datagrams_are_dropped),
        pair_test(random_datagrams_do_nothing),
        pair_test(tampered_initiations_are_dropped),
        pair_test(forged_responses_leave_the_handshake_alone),
        pair_test(stale_and_repeated_responses_are_dropped),
        pair_test(replayed_initiations_are_dropped),
        pair_test(replayed_initiations_are_dropped_after_a_restart),
        pair_test(initiations_of_one_peer_are_limited),
        pair_test(unknown_static_keys_get_no_answer),
        pair_test(low_order_public_keys_send_nothing),
        pair_test(cookies_out_of_the_blue_are_dropped),
        pair_test(tampered_data_is_dropped),
        pair_test(padding_is_zero),
        pair_test(data_for_a_handshake_is_dropped),
        pair_test(replayed_data_changes_nothing),
        pair_test(replayed_keepalives_are_dropped),
        pair_test(counters_go_out_whole),
        pair_test(counters_at_the_edges),
        pair_test(the_session_before_is_not_renewed),
        pair_test(inner_sources_are_checked),
        pair_test(inner_sources_are_checked_in_ipv6),
        pair_test(inner_lengths_are_checked),
        pair_test(authentic_data_moves_the_endpoint),
        pair_test(authentic_handshakes_move_the_endpoint),
        pair_test(answers_leave_from_the_address_that_was_addressed),
    };
    return cmocka_run_group_tests_name("attack", tests, NULL, NULL);
}
