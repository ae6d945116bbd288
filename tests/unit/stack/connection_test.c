/*
 * How connections begin and end: refused, timed out, half closed, aborted, lingering, limited.
 */
#include "tests/unit/stack/craft.h"

#define PORT 80

static size_t alive(const struct world *world)
{
    return stack_stats(world->sides[0].stack)->connections +
           stack_stats(world->sides[1].stack)->connections;
}

/* A connection in a fresh world, open at both ends. */
struct open {
    struct world world;
    struct server server;
    struct end client, peer;
};

static void open_init(struct open *open, size_t total)
{
    world_init(&open->world, 7, 1420);
    ends_pair(&open->client, &open->peer, total);
    open->client.keep_open = open->peer.keep_open = true;
    server_start(&open->server, &open->world, AF_INET, PORT, &open->peer, 1);
    end_connect(&open->client, &open->world, AF_INET, PORT);
    world_run(&open->world, SECOND);
    assert_true(open->client.connected && open->peer.connected);
}

static void open_fini(struct open *open)
{
    world_fini(&open->world);
}

static void test_refused(void **state)
{
    struct end client = {0};
    struct world world;

    (void)state;
    world_init(&world, 1, 1420);
    end_connect(&client, &world, AF_INET6, PORT);
    assert_false(client.closed);
    world_run(&world, SECOND);
    assert_true(client.closed);
    assert_int_equal(client.error, -ECONNREFUSED);
    assert_int_equal(alive(&world), 0);
    world_fini(&world);
}

static void test_connect_timeout(void **state)
{
    struct end client = {0};
    struct world world;

    (void)state;
    world_init(&world, 1, 1420);
    world.cut = true;
    end_connect(&client, &world, AF_INET, PORT);
    world_run(&world, 60 * SECOND);
    assert_false(client.closed);
    /* 1 + 2 + 4 + ... seconds apart (RFC 6298, 5.5). */
    assert_true(world.sides[0].sent >= 6 && world.sides[0].sent <= 7);
    world_run(&world, 100 * SECOND);
    assert_true(client.closed);
    assert_int_equal(client.error, -ETIMEDOUT);
    assert_int_equal(alive(&world), 0);
    world_fini(&world);
}

static void test_no_source_address(void **state)
{
    struct inet_addr only[1] = {world_ip4(9)};
    struct inet_addr target = world_ip6(1);
    struct stack_conn *conn = NULL;
    struct world_side side = {0};
    struct world world;
    struct stack *stack;

    (void)state;
    world_init(&world, 1, 1420);
    side.world = &world;
    stack = world_stack(&side, only, 1, 1420);
    assert_int_equal(stack_connect(stack, &target, PORT, &end_ops, NULL, &conn), -EAFNOSUPPORT);
    assert_null(conn);
    stack_free(stack);
    world_fini(&world);
}

/* FIN one way, data the other way, then FIN back; both sides in turn begin. */
static void test_half_close(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct open open;
        struct end *a, *b;

        open_init(&open, 0);
        a = first == 0 ? &open.client : &open.peer;
        b = first == 0 ? &open.peer : &open.client;
        stack_conn_shutdown(a->conn);
        world_run(&open.world, 300 * SECOND);
        assert_true(b->eof && !a->eof && !a->closed && !b->closed);
        assert_int_equal(stack_conn_send_space(a->conn), 0);
        assert_int_equal(stack_conn_write(a->conn, "x", 1), -EPIPE);

        b->total = 500000;
        b->keep_open = false;
        end_write(b);
        world_run(&open.world, 60 * SECOND);
        assert_int_equal(a->received, 500000);
        assert_true(a->eof && a->closed && b->closed);
        assert_int_equal(a->error, 0);
        assert_int_equal(b->error, 0);
        world_run(&open.world, 60 * SECOND);
        assert_int_equal(alive(&open.world), 0);
        open_fini(&open);
    }
}

/* Nothing gets through for a minute while what was written last waits to be acknowledged. */
static void test_outage_at_the_end(void **state)
{
    struct open open;

    (void)state;
    open_init(&open, 0);
    stack_conn_shutdown(open.peer.conn);
    world_run(&open.world, SECOND);
    assert_true(open.client.eof);
    open.world.cut = true;
    open.client.total = 5000;
    open.client.keep_open = false;
    end_write(&open.client);
    world_run(&open.world, 60 * SECOND);
    assert_false(open.client.closed);
    open.world.cut = false;
    world_run(&open.world, 120 * SECOND);
    assert_int_equal(open.peer.received, 5000);
    assert_true(open.client.closed && open.peer.closed);
    assert_int_equal(open.client.error, 0);
    assert_int_equal(alive(&open.world), 0);
    open_fini(&open);
}

/* FIN asked for before the handshake is complete. */
static void test_early_shutdown(void **state)
{
    struct end client, peer;
    struct server server;
    struct world world;

    (void)state;
    world_init(&world, 1, 1420);
    ends_pair(&client, &peer, 0);
    client.keep_open = true;
    server_start(&server, &world, AF_INET, PORT, &peer, 1);
    end_connect(&client, &world, AF_INET, PORT);
    stack_conn_shutdown(client.conn);
    world_run(&world, 100 * SECOND);
    assert_true(peer.eof && client.eof && client.closed && peer.closed);
    assert_int_equal(alive(&world), 0);
    world_fini(&world);
}

/* A reader that stops: bounded, the window closes, another connection runs on, nothing is lost. */
static void test_slow_reader(void **state)
{
    struct end client[2], peer[2];
    struct server server;
    struct world world;

    (void)state;
    world_init(&world, 3, 1420);
    for (int i = 0; i < 2; i++) {
        ends_pair(&client[i], &peer[i], 0);
        client[i].total = 5000000;
    }
    peer[0].paused = true;
    server_start(&server, &world, AF_INET, PORT, peer, 2);
    end_connect(&client[0], &world, AF_INET, PORT);
    world_run(&world, 100 * MILLISECOND);
    end_connect(&client[1], &world, AF_INET, PORT);
    world_run(&world, 120 * SECOND);
    assert_int_equal(peer[1].received, 5000000);
    assert_true(client[1].closed);
    assert_int_equal(peer[0].received, 0);
    assert_true(stack_conn_pending(peer[0].conn) <= 65536);
    assert_true(stack_conn_pending(peer[0].conn) > 60000);
    assert_true(client[0].sent < 5000000);
    assert_false(client[0].closed);

    /* It reads on, in small steps at first. */
    for (int i = 0; i < 1000; i++) {
        struct iovec piece;

        assert_int_equal(stack_conn_peek(peer[0].conn, &piece, 1), 1);
        assert_int_equal(*(uint8_t *)piece.iov_base,
                         end_pattern(peer[0].pattern_in, peer[0].received));
        stack_conn_consume(peer[0].conn, 1);
        peer[0].received++;
    }
    peer[0].paused = false;
    end_readable(&peer[0]);
    world_run(&world, 120 * SECOND);
    assert_int_equal(peer[0].received, 5000000);
    assert_true(peer[0].closed && client[0].closed);
    assert_int_equal(peer[0].error, 0);
    world_fini(&world);
}

/* The peer's data and FIN are all there before the reader reads: closed() waits for it. */
static void test_late_reader(void **state)
{
    struct end client, peer;
    struct server server;
    struct world world;

    (void)state;
    world_init(&world, 3, 1420);
    ends_pair(&client, &peer, 0);
    client.total = 50000;
    peer.paused = true;
    server_start(&server, &world, AF_INET, PORT, &peer, 1);
    end_connect(&client, &world, AF_INET, PORT);
    world_run(&world, 100 * SECOND);
    assert_true(client.closed);
    assert_false(peer.closed);
    assert_int_equal(stack_conn_pending(peer.conn), 50000);
    peer.paused = false;
    end_readable(&peer);
    assert_true(peer.eof);
    assert_false(peer.closed);
    world_run(&world, SECOND);
    assert_true(peer.closed);
    assert_int_equal(peer.error, 0);
    world_fini(&world);
}

static void test_abort(void **state)
{
    struct open open;

    (void)state;
    open_init(&open, 100000);
    stack_conn_abort(open.client.conn);
    world_run(&open.world, SECOND);
    assert_true(open.peer.closed);
    assert_int_equal(open.peer.error, -ECONNRESET);
    assert_false(open.client.closed);
    assert_int_equal(alive(&open.world), 0);
    open_fini(&open);
}

static void test_abort_connecting(void **state)
{
    struct end client = {0};
    struct world world;

    (void)state;
    world_init(&world, 1, 1420);
    world.cut = true;
    end_connect(&client, &world, AF_INET, PORT);
    stack_conn_abort(client.conn);
    end_connect(&client, &world, AF_INET, PORT);
    stack_conn_close(client.conn);
    assert_int_equal(alive(&world), 0);
    assert_true(stack_deadline(world.sides[0].stack) == STACK_NEVER);
    world_fini(&world);
}

/* What was written before close arrives, although the handle is gone. */
static void test_close_delivers(void **state)
{
    struct open open;

    (void)state;
    open_init(&open, 0);
    open.world.loss = 20;
    open.client.total = 60000;
    end_write(&open.client);
    assert_int_equal(open.client.sent, 60000);
    stack_conn_close(open.client.conn);
    open.peer.keep_open = false;
    world_run(&open.world, 10 * SECOND);
    assert_int_equal(open.peer.received, 60000);
    assert_true(open.peer.eof);
    assert_false(open.client.closed);
    end_write(&open.peer);
    world_run(&open.world, 100 * SECOND);
    assert_true(open.peer.closed);
    assert_int_equal(open.peer.error, 0);
    assert_int_equal(alive(&open.world), 0);
    open_fini(&open);
}

/* Unread bytes make a close a reset. */
static void test_close_unread(void **state)
{
    struct open open;

    (void)state;
    open_init(&open, 0);
    open.peer.paused = true;
    open.client.total = 1000;
    end_write(&open.client);
    world_run(&open.world, SECOND);
    assert_int_equal(stack_conn_pending(open.peer.conn), 1000);
    stack_conn_close(open.peer.conn);
    world_run(&open.world, SECOND);
    assert_true(open.client.closed);
    assert_int_equal(open.client.error, -ECONNRESET);
    assert_int_equal(alive(&open.world), 0);
    open_fini(&open);
}

/* The same for bytes that come after the close. */
static void test_data_after_close(void **state)
{
    struct open open;

    (void)state;
    open_init(&open, 0);
    stack_conn_close(open.peer.conn);
    world_run(&open.world, SECOND);
    assert_true(open.client.eof);
    open.client.total = 1000;
    end_write(&open.client);
    world_run(&open.world, SECOND);
    assert_true(open.client.closed);
    assert_int_equal(open.client.error, -ECONNRESET);
    assert_int_equal(alive(&open.world), 0);
    open_fini(&open);
}

/* A closed connection whose peer does not go on is not kept for ever. */
static void test_lingering(void **state)
{
    struct open open;

    (void)state;
    /* The peer never closes: FIN_WAIT_2. */
    open_init(&open, 0);
    stack_conn_close(open.client.conn);
    world_run(&open.world, 120 * SECOND);
    assert_int_equal(stack_stats(open.world.sides[0].stack)->connections, 0);
    open_fini(&open);

    /* The peer does not read: the window stays closed. */
    open_init(&open, 0);
    open.peer.paused = true;
    open.client.total = 3000000;
    end_write(&open.client);
    world_run(&open.world, 10 * SECOND);
    stack_conn_close(open.client.conn);
    open.client.conn = NULL;
    world_run(&open.world, 300 * SECOND);
    assert_int_equal(stack_stats(open.world.sides[0].stack)->connections, 0);
    open_fini(&open);

    /* The peer is gone. */
    open_init(&open, 0);
    open.world.cut = true;
    open.client.total = 60000;
    end_write(&open.client);
    stack_conn_close(open.client.conn);
    world_run(&open.world, 600 * SECOND);
    assert_int_equal(alive(&open.world), 0);
    assert_int_equal(open.peer.error, -ETIMEDOUT);
    open_fini(&open);
}

/* A slow path is no reason to give up: a close may take minutes while the peer acknowledges. */
static void test_close_on_slow_path(void **state)
{
    struct open open;

    (void)state;
    open_init(&open, 0);
    open.client.total = 60000;
    open.peer.keep_open = false;
    stack_conn_shutdown(open.peer.conn);
    open.peer.shut = true;
    world_run(&open.world, SECOND);
    open.world.delay = 4 * SECOND;
    open.world.loss = 100;
    end_write(&open.client);
    stack_conn_close(open.client.conn);
    open.client.conn = NULL;
    world_run(&open.world, 1200 * SECOND);
    assert_int_equal(open.peer.received, 60000);
    assert_true(open.peer.closed);
    assert_int_equal(open.peer.error, 0);
    open_fini(&open);
}

static void test_vanished_peer(void **state)
{
    struct open open;

    (void)state;
    open_init(&open, 0);
    /* Idle connections stay, on a few packets. */
    world_run(&open.world, 3600 * SECOND);
    assert_false(open.client.closed);
    assert_true(open.world.sides[0].sent < 200);
    open.world.cut = true;
    world_run(&open.world, 300 * SECOND);
    assert_true(open.client.closed && open.peer.closed);
    assert_int_equal(open.client.error, -ETIMEDOUT);
    assert_int_equal(alive(&open.world), 0);
    open_fini(&open);

    /* The same when we have sent FIN: FIN_WAIT_2. */
    open_init(&open, 0);
    stack_conn_shutdown(open.client.conn);
    world_run(&open.world, 3600 * SECOND);
    assert_false(open.client.closed);
    open.world.cut = true;
    world_run(&open.world, 300 * SECOND);
    assert_true(open.client.closed && open.peer.closed);
    assert_int_equal(open.client.error, -ETIMEDOUT);
    open_fini(&open);
}

/*
 * After the machine was suspended for longer than an idle connection is kept: nobody has asked the
 * peer meanwhile, and it is asked as often as ever, for the tunnel may take a while to come back.
 */
static void test_suspended(void **state)
{
    (void)state;
    for (int half_closed = 0; half_closed < 2; half_closed++) {
        struct open open;

        open_init(&open, 0);
        if (half_closed)
            stack_conn_shutdown(open.client.conn);
        world_run(&open.world, SECOND);
        open.world.now += 3600 * SECOND;
        open.world.cut = true;
        world_run(&open.world, 10 * SECOND);
        open.world.cut = false;
        world_run(&open.world, 300 * SECOND);
        assert_false(open.client.closed || open.peer.closed);

        open.world.cut = true; /* and who has vanished meanwhile is still given up */
        open.world.now += 3600 * SECOND;
        world_run(&open.world, 200 * SECOND);
        assert_true(open.client.closed && open.peer.closed);
        assert_int_equal(open.client.error, -ETIMEDOUT);
        assert_int_equal(alive(&open.world), 0);
        open_fini(&open);
    }
}

/* Whenever it goes on: three probes are not answered, and the fourth is. */
static void test_suspended_after_probes(void **state)
{
    (void)state;
    for (int ticks = 0; ticks < 20; ticks++) {
        struct open open;

        open_init(&open, 0);
        world_run(&open.world, SECOND);
        open.world.cut = true;
        world_run(&open.world, 190 * SECOND);
        open.world.cut = false;
        open.world.now += 47 * SECOND + (uint64_t)ticks * 100 * MILLISECOND;
        world_run(&open.world, 60 * SECOND);
        if (open.client.closed || open.peer.closed)
            fail_msg("tick %d", ticks);
        open_fini(&open);
    }
}

/* An idle stack sleeps. */
static void test_sleep(void **state)
{
    struct open open;
    unsigned steps = 0;

    (void)state;
    open_init(&open, 0);
    for (uint64_t limit = open.world.now + 100 * SECOND; world_step(&open.world, limit);)
        steps++;
    assert_true(steps < 10);
    open_fini(&open);
}

static void test_free_with_connections(void **state)
{
    struct open open;

    (void)state;
    open_init(&open, 200000);
    stack_free(open.world.sides[0].stack);
    open.world.sides[0].stack = NULL;
    assert_true(open.client.closed);
    assert_int_equal(open.client.error, -ECONNABORTED);
    /* The resets are on their way. */
    open.world.sides[0].stack = world_stack(&open.world.sides[0], open.world.addresses[0], 2, 1420);
    world_run(&open.world, SECOND);
    assert_true(open.peer.closed);
    assert_int_equal(open.peer.error, -ECONNRESET);
    open_fini(&open);
}

/* Frees the other connection, and connects anew, from within a callback. */
struct vandal {
    struct stack *stack;
    struct stack_conn *own, *other;
    unsigned closed;
};

static void vandal_readable(void *ctx)
{
    struct vandal *vandal = ctx;

    if (vandal->other != NULL)
        stack_conn_abort(vandal->other);
    vandal->other = NULL;
    stack_conn_abort(vandal->own);
    vandal->own = NULL;
}

static void vandal_closed(void *ctx, int error)
{
    struct vandal *vandal = ctx;

    (void)error;
    vandal->closed++;
}

static void vandal_nothing(void *ctx)
{
    (void)ctx;
}

static void test_free_in_callback(void **state)
{
    static const struct stack_conn_ops ops = {
        .connected = vandal_nothing,
        .readable = vandal_readable,
        .writable = vandal_nothing,
        .closed = vandal_closed,
    };
    struct end peer[2];
    struct server server;
    struct world world;
    struct vandal a, b;

    (void)state;
    world_init(&world, 5, 1420);
    for (int i = 0; i < 2; i++)
        peer[i] = (struct end){.pattern = 1, .total = 5000};
    server_start(&server, &world, AF_INET, PORT, peer, 2);
    a = b = (struct vandal){.stack = world.sides[0].stack};
    assert_int_equal(stack_connect(a.stack, &world.addresses[1][0], PORT, &ops, &a, &a.own), 0);
    assert_int_equal(stack_connect(b.stack, &world.addresses[1][0], PORT, &ops, &b, &b.own), 0);
    a.other = b.own;
    world_run(&world, 5 * SECOND);
    assert_null(a.own);
    assert_int_equal(a.closed + b.closed, 0);
    assert_int_equal(stack_stats(world.sides[0].stack)->connections, 0);
    world_fini(&world);
}

static void test_listener(void **state)
{
    struct stack_listener *listener = NULL;
    struct inet_addr foreign = world_ip4(77);
    struct end client[4] = {{0}}, peer = {0};
    struct server server;
    struct world world;

    (void)state;
    world_init(&world, 5, 1420);
    peer.keep_open = true;
    for (int i = 0; i < 4; i++)
        client[i].keep_open = true;
    server_start(&server, &world, AF_INET, PORT, &peer, 1);
    assert_int_equal(stack_listen(world.sides[1].stack, &world.addresses[1][0], PORT, &server_ops,
                                  NULL, &listener),
                     -EADDRINUSE);
    assert_int_equal(stack_listen(world.sides[1].stack, &foreign, PORT, &server_ops, NULL,
                                  &listener),
                     -EADDRNOTAVAIL);
    assert_int_equal(stack_listen(world.sides[1].stack, &world.addresses[1][0], 0, &server_ops,
                                  NULL, &listener),
                     -EADDRNOTAVAIL);

    /* The second is not taken by its owner. */
    end_connect(&client[0], &world, AF_INET, PORT);
    world_run(&world, SECOND);
    end_connect(&client[1], &world, AF_INET, PORT);
    world_run(&world, SECOND);
    assert_true(client[0].connected && !client[0].closed);
    assert_true(client[1].closed);
    assert_int_equal(client[1].error, -ECONNRESET);

    /* The listener goes: what is half open is reset, what is open lives on. */
    end_connect(&client[2], &world, AF_INET, PORT);
    world_run(&world, 7 * MILLISECOND);
    assert_int_equal(stack_stats(world.sides[1].stack)->connections, 2);
    stack_unlisten(server.listener);
    assert_int_equal(stack_stats(world.sides[1].stack)->connections, 1);
    world_run(&world, SECOND);
    assert_true(client[2].closed);
    assert_false(client[0].closed);
    end_connect(&client[3], &world, AF_INET, PORT);
    world_run(&world, SECOND);
    assert_int_equal(client[3].error, -ECONNREFUSED);
    world_fini(&world);
}

/* An owner that answers and closes at once, from within accepted(). */
static void hasty_accepted(void *ctx, struct stack_conn *conn, const struct inet_addr *peer,
                           uint16_t port)
{
    static const struct stack_conn_ops none = {0};
    const uint8_t answer = end_pattern(0, 0);

    (void)ctx;
    (void)peer;
    (void)port;
    stack_conn_attach(conn, &none, NULL);
    assert_int_equal(stack_conn_write(conn, &answer, 1), 0);
    stack_conn_close(conn);
}

static void test_close_in_accepted(void **state)
{
    const struct stack_listen_ops ops = {.accepted = hasty_accepted};
    struct stack_listener *listener = NULL;
    struct end client = {0};
    struct world world;

    (void)state;
    world_init(&world, 5, 1420);
    assert_int_equal(
        stack_listen(world.sides[1].stack, &world.addresses[1][1], PORT, &ops, NULL, &listener), 0);
    end_connect(&client, &world, AF_INET6, PORT);
    world_run(&world, 100 * SECOND);
    assert_int_equal(client.received, 1);
    assert_true(client.eof && client.closed);
    assert_int_equal(client.error, 0);
    assert_int_equal(alive(&world), 0);
    world_fini(&world);
}

/* Half-open connections are bounded, and go away. */
static void test_syn_flood(void **state)
{
    struct server server;
    struct world world;
    struct end client[300] = {{0}};

    (void)state;
    world_init(&world, 5, 1420);
    server_start(&server, &world, AF_INET, PORT, NULL, 0);
    for (int i = 0; i < 300; i++)
        end_connect(&client[i], &world, AF_INET, PORT);
    world_run(&world, 7 * MILLISECOND);
    assert_int_equal(stack_stats(world.sides[1].stack)->connections, STACK_SYN_RECEIVED_MAX);
    world.cut = true;
    while (world.first != NULL)
        world_drop_packet(world_pop(&world));
    world_run(&world, 60 * SECOND);
    assert_int_equal(stack_stats(world.sides[1].stack)->connections, 0);
    world_fini(&world);
}

/*
 * A connection sleeps, receives something on the way, and its timer runs late, as after the machine
 * was suspended: it may sleep again for a whole turn of the wheel, and the wheel still stops.
 */
static void test_late_timers(void **state)
{
    static struct craft_peer peer;

    (void)state;
    for (uint64_t received = 90; received < 110; received++) {
        struct end end = {.keep_open = true};

        craft_peer_init(&peer, 41, AF_INET);
        craft_peer_connect(&peer, &end);
        peer.now += SECOND;
        stack_expire(peer.stack);
        uint64_t deadline = stack_deadline(peer.stack);
        peer.now += received * SECOND;
        const struct craft nothing = craft_segment(&peer, PACKET_ACK, NULL, 0);
        craft_peer_send(&peer, &nothing);
        craft_peer_flush(&peer);
        peer.now = deadline + 100 * SECOND;
        stack_expire(peer.stack);
        assert_true(stack_deadline(peer.stack) > peer.now);
        craft_peer_fini(&peer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_connect_timeout),
        cmocka_unit_test(test_no_source_address),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_outage_at_the_end),
        cmocka_unit_test(test_early_shutdown),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_late_reader),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_abort_connecting),
        cmocka_unit_test(test_close_delivers),
        cmocka_unit_test(test_close_unread),
        cmocka_unit_test(test_data_after_close),
        cmocka_unit_test(test_lingering),
        cmocka_unit_test(test_close_on_slow_path),
        cmocka_unit_test(test_vanished_peer),
        cmocka_unit_test(test_suspended),
        cmocka_unit_test(test_suspended_after_probes),
        cmocka_unit_test(test_sleep),
        cmocka_unit_test(test_free_with_connections),
        cmocka_unit_test(test_free_in_callback),
        cmocka_unit_test(test_listener),
        cmocka_unit_test(test_close_in_accepted),
        cmocka_unit_test(test_syn_flood),
        cmocka_unit_test(test_late_timers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
