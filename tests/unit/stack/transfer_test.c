/*
 * Transfers between two stacks over a link that loses, reorders and duplicates.
 */
#include "tests/unit/stack/world.h"

struct conditions {
    const char *name;
    int family;
    uint16_t mtu;
    size_t total;
    unsigned loss, reorder, duplicate, refuse;
};

static const struct conditions conditions[] = {
    {"ipv4, clean", AF_INET, 1420, 4000000, 0, 0, 0, 0},
    {"ipv6, clean", AF_INET6, 1420, 4000000, 0, 0, 0, 0},
    {"ipv4, 1 % loss", AF_INET, 1420, 3000000, 10, 0, 0, 0},
    {"ipv4, 5 % loss", AF_INET, 1420, 1000000, 50, 0, 0, 0},
    {"ipv6, 1 % loss", AF_INET6, 1420, 2000000, 10, 0, 0, 0},
    {"ipv4, reordered", AF_INET, 1420, 2000000, 0, 200, 0, 0},
    {"ipv4, duplicated", AF_INET, 1420, 2000000, 0, 0, 200, 0},
    {"ipv4, everything", AF_INET, 1420, 1000000, 20, 100, 50, 50},
    {"ipv6, everything", AF_INET6, 1420, 1000000, 20, 100, 50, 50},
    {"output full", AF_INET, 1420, 1000000, 0, 0, 0, 300},
    {"mtu 1280", AF_INET6, 1280, 1000000, 5, 0, 0, 0},
    {"mtu 576", AF_INET, 576, 1000000, 5, 0, 0, 0},
    {"mtu 9000", AF_INET, 9000, 4000000, 5, 0, 0, 0},
};

static void transfer(const struct conditions *c, uint64_t seed)
{
    struct world world;
    struct server server;
    struct end client, peer;

    print_message("%s\n", c->name);
    world_init(&world, seed, c->mtu);
    world.loss = c->loss;
    world.reorder = c->reorder;
    world.duplicate = c->duplicate;
    world.refuse = c->refuse;
    ends_pair(&client, &peer, c->total);
    server_start(&server, &world, c->family, 80, &peer, 1);
    end_connect(&client, &world, c->family, 80);
    world_run(&world, 900 * SECOND);

    assert_true(client.closed && peer.closed);
    assert_int_equal(client.error, 0);
    assert_int_equal(peer.error, 0);
    assert_int_equal(client.received, c->total);
    assert_int_equal(peer.received, c->total);
    assert_true(client.eof && peer.eof);
    assert_true(world.sides[0].sent_max <= c->mtu && world.sides[1].sent_max <= c->mtu);
    /* TIME_WAIT is over as well: nothing is alive, and nothing wants to wake. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stack_stats(world.sides[i].stack)->connections, 0);
        assert_true(stack_deadline(world.sides[i].stack) == STACK_NEVER);
    }
    world_fini(&world);
}

static void test_transfers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
        transfer(&conditions[i], i + 1);
}

/*
 * Timeouts upon timeouts, with later segments selectively acknowledged in between: whatever lwIP
 * and the recovery beside it make of their lists, the transfer goes on.
 */
static void test_heavy_loss(void **state)
{
    static const struct conditions heavy = {"25 % loss", AF_INET, 1420, 60000, 250, 50, 50, 20};

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        transfer(&heavy, seed);
}

static uint64_t one_of(uint64_t count)
{
    return world_random() % count;
}

/* In about half of the cases. */
static unsigned at_times(unsigned most)
{
    return world_chance(500) ? (unsigned)one_of(most) : 0;
}

/* A path like no other; who sends data back does not lose a third of it. */
static void set_strange_path(struct world *world, bool both_ways)
{
    world->delay = (1 + one_of(100)) * MILLISECOND;
    world->byte_time = at_times(8000);
    world->queue = (15 + one_of(100)) * MILLISECOND;
    world->bunch = at_times(80) * MILLISECOND;
    world->loss = at_times(30);
    world->loss_back = at_times(both_ways ? 30 : 300);
    world->reorder = at_times(1000);
    world->duplicate = at_times(500);
    world->refuse = at_times(300);
    world->no_sack = one_of(4) == 0;
}

/* Readers that stop for a while, an outage, and another way through the network. */
static void disturb(struct world *world, struct end *ends[2], bool may_pause)
{
    for (int i = 0; i < 2; i++) {
        bool pause = may_pause && world_chance(300);

        if (ends[i]->paused && !pause && ends[i]->conn != NULL) {
            ends[i]->paused = false;
            end_readable(ends[i]);
        }
        ends[i]->paused = pause;
    }
    world->cut = world_chance(20);
    if (world_chance(30))
        world->delay = (1 + one_of(200)) * MILLISECOND;
}

static void transfer_on_a_strange_path(uint64_t seed)
{
    const uint16_t mtus[] = {576, 1420, 9000};
    struct world world;
    struct server server;
    struct end client, peer, *ends[2] = {&client, &peer};
    uint64_t begin;

    world_init(&world, seed, mtus[seed % 3]);
    begin = world.now;
    ends_pair(&client, &peer, one_of(500000));
    peer.total = at_times(200000);
    set_strange_path(&world, peer.total > 0);
    server_start(&server, &world, AF_INET, 80, &peer, 1);
    for (int i = 0; i < 2; i++)
        stack_set_congestion(world.sides[i].stack, one_of(2) == 0 ? STACK_BBR : STACK_CUBIC);
    end_connect(&client, &world, AF_INET, 80);
    while (!(client.eof && peer.eof) && world.now - begin < 300 * SECOND) {
        world_run(&world, (1 + one_of(400)) * MILLISECOND);
        disturb(&world, ends, world.now - begin < 30 * SECOND);
    }
    if (!client.eof || !peer.eof || client.received != peer.total || peer.received != client.total)
        fail_msg("seed %u: %zu of %zu, and back %zu of %zu", (unsigned)seed, peer.received,
                 client.total, client.received, peer.total);
    world_fini(&world);
}

/*
 * Lost, late and bunched acknowledgments, reordering, duplicates, windows that close, outages and
 * delays that jump, with each control at either end: nothing stalls.
 */
static void test_strange_paths(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++)
        transfer_on_a_strange_path(seed);
}

struct bottleneck {
    uint64_t delay;     /* milliseconds, one way */
    uint64_t byte_time; /* nanoseconds */
    uint64_t queue;     /* milliseconds */
};

/* A link with a short queue: losses come in bursts, and the link is used all the same. */
static void bottleneck(const struct bottleneck *link, uint64_t seed)
{
    const uint64_t start_up = 3 * SECOND;
    const size_t total = 10000000;
    struct world world;
    struct server server;
    struct end client, peer;
    uint64_t start;

    world_init(&world, seed, 1420);
    world.delay = link->delay * MILLISECOND;
    world.byte_time = link->byte_time;
    world.queue = link->queue * MILLISECOND;
    ends_pair(&client, &peer, 0);
    client.total = total;
    server_start(&server, &world, AF_INET, 80, &peer, 1);
    end_connect(&client, &world, AF_INET, 80);
    start = world.now;
    while (!peer.eof && world_step(&world, start + 100 * SECOND)) {
    }
    assert_int_equal(peer.received, total);
    assert_true(world.now - start < start_up + total * link->byte_time * 3 / 2);
    world_fini(&world);
}

static void test_bottlenecks(void **state)
{
    const struct bottleneck links[] = {{25, 400, 30}, {10, 160, 20}, {10, 160, 50}, {5, 800, 10}};

    (void)state;
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        for (uint64_t seed = 1; seed <= 8; seed++)
            bottleneck(&links[i], seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfers),
        cmocka_unit_test(test_heavy_loss),
        cmocka_unit_test(test_bottlenecks),
        cmocka_unit_test(test_strange_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
