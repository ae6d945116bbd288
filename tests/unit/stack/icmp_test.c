/*
 * What is said inside the tunnel about our segments: believed when it quotes one that is in flight,
 * and what follows from it.
 */
#include "engine/stack/icmp.h"
#include "engine/stack/pmtu.h"
#include "tests/unit/stack/craft.h"

#define UNREACHABLE4 3
#define FRAGMENT     4
#define TOO_BIG6     2
#define UNREACHABLE6 1

#define TOTAL 60000

/* --- Messages -------------------------------------------------------------------------------- */

/* A message from a router: type, code, the second word of the header, and what is quoted. */
struct message {
    uint8_t type, code;
    uint32_t rest;
    uint8_t quoted[128];
    size_t quoted_len;
    bool damaged;
};

static void send_message(struct craft_peer *peer, const struct message *message)
{
    bool is_ip4 = peer->local.family == AF_INET;
    struct inet_addr router = is_ip4 ? world_ip4(77) : world_ip6(77);
    uint8_t data[256];
    size_t len = 8 + message->quoted_len;
    uint8_t protocol = is_ip4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    size_t ip_len = craft_ip(data, &router, &peer->local, protocol, len);
    uint8_t *icmp = data + ip_len;
    uint64_t sum = 0;

    icmp[0] = message->type;
    icmp[1] = message->code;
    memset(icmp + 2, 0, 2);
    packet_store32(icmp + 4, message->rest);
    memcpy(icmp + 8, message->quoted, message->quoted_len);
    if (!is_ip4)
        sum = checksum_pseudo(router.bytes, peer->local.bytes, 16, protocol, len);
    craft_checksum(icmp + 2, checksum_add(sum, icmp, len));
    icmp[2] ^= message->damaged;
    craft_peer_receive(peer, data, ip_len + len);
    craft_peer_flush(peer);
}

/* Says that this segment, as it was sent, is too big for a link of that MTU. */
static struct message too_big(const struct craft_peer *peer, uint32_t seq, uint32_t mtu)
{
    bool is_ip4 = peer->local.family == AF_INET;
    struct message message = {.type = is_ip4 ? UNREACHABLE4 : TOO_BIG6,
                              .code = is_ip4 ? FRAGMENT : 0,
                              .rest = mtu};
    static uint8_t packet[2048], data[1340];
    struct craft segment = {
        .src = peer->local,
        .dst = peer->remote,
        .src_port = peer->local_port,
        .dst_port = peer->remote_port,
        .seq = seq,
        .flags = PACKET_ACK,
        .data = data,
        .len = sizeof(data),
    };

    craft_tcp(packet, &segment);
    message.quoted_len = (is_ip4 ? PACKET_IP4_HEADER : PACKET_IP6_HEADER) + 8;
    memcpy(message.quoted, packet, message.quoted_len);
    return message;
}

/* --- A connection that sends ----------------------------------------------------------------- */

struct scene {
    struct craft_peer peer;
    struct end end;
    uint32_t first; /* the sequence number of its first byte */
};

static void begin(struct scene *scene, int family)
{
    memset(scene, 0, sizeof(*scene));
    scene->end = (struct end){.pattern = 1, .keep_open = true};
    craft_peer_init(&scene->peer, 1, family);
    craft_peer_connect(&scene->peer, &scene->end);
    scene->first = scene->peer.ack;
    scene->end.total = TOTAL;
    end_write(&scene->end);
}

static size_t longest(const struct craft_peer *peer)
{
    size_t len = 0;

    for (size_t i = 0; i < peer->log_count; i++)
        len = peer->log[i].data_len > len ? peer->log[i].data_len : len;
    return len;
}

/* Acknowledges what has come without a hole, until all has; nothing longer than max may come. */
static void receive_all(struct scene *scene, size_t max)
{
    struct craft_peer *peer = &scene->peer;
    uint32_t end = scene->first + TOTAL;

    for (int round = 0; peer->ack != end; round++) {
        bool moved = true;
        struct craft ack;

        if (round > 1000)
            fail_msg("stuck at %u", peer->ack - scene->first);
        while (moved) {
            moved = false;
            for (size_t i = 0; i < peer->log_count; i++) {
                const struct segment *segment = &peer->log[i];
                uint32_t behind = segment->seq + (uint32_t)segment->data_len;

                assert_true(segment->data_len <= max);
                if ((segment->flags & PACKET_FIN) != 0)
                    assert_int_equal(behind, end);
                if ((int32_t)(segment->seq - peer->ack) <= 0 && (int32_t)(behind - peer->ack) > 0) {
                    peer->ack = behind;
                    moved = true;
                }
            }
        }
        craft_peer_clear(peer);
        ack = craft_segment(peer, PACKET_ACK, NULL, 0);
        craft_peer_send(peer, &ack);
        craft_peer_flush(peer);
        peer->now += 20 * MILLISECOND;
        if (stack_deadline(peer->stack) <= peer->now)
            stack_expire(peer->stack);
    }
}

static void finish(struct scene *scene)
{
    if (scene->end.conn != NULL)
        stack_conn_abort(scene->end.conn);
    craft_peer_fini(&scene->peer);
}

/* --- Too big --------------------------------------------------------------------------------- */

static void too_big_is_sent_smaller(int family, uint32_t mtu, size_t mss)
{
    struct scene scene;
    struct message message;
    uint32_t first_again;

    begin(&scene, family);
    assert_int_equal(longest(&scene.peer), family == AF_INET ? 1380 : 1360);
    craft_peer_clear(&scene.peer);
    message = too_big(&scene.peer, scene.first, mtu);
    send_message(&scene.peer, &message);
    /* At once, without a timer, from the first byte on. */
    assert_true(scene.peer.log_count > 0);
    first_again = scene.peer.log[0].seq;
    assert_int_equal(first_again, scene.first);
    assert_in_range(longest(&scene.peer), mss / 2, mss); /* even parts */
    assert_int_equal(stack_stats(scene.peer.stack)->rx_icmp_errors, 1);
    receive_all(&scene, mss);
    finish(&scene);
}

static void test_too_big(void **state)
{
    (void)state;
    too_big_is_sent_smaller(AF_INET, 1000, 960);
    too_big_is_sent_smaller(AF_INET, 1379, 1339);
    too_big_is_sent_smaller(AF_INET, 576, 536);
    too_big_is_sent_smaller(AF_INET, 100, 536); /* less than every path takes */
    too_big_is_sent_smaller(AF_INET, 0, 536);   /* an old router */
    too_big_is_sent_smaller(AF_INET6, 1280, 1220);
}

/* Twice, the second time from another router further on. */
static void test_too_big_again(void **state)
{
    struct scene scene;
    struct message message;

    (void)state;
    begin(&scene, AF_INET);
    message = too_big(&scene.peer, scene.first, 1200);
    send_message(&scene.peer, &message);
    craft_peer_clear(&scene.peer);
    message = too_big(&scene.peer, scene.first, 700);
    send_message(&scene.peer, &message);
    assert_in_range(longest(&scene.peer), 330, 660);
    /* The first one is late, and says nothing new. */
    message = too_big(&scene.peer, scene.first, 1200);
    craft_peer_clear(&scene.peer);
    send_message(&scene.peer, &message);
    assert_int_equal(scene.peer.log_count, 0);
    receive_all(&scene, 660);
    finish(&scene);
}

/* A peer without selective acknowledgments. */
static void test_too_big_without_sack(void **state)
{
    const uint8_t options[] = {2, 4, 0x05, 0x64};
    struct scene scene = {.end = {.pattern = 1, .total = TOTAL, .keep_open = true}};
    struct craft_peer *peer = &scene.peer;
    struct craft segment;
    struct message message;

    (void)state;
    craft_peer_init(peer, 1, AF_INET);
    assert_int_equal(
        stack_connect(peer->stack, &peer->remote, 80, &end_ops, &scene.end, &scene.end.conn), 0);
    scene.first = peer->ack = peer->log[0].seq + 1;
    segment = craft_segment(peer, PACKET_SYN | PACKET_ACK, NULL, 0);
    segment.options = options;
    segment.options_len = sizeof(options);
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
    peer->seq++;
    craft_peer_clear(peer);
    message = too_big(peer, scene.first, 1000);
    send_message(peer, &message);
    assert_true(peer->log_count > 0);
    assert_int_equal(peer->log[0].seq, scene.first);
    receive_all(&scene, 960);
    finish(&scene);
}

/* The end of the stream is in a segment that is cut: it moves on to the last part. */
static void test_too_big_with_fin(void **state)
{
    struct scene scene;
    struct message message;

    (void)state;
    begin(&scene, AF_INET);
    scene.end.keep_open = false;
    end_write(&scene.end);
    message = too_big(&scene.peer, scene.first, 576);
    craft_peer_clear(&scene.peer);
    send_message(&scene.peer, &message);
    receive_all(&scene, 536);
    finish(&scene);
}

/* Ever a byte less: what is sent again is not cut into single bytes. */
static void test_too_big_step_by_step(void **state)
{
    struct scene scene;
    size_t last = TOTAL % 1380;

    (void)state;
    begin(&scene, AF_INET);
    for (uint32_t mtu = 1379; mtu > 1300; mtu--) {
        struct message message = too_big(&scene.peer, scene.first, mtu);

        craft_peer_clear(&scene.peer);
        send_message(&scene.peer, &message);
        for (size_t i = 0; i < scene.peer.log_count; i++)
            assert_in_range(scene.peer.log[i].data_len, last, mtu - 40);
    }
    receive_all(&scene, 1261);
    finish(&scene);
}

/* No timeouts: the connection does not end of them, where lwIP sends again, either. */
static void test_too_big_is_no_timeout(void **state)
{
    const uint8_t options[] = {2, 4, 0x05, 0x64};
    struct scene scene = {.end = {.pattern = 1, .total = TOTAL, .keep_open = true}};
    struct craft_peer *peer = &scene.peer;

    (void)state;
    craft_peer_init(peer, 1, AF_INET);
    craft_peer_answer(peer, &scene.end, options, sizeof(options), 65535);
    scene.first = peer->ack;
    for (uint32_t mtu = 1360; mtu > 1200; mtu -= 10) {
        struct message message = too_big(peer, scene.first, mtu);

        craft_peer_clear(peer);
        send_message(peer, &message);
    }
    peer->now += 150 * MILLISECOND;
    stack_expire(peer->stack);
    assert_false(scene.end.closed);
    receive_all(&scene, 1170);
    finish(&scene);
}

static void test_not_believed(void **state)
{
    struct scene scene;
    struct message right, wrong[12];
    uint32_t behind;
    size_t count = 0;

    (void)state;
    begin(&scene, AF_INET);
    right = too_big(&scene.peer, scene.first, 1000);
    behind = scene.peer.log[scene.peer.log_count - 1].seq + 1380;
    wrong[count++] = too_big(&scene.peer, behind, 1000);
    wrong[count++] = too_big(&scene.peer, scene.first - 1, 1000);
    wrong[count++] = too_big(&scene.peer, scene.first, 1380); /* as long as what it quotes */
    wrong[count++] = too_big(&scene.peer, scene.first, 65535);
    wrong[count] = right;
    wrong[count++].damaged = true;
    wrong[count] = right;
    wrong[count++].quoted_len = PACKET_IP4_HEADER + 7;
    wrong[count] = right;
    wrong[count++].quoted_len = 0;
    wrong[count] = right;
    wrong[count++].quoted[9] = IPPROTO_UDP;
    wrong[count] = right;
    wrong[count++].quoted[7] = 1; /* a fragment that is not the first */
    wrong[count] = right;
    wrong[count++].quoted[PACKET_IP4_HEADER + 1] ^= 1; /* another port */
    wrong[count] = right;
    wrong[count++].quoted[0] = 0x4f; /* a header that is longer than the message */
    wrong[count] = right;
    wrong[count++].type = 11; /* time exceeded */
    assert_int_equal(count, sizeof(wrong) / sizeof(wrong[0]));
    craft_peer_clear(&scene.peer);
    for (size_t i = 0; i < count; i++) {
        send_message(&scene.peer, &wrong[i]);
        if (scene.peer.log_count + scene.peer.others != 0)
            fail_msg("message %zu was believed, or answered", i);
    }
    send_message(&scene.peer, &right);
    assert_true(scene.peer.log_count > 0);
    finish(&scene);
    /* IPv6 links take 1280 at least: who says less means something else. */
    begin(&scene, AF_INET6);
    right = too_big(&scene.peer, scene.first, 1279);
    craft_peer_clear(&scene.peer);
    send_message(&scene.peer, &right);
    assert_int_equal(scene.peer.log_count, 0);
    finish(&scene);
}

/* --- What is learnt -------------------------------------------------------------------------- */

static size_t first_segment(struct craft_peer *peer, const struct inet_addr *to)
{
    struct inet_addr before = peer->remote;
    struct end end = {.pattern = 1, .keep_open = true};
    size_t len;

    craft_peer_clear(peer);
    peer->remote = *to;
    craft_peer_connect(peer, &end);
    end.total = TOTAL;
    end_write(&end);
    len = longest(peer);
    stack_conn_abort(end.conn);
    peer->remote = before;
    return len;
}

static void test_later_connections(void **state)
{
    struct inet_addr other = world_ip4(9);
    struct scene scene;
    struct message message;

    (void)state;
    begin(&scene, AF_INET);
    message = too_big(&scene.peer, scene.first, 1000);
    send_message(&scene.peer, &message);
    stack_conn_abort(scene.end.conn);
    scene.end.conn = NULL;
    assert_int_equal(first_segment(&scene.peer, &scene.peer.remote), 960);
    assert_int_equal(first_segment(&scene.peer, &other), 1380);
    scene.peer.now += PMTU_AGE_NS;
    assert_int_equal(first_segment(&scene.peer, &scene.peer.remote), 1380);
    finish(&scene);
}

/* More than our own links take says nothing, and does not displace what is known. */
static void test_too_much_is_not_learnt(void **state)
{
    struct scene scene;
    struct message message;

    (void)state;
    begin(&scene, AF_INET6);
    message = too_big(&scene.peer, scene.first, 1300);
    send_message(&scene.peer, &message);
    message = too_big(&scene.peer, scene.first, 65540);
    packet_store16(message.quoted + 4, 65535);
    send_message(&scene.peer, &message);
    stack_conn_abort(scene.end.conn);
    scene.end.conn = NULL;
    assert_int_equal(first_segment(&scene.peer, &scene.peer.remote), 1240);
    finish(&scene);
}

/* Addresses that meet in one place take it from each other; none is taken for another. */
static void test_table_is_bounded(void **state)
{
    struct pmtu pmtu = {0};
    struct flow flow = {.family = AF_INET6};
    unsigned known = 0;

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        packet_store32(flow.remote, i);
        assert_int_equal(pmtu_find(&pmtu, &flow, 1420, 0), 1420);
        pmtu_learn(&pmtu, &flow, (uint16_t)(1280 + i % 100), 0);
    }
    for (unsigned i = 0; i < 10000; i++) {
        packet_store32(flow.remote, i);
        if (pmtu_find(&pmtu, &flow, 1420, 0) == 1420)
            continue;
        known++;
        assert_int_equal(pmtu_find(&pmtu, &flow, 1420, 0), 1280 + i % 100);
        assert_int_equal(pmtu_find(&pmtu, &flow, 1200, 0), 1200);
        flow.family = AF_INET;
        assert_int_equal(pmtu_find(&pmtu, &flow, 1420, 0), 1420);
        flow.family = AF_INET6;
    }
    assert_in_range(known, 1, PMTU_ENTRIES);
    pmtu_fini(&pmtu);
}

/* --- Unreachable ----------------------------------------------------------------------------- */

/* What becomes of a connection whose SYN is answered so; 0 = it goes on. */
static int unreachable(int family, uint8_t code)
{
    bool is_ip4 = family == AF_INET;
    struct scene scene = {0};
    struct message message;
    int error;

    craft_peer_init(&scene.peer, 1, family);
    assert_int_equal(stack_connect(scene.peer.stack, &scene.peer.remote, 80, &end_ops, &scene.end,
                                   &scene.end.conn),
                     0);
    message = too_big(&scene.peer, scene.peer.log[0].seq, 0);
    message.type = is_ip4 ? UNREACHABLE4 : UNREACHABLE6;
    message.code = code;
    send_message(&scene.peer, &message);
    error = scene.end.closed ? scene.end.error : 0;
    finish(&scene);
    return error;
}

static void test_a_dial_fails_at_once(void **state)
{
    const struct {
        int family;
        uint8_t code;
        int error;
    } cases[] = {
        {AF_INET, 0, -ENETUNREACH},
        {AF_INET, 1, -EHOSTUNREACH},
        {AF_INET, 2, -ECONNREFUSED},
        {AF_INET, 3, -ECONNREFUSED},
        {AF_INET, 4, 0},
        {AF_INET, 13, -EACCES},
        {AF_INET, 14, 0},
        {AF_INET, 255, 0},
        {AF_INET6, 0, -ENETUNREACH},
        {AF_INET6, 1, -EACCES},
        {AF_INET6, 3, -EHOSTUNREACH},
        {AF_INET6, 4, -ECONNREFUSED},
        {AF_INET6, 6, -ENETUNREACH},
        {AF_INET6, 7, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(unreachable(cases[i].family, cases[i].code), cases[i].error);
}

/* It may be a passing trouble of a router, or a forgery: retransmission decides. */
static void test_an_established_connection_goes_on(void **state)
{
    (void)state;
    for (uint8_t code = 0; code < 16; code++) {
        struct scene scene;
        struct message message;

        begin(&scene, AF_INET);
        message = too_big(&scene.peer, scene.first, 1400);
        message.code = code;
        send_message(&scene.peer, &message);
        assert_false(scene.end.closed);
        receive_all(&scene, 1380);
        finish(&scene);
    }
}

/* --- Nobody says anything -------------------------------------------------------------------- */

/* The path drops long packets in silence; the transfer gets through all the same. */
static void test_black_hole(void **state)
{
    struct scene scene;
    struct craft_peer *peer = &scene.peer;
    int round = 0;

    (void)state;
    begin(&scene, AF_INET);
    while (longest(peer) > 1240 || peer->log_count == 0) {
        assert_true(++round < 2000);
        craft_peer_clear(peer);
        peer->now += 50 * MILLISECOND;
        if (stack_deadline(peer->stack) <= peer->now)
            stack_expire(peer->stack);
    }
    assert_int_equal(peer->log[0].seq, scene.first);
    receive_all(&scene, 1240);
    finish(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_too_big_again),
        cmocka_unit_test(test_too_big_without_sack),
        cmocka_unit_test(test_too_big_with_fin),
        cmocka_unit_test(test_too_big_step_by_step),
        cmocka_unit_test(test_too_big_is_no_timeout),
        cmocka_unit_test(test_not_believed),
        cmocka_unit_test(test_later_connections),
        cmocka_unit_test(test_too_much_is_not_learnt),
        cmocka_unit_test(test_table_is_bounded),
        cmocka_unit_test(test_a_dial_fails_at_once),
        cmocka_unit_test(test_an_established_connection_goes_on),
        cmocka_unit_test(test_black_hole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
