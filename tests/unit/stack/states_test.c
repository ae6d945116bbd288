/*
 * The ends of connections that cross each other on the way, and sequence numbers that go round
 * (RFC 9293, 3.6 and 3.4).
 */
#include "tests/unit/stack/craft.h"

#define PORT 80

static struct craft_peer peer;
static uint8_t stream[2000];

static void begin(struct end *end)
{
    *end = (struct end){.pattern = 1, .pattern_in = 2, .keep_open = true};
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_connect(&peer, end);
    for (size_t i = 0; i < sizeof(stream); i++)
        stream[i] = end_pattern(2, i);
}

static void send_and_flush(uint8_t flags, uint32_t at, size_t len)
{
    struct craft segment = craft_segment(&peer, flags, stream + at, len);

    segment.seq += at;
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
}

/* Lets time pass, with all that is due in it. */
static void wait(uint64_t duration)
{
    uint64_t until = peer.now + duration;

    while (stack_deadline(peer.stack) <= until) {
        if (stack_deadline(peer.stack) > peer.now)
            peer.now = stack_deadline(peer.stack);
        stack_expire(peer.stack);
    }
    peer.now = until;
}

static const struct segment *last(void)
{
    assert_true(peer.log_count > 0);
    return &peer.log[peer.log_count - 1];
}

static uint32_t connections(void)
{
    return stack_stats(peer.stack)->connections;
}

/* --- The end --------------------------------------------------------------------------------- */

/* Both FINs are on the way at once: CLOSING, and TIME_WAIT when ours is acknowledged. */
static void test_simultaneous_close(void **state)
{
    struct end end;

    (void)state;
    begin(&end);
    stack_conn_shutdown(end.conn);
    assert_int_equal(last()->flags, PACKET_FIN | PACKET_ACK);
    send_and_flush(PACKET_FIN | PACKET_ACK, 0, 0); /* it has not seen ours */
    assert_int_equal(last()->flags, PACKET_ACK);
    assert_int_equal(last()->ack, peer.seq + 1);
    assert_true(end.eof);
    assert_false(end.closed);
    peer.ack++;
    send_and_flush(PACKET_ACK, 1, 0);
    assert_true(end.closed);
    assert_int_equal(end.error, 0);
    assert_int_equal(connections(), 1);
    /* A FIN that comes again is acknowledged; a RST does not end TIME_WAIT (RFC 1337). */
    craft_peer_clear(&peer);
    send_and_flush(PACKET_FIN | PACKET_ACK, 0, 0);
    assert_int_equal(last()->flags, PACKET_ACK);
    craft_peer_clear(&peer);
    send_and_flush(PACKET_RST, 1, 0);
    assert_int_equal(peer.log_count, 0);
    assert_int_equal(connections(), 1);
    wait(33 * SECOND);
    assert_int_equal(connections(), 0);
    craft_peer_fini(&peer);
}

/* The peer never acknowledges our FIN, having sent its own: that ends some time, too. */
static void test_closing_for_ever(void **state)
{
    struct end end;

    (void)state;
    begin(&end);
    stack_conn_shutdown(end.conn);
    send_and_flush(PACKET_FIN | PACKET_ACK, 0, 0);
    peer.forgetful = true;
    wait(3600 * SECOND);
    assert_true(end.closed);
    assert_int_equal(end.error, -ETIMEDOUT);
    assert_int_equal(connections(), 0);
    craft_peer_fini(&peer);
}

/* The FIN comes before the data in front of it, twice, and with other data at the same place. */
static void test_end_before_the_data(void **state)
{
    struct end end;

    (void)state;
    begin(&end);
    send_and_flush(PACKET_FIN | PACKET_ACK, 1000, 200);
    send_and_flush(PACKET_FIN | PACKET_ACK, 1000, 200);
    send_and_flush(PACKET_FIN | PACKET_ACK, 1200, 0);
    send_and_flush(PACKET_FIN | PACKET_ACK, 1100, 50);  /* an earlier end */
    send_and_flush(PACKET_FIN | PACKET_ACK, 1300, 100); /* a later one */
    assert_int_equal(end.received, 0);
    assert_false(end.eof);
    send_and_flush(PACKET_ACK, 0, 500);
    assert_int_equal(end.received, 500);
    assert_false(end.eof);
    send_and_flush(PACKET_ACK, 400, 700);
    assert_int_equal(end.received, 1200);
    assert_true(end.eof);
    assert_int_equal(last()->ack, peer.seq + 1201);
    send_and_flush(PACKET_ACK, 1201, 300); /* behind the end */
    assert_int_equal(end.received, 1200);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* Each side goes on while only the other has finished, whoever is first. */
static void test_half_open_both_ways(void **state)
{
    struct end end;

    (void)state;
    for (unsigned we_first = 0; we_first < 2; we_first++) {
        begin(&end);
        if (we_first == 1) {
            stack_conn_shutdown(end.conn);
            peer.ack++;
            send_and_flush(PACKET_ACK, 0, 0);
            wait(100 * SECOND);
            send_and_flush(PACKET_ACK, 0, 900);
            assert_int_equal(end.received, 900);
            send_and_flush(PACKET_FIN | PACKET_ACK, 900, 0);
        } else {
            send_and_flush(PACKET_FIN | PACKET_ACK, 0, 900);
            assert_true(end.eof);
            craft_peer_clear(&peer);
            end.total = 700;
            end_write(&end);
            assert_int_equal(last()->data_len, 700);
            peer.ack += 700;
            send_and_flush(PACKET_ACK, 901, 0);
            stack_conn_shutdown(end.conn);
            peer.ack++;
            send_and_flush(PACKET_ACK, 901, 0);
        }
        assert_int_equal(end.received, 900);
        assert_true(end.eof);
        assert_true(end.closed);
        assert_int_equal(end.error, 0);
        craft_peer_fini(&peer);
    }
}

/* What the peer had sent before it reset the connection is not lost, when it came in one batch. */
static void test_reset_while_data_waits(void **state)
{
    struct end end;
    struct craft segment;

    (void)state;
    begin(&end);
    end.total = 500;
    end_write(&end);
    segment = craft_segment(&peer, PACKET_ACK, stream, 700);
    craft_peer_send(&peer, &segment);
    segment = craft_segment(&peer, PACKET_RST, NULL, 0);
    segment.seq += 700;
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    assert_int_equal(end.received, 700);
    assert_true(end.closed);
    assert_int_equal(end.error, -ECONNRESET);
    assert_int_equal(connections(), 0);
    craft_peer_fini(&peer);
}

/* --- Waiting --------------------------------------------------------------------------------- */

/* Connects over a path with this round trip, which is below the first timeout. */
static void begin_slowly(struct end *end, uint64_t round_trip)
{
    const uint8_t options[] = {2, 4, 0x05, 0x64, 1, 3, 3, 5, 1, 1, 4, 2};
    struct craft segment;

    *end = (struct end){.pattern = 1, .pattern_in = 2, .keep_open = true};
    craft_peer_init(&peer, 1, AF_INET);
    assert_int_equal(stack_connect(peer.stack, &peer.remote, PORT, &end_ops, end, &end->conn), 0);
    peer.now += round_trip;
    peer.ack = peer.log[0].seq + 1;
    segment = craft_segment(&peer, PACKET_SYN | PACKET_ACK, NULL, 0);
    segment.options = options;
    segment.options_len = sizeof(options);
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    craft_peer_clear(&peer);
}

/* RFC 6298, 5.5 and 2.5: each wait is twice the one before, and none is longer than a minute. */
static void test_retransmissions_back_off(void **state)
{
    struct end end;
    uint64_t waited = 0, before;
    size_t seen = 1;

    (void)state;
    begin_slowly(&end, 900 * MILLISECOND);
    assert_int_equal(stack_conn_write(end.conn, "x", 1), 0);
    before = peer.now;
    while (!end.closed) {
        peer.now = stack_deadline(peer.stack);
        stack_expire(peer.stack);
        if (peer.log_count == seen)
            continue;
        seen = peer.log_count;
        assert_in_range(peer.now - before, 1, 60200 * MILLISECOND);
        if (seen > 3) /* the first may be a probe (RFC 8985, 7) */
            assert_in_range(peer.now - before, waited, 2 * waited + 200 * MILLISECOND);
        waited = peer.now - before;
        before = peer.now;
    }
    assert_int_equal(end.error, -ETIMEDOUT);
    assert_true(seen > 8);
    assert_true(waited > 59 * SECOND);
    craft_peer_fini(&peer);
}

/* --- Numbers that go round ------------------------------------------------------------------- */

static uint32_t first_number(uint64_t seed, uint64_t now)
{
    struct end end = {0};

    craft_peer_init(&peer, seed, AF_INET);
    peer.now = now;
    assert_int_equal(stack_connect(peer.stack, &peer.remote, PORT, &end_ops, &end, &end.conn), 0);
    craft_peer_fini(&peer);
    return peer.log[0].seq;
}

/* The time at which a connection with this seed begins `before` bytes before the numbers go round.
 */
static uint64_t time_of_wrap(uint64_t seed, uint32_t before)
{
    const uint64_t start = 1000 * SECOND;
    const uint32_t missing = (uint32_t)0 - before - first_number(seed, start);

    return start + UINT64_C(4000) * missing;
}

/* Much data both ways over a bad path, with the numbers of one side going round at any place. */
static void test_wrap(void **state)
{
    static const uint32_t befores[] = {0, 1, 2, 700, 1380, 13801, 100000, 250000};
    const size_t total = 300000;

    (void)state;
    for (size_t i = 0; i < sizeof(befores) / sizeof(befores[0]); i++) {
        struct end client, other;
        struct server server;
        struct world world;
        const uint64_t seed = 90 + i;
        const uint64_t now = time_of_wrap(seed, befores[i]);

        assert_int_equal(first_number(seed, now), (uint32_t)0 - befores[i]);
        ends_pair(&client, &other, total);
        world_init(&world, seed, 1420);
        world.now = now;
        server_start(&server, &world, AF_INET, PORT, &other, 1);
        end_connect(&client, &world, AF_INET, PORT);
        world.loss = 20;
        world.reorder = 50;
        world.duplicate = 20;
        world_run(&world, 120 * SECOND);
        assert_int_equal(client.received, total);
        assert_int_equal(other.received, total);
        assert_true(client.closed && other.closed);
        assert_int_equal(client.error, 0);
        assert_int_equal(other.error, 0);
        world_fini(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simultaneous_close),
        cmocka_unit_test(test_closing_for_ever),
        cmocka_unit_test(test_end_before_the_data),
        cmocka_unit_test(test_half_open_both_ways),
        cmocka_unit_test(test_reset_while_data_waits),
        cmocka_unit_test(test_retransmissions_back_off),
        cmocka_unit_test(test_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
