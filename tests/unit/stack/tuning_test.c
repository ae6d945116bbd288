/*
 * What lwIP is told to do otherwise than by itself, as a peer sees it: the first window either way
 * in, initial sequence numbers, small segments at once, and when and how data is acknowledged.
 */
#include "tests/unit/stack/craft.h"

#define MSS  1380
#define PORT 80

static const uint8_t options[] = {2, 4, 0x05, 0x64, 1, 3, 3, 5, 1, 1, 4, 2};

static void take(void *ctx, struct stack_conn *conn, const struct inet_addr *addr, uint16_t port)
{
    struct end *end = ctx;

    (void)addr;
    (void)port;
    end->conn = conn;
    stack_conn_attach(conn, &end_ops, end);
}

static const struct stack_listen_ops listen_ops = {.accepted = take};

/* The peer's SYN from a port; the sequence number of the answer. */
static uint32_t call(struct craft_peer *peer, uint16_t port)
{
    struct craft segment;

    peer->remote_port = port;
    peer->local_port = PORT;
    peer->seq = 1000;
    segment = craft_segment(peer, PACKET_SYN, NULL, 0);
    segment.ack = 0;
    segment.options = options;
    segment.options_len = sizeof(options);
    craft_peer_clear(peer);
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
    assert_int_equal(peer->log_count, 1);
    assert_int_equal(peer->log[0].flags, PACKET_SYN | PACKET_ACK);
    return peer->log[0].seq;
}

/* The peer acknowledges everything, or ends it. */
static void say(struct craft_peer *peer, uint8_t flags, uint32_t seq, uint32_t ack)
{
    struct craft segment = craft_segment(peer, flags, NULL, 0);

    segment.seq = seq;
    segment.ack = ack;
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
}

/* RFC 6928: ten segments, also to who has called us. */
static void test_first_windows(void **state)
{
    static uint8_t data[30 * MSS];
    struct stack_listener *listener = NULL;
    struct craft_peer peer;
    struct end end = {.keep_open = true}, called = {.keep_open = true};
    uint32_t seq;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_connect(&peer, &end);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_int_equal(peer.log_count, 10);
    stack_conn_abort(end.conn);
    assert_int_equal(stack_listen(peer.stack, &peer.local, PORT, &listen_ops, &called, &listener),
                     0);
    seq = call(&peer, 5000);
    peer.now += CRAFT_ROUND_TRIP;
    say(&peer, PACKET_ACK, 1001, seq + 1);
    assert_non_null(called.conn);
    craft_peer_clear(&peer);
    assert_int_equal(stack_conn_write(called.conn, data, sizeof(data)), 0);
    assert_int_equal(peer.log_count, 10);
    stack_conn_abort(called.conn);
    craft_peer_fini(&peer);
}

/* RFC 6528: a clock of four microseconds per flow, and nothing about other flows. */
static void test_initial_sequence_numbers(void **state)
{
    struct stack_listener *listener = NULL;
    struct craft_peer peer;
    struct end end = {.keep_open = true};
    uint32_t first, other, later;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    assert_int_equal(stack_listen(peer.stack, &peer.local, PORT, &listen_ops, &end, &listener), 0);
    first = call(&peer, 5000);
    say(&peer, PACKET_RST, 1001, 0);
    other = call(&peer, 5001);
    say(&peer, PACKET_RST, 1001, 0);
    peer.now += SECOND;
    later = call(&peer, 5000);
    assert_int_equal(later - first, 250000);
    assert_true(other - first > 1000000 && first - other > 1000000);
    craft_peer_fini(&peer);
}

/* Without Nagle's algorithm: what is written leaves, whatever is on the way. */
static void test_small_segments(void **state)
{
    struct craft_peer peer;
    struct end end = {.keep_open = true};

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_connect(&peer, &end);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(stack_conn_write(end.conn, "x", 1), 0);
        assert_int_equal(peer.log_count, i + 1);
    }
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* RFC 5681, 4.2, and RFC 9293, 3.8.6.3: every second segment, and a single one within 100 ms. */
static void test_acknowledgments(void **state)
{
    static uint8_t data[MSS];
    struct craft_peer peer;
    struct end end = {.keep_open = true, .pattern_in = 2};
    uint64_t begin;

    (void)state;
    end_fill(data, 2, 0, sizeof(data));
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_connect(&peer, &end);
    craft_peer_data(&peer, data, MSS);
    craft_peer_flush(&peer);
    assert_int_equal(peer.log_count, 0);
    end_fill(data, 2, MSS, sizeof(data));
    craft_peer_data(&peer, data, MSS);
    craft_peer_flush(&peer);
    assert_int_equal(peer.log_count, 1);
    assert_int_equal(peer.log[0].ack, peer.seq);
    end_fill(data, 2, 2 * MSS, sizeof(data));
    craft_peer_data(&peer, data, 1);
    craft_peer_flush(&peer);
    assert_int_equal(peer.log_count, 1);
    for (begin = peer.now; peer.log_count == 1 && peer.now < begin + SECOND;) {
        peer.now = stack_deadline(peer.stack);
        stack_expire(peer.stack);
    }
    assert_in_range(peer.now - begin, 0, 100 * MILLISECOND);
    assert_int_equal(peer.log[1].ack, peer.seq);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* The SACK blocks of what was sent last, from base; returns how many. */
static int last_blocks(const struct craft_peer *peer, uint32_t base, struct sack_block *blocks)
{
    uint8_t copy[sizeof(peer->last)];
    struct packet packet;
    struct segment segment;

    memcpy(copy, peer->last, peer->last_len);
    assert_true(packet_parse(copy, peer->last_len, &packet));
    assert_true(packet_parse_tcp(&packet, &segment));
    segment_take_options(&segment);
    for (int i = 0; i < segment.sack_count; i++)
        blocks[i] = (struct sack_block){segment.sack[i].left - base, segment.sack[i].right - base};
    return segment.sack_count;
}

/* Data of the peer at an offset, and the blocks of the answer. */
static int receive(struct craft_peer *peer, uint32_t base, size_t offset, size_t len,
                   struct sack_block *blocks)
{
    static uint8_t data[1000];
    struct craft segment = craft_segment(peer, PACKET_ACK, data, len);

    end_fill(data, 2, offset, len);
    segment.seq = base + (uint32_t)offset;
    craft_peer_clear(peer);
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
    return peer->log_count > 0 ? last_blocks(peer, base, blocks) : 0;
}

static void check_block(const struct sack_block *block, uint32_t left, uint32_t right)
{
    assert_int_equal(block->left, left);
    assert_int_equal(block->right, right);
}

/* What is behind holes, the latest first (RFC 2018, 4), and what comes twice (RFC 2883, 4). */
static void test_selective_acknowledgments(void **state)
{
    struct craft_peer peer;
    struct end end = {.keep_open = true, .pattern_in = 2};
    struct sack_block blocks[PACKET_SACK_MAX];
    uint32_t base;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_connect(&peer, &end);
    base = peer.seq;
    assert_int_equal(receive(&peer, base, 0, 300, blocks), 0);
    assert_int_equal(receive(&peer, base, 100, 100, blocks), 1);
    check_block(&blocks[0], 100, 200);
    assert_int_equal(receive(&peer, base, 500, 100, blocks), 1);
    check_block(&blocks[0], 500, 600);
    assert_int_equal(receive(&peer, base, 700, 100, blocks), 2);
    check_block(&blocks[0], 700, 800);
    check_block(&blocks[1], 500, 600);
    assert_int_equal(receive(&peer, base, 0, 200, blocks), 3);
    check_block(&blocks[0], 0, 200);
    check_block(&blocks[1], 700, 800);
    check_block(&blocks[2], 500, 600);
    assert_int_equal(receive(&peer, base, 300, 200, blocks), 1);
    check_block(&blocks[0], 700, 800);
    assert_int_equal(receive(&peer, base, 600, 100, blocks), 0);
    assert_int_equal(receive(&peer, base, 600, 100, blocks), 1);
    check_block(&blocks[0], 600, 700);
    assert_int_equal(receive(&peer, base, 800, 100, blocks), 0);
    assert_int_equal(receive(&peer, base, 900, 100, blocks), 0);
    assert_int_equal(end.received, 1000);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_windows),
        cmocka_unit_test(test_initial_sequence_numbers),
        cmocka_unit_test(test_small_segments),
        cmocka_unit_test(test_acknowledgments),
        cmocka_unit_test(test_selective_acknowledgments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
