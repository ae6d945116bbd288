/*
 * quota, and what it bounds: the connections of all stacks together, and those that are half open.
 */
#include "engine/stack/quota.h"

#include "tests/unit/stack/world.h"

#define STACKS ((size_t)40)

static void test_room(void **state)
{
    static const struct {
        uint32_t limit, used, own;
        bool has_room;
    } cases[] = {
        {0, 0, 0, false},  {1, 0, 0, true},    {1, 1, 0, false},
        {10, 4, 4, true},  {10, 5, 5, false},  {10, 9, 0, true},
        {10, 9, 1, false}, {10, 10, 0, false}, {UINT32_MAX, UINT32_MAX - 1, 0, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct quota quota = {.limit = cases[i].limit, .used = cases[i].used};

        if (quota_has_room(&quota, cases[i].own) != cases[i].has_room)
            fail_msg("case %zu", i);
    }
}

/* Takes all it gets. */
static uint32_t take_all(struct quota *quota, uint32_t *own)
{
    while (quota_has_room(quota, *own))
        quota_take(quota, own);
    return *own;
}

static void test_shares(void **state)
{
    struct quota quota = {.limit = 1200};
    uint32_t own[4] = {0};

    (void)state;
    assert_int_equal(take_all(&quota, &own[0]), 600);
    assert_int_equal(take_all(&quota, &own[1]), 300);
    while (own[0] > 400)
        quota_put(&quota, &own[0]);
    assert_int_equal(take_all(&quota, &own[1]), 400);
    assert_int_equal(take_all(&quota, &own[0]), 400);
    assert_true(quota_has_room(&quota, own[2]));
    for (size_t i = 0; i < 2; i++) {
        while (own[i] > 0)
            quota_put(&quota, &own[i]);
    }
    assert_int_equal(quota.used, 0);
}

/* --- Stacks ----------------------------------------------------------------------------------- */

static void ignore_closed(void *ctx, int error)
{
    (void)ctx;
    (void)error;
}

static const struct stack_conn_ops ignore_ops = {.closed = ignore_closed};

static int connect_one(struct world *world, uint8_t to)
{
    const struct inet_addr addr = world_ip4(to);
    struct stack_conn *conn;

    return stack_connect(world->sides[0].stack, &addr, 80, &ignore_ops, NULL, &conn);
}

/*
 * One tunnel opens connections without end: it gets half of what the process may have, the others
 * can open some all the same, and the first can again when its own are gone.
 */
static void test_connections_of_many_stacks(void **state)
{
    const uint32_t limit = stack_quotas.connections.limit;
    struct world *worlds = calloc(STACKS, sizeof(*worlds));

    (void)state;
    stack_quotas.connections.limit = 1000;
    for (size_t i = 0; i < STACKS; i++) {
        world_init(&worlds[i], i + 1, 1420);
        worlds[i].cut = true;
    }
    const struct stack_stats *greedy = stack_stats(worlds[0].sides[0].stack);
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(connect_one(&worlds[0], 9), 0);
    assert_int_equal(connect_one(&worlds[0], 9), -ENFILE);
    assert_int_equal(greedy->limits[STACK_LIMIT_CONNECTIONS_PROCESS], 1);
    assert_int_equal(greedy->limits[STACK_LIMIT_CONNECTIONS], 0);
    for (size_t i = 1; i < STACKS; i++) {
        for (size_t j = 0; j < 10; j++)
            assert_int_equal(connect_one(&worlds[i], 9), 0);
    }
    assert_int_equal(connect_one(&worlds[0], 9), -ENFILE);
    assert_int_equal(stack_quotas.connections.used, 500 + 10 * (STACKS - 1));
    for (size_t i = 0; i < STACKS; i++)
        world_run(&worlds[i], 300 * SECOND);
    assert_int_equal(stack_quotas.connections.used, 0);
    assert_int_equal(connect_one(&worlds[0], 9), 0);
    for (size_t i = 0; i < STACKS; i++)
        world_fini(&worlds[i]);
    assert_int_equal(stack_quotas.connections.used, 0);
    stack_quotas.connections.limit = limit;
    free(worlds);
}

#define LISTENERS 6

/* SYNs from side 0 to ports of side 1, none of which is ever completed. */
static void flood(struct world *world, uint16_t port, size_t count)
{
    static struct end ends[LISTENERS * 200];

    assert_true(count <= sizeof(ends) / sizeof(ends[0]));
    memset(ends, 0, sizeof(ends));
    for (size_t i = 0; i < count; i++)
        end_connect(&ends[i], world, AF_INET, (uint16_t)(port + i % LISTENERS));
    world_run(world, world->delay + MILLISECOND); /* they arrive, the answers do not */
    while (world->first != NULL)
        world_drop_packet(world_pop(world));
    world->cut = true;
}

/*
 * Half-open connections to several listeners of one tunnel: each has its own limit, all together
 * leave room for another tunnel, which gets its connection.
 */
static void test_half_open_of_many_listeners(void **state)
{
    const uint32_t limit = stack_quotas.half_open.limit;
    struct server servers[LISTENERS], other_server;
    struct end client, peer;
    struct world world, other;

    (void)state;
    stack_quotas.half_open.limit = 1000;
    world_init(&other, 4, 1420);
    server_start(&other_server, &other, AF_INET, 80, &peer, 1);
    world_init(&world, 3, 1420);
    for (uint16_t i = 0; i < LISTENERS; i++)
        server_start(&servers[i], &world, AF_INET, (uint16_t)(80 + i), NULL, 0);

    flood(&world, 80, (size_t)LISTENERS * 200);
    const struct stack_stats *stats = stack_stats(world.sides[1].stack);
    assert_int_equal(stats->half_open, 500);
    assert_int_equal(stats->connections, 500);
    assert_int_equal(stack_quotas.half_open.used, 500);
    assert_true(stats->limits[STACK_LIMIT_HALF_OPEN_PROCESS] > 0);

    ends_pair(&client, &peer, 3000);
    end_connect(&client, &other, AF_INET, 80);
    world_run(&other, 10 * SECOND);
    assert_true(client.closed && peer.closed);
    assert_int_equal(client.received, 3000);
    assert_int_equal(stack_stats(other.sides[1].stack)->half_open, 0);

    world_run(&world, 300 * SECOND);
    assert_int_equal(stats->half_open, 0);
    assert_int_equal(stack_quotas.half_open.used, 0);
    world_fini(&world);
    world_fini(&other);
    stack_quotas.half_open.limit = limit;
}

/* A listener that goes takes its half-open connections off the sum. */
static void test_half_open_of_a_listener_that_goes(void **state)
{
    static struct end ends[200];
    struct server server;
    struct world world;

    (void)state;
    world_init(&world, 3, 1420);
    server_start(&server, &world, AF_INET, 80, NULL, 0);
    for (size_t i = 0; i < 200; i++)
        end_connect(&ends[i], &world, AF_INET, 80);
    world_run(&world, world.delay + MILLISECOND);
    const struct stack_stats *stats = stack_stats(world.sides[1].stack);
    assert_int_equal(stats->half_open, STACK_SYN_RECEIVED_MAX);
    assert_int_equal(stats->limits[STACK_LIMIT_HALF_OPEN], 200 - STACK_SYN_RECEIVED_MAX);
    stack_unlisten(server.listener);
    assert_int_equal(stats->half_open, 0);
    assert_int_equal(stack_quotas.half_open.used, 0);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_connections_of_many_stacks),
        cmocka_unit_test(test_half_open_of_many_listeners),
        cmocka_unit_test(test_half_open_of_a_listener_that_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
