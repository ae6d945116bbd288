/*
 * Random and half-right packets against a stack with connections in every state. The sanitizers
 * and lwIP's assertions are the judges.
 */
#include "tests/unit/stack/craft.h"

#define ROUNDS 100000

static void random_bytes(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)world_random();
}

static void test_noise(void **state)
{
    struct craft_peer peer;
    uint8_t data[200];

    (void)state;
    craft_peer_init(&peer, 21, AF_INET);
    for (int i = 0; i < ROUNDS; i++) {
        size_t len = world_random() % sizeof(data);

        random_bytes(data, len);
        if (len > 0 && world_chance(900))
            data[0] = world_chance(500) ? 0x45 : 0x60;
        craft_peer_receive(&peer, data, len);
        craft_peer_flush(&peer);
    }
    assert_int_equal(stack_stats(peer.stack)->rx_packets, ROUNDS);
    assert_int_equal(stack_stats(peer.stack)->connections, 0);
    craft_peer_fini(&peer);
}

/* --- Well-formed segments with random contents ---------------------------------------------------
 */

struct target {
    struct craft_peer peer;
    struct stack_listener *listener;
    struct stack_conn *conns[16];
    uint16_t ports[16];
    uint32_t seqs[16]; /* what the stack has acknowledged last, per port */
    uint32_t acks[16]; /* what it has sent last */
};

struct slot {
    struct target *target;
    size_t index;
};

static struct slot slots[16];

static void ignore(void *ctx)
{
    (void)ctx;
}

static void read_some(void *ctx)
{
    struct slot *slot = ctx;
    struct stack_conn *conn = slot->target->conns[slot->index];
    size_t pending = stack_conn_pending(conn);

    if (pending > 0 && world_chance(500))
        stack_conn_consume(conn, 1 + world_random() % pending);
}

static void forget(void *ctx, int error)
{
    struct slot *slot = ctx;

    (void)error;
    slot->target->conns[slot->index] = NULL;
}

static const struct stack_conn_ops target_ops = {
    .connected = ignore,
    .readable = read_some,
    .writable = ignore,
    .closed = forget,
};

static struct slot *free_slot(struct target *target)
{
    for (size_t i = 0; i < 16; i++) {
        if (target->conns[i] == NULL)
            return &slots[i];
    }
    return NULL;
}

static void target_accepted(void *ctx, struct stack_conn *conn, const struct inet_addr *addr,
                            uint16_t port)
{
    struct target *target = ctx;
    struct slot *slot = free_slot(target);

    (void)addr;
    if (slot == NULL)
        return;
    target->conns[slot->index] = conn;
    target->ports[slot->index] = port;
    stack_conn_attach(conn, &target_ops, slot);
}

static const struct stack_listen_ops target_listen_ops = {.accepted = target_accepted};

static void act(struct target *target)
{
    static uint8_t data[5000];
    size_t index = world_random() % 16;
    struct stack_conn *conn = target->conns[index];
    size_t space;

    if (conn == NULL) {
        struct slot *slot = &slots[index];

        assert_int_equal(stack_connect(target->peer.stack, &target->peer.remote, 80, &target_ops,
                                       slot, &target->conns[index]),
                         0);
        target->ports[index] = target->peer.local_port; /* of the SYN that was seen */
        return;
    }
    switch (world_random() % 20) {
    case 0:
        stack_conn_close(conn);
        target->conns[index] = NULL;
        break;
    case 1:
        stack_conn_abort(conn);
        target->conns[index] = NULL;
        break;
    case 2:
        stack_conn_shutdown(conn);
        break;
    default:
        space = stack_conn_send_space(conn);
        if (space > sizeof(data))
            space = sizeof(data);
        if (space > 0)
            assert_int_equal(stack_conn_write(conn, data, 1 + world_random() % space), 0);
        break;
    }
}

/* Numbers that are often right: those of the last segments that were seen. */
static uint32_t near_number(uint32_t number)
{
    switch (world_random() % 6) {
    case 0:
        return world_random();
    case 1:
        return number + world_random() % 3000;
    case 2:
        return number - world_random() % 3000;
    default:
        return number;
    }
}

static void attack(struct target *target)
{
    static const uint8_t syn_options[][8] = {
        {2, 4, 5, 0x64, 1, 1, 4, 2}, {2, 4, 5, 0x64, 1, 3, 3, 14}, {2, 4, 0, 0, 2, 4, 0xff, 0xff},
        {3, 3, 255, 2, 4, 0, 1, 1},  {8, 10, 1, 2, 3, 4, 5, 6},    {2, 0, 2, 1, 3, 0, 4, 0},
        {1, 1, 1, 1, 1, 1, 1, 2},
    };
    struct craft_peer *peer = &target->peer;
    uint8_t sack[12] = {1, 1, 5, 10};
    static uint8_t data[1400];
    const struct segment *seen = NULL;
    struct craft c = craft_segment(peer, (uint8_t)world_random(), data, 0);

    if (peer->log_count > 0)
        seen = &peer->log[world_random() % peer->log_count];
    c.dst_port = target->ports[world_random() % 16];
    c.src_port = 80;
    if (world_chance(200)) {
        c.dst_port = 2222; /* the listener's */
        c.src_port = (uint16_t)(1000 + world_random() % 20);
    }
    if (seen != NULL) {
        c.seq = near_number(seen->ack);
        c.ack = near_number(seen->seq + (uint32_t)seen->data_len + (seen->flags & 3 ? 1 : 0));
    }
    if (world_chance(700))
        c.flags = world_chance(500) ? PACKET_ACK : PACKET_SYN | (PACKET_ACK * world_chance(700));
    if (world_chance(500))
        c.len = world_random() % sizeof(data);
    c.window = (uint16_t)(world_chance(700) ? 65535 : world_random());
    if (world_chance(300)) {
        c.options = syn_options[world_random() % 7];
        c.options_len = world_chance(500) ? 8 : 4;
    } else if (seen != NULL && world_chance(500)) {
        /* SACK: some of what the stack has sent, or nonsense. */
        packet_store32(sack + 4, near_number(seen->seq));
        packet_store32(sack + 8, near_number(seen->seq + (uint32_t)seen->data_len));
        c.options = sack;
        c.options_len = sizeof(sack);
        if (world_chance(800))
            c.ack = near_number(peer->log[0].seq);
    }
    craft_peer_send(peer, &c);
}

/* The log keeps the latest segments, copied: the bytes behind them are gone. */
static void trim_log(struct craft_peer *peer)
{
    if (peer->log_count < CRAFT_LOG_MAX / 2)
        return;
    memmove(peer->log, peer->log + peer->log_count - 64, 64 * sizeof(peer->log[0]));
    peer->log_count = 64;
}

static void test_segments(void **state)
{
    static struct target target;
    struct craft_peer *peer = &target.peer;
    const int families[] = {AF_INET, AF_INET6};

    (void)state;
    for (int f = 0; f < 2; f++) {
        memset(&target, 0, sizeof(target));
        craft_peer_init(peer, 31 + (uint64_t)f, families[f]);
        for (size_t i = 0; i < 16; i++)
            slots[i] = (struct slot){&target, i};
        assert_int_equal(stack_listen(peer->stack, &peer->local, 2222, &target_listen_ops, &target,
                                      &target.listener),
                         0);
        for (int i = 0; i < ROUNDS; i++) {
            if (world_chance(100))
                act(&target);
            attack(&target);
            trim_log(peer);
            peer->output_result = world_chance(20) ? -EAGAIN : 0;
            if (world_chance(300))
                craft_peer_flush(peer);
            if (world_chance(100))
                stack_resume(peer->stack);
            peer->output_result = 0;
            if (world_chance(300)) {
                peer->now += world_random() % (200 * MILLISECOND);
                if (stack_deadline(peer->stack) <= peer->now)
                    stack_expire(peer->stack);
            }
        }
        craft_peer_flush(peer);
        memset(target.conns, 0, sizeof(target.conns));
        print_message("%llu packets in, %llu out, %u connections\n",
                      (unsigned long long)stack_stats(peer->stack)->rx_packets,
                      (unsigned long long)stack_stats(peer->stack)->tx_packets,
                      stack_stats(peer->stack)->connections);
        peer->log_count = 0;
        craft_peer_fini(peer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_segments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
