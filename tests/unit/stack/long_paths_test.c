/*
 * One stream on paths with a large product of bandwidth and delay, in virtual time: windows that
 * grow to it, also with loss and reordering, and every byte in its place (end_read() checks).
 */
#include "tests/unit/stack/world.h"

#define MTU     1420
#define PAYLOAD (MTU - 40)

struct path {
    const char *name;
    double mbit;
    unsigned rtt_ms;
    unsigned loss, loss_back, reorder; /* permille */
    enum stack_congestion control;
    unsigned warm_up_ms;
    double least; /* Mbit/s on the link */
};

static double run(const struct path *path, unsigned measured_ms)
{
    struct world world;
    struct server server;
    struct end client, peer;
    size_t received;

    world_init(&world, 1, MTU);
    world.delay = path->rtt_ms * MILLISECOND / 2;
    world.byte_time = (uint64_t)(8000 / path->mbit);
    world.queue = path->rtt_ms * MILLISECOND;
    world.loss = path->loss;
    world.loss_back = path->loss_back;
    world.reorder = path->reorder;
    ends_pair(&client, &peer, 0);
    client.total = SIZE_MAX;
    server_start(&server, &world, AF_INET, 80, &peer, 1);
    stack_set_congestion(world.sides[0].stack, path->control);
    end_connect(&client, &world, AF_INET, 80);
    world_run(&world, path->warm_up_ms * MILLISECOND);
    received = peer.received;
    world_run(&world, measured_ms * MILLISECOND);
    received = peer.received - received;
    world_fini(&world);
    return (double)received * 8e-3 / measured_ms * MTU / PAYLOAD;
}

static void test_paths(void **state)
{
    const struct path paths[] = {
        {"cubic", 500, 50, 0, 0, 0, STACK_CUBIC, 2000, 450},
        {"bbr", 500, 50, 0, 0, 0, STACK_BBR, 2000, 450},
        {"cubic, far", 100, 200, 0, 0, 0, STACK_CUBIC, 6000, 90},
        {"bbr, 1 % lost", 250, 50, 10, 0, 0, STACK_BBR, 2000, 150},
        {"bbr, 3 % lost", 250, 50, 30, 0, 0, STACK_BBR, 2000, 120},
        {"cubic, reordered", 250, 50, 0, 0, 10, STACK_CUBIC, 2000, 200},
        {"bbr, a tenth of the acknowledgments lost", 250, 50, 0, 100, 0, STACK_BBR, 2000, 200},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        double mbit = run(&paths[i], 1000);

        print_message("%s: %.1f Mbit/s\n", paths[i].name, mbit);
        if (mbit < paths[i].least)
            fail_msg("less than %.0f", paths[i].least);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
