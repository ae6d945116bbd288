/*
 * What is merged and what is not, seen from both sides of a connection with a handmade peer.
 */
#include "tests/unit/stack/craft.h"

#define SEGMENT ((size_t)1000)

static uint8_t stream[100 * SEGMENT];

static void fill_stream(void)
{
    for (size_t i = 0; i < sizeof(stream); i++)
        stream[i] = end_pattern(2, i);
}

static void start(struct craft_peer *peer, struct end *end, int family)
{
    fill_stream();
    *end = (struct end){.pattern_in = 2, .keep_open = true};
    craft_peer_init(peer, 1, family);
    craft_peer_connect(peer, end);
}

static void finish(struct craft_peer *peer, struct end *end)
{
    if (end->conn != NULL)
        stack_conn_abort(end->conn);
    assert_int_equal(stack_stats(peer->stack)->connections, 0);
    craft_peer_fini(peer);
}

/* One batch of in-order segments: told once, acknowledged once, in whole. */
static void test_in_order(void **state)
{
    const int families[] = {AF_INET, AF_INET6};

    (void)state;
    for (int f = 0; f < 2; f++) {
        struct craft_peer peer;
        struct end end;

        start(&peer, &end, families[f]);
        for (size_t i = 0; i < 40; i++)
            craft_peer_data(&peer, stream + i * SEGMENT, SEGMENT);
        assert_int_equal(end.received, 0);
        craft_peer_flush(&peer);
        assert_int_equal(end.received, 40 * SEGMENT);
        assert_int_equal(end.readables, 1);
        assert_int_equal(peer.log_count, 1);
        assert_int_equal(peer.log[0].flags, PACKET_ACK);
        assert_int_equal(peer.log[0].ack, peer.seq);
        finish(&peer, &end);
    }
}

/* More than one merged segment holds. */
static void test_beyond_limit(void **state)
{
    struct craft_peer peer;
    struct end end;

    (void)state;
    start(&peer, &end, AF_INET);
    for (size_t i = 0; i < 100; i++) {
        craft_peer_data(&peer, stream + i * SEGMENT, SEGMENT);
        /* The first batch makes the window grow enough for the second. */
        if (i == 24 || i == 99)
            craft_peer_flush(&peer);
    }
    assert_int_equal(end.received, 100 * SEGMENT);
    assert_int_equal(end.readables, 2);
    assert_int_equal(peer.log[peer.log_count - 1].ack, peer.seq);
    finish(&peer, &end);
}

/* Every segment after a hole is answered with a duplicate acknowledgment. */
static void test_hole(void **state)
{
    struct craft_peer peer;
    struct craft segment;
    struct end end;
    uint32_t hole;

    (void)state;
    start(&peer, &end, AF_INET);
    craft_peer_data(&peer, stream, SEGMENT);
    hole = peer.seq;
    peer.seq += (uint32_t)SEGMENT;
    for (size_t i = 2; i < 8; i++)
        craft_peer_data(&peer, stream + i * SEGMENT, SEGMENT);
    craft_peer_flush(&peer);
    assert_int_equal(end.received, SEGMENT);
    assert_int_equal(peer.log_count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(peer.log[i].ack, hole);

    craft_peer_clear(&peer);
    segment = craft_segment(&peer, PACKET_ACK, stream + SEGMENT, SEGMENT);
    segment.seq = hole;
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    assert_int_equal(end.received, 8 * SEGMENT);
    assert_int_equal(peer.log[peer.log_count - 1].ack, peer.seq);
    finish(&peer, &end);
}

/* The end of the stream is not merged, and is told after the data. */
static void test_fin(void **state)
{
    struct craft_peer peer;
    struct craft segment;
    struct end end;

    (void)state;
    start(&peer, &end, AF_INET);
    for (size_t i = 0; i < 3; i++)
        craft_peer_data(&peer, stream + i * SEGMENT, SEGMENT);
    segment = craft_segment(&peer, PACKET_ACK | PACKET_FIN, stream + 3 * SEGMENT, SEGMENT);
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    assert_int_equal(end.received, 4 * SEGMENT);
    assert_true(end.eof);
    assert_int_equal(peer.log[peer.log_count - 1].ack, peer.seq + SEGMENT + 1);
    finish(&peer, &end);
}

/* Data and a RST in one batch: the data is told first. */
static void test_reset(void **state)
{
    struct craft_peer peer;
    struct craft segment;
    struct end end;

    (void)state;
    start(&peer, &end, AF_INET);
    for (size_t i = 0; i < 3; i++)
        craft_peer_data(&peer, stream + i * SEGMENT, SEGMENT);
    segment = craft_segment(&peer, PACKET_RST, NULL, 0);
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    assert_int_equal(end.received, 3 * SEGMENT);
    assert_true(end.closed);
    assert_int_equal(end.error, -ECONNRESET);
    finish(&peer, &end);
}

/* Acknowledgments within merged data count: the newest is used, and never an older one. */
static void test_acknowledgments(void **state)
{
    struct craft_peer peer;
    struct craft segment;
    struct end end;
    uint8_t out[4 * SEGMENT] = {0};
    size_t space, less;
    uint32_t base;

    (void)state;
    start(&peer, &end, AF_INET);
    space = stack_conn_send_space(end.conn);
    assert_int_equal(stack_conn_write(end.conn, out, sizeof(out)), 0);
    less = stack_conn_send_space(end.conn);
    assert_true(less < space);
    base = peer.ack;
    for (size_t i = 0; i < 4; i++) {
        segment = craft_segment(&peer, PACKET_ACK, stream + i * SEGMENT, SEGMENT);
        segment.ack = base + (uint32_t)(i == 3 ? 0 : (i + 1) * SEGMENT);
        craft_peer_send(&peer, &segment);
        peer.seq += (uint32_t)SEGMENT;
    }
    craft_peer_flush(&peer);
    assert_int_equal(end.received, 4 * SEGMENT);
    assert_true(stack_conn_send_space(end.conn) > less); /* by the third; the last is older */
    peer.ack = base + (uint32_t)(4 * SEGMENT);
    segment = craft_segment(&peer, PACKET_ACK, NULL, 0);
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    assert_int_equal(stack_conn_send_space(end.conn) >= space, 1);
    finish(&peer, &end);
}

/* What is already there or beyond the window changes nothing. */
static void test_old_and_foreign(void **state)
{
    struct craft_peer peer;
    struct craft segment;
    struct end end;

    (void)state;
    start(&peer, &end, AF_INET);
    craft_peer_data(&peer, stream, SEGMENT);
    craft_peer_data(&peer, stream + SEGMENT, SEGMENT);
    peer.seq -= (uint32_t)(2 * SEGMENT);
    craft_peer_data(&peer, stream, SEGMENT);
    craft_peer_data(&peer, stream + SEGMENT, SEGMENT);
    /* Half old, half new. */
    peer.seq -= (uint32_t)(SEGMENT / 2);
    craft_peer_data(&peer, stream + 2 * SEGMENT - SEGMENT / 2, SEGMENT);
    segment = craft_segment(&peer, PACKET_ACK, stream, SEGMENT);
    segment.seq += 64 * 1024 * 1024;
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    assert_int_equal(end.received, 2 * SEGMENT + SEGMENT / 2);
    finish(&peer, &end);
}

/* An MSS option outside a SYN, which lwIP would obey, does not make packets too large. */
static void test_mss_option_in_data(void **state)
{
    const uint8_t options[] = {2, 4, 0x23, 0x00};
    static uint8_t out[20000];
    struct craft_peer peer;
    struct craft segment;
    struct end end;

    (void)state;
    start(&peer, &end, AF_INET);
    segment = craft_segment(&peer, PACKET_ACK, stream, SEGMENT);
    segment.options = options;
    segment.options_len = sizeof(options);
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    assert_int_equal(end.received, SEGMENT);
    assert_int_equal(stack_conn_write(end.conn, out, sizeof(out)), 0);
    for (size_t i = 0; i < peer.log_count; i++)
        assert_true(peer.log[i].data_len <= 1380);
    finish(&peer, &end);
}

/* The owner goes away while merged data waits. */
static void test_abort_before_flush(void **state)
{
    struct craft_peer peer;
    struct end end;

    (void)state;
    start(&peer, &end, AF_INET);
    for (size_t i = 0; i < 3; i++)
        craft_peer_data(&peer, stream + i * SEGMENT, SEGMENT);
    stack_conn_close(end.conn);
    end.conn = NULL;
    assert_int_equal(peer.log[peer.log_count - 1].flags & PACKET_RST, PACKET_RST);
    finish(&peer, &end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_beyond_limit),
        cmocka_unit_test(test_hole),
        cmocka_unit_test(test_fin),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_acknowledgments),
        cmocka_unit_test(test_old_and_foreign),
        cmocka_unit_test(test_mss_option_in_data),
        cmocka_unit_test(test_abort_before_flush),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
