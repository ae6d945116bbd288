/* What an attacker on the network, or a peer that does not keep to the rules, can send. */
#include "tests/sim/network.h"

/* --- Watchers ------------------------------------------------------------------------------- */

/* Keeps a copy of the last datagram whose type is *watch_ctx, and lets it pass. */
static enum fate keep(struct network *network, struct datagram *datagram)
{
    const uint8_t *type = network->watch_ctx;
    if (datagram->data[0] == *type)
        network->kept = *datagram;
    return FATE_PASS;
}

static enum fate keep_and_drop(struct network *network, struct datagram *datagram)
{
    const uint8_t *type = network->watch_ctx;
    if (datagram->data[0] != *type)
        return FATE_PASS;
    network->kept = *datagram;
    return FATE_DROP;
}

static void watch(struct network *network,
                  enum fate (*watcher)(struct network *network, struct datagram *datagram),
                  const uint8_t *type)
{
    network->watch = watcher;
    network->watch_ctx = (void *)type;
    network->kept.len = 0;
}

static const uint8_t initiation = MESSAGE_INITIATION;
static const uint8_t response = MESSAGE_RESPONSE;
static const uint8_t cookie_reply = MESSAGE_COOKIE_REPLY;
static const uint8_t data = MESSAGE_DATA;

/* Hands a datagram to a node at once, as if it came from this address. */
static void inject(struct node *node, const struct datagram *datagram,
                   const union inet_sockaddr *from)
{
    struct datagram copy = *datagram;
    copy.to = node->addr;
    copy.from.remote = *from;
    network_deliver(node->network, &copy);
}

/* Gives a handshake message a right mac1 again. */
static void fix_mac1(const struct node *to, struct datagram *datagram)
{
    struct cookie_maker maker = {0};
    cookie_maker_init(&maker, to->public_key);
    cookie_add_macs(&maker, datagram->data, datagram->len, 0);
}

static union inet_sockaddr stranger(void)
{
    union inet_sockaddr addr;
    sockaddr_of(&addr, "203.0.113.66", 666);
    return addr;
}

static bool endpoint_is(const struct wg_peer *peer, const struct node *node)
{
    return inet_sockaddr_equal(&wg_peer_endpoint(peer)->remote, &node->addr);
}

/* --- Malformed ------------------------------------------------------------------------------ */

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

/* --- Handshakes ----------------------------------------------------------------------------- */

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
    watch(pair->network, keep, &initiation);
    pair_connect(pair);
    struct datagram original = pair->network->kept;
    inject(pair->b, &original, &from);
    network_run(pair->network, MS(1));
    assert_int_equal(node_drops(pair->b, WG_DROP_REPLAYED_HANDSHAKE), 1);
    assert_true(endpoint_is(pair->b_to_a, pair->a));
    assert_int_equal(pair->b->sent[MESSAGE_RESPONSE], 1);
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

/* --- Data ----------------------------------------------------------------------------------- */

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

/* --- Load ----------------------------------------------------------------------------------- */

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
    watch(pair->network, keep, &initiation);
    pair_connect(pair);
    struct datagram replay = pair->network->kept;
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

static void load_subsides(void **state)
{
    struct pair *pair = *state;
    watch(pair->network, keep, &initiation);
    pair_connect(pair);
    struct datagram replay = pair->network->kept;
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
    watch(pair->network, keep, &initiation);
    pair_connect(pair);
    struct datagram replay = pair->network->kept;
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
    watch(pair->network, keep, &initiation);
    pair_connect(pair);
    struct datagram greedy = pair->network->kept;
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
    watch(pair->network, keep, &initiation);
    pair_connect(pair);
    struct datagram replay = pair->network->kept;
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
    watch(pair->network, keep, &initiation);
    pair_connect(pair);
    struct datagram replay = pair->network->kept;
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
        pair_test(malformed_datagrams_are_dropped),
        pair_test(oversized_datagrams_are_dropped),
        pair_test(random_datagrams_do_nothing),
        pair_test(tampered_initiations_are_dropped),
        pair_test(forged_responses_leave_the_handshake_alone),
        pair_test(stale_and_repeated_responses_are_dropped),
        pair_test(replayed_initiations_are_dropped),
        pair_test(initiations_of_one_peer_are_limited),
        pair_test(unknown_static_keys_get_no_answer),
        pair_test(low_order_public_keys_send_nothing),
        pair_test(tampered_data_is_dropped),
        pair_test(padding_is_zero),
        pair_test(data_for_a_handshake_is_dropped),
        pair_test(replayed_data_changes_nothing),
        pair_test(replayed_keepalives_are_dropped),
        pair_test(authentic_data_moves_the_endpoint),
        pair_test(authentic_handshakes_move_the_endpoint),
        pair_test(answers_leave_from_the_address_that_was_addressed),
        pair_test(inner_sources_are_checked),
        pair_test(inner_sources_are_checked_in_ipv6),
        pair_test(inner_lengths_are_checked),
        pair_test(counters_go_out_whole),
        pair_test(counters_at_the_edges),
        pair_test(the_session_before_is_not_renewed),
        pair_test(under_load_a_cookie_is_asked_for_and_works),
        pair_test(load_subsides),
        pair_test(load_of_other_devices_is_load),
        pair_test(under_load_each_address_has_its_own_limit),
        pair_test(behind_it_answers_some),
        pair_test(work_per_turn_is_bounded),
        pair_test(cookies_out_of_the_blue_are_dropped),
        pair_test(responses_are_asked_for_cookies_too),
    };
    return cmocka_run_group_tests_name("attack", tests, NULL, NULL);
}
