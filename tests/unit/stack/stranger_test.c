/*
 * Two stacks with the same addresses, as in a takeover: what the newer one does not know goes to
 * the older one, unchanged, and their ports do not meet.
 */
#include "engine/stack/ports.h"
#include "tests/unit/stack/craft.h"

struct newer {
    struct stack *stack;
    struct craft_peer *older;
    size_t strangers;
    size_t sent;
    bool refuse; /* takes no stranger */
    uint8_t last[2048];
    size_t last_len;
};

static int newer_output(void *ctx, const struct iovec *pieces, int count, size_t len)
{
    (void)pieces;
    (void)count;
    (void)len;
    ((struct newer *)ctx)->sent++;
    return 0;
}

static uint64_t newer_now(void *ctx)
{
    return ((struct newer *)ctx)->older->now;
}

static bool newer_stranger(void *ctx, const uint8_t *packet, size_t len)
{
    struct newer *newer = ctx;

    if (newer->refuse)
        return false;
    newer->strangers++;
    assert_true(len <= sizeof(newer->last));
    memcpy(newer->last, packet, len);
    newer->last_len = len;
    return true;
}

static void set_up(struct craft_peer *peer, struct newer *newer, int family)
{
    const struct stack_ops ops = {.output = newer_output,
                                  .now = newer_now,
                                  .stranger = newer_stranger};
    struct stack_config config = {.addresses_count = 1, .mtu = 1420};

    craft_peer_init(peer, 1, family);
    *newer = (struct newer){.older = peer};
    config.addresses = &peer->local;
    assert_int_equal(stack_new(&config, &ops, newer, &newer->stack), 0);
}

static void tear_down(struct craft_peer *peer, struct newer *newer)
{
    stack_free(newer->stack);
    craft_peer_fini(peer);
}

static void newer_receive(struct newer *newer, const struct craft *segment)
{
    static uint8_t packet[2048];

    stack_receive(newer->stack, packet, craft_tcp(packet, segment));
    stack_flush(newer->stack);
}

/* A segment of the older one's connection comes to the newer, goes over, and is as it was sent. */
static void goes_over(int family)
{
    static const uint8_t timestamps[] = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
    struct end end = {.keep_open = true, .paused = true};
    struct craft_peer peer;
    struct newer newer;
    struct craft segment;
    uint8_t sent[2048];
    size_t len;

    set_up(&peer, &newer, family);
    craft_peer_connect(&peer, &end);
    segment = craft_segment(&peer, PACKET_ACK | PACKET_PSH, "hello", 5);
    segment.options = timestamps;
    segment.options_len = sizeof(timestamps);
    newer_receive(&newer, &segment);
    assert_int_equal(newer.strangers, 1);
    assert_int_equal(newer.sent, 0);
    len = craft_tcp(sent, &segment);
    assert_int_equal(newer.last_len, len);
    assert_memory_equal(newer.last, sent, len);
    craft_peer_clear(&peer);
    craft_peer_receive(&peer, newer.last, newer.last_len);
    craft_peer_flush(&peer);
    assert_int_equal(stack_conn_pending(end.conn), 5);

    /* Not taken: answered as anything unknown. */
    newer.refuse = true;
    newer_receive(&newer, &segment);
    assert_int_equal(newer.sent, 1);
    stack_conn_abort(end.conn);
    tear_down(&peer, &newer);
}

static void test_goes_over(void **state)
{
    (void)state;
    goes_over(AF_INET);
    goes_over(AF_INET6);
}

/* Nobody else's business: another protocol, an address that is not ours, its own connections. */
static void test_stays(void **state)
{
    struct end end = {.keep_open = true};
    struct craft_peer peer;
    struct newer newer;
    struct craft segment;
    uint8_t data[200] = {0};
    size_t len;

    (void)state;
    set_up(&peer, &newer, AF_INET);
    len = craft_ip(data, &peer.remote, &peer.local, IPPROTO_UDP, 8);
    stack_receive(newer.stack, data, len + 8);
    segment = craft_segment(&peer, PACKET_ACK, NULL, 0);
    segment.dst = peer.remote;
    newer_receive(&newer, &segment);
    segment = craft_segment(&peer, PACKET_SYN, NULL, 0);
    len = craft_tcp(data, &segment);
    data[len - 1] ^= 1; /* the checksum */
    stack_receive(newer.stack, data, len);
    assert_int_equal(newer.strangers, 0);
    craft_peer_connect(&peer, &end);
    assert_false(stack_is_quiet(peer.stack));
    stack_conn_abort(end.conn);
    assert_true(stack_is_quiet(peer.stack));
    tear_down(&peer, &newer);
}

static void test_ports(void **state)
{
    static uint8_t ports[STACK_PORT_BYTES], used[STACK_PORT_BYTES];
    struct end end = {.keep_open = true};
    struct craft_peer peer;
    struct newer newer;
    struct conntable table;
    struct flow flow = {.family = AF_INET, .remote_port = 80};
    unsigned count = 0;

    (void)state;
    set_up(&peer, &newer, AF_INET);
    craft_peer_connect(&peer, &end);
    stack_used_ports(peer.stack, ports);
    for (size_t i = 0; i < sizeof(ports); i++)
        count += (unsigned)__builtin_popcount(ports[i]);
    assert_int_equal(count, 1);
    assert_true(ports_has(ports, peer.local_port));
    /* The third in a row leaves the ports of both alone. */
    assert_int_equal(stack_reserve_ports(newer.stack, ports), 0);
    stack_used_ports(newer.stack, used);
    assert_memory_equal(used, ports, sizeof(ports));
    assert_int_equal(stack_reserve_ports(newer.stack, NULL), 0);
    stack_used_ports(newer.stack, used);
    assert_false(ports_has(used, peer.local_port));

    assert_int_equal(conntable_init(&table), 0);
    memset(ports, 0x55, sizeof(ports)); /* every second one */
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(ports_pick(&table, ports, &flow), 0);
        assert_int_equal(flow.local_port % 2, 1);
    }
    memset(ports, 0xff, sizeof(ports));
    assert_int_equal(ports_pick(&table, ports, &flow), -EADDRNOTAVAIL);
    conntable_fini(&table);
    stack_conn_abort(end.conn);
    tear_down(&peer, &newer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_over),
        cmocka_unit_test(test_stays),
        cmocka_unit_test(test_ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
