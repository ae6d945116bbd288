/*
 * Random lives of two to four devices: packets, time, configuration and a bad network in any order,
 * with an attacker on it. Whatever happens:
 *
 *  - no key is used twice with a nonce, for whatever it encrypts;
 *  - what is forged, tampered with or replayed changes not a byte of any peer or session;
 *  - an inner packet arrives once at most, unchanged, at the node that it was routed to, and with a
 *    source that its sender may use there;
 *  - every bound holds, and no deadline spins;
 *  - when the network is good again, all find each other within the protocol's time; when then
 *    nobody has anything to say, keys, indices and timers go.
 *
 * One seed makes one life. SIM_LIVES=n in the environment makes so many, SIM_SEED=n begins with
 * this one, and alone repeats it.
 */
#include "tests/sim/ledger.h"
#include "tests/sim/network.h"
#include "tests/sim/snapshot.h"
#include "tests/sim/toy_dh.h"

#include "engine/wg/exchange.h"

#if defined(__SANITIZE_ADDRESS__)
#define LIVES 300
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LIVES 300
#endif
#endif
#ifndef LIVES
#define LIVES 5000
#endif

#define ACTIONS       150
#define RECORDED_MAX  64 /* datagrams that the attacker remembers */
#define DATAGRAMS_MAX 65536
#define FLOOD_MAX     300
#define DELAY_MAX     S(5)
#define PREFIXES      3 /* that move between peers */
/* Inner addresses by number: of node n, IPv4 and IPv6, and then those of the moving prefixes. */
#define ADDRESSES      (NODES_MAX + PREFIXES)
#define FIRST_SEED     1
#define LIVES_PER_LINE 1000

/*
 * When all have something to say on a network that is good again, sooner or later one is silent
 * for 15 s to another, which then begins a handshake; two that begin at once try again after 5 s
 * and a random third of a second, until the same does not happen once more.
 */
#define CONVERGES_S 60
#define FORGETS_S   (540 + 200)

struct world {
    struct network *network;
    struct datagram recorded[RECORDED_MAX];
    size_t recorded_count;
    /* By id of a datagram: in which life of its receiver it was taken; 0 = was not. */
    uint16_t taken[DATAGRAMS_MAX];
    uint16_t lives[NODES_MAX]; /* of each node: what it knew of a peer is gone */
    /* Whom a node has given which inner addresses to; NULL = nobody. */
    const struct wg_peer *owner[NODES_MAX][ADDRESSES];
    char inner[NODES_MAX][2][INET_ADDR_TEXT]; /* IPv4, IPv6 */
    size_t contexts[NODES_MAX];               /* of peers: the number of the node */
    /* The last timestamp that a node sent to each: what a program keeps beyond its end. */
    uint8_t sent[NODES_MAX][NODES_MAX][TAI64N_LEN];
};

/* Which life is going on, for the report. */
static uint64_t seed;
static bool alive;
static uint64_t slowest; /* seconds to convergence, of all lives */

static struct world *world_of(const struct node *node)
{
    return node->network->watch_ctx;
}

static size_t number_of(const struct node *node)
{
    return (size_t)(node - node->network->nodes);
}

static size_t pick(struct world *world, size_t count)
{
    return (size_t)(network_random(world->network) % count);
}

static struct wg_peer *peer_of(struct world *world, size_t from, size_t to)
{
    struct network *network = world->network;
    return wg_peer_find(network->nodes[from].device, network->nodes[to].public_key);
}

/* --- What nodes see --------------------------------------------------------------------------- */

static void prefix_address(char out[INET_ADDR_TEXT], size_t prefix)
{
    snprintf(out, INET_ADDR_TEXT, "10.1.%zu.5", prefix);
}

/* The number of a packet's source. */
static size_t source_number(const uint8_t *packet)
{
    const uint8_t *source = packet + 12;
    if (packet[0] >> 4 == 6)
        return packet[8 + 15] - 1u;
    return source[1] == 1 ? (size_t)NODES_MAX + source[2] : source[3] - 1u;
}

static void on_deliver(void *ctx, struct wg_peer *peer, uint8_t *packet, size_t len)
{
    struct node *node = ctx;
    struct world *world = world_of(node);
    const size_t sender = *(const size_t *)wg_peer_ctx(peer);
    ledger_packet_arrived(number_of(node), sender, packet, len);
    assert_ptr_equal(world->owner[number_of(node)][source_number(packet)], peer);
    node->delivered++;
}

static uint64_t packets_taken(const struct node *node)
{
    uint64_t sum = 0;
    for (const struct wg_peer *peer = node->device->peers; peer; peer = peer->next)
        sum += wg_peer_stats(peer)->rx_packets;
    return sum;
}

/* Everything that comes to a node: what cannot be authentic must change nothing. */
static void arrive(struct network *network, struct node *node, const struct datagram *datagram)
{
    static struct snapshot before;
    struct world *world = network->watch_ctx;
    uint16_t *taken = &world->taken[datagram->id];
    const uint16_t life = world->lives[number_of(node)];
    bool worthless = datagram->tampered || *taken == life;
    bool idle = node->device->handshakes.count == 0;
    uint64_t packets = packets_taken(node);

    if (worthless)
        snapshot_take(&before, node->device);
    node_arrive(node, datagram);
    if (idle) /* else it waits behind others, and is judged only by what becomes of all */
        wg_exchange_work(node->device);
    if (worthless)
        snapshot_check(&before, node->device);
    else if (packets_taken(node) > packets)
        *taken = life;
}

static enum fate record(struct network *network, struct datagram *datagram)
{
    struct world *world = network->watch_ctx;
    assert_true(datagram->id < DATAGRAMS_MAX);
    size_t slot =
        world->recorded_count < RECORDED_MAX ? world->recorded_count++ : pick(world, RECORDED_MAX);
    world->recorded[slot] = *datagram;
    return FATE_PASS;
}

/* --- Configuration ---------------------------------------------------------------------------- */

static void allow(struct wg_peer *peer, const char *text)
{
    struct inet_prefix prefix;
    assert_int_equal(inet_prefix_parse(text, &prefix), 0);
    assert_int_equal(wg_peer_allow(peer, &prefix), 0);
}

static void allow_inner(struct world *world, size_t from, struct wg_peer *peer, size_t to)
{
    for (size_t i = 0; i < 2; i++)
        allow(peer, world->inner[to][i]);
    world->owner[from][to] = peer;
}

static void introduce(struct world *world, size_t from, size_t to)
{
    struct node *nodes = world->network->nodes;
    struct wg_peer *peer;
    assert_int_equal(
        wg_peer_add(nodes[from].device, nodes[to].public_key, &world->contexts[to], &peer), 0);
    memcpy(peer->handshake.sent_timestamp, world->sent[from][to], TAI64N_LEN);
    allow_inner(world, from, peer, to);
    wg_peer_set_endpoint(peer, &nodes[to].addr);
}

static void keep_timestamp(struct world *world, size_t from, const struct wg_peer *peer)
{
    uint8_t *sent = world->sent[from][*(const size_t *)wg_peer_ctx(peer)];
    if (tai64n_after(peer->handshake.sent_timestamp, sent))
        memcpy(sent, peer->handshake.sent_timestamp, TAI64N_LEN);
}

static void disown(struct world *world, size_t from, const struct wg_peer *peer)
{
    for (size_t i = 0; i < ADDRESSES; i++)
        if (world->owner[from][i] == peer)
            world->owner[from][i] = NULL;
}

/* What was received from a peer is forgotten with it, and may be received again. */
static void forget(struct world *world, size_t from, struct wg_peer *peer)
{
    world->lives[from]++;
    keep_timestamp(world, from, peer);
    disown(world, from, peer);
    wg_peer_remove(peer);
}

/* Whom a packet goes to that this node sends to this address; NOBODY = it has no route. */
static size_t receiver_of(struct world *world, size_t from, size_t address)
{
    const struct wg_peer *peer = world->owner[from][address];
    return peer ? *(const size_t *)wg_peer_ctx(peer) : NOBODY;
}

/* Removes the peers of a node that stand for keys which nobody has any more. */
static void forget_stale(struct world *world, size_t from)
{
    struct wg_device *device = world->network->nodes[from].device;
    struct wg_peer *next;
    for (struct wg_peer *peer = device->peers; peer; peer = next) {
        next = peer->next;
        size_t to = *(const size_t *)wg_peer_ctx(peer);
        if (peer_of(world, from, to) != peer)
            forget(world, from, peer);
    }
}

static const struct wg_device_ops *random_ops(void)
{
    static struct wg_device_ops ops;
    ops = node_ops;
    ops.deliver = on_deliver;
    return &ops;
}

/* A node begins to run: it knows who is who, and nothing else. */
static void boot(struct world *world, size_t number)
{
    struct node *node = &world->network->nodes[number];
    struct inet_addr own[2];
    world->lives[number]++;
    for (const struct wg_peer *peer = node->device->peers; peer; peer = peer->next)
        keep_timestamp(world, number, peer);
    wg_device_free(node->device);
    assert_int_equal(wg_device_new(random_ops(), node, &node->device), 0);
    wg_device_set_private_key(node->device, node->private_key);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(inet_addr_parse(world->inner[number][i], &own[i]), 0);
    assert_int_equal(wg_device_set_addresses(node->device, own, 2), 0);
    for (size_t i = 0; i < ADDRESSES; i++)
        world->owner[number][i] = NULL;
    for (size_t to = 0; to < world->network->nodes_count; to++)
        if (to != number)
            introduce(world, number, to);
}

/* --- Actions: traffic and time ---------------------------------------------------------------- */

/* Sends a packet of any size to an address, and writes down whom it is for. */
static void send_packet(struct world *world, size_t from, const char *source, const char *to,
                        size_t receiver)
{
    uint8_t packet[DATAGRAM_MAX];
    struct node *node = &world->network->nodes[from];
    const size_t len = PAYLOAD_OFFSET + 4 + pick(world, 1300);
    const uint32_t number = ledger_packet_new(from, len);
    packet_make(packet, len, source, to, number);
    for (size_t i = PAYLOAD_OFFSET + 4; i < len; i++)
        packet[i] = packet_byte(number, i);
    /* It may come in before this call returns: nothing is slower than it must be. */
    ledger.packets[number].receiver = receiver;
    const struct iovec piece = {.iov_base = packet, .iov_len = len};
    int error = wg_device_send(node->device, &piece, 1, len);
    if (error)
        ledger.packets[number].receiver = NOBODY;
    assert_int_equal(error == -EHOSTUNREACH, receiver == NOBODY);
    assert_true(error == 0 || error == -EHOSTUNREACH || (error == -EAGAIN && node->blocked));
}

static void act_send(struct world *world, size_t from, size_t to)
{
    size_t family = pick(world, 2);
    send_packet(world, from, world->inner[from][family], world->inner[to][family],
                receiver_of(world, from, to));
}

static void act_send_many(struct world *world, size_t from, size_t to)
{
    for (size_t i = 0; i < 20; i++)
        act_send(world, from, to);
}

/* To an address whose owner changes, or from one. */
static void act_send_moving(struct world *world, size_t from, size_t to)
{
    char address[INET_ADDR_TEXT];
    size_t prefix = pick(world, PREFIXES);
    prefix_address(address, prefix);
    if (pick(world, 2))
        send_packet(world, from, world->inner[from][0], address,
                    receiver_of(world, from, NODES_MAX + prefix));
    else
        send_packet(world, from, address, world->inner[to][0], receiver_of(world, from, to));
}

/* From somebody else's address, the receiver's own among them: it must not come out. */
static void act_spoof(struct world *world, size_t from, size_t to)
{
    size_t victim =
        (from + 1 + pick(world, world->network->nodes_count - 1)) % world->network->nodes_count;
    send_packet(world, from, world->inner[victim][0], world->inner[to][0],
                receiver_of(world, from, to));
}

static void act_wait(struct world *world, size_t from, size_t to)
{
    static const uint64_t spans[] = {MS(5), MS(60), MS(400), S(2),   S(6),   S(11), S(20),
                                     S(40), S(100), S(130),  S(170), S(185), S(550)};
    (void)from;
    (void)to;
    for (size_t i = 0; i < world->network->nodes_count; i++)
        if (pick(world, 2)) /* a full sending side is soon empty again */
            world->network->nodes[i].blocked = false;
    network_run(world->network, spans[pick(world, sizeof(spans) / sizeof(spans[0]))]);
}

static void act_wait_a_little(struct world *world, size_t from, size_t to)
{
    (void)from;
    (void)to;
    network_run(world->network, MS(30));
}

/* Everything stands still, and time goes on: a machine that all of them run on was suspended. */
static void act_gap(struct world *world, size_t from, size_t to)
{
    static const uint64_t gaps[] = {S(1), S(30), S(200), S(86400)};
    (void)from;
    (void)to;
    world->network->now += gaps[pick(world, sizeof(gaps) / sizeof(gaps[0]))];
}

static void act_sleep_or_wake(struct world *world, size_t from, size_t to)
{
    struct node *node = &world->network->nodes[from];
    (void)to;
    node->asleep = !node->asleep && pick(world, 2);
}

static void act_set_wall_clock(struct world *world, size_t from, size_t to)
{
    struct network *network = world->network;
    (void)from;
    (void)to;
    network->wall_offset = (int64_t)pick(world, 2000000) - 1000000;
}

/* --- Actions: the attacker -------------------------------------------------------------------- */

static void act_replay(struct world *world, size_t from, size_t to)
{
    if (world->recorded_count == 0)
        return;
    struct datagram datagram = world->recorded[pick(world, world->recorded_count)];
    if (pick(world, 2))
        datagram.from.remote = world->network->nodes[from].addr;
    if (pick(world, 8) == 0)
        datagram.to = world->network->nodes[to].addr;
    network_deliver(world->network, &datagram);
}

static void act_tamper(struct world *world, size_t from, size_t to)
{
    (void)from;
    (void)to;
    if (world->recorded_count == 0)
        return;
    struct datagram datagram = world->recorded[pick(world, world->recorded_count)];
    if (pick(world, 4))
        datagram_corrupt(world->network, &datagram);
    else
        datagram_truncate(world->network, &datagram);
    network_deliver(world->network, &datagram);
}

/* A handshake message that looks like one up to its mac1. */
static void make_handshake(struct world *world, const struct node *to, struct datagram *out)
{
    struct cookie_maker macs;
    bool is_initiation = pick(world, 4) > 0;
    out->len = is_initiation ? INITIATION_LEN : RESPONSE_LEN;
    out->to = to->addr;
    out->tampered = true;
    node_random(&world->network->nodes[0], out->data, out->len);
    store_le32(out->data, is_initiation ? MESSAGE_INITIATION : MESSAGE_RESPONSE);
    if (!is_initiation && to->device->peers)
        store_le32(out->data + RESPONSE_RECEIVER, index_value(&to->device->peers->handshake_index));
    cookie_maker_init(&macs, to->public_key);
    cookie_add_macs(&macs, out->data, out->len, 0);
}

/* A message to an index that the node has, by one who does not have the key. */
static void make_indexed(struct world *world, const struct node *to, struct datagram *out)
{
    const struct wg_peer *peer = to->device->peers;
    const struct keypair *keypair = peer ? peer->keypairs.current : NULL;
    bool is_data = pick(world, 2);
    out->len = is_data ? DATA_OVERHEAD + pick(world, 64) : COOKIE_REPLY_LEN;
    out->to = to->addr;
    out->tampered = true;
    node_random(&world->network->nodes[0], out->data, out->len);
    store_le32(out->data, is_data ? MESSAGE_DATA : MESSAGE_COOKIE_REPLY);
    if (keypair)
        store_le32(out->data + DATA_RECEIVER, index_value(&keypair->entry));
}

static void act_forge(struct world *world, size_t from, size_t to)
{
    struct datagram datagram = {.from.remote = world->network->nodes[from].addr};
    const struct node *victim = &world->network->nodes[to];
    if (pick(world, 2))
        make_handshake(world, victim, &datagram);
    else
        make_indexed(world, victim, &datagram);
    network_deliver(world->network, &datagram);
}

/* So many that the node is under load, and asks for cookies. */
static void act_flood(struct world *world, size_t from, size_t to)
{
    static struct snapshot before;
    struct node *victim = &world->network->nodes[to];
    (void)from;
    if (victim->asleep)
        return;
    snapshot_take(&before, victim->device);
    for (size_t i = pick(world, FLOOD_MAX); i > 0; i--) {
        struct datagram datagram = {0};
        sockaddr_of(&datagram.from.remote, "203.0.113.66", (uint16_t)i);
        make_handshake(world, victim, &datagram);
        node_arrive(victim, &datagram);
    }
    snapshot_check(&before, victim->device);
}

/* --- Actions: the network and the configuration ----------------------------------------------- */

static unsigned pick_rate(struct world *world)
{
    static const unsigned rates[] = {0, 0, 0, 20, 100, 300, 1000};
    return rates[pick(world, sizeof(rates) / sizeof(rates[0]))];
}

static void act_weather(struct world *world, size_t from, size_t to)
{
    static const uint64_t spreads[] = {0, MS(5), MS(300), S(4)};
    struct network *network = world->network;
    (void)from;
    (void)to;
    network->loss_per_mille = pick_rate(world);
    network->duplicate_per_mille = pick_rate(world);
    network->corrupt_per_mille = pick_rate(world) / 2;
    network->truncate_per_mille = pick_rate(world) / 4;
    network->delay_spread = spreads[pick(world, sizeof(spreads) / sizeof(spreads[0]))];
}

static void act_block(struct world *world, size_t from, size_t to)
{
    (void)to;
    world->network->nodes[from].blocked = pick(world, 2) == 0;
}

/* A NAT gives a node another port, or it moves to another address. */
static void act_rebind(struct world *world, size_t from, size_t to)
{
    struct node *node = &world->network->nodes[from];
    char address[INET_ADDR_TEXT];
    (void)to;
    snprintf(address, sizeof(address), pick(world, 2) ? "192.0.%zu.%zu" : "2001:db8:%zu::%zu", from,
             1 + pick(world, 3));
    sockaddr_of(&node->addr, address, (uint16_t)(1024 + pick(world, 8)));
    if (pick(world, 2))
        wg_device_sockets_moved(node->device);
}

static void act_set_endpoint(struct world *world, size_t from, size_t to)
{
    struct wg_peer *peer = peer_of(world, from, to);
    if (peer)
        wg_peer_set_endpoint(peer, &world->network->nodes[to].addr);
}

static void act_keepalive(struct world *world, size_t from, size_t to)
{
    struct wg_peer *peer = peer_of(world, from, to);
    if (peer)
        wg_peer_set_keepalive(peer, (uint16_t)(pick(world, 2) * pick(world, 60)));
}

static void act_preshared_key(struct world *world, size_t from, size_t to)
{
    const uint8_t key[WG_KEY_LEN] = {(uint8_t)pick(world, 2)};
    struct wg_peer *peer = peer_of(world, from, to);
    if (peer)
        wg_peer_set_preshared_key(peer, pick(world, 2) ? key : NULL);
}

static void act_move_prefix(struct world *world, size_t from, size_t to)
{
    struct wg_peer *peer = peer_of(world, from, to);
    char text[INET_PREFIX_TEXT];
    if (!peer)
        return;
    size_t prefix = pick(world, PREFIXES);
    snprintf(text, sizeof(text), "10.1.%zu.0/24", prefix);
    allow(peer, text);
    world->owner[from][NODES_MAX + prefix] = peer;
}

static void act_take_prefixes(struct world *world, size_t from, size_t to)
{
    struct wg_peer *peer = peer_of(world, from, to);
    if (!peer)
        return;
    wg_peer_disallow_all(peer);
    disown(world, from, peer);
    allow_inner(world, from, peer, to);
}

static void act_forget_or_introduce(struct world *world, size_t from, size_t to)
{
    struct wg_peer *peer = peer_of(world, from, to);
    if (peer)
        forget(world, from, peer);
    else
        introduce(world, from, to);
}

static void act_restart(struct world *world, size_t from, size_t to)
{
    (void)to;
    boot(world, from);
}

/* Another private key for a while, and the old one again: nobody else was told. */
static void act_key_and_back(struct world *world, size_t from, size_t to)
{
    struct node *node = &world->network->nodes[from];
    uint8_t other[WG_KEY_LEN];
    (void)to;
    node_random(node, other, sizeof(other));
    wg_device_set_private_key(node->device, other);
    network_run(world->network, MS(pick(world, 2000)));
    wg_device_set_private_key(node->device, node->private_key);
}

/* Another private key for good: some are told at once, the others when the network is good. */
static void act_new_key(struct world *world, size_t from, size_t to)
{
    struct node *node = &world->network->nodes[from];
    struct noise_keys keys;
    (void)to;
    node_random(node, node->private_key, WG_KEY_LEN);
    noise_keys_init(&keys, node->private_key);
    memcpy(node->public_key, keys.public_key, WG_KEY_LEN);
    wg_device_set_private_key(node->device, node->private_key);
    for (size_t i = 0; i < world->network->nodes_count; i++) {
        if (i == from || pick(world, 2))
            continue;
        forget_stale(world, i);
        introduce(world, i, from);
    }
}

static const struct {
    unsigned weight;
    void (*act)(struct world *world, size_t from, size_t to);
} actions[] = {
    {300, act_send},
    {20, act_send_many},
    {60, act_send_moving},
    {20, act_spoof},
    {150, act_wait},
    {250, act_wait_a_little},
    {4, act_gap},
    {20, act_sleep_or_wake},
    {10, act_set_wall_clock},
    {60, act_replay},
    {60, act_tamper},
    {60, act_forge},
    {6, act_flood},
    {40, act_weather},
    {20, act_block},
    {20, act_rebind},
    {20, act_set_endpoint},
    {20, act_keepalive},
    {10, act_preshared_key},
    {20, act_move_prefix},
    {10, act_take_prefixes},
    {10, act_forget_or_introduce},
    {5, act_restart},
    {4, act_key_and_back},
    {4, act_new_key},
};

static void act(struct world *world)
{
    const size_t count = world->network->nodes_count;
    size_t total = 0;
    size_t i = 0;
    for (size_t j = 0; j < sizeof(actions) / sizeof(actions[0]); j++)
        total += actions[j].weight;
    for (size_t choice = pick(world, total); choice >= actions[i].weight; i++)
        choice -= actions[i].weight;
    size_t from = pick(world, count);
    actions[i].act(world, from, (from + 1 + pick(world, count - 1)) % count);
}

/* --- What must hold --------------------------------------------------------------------------- */

static void check_bounds(struct world *world)
{
    for (size_t i = 0; i < world->network->nodes_count; i++) {
        const struct wg_device *device = world->network->nodes[i].device;
        assert_true(device->handshakes.count <= WG_HANDSHAKE_QUEUE_MAX);
        assert_true(device->indices.table.count <= device->peers_count * 4);
        assert_true(device->deadlines.count <= device->peers_count);
        for (const struct wg_peer *peer = device->peers; peer; peer = peer->next)
            assert_true(peer->staged.count <= WG_STAGED_MAX);
    }
}

/*
 * Makes the network good, and everyone know everyone; but first what is on its way arrives, or it
 * would make peers roam to where somebody was long ago.
 */
static void heal(struct world *world)
{
    struct network *network = world->network;
    network->loss_per_mille = 0;
    network->duplicate_per_mille = 0;
    network->corrupt_per_mille = 0;
    network->truncate_per_mille = 0;
    network->delay_spread = 0;
    network_run(network, DELAY_MAX);
    for (size_t from = 0; from < network->nodes_count; from++) {
        network->nodes[from].blocked = false;
        network->nodes[from].asleep = false;
        forget_stale(world, from);
        for (size_t to = 0; to < network->nodes_count; to++) {
            if (from == to)
                continue;
            if (!peer_of(world, from, to))
                introduce(world, from, to);
            wg_peer_set_preshared_key(peer_of(world, from, to), NULL);
            wg_peer_set_keepalive(peer_of(world, from, to), 0);
            act_set_endpoint(world, from, to);
        }
    }
}

/* Each sends to each, and a second passes. True when all of that arrived. */
static bool all_hear_all(struct world *world)
{
    const uint32_t first = ledger.packets_count;
    for (size_t from = 0; from < world->network->nodes_count; from++)
        for (size_t to = 0; to < world->network->nodes_count; to++)
            if (from != to)
                act_send(world, from, to);
    network_run(world->network, S(1));
    for (uint32_t number = first; number < ledger.packets_count; number++)
        if (!ledger.packets[number].arrived)
            return false;
    return true;
}

static void check_convergence(struct world *world)
{
    uint64_t second = 0;
    while (!all_hear_all(world))
        assert_true(++second < CONVERGES_S);
    if (second > slowest)
        slowest = second;
}

/* Nobody says anything any more: nothing is left of it. */
static void check_silence(struct world *world)
{
    network_run(world->network, S(FORGETS_S));
    for (size_t i = 0; i < world->network->nodes_count; i++) {
        const struct wg_device *device = world->network->nodes[i].device;
        assert_int_equal(wg_device_deadline(device), WG_NEVER);
        assert_int_equal(device->indices.table.count, 0);
        for (const struct wg_peer *peer = device->peers; peer; peer = peer->next) {
            assert_null(peer->keypairs.current);
            assert_null(peer->keypairs.previous);
            assert_null(peer->keypairs.next);
            assert_int_equal(peer->handshake.state, HANDSHAKE_NONE);
            assert_int_equal(peer->staged.count, 0);
        }
    }
}

/* --- Lives ------------------------------------------------------------------------------------ */

static struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    ledger_clear();
    world->network = network_new_seeded(seed);
    world->network->watch = record;
    world->network->watch_ctx = world;
    world->network->arrive = arrive;
    const size_t count = 2 + pick(world, NODES_MAX - 1);
    for (size_t i = 0; i < count; i++) {
        char address[INET_ADDR_TEXT];
        snprintf(address, sizeof(address), "192.0.%zu.1", i);
        snprintf(world->inner[i][0], INET_ADDR_TEXT, "10.0.0.%zu", i + 1);
        snprintf(world->inner[i][1], INET_ADDR_TEXT, "fd00::%zu", i + 1);
        world->contexts[i] = i;
        node_add(world->network, address);
    }
    for (size_t i = 0; i < count; i++)
        boot(world, i);
    return world;
}

static void live(void)
{
    struct world *world = world_new();
    for (int i = 0; i < ACTIONS; i++) {
        act(world);
        check_bounds(world);
    }
    heal(world);
    check_convergence(world);
    check_silence(world);
    network_free(world->network);
    free(world);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void random_lives(void **state)
{
    (void)state;
    const uint64_t first = number_from("SIM_SEED", FIRST_SEED);
    const uint64_t count = number_from("SIM_LIVES", getenv("SIM_SEED") ? 1 : LIVES);
    for (seed = first; seed < first + count; seed++) {
        if ((seed - first) % LIVES_PER_LINE == 0)
            print_message("lives from seed %" PRIu64 "\n", seed);
        alive = true;
        live();
        alive = false;
    }
    print_message("%" PRIu64 " lives; the slowest took %" PRIu64 " s until all heard all\n", count,
                  slowest);
}

static int report(void **state)
{
    (void)state;
    if (alive)
        print_message("a life failed: SIM_SEED=%" PRIu64 " repeats it\n", seed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(random_lives, report)};
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
