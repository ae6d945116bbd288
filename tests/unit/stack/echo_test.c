/*
 * Ping, and everything else that is not TCP.
 */
#include "tests/unit/stack/craft.h"

#include "engine/stack/echo.h"

#define ECHO4_REQUEST 8
#define ECHO6_REQUEST 128

/* An ICMP message of this type with 32 bytes of data; returns the packet's length. */
static size_t craft_icmp(uint8_t *out, const struct inet_addr *src, const struct inet_addr *dst,
                         uint8_t type, size_t data_len)
{
    bool ip6 = src->family == AF_INET6;
    uint8_t protocol = ip6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    size_t icmp_len = 8 + data_len;
    size_t ip_len = craft_ip(out, src, dst, protocol, icmp_len);
    uint8_t *icmp = out + ip_len;
    uint64_t sum = 0;

    memset(icmp, 0, icmp_len);
    icmp[0] = type;
    icmp[4] = 0x12;
    icmp[7] = 0x01;
    for (size_t i = 0; i < data_len; i++)
        icmp[8 + i] = (uint8_t)i;
    if (ip6)
        sum = checksum_pseudo(src->bytes, dst->bytes, 16, protocol, icmp_len);
    craft_checksum(icmp + 2, checksum_add(sum, icmp, icmp_len));
    return ip_len + icmp_len;
}

static void ping(struct craft_peer *peer, uint8_t type, size_t data_len)
{
    uint8_t data[2000];
    size_t len = craft_icmp(data, &peer->remote, &peer->local, type, data_len);

    craft_peer_receive(peer, data, len);
    craft_peer_flush(peer);
}

static void test_reply(void **state)
{
    const int families[] = {AF_INET, AF_INET6};
    const uint8_t types[] = {ECHO4_REQUEST, ECHO6_REQUEST};
    const uint8_t replies[] = {0, 129};

    (void)state;
    for (int f = 0; f < 2; f++) {
        for (size_t data_len = 0; data_len < 40; data_len++) {
            struct craft_peer peer;
            struct packet packet;
            uint8_t expected[200];
            size_t len;

            craft_peer_init(&peer, 1, families[f]);
            ping(&peer, types[f], data_len);
            assert_int_equal(peer.others, 1);
            /* The reply is what the stack would have been sent by the peer, the other way. */
            len = craft_icmp(expected, &peer.local, &peer.remote, replies[f], data_len);
            assert_int_equal(peer.last_len, len);
            assert_memory_equal(peer.last, expected, len);
            assert_true(packet_parse(peer.last, len, &packet));
            assert_int_equal(stack_stats(peer.stack)->rx_echo_replies, 1);
            craft_peer_fini(&peer);
        }
    }
}

static void test_not_answered(void **state)
{
    struct craft_peer peer;
    uint8_t data[2000];
    size_t len;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET6);
    /* Neighbour and router discovery, errors, replies. */
    for (int type = 0; type < 256; type++) {
        if (type != ECHO6_REQUEST)
            ping(&peer, (uint8_t)type, 24);
    }
    ping(&peer, ECHO6_REQUEST, 1420 - 40 - 8 + 1); /* larger than the MTU */
    len = craft_icmp(data, &peer.remote, &peer.local, ECHO6_REQUEST, 10);
    data[len - 1] ^= 1;
    craft_peer_receive(&peer, data, len);
    len = craft_icmp(data, &peer.local, &peer.remote, ECHO6_REQUEST, 10);
    craft_peer_receive(&peer, data, len); /* not our address */
    craft_peer_flush(&peer);
    assert_int_equal(peer.others, 0);
    assert_int_equal(stack_stats(peer.stack)->rx_dropped[STACK_DROP_PROTOCOL], 255 + 2);
    ping(&peer, ECHO6_REQUEST, 1420 - 40 - 8);
    assert_int_equal(peer.others, 1);
    craft_peer_fini(&peer);
}

static void test_rate(void **state)
{
    struct craft_peer peer;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    for (int i = 0; i < 3 * ECHO_RATE; i++)
        ping(&peer, ECHO4_REQUEST, 8);
    assert_int_equal(peer.others, ECHO_RATE);
    peer.now += SECOND / 2;
    for (int i = 0; i < ECHO_RATE; i++)
        ping(&peer, ECHO4_REQUEST, 8);
    assert_int_equal(peer.others, ECHO_RATE + ECHO_RATE / 2);
    craft_peer_fini(&peer);
}

/* A closed port answers with a RST, at a bounded rate, and never to a RST. */
static void test_closed_port(void **state)
{
    const int families[] = {AF_INET, AF_INET6};

    (void)state;
    for (int f = 0; f < 2; f++) {
        struct craft_peer peer;
        struct craft segment;

        craft_peer_init(&peer, 1, families[f]);
        peer.remote_port = 1234;
        peer.local_port = 80;
        peer.seq = 77;
        segment = craft_segment(&peer, PACKET_SYN, NULL, 0);
        craft_peer_send(&peer, &segment);
        craft_peer_flush(&peer);
        assert_int_equal(peer.log_count, 1);
        assert_int_equal(peer.log[0].flags, PACKET_RST | PACKET_ACK);
        assert_int_equal(peer.log[0].ack, 78);
        segment = craft_segment(&peer, PACKET_RST, NULL, 0);
        segment.src_port = 1234;
        segment.dst_port = 80;
        craft_peer_send(&peer, &segment);
        craft_peer_flush(&peer);
        assert_int_equal(peer.log_count, 1);
        segment.flags = PACKET_ACK;
        for (int i = 0; i < 2000; i++) {
            craft_peer_send(&peer, &segment);
            craft_peer_flush(&peer);
        }
        assert_int_equal(peer.log_count, 1000);
        craft_peer_fini(&peer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply),
        cmocka_unit_test(test_not_answered),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_closed_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
