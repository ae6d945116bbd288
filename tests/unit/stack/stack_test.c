/*
 * The stack as a whole: what it is made of, what it drops, how output that is refused is taken up
 * again, and a connection that takes the place of one in TIME_WAIT.
 */
#include "tests/unit/stack/craft.h"

static void test_new(void **state)
{
    const struct stack_ops ops = {.output = craft_output, .now = craft_now};
    struct inet_addr addresses[STACK_ADDRESSES_MAX + 1];
    struct stack_config config = {.addresses = addresses, .addresses_count = 1, .mtu = 1420};
    struct craft_peer peer = {0};
    struct stack *stack = NULL;

    (void)state;
    for (size_t i = 0; i <= STACK_ADDRESSES_MAX; i++)
        addresses[i] = world_ip4((uint8_t)i);
    config.addresses_count = 0;
    assert_int_equal(stack_new(&config, &ops, &peer, &stack), -EINVAL);
    config.addresses_count = STACK_ADDRESSES_MAX + 1;
    assert_int_equal(stack_new(&config, &ops, &peer, &stack), -EINVAL);
    config.addresses_count = STACK_ADDRESSES_MAX;
    config.mtu = STACK_MTU_MIN - 1;
    assert_int_equal(stack_new(&config, &ops, &peer, &stack), -EINVAL);
    config.mtu = STACK_MTU_MIN;
    assert_int_equal(stack_new(&config, &ops, &peer, &stack), 0);
    assert_true(stack_deadline(stack) == STACK_NEVER);
    stack_flush(stack);
    stack_expire(stack);
    stack_resume(stack);
    stack_free(stack);
    stack_free(NULL);
}

static void test_dropped(void **state)
{
    struct craft_peer peer;
    struct craft segment;
    uint8_t data[200] = {0};
    size_t len;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    /* UDP, which is nobody's here. */
    len = craft_ip(data, &peer.remote, &peer.local, IPPROTO_UDP, 8);
    craft_peer_receive(&peer, data, len + 8);
    assert_int_equal(stack_stats(peer.stack)->rx_dropped[STACK_DROP_PROTOCOL], 1);
    /* For another address. */
    len = craft_ip(data, &peer.local, &peer.remote, IPPROTO_TCP, 20);
    craft_peer_receive(&peer, data, len + 20);
    assert_int_equal(stack_stats(peer.stack)->rx_dropped[STACK_DROP_ADDRESS], 1);
    /* A wrong TCP checksum. */
    segment = craft_segment(&peer, PACKET_SYN, NULL, 0);
    len = craft_tcp(data, &segment);
    data[len - 1] ^= 1;
    craft_peer_receive(&peer, data, len);
    assert_int_equal(stack_stats(peer.stack)->rx_dropped[STACK_DROP_MALFORMED], 1);
    craft_peer_receive(&peer, data, 0);
    assert_int_equal(stack_stats(peer.stack)->rx_dropped[STACK_DROP_MALFORMED], 2);
    craft_peer_flush(&peer);
    assert_int_equal(peer.log_count + peer.others, 0);
    craft_peer_fini(&peer);
}

/* A segment of many small writes, made while the window was closed. */
static void test_many_small_writes(void **state)
{
    struct end end = {.keep_open = true, .paused = true};
    struct craft_peer peer;
    struct craft segment;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET6);
    craft_peer_connect(&peer, &end);
    segment = craft_segment(&peer, PACKET_ACK, "x", 1);
    segment.window = 0;
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    peer.seq++;
    craft_peer_clear(&peer);
    for (uint8_t i = 0; i < 200; i++)
        assert_int_equal(stack_conn_write(end.conn, &i, 1), 0);
    assert_int_equal(peer.log_count, 0);
    segment = craft_segment(&peer, PACKET_ACK, NULL, 0);
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    assert_int_equal(peer.log_count, 1);
    assert_int_equal(peer.log[0].data_len, 200);
    for (uint8_t i = 0; i < 200; i++)
        assert_int_equal(peer.last[PACKET_IP6_HEADER + PACKET_TCP_HEADER + i], i);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

static void test_refused_output(void **state)
{
    struct end end = {.keep_open = true, .pattern = 1};
    struct craft_peer peer;
    uint8_t data[3000] = {0};

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_connect(&peer, &end);
    peer.output_result = -EAGAIN;
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_int_equal(peer.log_count, 0);
    stack_resume(peer.stack);
    assert_int_equal(peer.log_count, 0);
    peer.output_result = 0;
    stack_resume(peer.stack);
    assert_int_equal(peer.log_count, 3);
    stack_resume(peer.stack);
    assert_int_equal(peer.log_count, 3);
    /* The end of a connection that waits for output. */
    peer.output_result = -EAGAIN;
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    stack_conn_abort(end.conn);
    peer.output_result = 0;
    stack_resume(peer.stack);
    assert_int_equal(stack_stats(peer.stack)->connections, 0);
    craft_peer_fini(&peer);
}

/* --- TIME_WAIT ---------------------------------------------------------------------------------
 */

static void take(void *ctx, struct stack_conn *conn, const struct inet_addr *addr, uint16_t port)
{
    struct end *end = ctx;

    (void)addr;
    (void)port;
    end->conn = conn;
    stack_conn_attach(conn, &end_ops, end);
}

/* The peer's SYN, and its acknowledgment of the SYN that it gets. */
static void open_from_peer(struct craft_peer *peer, struct end *end)
{
    struct craft segment = craft_segment(peer, PACKET_SYN, NULL, 0);

    *end = (struct end){.keep_open = true};
    craft_peer_clear(peer);
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
    assert_int_equal(peer->log_count, 1);
    assert_int_equal(peer->log[0].flags, PACKET_SYN | PACKET_ACK);
    peer->seq++;
    peer->ack = peer->log[0].seq + 1;
    segment = craft_segment(peer, PACKET_ACK, NULL, 0);
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
    assert_non_null(end->conn);
}

/* The same peer and port again, while the old connection is in TIME_WAIT. */
static void test_reopen(void **state)
{
    const struct stack_listen_ops ops = {.accepted = take};
    struct stack_listener *listener = NULL;
    struct craft_peer peer;
    struct craft segment;
    struct end end;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    assert_int_equal(stack_listen(peer.stack, &peer.local, 80, &ops, &end, &listener), 0);
    peer.remote_port = 5000;
    peer.local_port = 80;
    peer.seq = 1000;
    open_from_peer(&peer, &end);
    stack_conn_close(end.conn);
    peer.ack++;
    segment = craft_segment(&peer, PACKET_ACK | PACKET_FIN, NULL, 0);
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    peer.seq++;
    assert_int_equal(stack_stats(peer.stack)->connections, 1);

    /* An old SYN does not; a new one does. */
    craft_peer_clear(&peer);
    segment = craft_segment(&peer, PACKET_SYN, NULL, 0);
    segment.seq = 900;
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    assert_int_equal(peer.log[0].flags, PACKET_ACK);
    peer.seq = 100000;
    open_from_peer(&peer, &end);
    assert_int_equal(stack_stats(peer.stack)->connections, 1);
    stack_conn_abort(end.conn);
    assert_int_equal(stack_stats(peer.stack)->connections, 0);
    craft_peer_fini(&peer);
}

/*
 * Routers may not cut our IPv4 packets (RFC 1191), and their numbers tell nothing of what other
 * stacks send.
 */
static void test_ip4_header(void **state)
{
    static struct craft_peer peer, other;
    struct end end = {.keep_open = true}, noise = {.keep_open = true};
    uint16_t before = 0;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_connect(&peer, &end);
    craft_peer_init(&other, 2, AF_INET);
    craft_peer_connect(&other, &noise);
    for (int i = 0; i < 10; i++) {
        uint16_t id;

        assert_int_equal(stack_conn_write(noise.conn, "noise", 5), 0);
        assert_int_equal(stack_conn_write(end.conn, "x", 1), 0);
        assert_int_equal(packet_load16(peer.last + 6), 0x4000);
        memcpy(&id, peer.last + 4, sizeof(id));
        if (i > 0)
            assert_int_equal(id, (uint16_t)(before + 1));
        before = id;
    }
    craft_peer_fini(&other);
    craft_peer_fini(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_ip4_header),
        cmocka_unit_test(test_many_small_writes),
        cmocka_unit_test(test_refused_output),
        cmocka_unit_test(test_reopen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
