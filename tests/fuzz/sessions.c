/*
 * Two devices whose lives the input tells: packets, time, a bad network, keys and peers that
 * change. No counter goes out twice with a key, what was not sent does not arrive and what was
 * arrives once at most, every bound holds, and on a good network they find each other again.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/sim/network.h"

#define ACTIONS_MAX 96
#define USED_MAX    4096
#define CONVERGES_S 200 /* seconds: sessions, and their handshakes' limits, have an end */

struct used {
    const struct node *sender;
    uint32_t index;
    uint64_t counter;
};

static struct pair pair;
static struct fuzz_input input;
static struct used used[USED_MAX]; /* by data messages, since the world began */
static size_t used_count;
static uint32_t next_number;
static bool good; /* the network, from now on */

static enum fate observe(struct network *network, struct datagram *datagram)
{
    if (datagram->data[0] == MESSAGE_DATA) {
        const struct used one = {
            .sender = node_at(network, &datagram->from.remote),
            .index = load_le32(datagram->data + DATA_RECEIVER),
            .counter = load_le64(datagram->data + DATA_COUNTER),
        };
        for (size_t i = 0; i < used_count; i++)
            fuzz_check(used[i].sender != one.sender || used[i].index != one.index ||
                       used[i].counter != one.counter);
        fuzz_check(used_count < USED_MAX);
        used[used_count++] = one;
    }
    return good || fuzz_byte(&input) % 4u ? FATE_PASS : FATE_DROP;
}

/* The input says whose turn it is: a's, or b's towards a. */
static struct node *take_node(struct node **other)
{
    bool is_a = fuzz_byte(&input) & 1;
    *other = is_a ? pair.b : pair.a;
    return is_a ? pair.a : pair.b;
}

static const char *inner_of(const struct node *node)
{
    return node == pair.a ? INNER_A : INNER_B;
}

static struct wg_peer *peer_of(const struct node *node, const struct node *other)
{
    return wg_peer_find(node->device, other->public_key);
}

static void introduce(struct node *node, const struct node *other)
{
    node_peer(node, other, other == pair.a ? INNER_A "/32" : INNER_B "/32");
}

/* --- Actions --------------------------------------------------------------------------------- */

static void send_packet(struct node *node, struct node *other)
{
    int rc = node_send_sized(node, inner_of(node), inner_of(other), next_number++,
                             44 + fuzz_byte(&input) * 4u);
    fuzz_check(rc == 0 || rc == -EAGAIN || rc == -EHOSTUNREACH);
}

static void pass_time(struct node *node, struct node *other)
{
    static const uint64_t spans[] = {MS(1), MS(11), MS(100), S(1), S(6), S(11), S(91), S(181)};
    (void)other;
    node->blocked = false;
    network_run(pair.network, spans[fuzz_byte(&input) % 8u]);
}

static void block(struct node *node, struct node *other)
{
    (void)other;
    node->blocked = true;
}

static void set_keepalive(struct node *node, struct node *other)
{
    struct wg_peer *peer = peer_of(node, other);
    if (peer)
        wg_peer_set_keepalive(peer, 10 * (fuzz_byte(&input) % 4u));
}

static void set_preshared_key(struct node *node, struct node *other)
{
    const uint8_t key[WG_KEY_LEN] = {1 + (fuzz_byte(&input) & 1)};
    struct wg_peer *peer = peer_of(node, other);
    if (peer)
        wg_peer_set_preshared_key(peer, key);
}

static void forget_or_introduce(struct node *node, struct node *other)
{
    struct wg_peer *peer = peer_of(node, other);
    if (peer)
        wg_peer_remove(peer);
    else
        introduce(node, other);
}

static void move(struct node *node, struct node *other)
{
    char address[INET_ADDR_TEXT];
    (void)other;
    snprintf(address, sizeof(address), "198.51.%u.%u", node == pair.a ? 1u : 2u,
             1u + fuzz_byte(&input) % 200u);
    sockaddr_of(&node->addr, address, PORT);
    wg_device_sockets_moved(node->device);
}

static void change_private_key(struct node *node, struct node *other)
{
    const uint8_t key[WG_KEY_LEN] = {[1] = 1 + (fuzz_byte(&input) & 1)};
    (void)other;
    wg_device_set_private_key(node->device, key);
    network_run(pair.network, MS(fuzz_byte(&input) * 8u));
    wg_device_set_private_key(node->device, node->private_key);
}

static void (*const actions[])(struct node *node, struct node *other) = {
    send_packet,       send_packet,         send_packet, pass_time,
    pass_time,         pass_time,           block,       set_keepalive,
    set_preshared_key, forget_or_introduce, move,        change_private_key,
};

/* --- What must hold -------------------------------------------------------------------------- */

static void check_node(const struct node *node)
{
    const struct wg_device *device = node->device;
    fuzz_check(device->handshakes.count <= WG_HANDSHAKE_QUEUE_MAX);
    fuzz_check(device->indices.table.count <= device->peers_count * 4);
    fuzz_check(device->deadlines.count <= device->peers_count);
    for (const struct wg_peer *peer = device->peers; peer; peer = peer->next)
        fuzz_check(peer->staged.count <= WG_STAGED_MAX);
    for (uint32_t number = 0; number < next_number; number++)
        fuzz_check(pair.a->got[number] + pair.b->got[number] <= 1);
    fuzz_check(node->delivered == 0 || node->last_number < next_number);
    fuzz_check(wg_device_drops(device, WG_DROP_BAD_SOURCE) == 0);
}

static void make_good(struct node *node, struct node *other)
{
    node->blocked = false;
    if (!peer_of(node, other))
        introduce(node, other);
    wg_peer_set_preshared_key(peer_of(node, other), NULL);
    wg_peer_set_endpoint(peer_of(node, other), &other->addr);
}

static void check_convergence(void)
{
    bool found = false;
    good = true;
    make_good(pair.a, pair.b);
    make_good(pair.b, pair.a);
    for (int second = 0; second < CONVERGES_S && !found; second++) {
        uint32_t number = next_number;
        next_number += 2;
        fuzz_check(node_send(pair.a, INNER_A, INNER_B, number) == 0);
        fuzz_check(node_send(pair.b, INNER_B, INNER_A, number + 1) == 0);
        network_run(pair.network, S(1));
        found = pair.b->got[number] == 1 && pair.a->got[number + 1] == 1;
    }
    fuzz_check(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = (struct fuzz_input){data, size};
    used_count = 0;
    next_number = 0;
    good = false;
    pair.network = network_new_seeded(1);
    pair.a = node_add(pair.network, "192.0.2.1");
    pair.b = node_add(pair.network, "192.0.2.2");
    introduce(pair.a, pair.b);
    introduce(pair.b, pair.a);
    pair.network->watch = observe;
    for (int i = 0; i < ACTIONS_MAX && input.left > 0; i++) {
        struct node *other;
        unsigned action = fuzz_byte(&input) % (sizeof(actions) / sizeof(actions[0]));
        struct node *node = take_node(&other);
        actions[action](node, other);
        check_node(pair.a);
        check_node(pair.b);
    }
    check_convergence();
    check_node(pair.a);
    check_node(pair.b);
    network_free(pair.network);
    return 0;
}
