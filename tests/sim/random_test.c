/*
 * Random lives of three devices: packets, time, configuration, loss, replays and forgeries in any
 * order. Whatever happens: no counter is used twice with a key, nothing forged is delivered, every
 * bound holds, and on a good network all find each other again.
 */
#include "tests/sim/network.h"

#define LIVES        12
#define ACTIONS      3000
#define RECORDED_MAX 512 /* datagrams that an attacker remembers */
#define COUNTERS_MAX 200000

static const char *const inner[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3"};

struct world {
    struct network *network;
    struct datagram recorded[RECORDED_MAX];
    size_t recorded_count;
    /* What went out as data: the place of each key is told by sender and receiver's index. */
    struct used {
        uint32_t index;
        uint64_t counter;
        uint8_t sender;
    } used[COUNTERS_MAX];
    size_t used_count;
};

static void record(struct world *world, const struct datagram *datagram)
{
    size_t slot = world->recorded_count < RECORDED_MAX
                      ? world->recorded_count++
                      : network_random(world->network) % RECORDED_MAX;
    world->recorded[slot] = *datagram;
}

static enum fate observe(struct network *network, struct datagram *datagram)
{
    struct world *world = network->watch_ctx;
    record(world, datagram);
    if (datagram->data[0] == MESSAGE_DATA) {
        const struct node *sender = node_at(network, &datagram->from.remote);
        assert_non_null(sender);
        assert_true(world->used_count < COUNTERS_MAX);
        world->used[world->used_count++] = (struct used){
            .index = load_le32(datagram->data + DATA_RECEIVER),
            .counter = load_le64(datagram->data + DATA_COUNTER),
            .sender = (uint8_t)(sender - network->nodes),
        };
    }
    return FATE_PASS;
}

static int used_compare(const void *a, const void *b)
{
    const struct used *x = a;
    const struct used *y = b;
    if (x->sender != y->sender)
        return x->sender < y->sender ? -1 : 1;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return x->counter < y->counter ? -1 : x->counter > y->counter;
}

static void check_no_counter_was_used_twice(struct world *world)
{
    qsort(world->used, world->used_count, sizeof(world->used[0]), used_compare);
    for (size_t i = 1; i < world->used_count; i++)
        assert_int_not_equal(used_compare(&world->used[i - 1], &world->used[i]), 0);
}

static size_t pick(struct world *world, size_t count)
{
    return (size_t)(network_random(world->network) % count);
}

static void introduce(struct world *world, size_t from, size_t to)
{
    struct network *network = world->network;
    char prefix[INET_PREFIX_TEXT];
    snprintf(prefix, sizeof(prefix), "%s/32", inner[to]);
    node_peer(&network->nodes[from], &network->nodes[to], prefix);
}

static struct wg_peer *peer_of(struct world *world, size_t from, size_t to)
{
    struct network *network = world->network;
    return wg_peer_find(network->nodes[from].device, network->nodes[to].public_key);
}

/* --- Actions -------------------------------------------------------------------------------- */

static void act_send(struct world *world, size_t from, size_t to)
{
    size_t len = 44 + pick(world, 1400);
    int error = node_send_sized(&world->network->nodes[from], inner[from], inner[to], 1, len);
    assert_true(error == 0 || error == -EAGAIN || error == -EHOSTUNREACH);
}

static void act_wait(struct world *world, size_t from, size_t to)
{
    static const uint64_t spans[] = {MS(1), MS(50), S(1), S(7), S(40), S(130), S(200), S(600)};
    (void)from;
    (void)to;
    /* A full sending side is soon empty again. */
    for (size_t i = 0; i < world->network->nodes_count; i++)
        world->network->nodes[i].blocked = false;
    network_run(world->network, spans[pick(world, sizeof(spans) / sizeof(spans[0]))]);
}

static void act_wait_a_little(struct world *world, size_t from, size_t to)
{
    (void)from;
    (void)to;
    network_run(world->network, MS(30));
}

/* Sends something recorded, as it was or with a few bits changed, from anywhere to anyone. */
static void act_forge(struct world *world, size_t from, size_t to)
{
    if (world->recorded_count == 0)
        return;
    struct datagram datagram = world->recorded[pick(world, world->recorded_count)];
    bool tampered = pick(world, 2) == 0;
    if (tampered)
        datagram.data[pick(world, datagram.len)] ^= (uint8_t)(1u << pick(world, 8));
    if (pick(world, 8) == 0)
        datagram.len = pick(world, datagram.len + 1);
    datagram.from.remote = world->network->nodes[from].addr;
    datagram.to = world->network->nodes[to].addr;
    network_deliver(world->network, &datagram);
}

static void act_block(struct world *world, size_t from, size_t to)
{
    (void)to;
    world->network->nodes[from].blocked = pick(world, 2) == 0;
}

static void act_lose(struct world *world, size_t from, size_t to)
{
    static const unsigned losses[] = {0, 0, 100, 500, 1000};
    (void)from;
    (void)to;
    world->network->loss_per_mille = losses[pick(world, sizeof(losses) / sizeof(losses[0]))];
    world->network->delay_spread = pick(world, 2) ? 0 : S(1);
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

static void act_forget(struct world *world, size_t from, size_t to)
{
    struct wg_peer *peer = peer_of(world, from, to);
    if (peer)
        wg_peer_remove(peer);
    else if (from != to)
        introduce(world, from, to);
}

static void act_move(struct world *world, size_t from, size_t to)
{
    char address[INET_ADDR_TEXT];
    (void)to;
    snprintf(address, sizeof(address), "192.0.%zu.%zu", from, 1 + pick(world, 200));
    sockaddr_of(&world->network->nodes[from].addr, address, PORT);
}

static void act_same_key_again(struct world *world, size_t from, size_t to)
{
    struct node *node = &world->network->nodes[from];
    uint8_t other[WG_KEY_LEN];
    (void)to;
    node_random(node, other, sizeof(other));
    wg_device_set_private_key(node->device, other);
    network_run(world->network, MS(pick(world, 2000)));
    wg_device_set_private_key(node->device, node->private_key);
}

static const struct {
    unsigned weight;
    void (*act)(struct world *world, size_t from, size_t to);
} actions[] = {
    {400, act_send},     {200, act_wait_a_little}, {60, act_wait},
    {200, act_forge},    {10, act_block},          {10, act_lose},
    {10, act_keepalive}, {5, act_preshared_key},   {5, act_forget},
    {5, act_move},       {2, act_same_key_again},
};

static void act(struct world *world)
{
    unsigned total = 0;
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        total += actions[i].weight;
    size_t choice = pick(world, total);
    size_t i = 0;
    while (choice >= actions[i].weight)
        choice -= actions[i++].weight;
    size_t from = pick(world, 3);
    actions[i].act(world, from, (from + 1 + pick(world, 2)) % 3);
}

/* --- What must hold ------------------------------------------------------------------------- */

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

/* Makes the network good and everyone know everyone, and lets all of them talk. */
static void check_convergence(struct world *world)
{
    struct network *network = world->network;
    network->loss_per_mille = 0;
    network->delay_spread = 0;
    for (size_t from = 0; from < 3; from++) {
        network->nodes[from].blocked = false;
        for (size_t to = 0; to < 3; to++) {
            if (from == to)
                continue;
            if (!peer_of(world, from, to))
                introduce(world, from, to);
            wg_peer_set_preshared_key(peer_of(world, from, to), NULL);
            wg_peer_set_endpoint(peer_of(world, from, to), &network->nodes[to].addr);
        }
    }
    for (uint32_t second = 0; second < 200; second++) {
        for (size_t from = 0; from < 3; from++)
            for (size_t to = 0; to < 3; to++)
                if (from != to)
                    assert_int_equal(node_send(&network->nodes[from], inner[from], inner[to],
                                               (uint32_t)(1000 + second * 10 + from)),
                                     0);
        network_run(network, S(1));
    }
    for (size_t to = 0; to < 3; to++)
        for (size_t from = 0; from < 3; from++)
            if (from != to)
                assert_true(network->nodes[to].got[1000 + 199 * 10 + from] > 0);
}

static void live(void)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->network = network_new();
    for (size_t i = 0; i < 3; i++) {
        char address[INET_ADDR_TEXT];
        snprintf(address, sizeof(address), "192.0.%zu.1", i);
        node_add(world->network, address);
    }
    for (size_t i = 0; i < 6; i++)
        introduce(world, i % 3, (i % 3 + 1 + i / 3) % 3);
    world->network->watch = observe;
    world->network->watch_ctx = world;
    for (int i = 0; i < ACTIONS; i++) {
        act(world);
        check_bounds(world);
    }
    check_convergence(world);
    check_no_counter_was_used_twice(world);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(node_drops(&world->network->nodes[i], WG_DROP_BAD_SOURCE), 0);
    network_free(world->network);
    free(world);
}

static void random_lives(void **state)
{
    (void)state;
    for (int i = 0; i < LIVES; i++)
        live();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_lives)};
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
