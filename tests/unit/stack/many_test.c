/*
 * Many connections in a stack, many stacks with the same addresses, limits, and ports that run out.
 */
#include "engine/stack/ports.h"
#include "tests/unit/stack/world.h"

#define CONNECTIONS ((size_t)1500)
#define PAIRS       ((size_t)50)

static void test_many_connections(void **state)
{
    struct end *ends = calloc(2 * CONNECTIONS, sizeof(*ends));
    struct server server;
    struct world world;

    (void)state;
    world_init(&world, 11, 1420);
    world.loss = 5;
    server_start(&server, &world, AF_INET, 80, ends + CONNECTIONS, CONNECTIONS);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        ends_pair(&ends[i], &ends[CONNECTIONS + i], 3000);
        end_connect(&ends[i], &world, AF_INET, 80);
        if (i % 100 == 99)
            world_run(&world, 100 * MILLISECOND);
    }
    world_run(&world, 60 * SECOND);
    for (size_t i = 0; i < 2 * CONNECTIONS; i++) {
        assert_true(ends[i].closed);
        assert_int_equal(ends[i].error, 0);
        assert_int_equal(ends[i].received, 3000);
    }
    world_run(&world, 100 * SECOND);
    assert_int_equal(stack_stats(world.sides[0].stack)->connections, 0);
    assert_int_equal(stack_stats(world.sides[1].stack)->connections, 0);
    world_fini(&world);
    free(ends);
}

/* Worlds that all use the same addresses, worked on in turn. */
static void test_overlapping_addresses(void **state)
{
    struct world *worlds = calloc(PAIRS, sizeof(*worlds));
    struct server *servers = calloc(PAIRS, sizeof(*servers));
    struct end *ends = calloc(PAIRS * 4, sizeof(*ends));
    bool running = true;

    (void)state;
    for (size_t i = 0; i < PAIRS; i++) {
        world_init(&worlds[i], i + 1, 1420);
        worlds[i].loss = 10;
        server_start(&servers[i], &worlds[i], AF_INET, 80, &ends[4 * i + 2], 2);
        for (size_t j = 0; j < 2; j++) {
            struct end *client = &ends[4 * i + j];

            /* Every pair has its own patterns: a byte in the wrong stack is noticed. */
            *client = (struct end){.pattern = 1000 + i, .pattern_in = 2000 + i, .total = 50000};
            ends[4 * i + 2 + j] =
                (struct end){.pattern = 2000 + i, .pattern_in = 1000 + i, .total = 50000};
            end_connect(client, &worlds[i], AF_INET, 80);
        }
    }
    while (running) {
        running = false;
        for (size_t i = 0; i < PAIRS; i++)
            running = world_step(&worlds[i], 2000 * SECOND) || running;
    }
    for (size_t i = 0; i < PAIRS * 4; i++) {
        assert_true(ends[i].closed);
        assert_int_equal(ends[i].error, 0);
        assert_int_equal(ends[i].received, 50000);
    }
    for (size_t i = 0; i < PAIRS; i++)
        world_fini(&worlds[i]);
    free(ends);
    free(servers);
    free(worlds);
}

/* Connections that wait for output get it in turn, however little of it there is. */
static void test_output_in_turn(void **state)
{
    enum { COUNT = 40, TOTAL = 5000 };
    static struct end ends[2 * COUNT];
    struct server server;
    struct world world;

    (void)state;
    world_init(&world, 13, 1420);
    server_start(&server, &world, AF_INET, 80, ends + COUNT, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        ends[i] = (struct end){.pattern = 1, .keep_open = true};
        ends[COUNT + i] = (struct end){.pattern_in = 1, .keep_open = true};
        end_connect(&ends[i], &world, AF_INET, 80);
    }
    world_run(&world, SECOND);
    world.room = world.taken = 1;
    for (size_t i = 0; i < COUNT; i++) {
        ends[i].total = TOTAL;
        end_write(&ends[i]);
    }
    for (size_t round = 1; round <= 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            world.taken = 0;
            stack_resume(world.sides[0].stack);
        }
        world.now += world.delay;
        world_deliver(&world);
        for (size_t i = COUNT; i < 2 * COUNT; i++)
            assert_int_equal(ends[i].received, round * (1420 - 40));
    }
    world.room = 0;
    world_run(&world, 10 * SECOND);
    for (size_t i = COUNT; i < 2 * COUNT; i++)
        assert_int_equal(ends[i].received, TOTAL);
    world_fini(&world);
}

static void ignore_closed(void *ctx, int error)
{
    unsigned *closed = ctx;

    (void)error;
    (*closed)++;
}

static const struct stack_conn_ops ignore_ops = {.closed = ignore_closed};

static int connect_to(struct world *world, const struct inet_addr *addr, unsigned *closed,
                      struct stack_conn **out)
{
    return stack_connect(world->sides[0].stack, addr, 80, &ignore_ops, closed, out);
}

/* All ports to one destination, then one more; another destination still works. */
static void test_ports_run_out(void **state)
{
    const size_t ports = PORTS_LAST - PORTS_FIRST + 1;
    struct inet_addr full = world_ip4(2), other = world_ip4(3);
    struct stack_conn *conn, *last = NULL;
    unsigned closed = 0;
    struct world world;
    struct stack *stack;
    size_t count = 0;

    (void)state;
    world_init(&world, 12, 1420);
    world.cut = true;
    stack = world.sides[0].stack;
    while (connect_to(&world, &full, &closed, &last) == 0)
        count++;
    assert_true(count > ports - ports / 100 && count <= ports);
    assert_int_equal(stack_stats(stack)->limits[STACK_LIMIT_PORTS], 1);

    /* And the limit of the stack. */
    for (; count < STACK_CONNECTIONS_MAX; count++)
        assert_int_equal(connect_to(&world, &other, &closed, &conn), 0);
    assert_int_equal(connect_to(&world, &other, &closed, &conn), -ENFILE);
    assert_int_equal(stack_stats(stack)->limits[STACK_LIMIT_CONNECTIONS], 1);
    stack_conn_abort(last);
    assert_int_equal(connect_to(&world, &other, &closed, &conn), 0);
    assert_int_equal(closed, 0);
    world_run(&world, 300 * SECOND);
    assert_int_equal(closed, STACK_CONNECTIONS_MAX);
    assert_int_equal(stack_stats(stack)->connections, 0);
    world_fini(&world);
}

/* When ports or connections run out, those in TIME_WAIT give way, the oldest first. */
static void test_time_wait_gives_way(void **state)
{
    struct inet_addr other = world_ip4(3);
    struct end client = {0}, peer = {0};
    struct stack_conn *conn;
    unsigned closed = 0;
    struct server server;
    struct world world;
    size_t count = 0;

    (void)state;
    for (int limit = 0; limit < 2; limit++) {
        const struct inet_addr *target = limit == 0 ? &world.addresses[1][0] : &other;

        world_init(&world, 13, 1420);
        client = peer = (struct end){0};
        server_start(&server, &world, AF_INET, 80, &peer, 1);
        end_connect(&client, &world, AF_INET, 80);
        world_run(&world, SECOND);
        assert_true(client.closed && peer.closed);
        world.cut = true;
        assert_int_equal(stack_stats(world.sides[0].stack)->connections, 1);
        for (count = 0; connect_to(&world, target, &closed, &conn) == 0; count++) {
        }
        if (limit == 1) {
            target = &world.addresses[0][0]; /* any with ports left */
            for (; connect_to(&world, target, &closed, &conn) == 0; count++) {
            }
        }
        assert_int_equal(stack_stats(world.sides[0].stack)->connections, count);
        world_fini(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_connections),    cmocka_unit_test(test_overlapping_addresses),
        cmocka_unit_test(test_output_in_turn),      cmocka_unit_test(test_ports_run_out),
        cmocka_unit_test(test_time_wait_gives_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
