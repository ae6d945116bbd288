/*
 * What packet_parse() and packet_parse_tcp() take and refuse.
 */
#include "engine/stack/packet.h"
#include "tests/unit/stack/craft.h"

static struct craft example(int family)
{
    static const uint8_t data[] = "hello";

    return (struct craft){
        .src = family == AF_INET ? world_ip4(2) : world_ip6(2),
        .dst = family == AF_INET ? world_ip4(1) : world_ip6(1),
        .src_port = 80,
        .dst_port = 40000,
        .seq = 0x01020304,
        .ack = 0xf1f2f3f4,
        .window = 5000,
        .flags = PACKET_ACK | PACKET_PSH,
        .data = data,
        .len = 5,
    };
}

static bool parses(uint8_t *data, size_t len)
{
    struct packet packet;
    struct segment segment;

    return packet_parse(data, len, &packet) && packet_parse_tcp(&packet, &segment);
}

static void test_good(void **state)
{
    const int families[] = {AF_INET, AF_INET6};

    (void)state;
    for (int f = 0; f < 2; f++) {
        struct craft craft = example(families[f]);
        uint8_t data[200];
        size_t len = craft_tcp(data, &craft);
        struct segment segment;
        struct packet packet;

        /* Bytes behind the packet do not matter. */
        assert_true(packet_parse(data, len + 17, &packet));
        assert_true(packet_parse_tcp(&packet, &segment));
        assert_int_equal(packet.flow.family, families[f]);
        assert_memory_equal(packet.flow.remote, craft.src.bytes, 16);
        assert_memory_equal(packet.flow.local, craft.dst.bytes, 16);
        assert_int_equal(packet.flow.remote_port, 80);
        assert_int_equal(packet.flow.local_port, 40000);
        assert_int_equal(segment.seq, craft.seq);
        assert_int_equal(segment.ack, craft.ack);
        assert_int_equal(segment.window, 5000);
        assert_int_equal(segment.flags, PACKET_ACK | PACKET_PSH);
        assert_int_equal(segment.data_len, 5);
        assert_memory_equal(segment.header + segment.header_len, "hello", 5);
    }
}

static void test_truncated(void **state)
{
    const int families[] = {AF_INET, AF_INET6};

    (void)state;
    for (int f = 0; f < 2; f++) {
        struct craft craft = example(families[f]);
        uint8_t data[200];
        size_t len = craft_tcp(data, &craft);

        for (size_t cut = 0; cut < len; cut++) {
            /* An allocation of its own, so that reading too far is noticed. */
            uint8_t *copy = malloc(cut + 1);

            memcpy(copy, data, cut);
            assert_false(parses(copy, cut));
            free(copy);
        }
    }
}

/* Any single wrong bit is noticed, or is one that nobody checks: TTL is in IPv4's checksum. */
static void test_flipped_bits(void **state)
{
    struct craft craft = example(AF_INET);
    uint8_t data[200];
    size_t len = craft_tcp(data, &craft);

    (void)state;
    for (size_t bit = 0; bit < len * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(parses(data, len));
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(parses(data, len));
}

struct patch {
    const char *name;
    size_t at;
    uint8_t value;
    bool fix; /* the IPv4 header checksum afterwards */
};

static void test_bad_ip4(void **state)
{
    const struct patch patches[] = {
        {"version 5", 0, 0x55, true},
        {"header of 16 bytes", 0, 0x44, true},
        {"header of 60 bytes", 0, 0x4f, true},
        {"total length under the header", 3, 19, true},
        {"total length over the packet", 2, 1, true},
        {"more fragments", 6, 0x20, true},
        {"fragment offset", 7, 1, true},
        {"large fragment offset", 6, 0x1f, true},
        {"checksum", 10, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(patches) / sizeof(patches[0]); i++) {
        struct craft craft = example(AF_INET);
        uint8_t data[200];
        size_t len = craft_tcp(data, &craft);
        struct packet packet;

        if (patches[i].at == 10)
            data[10] ^= 1;
        else
            data[patches[i].at] = patches[i].value;
        if (patches[i].fix) {
            memset(data + 10, 0, 2);
            craft_checksum(data + 10, checksum_add(0, data, 20));
        }
        if (packet_parse(data, len, &packet))
            fail_msg("accepted: %s", patches[i].name);
        assert_int_equal(packet.is_fragment, strstr(patches[i].name, "fragment") != NULL);
    }
}

static void test_do_not_fragment(void **state)
{
    struct craft craft = example(AF_INET);
    uint8_t data[200];
    size_t len = craft_tcp(data, &craft);

    (void)state;
    data[6] = 0x40;
    memset(data + 10, 0, 2);
    craft_checksum(data + 10, checksum_add(0, data, 20));
    assert_true(parses(data, len));
}

/* Puts count extension headers of 8 bytes and of this type in front of the TCP header. */
static size_t with_extensions(uint8_t *out, uint8_t type, size_t count)
{
    struct craft craft = example(AF_INET6);
    uint8_t data[200];
    size_t len = craft_tcp(data, &craft);

    memcpy(out, data, PACKET_IP6_HEADER);
    out[6] = count > 0 ? type : IPPROTO_TCP;
    packet_store16(out + 4, (uint16_t)(len - PACKET_IP6_HEADER + 8 * count));
    for (size_t i = 0; i < count; i++) {
        uint8_t *extension = out + PACKET_IP6_HEADER + 8 * i;

        memset(extension, 0, 8);
        extension[0] = i + 1 < count ? type : IPPROTO_TCP;
    }
    memcpy(out + PACKET_IP6_HEADER + 8 * count, data + PACKET_IP6_HEADER, len - PACKET_IP6_HEADER);
    return len + 8 * count;
}

static void test_ip6_extensions(void **state)
{
    uint8_t data[400];
    size_t len;

    (void)state;
    for (size_t count = 0; count <= PACKET_IP6_EXTENSIONS_MAX; count++) {
        len = with_extensions(data, IPPROTO_DSTOPTS, count);
        assert_true(parses(data, len));
    }
    len = with_extensions(data, IPPROTO_DSTOPTS, PACKET_IP6_EXTENSIONS_MAX + 1);
    assert_false(parses(data, len));
    len = with_extensions(data, IPPROTO_FRAGMENT, 1);
    assert_false(parses(data, len));
    len = with_extensions(data, IPPROTO_HOPOPTS, 1);
    data[PACKET_IP6_HEADER + 1] = 255;
    assert_false(parses(data, len));
    len = with_extensions(data, IPPROTO_DSTOPTS, 1);
    packet_store16(data + 4, 7);
    assert_false(parses(data, len));
    len = with_extensions(data, IPPROTO_HOPOPTS, 2); /* the second is not the first */
    assert_false(parses(data, len));
    len = with_extensions(data, IPPROTO_ROUTING, 1);
    assert_true(parses(data, len));
    data[PACKET_IP6_HEADER + 3] = 1; /* it has a way to go */
    assert_false(parses(data, len));
    len = with_extensions(data, IPPROTO_HOPOPTS, 1); /* a jumbogram (RFC 2675) */
    assert_true(parses(data, len));
    packet_store16(data + 4, 0);
    memcpy(data + PACKET_IP6_HEADER + 2, "\xc2\x04\x00\x01\x00\x00", 6);
    assert_false(parses(data, len));
}

/* RFC 8200, 4.2: an option that is not known says itself what becomes of the packet. */
static void test_ip6_options(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[6];
        bool good;
    } options[] = {
        {"padding", {0, 0, 0, 0, 0, 0}, true},
        {"padding of 6", {1, 4, 0, 0, 0, 0}, true},
        {"padding of 2 and 4", {1, 0, 1, 2, 0, 0}, true},
        {"router alert", {5, 2, 0, 0, 1, 0}, true},
        {"unknown, to be skipped", {0x3e, 4, 1, 2, 3, 4}, true},
        {"unknown, may change, to be skipped", {0x1e, 4, 1, 2, 3, 4}, true},
        {"unknown, to be dropped", {0x5e, 4, 1, 2, 3, 4}, false},
        {"unknown, to be answered", {0x9e, 4, 1, 2, 3, 4}, false},
        {"unknown, to be answered to one", {0xde, 4, 1, 2, 3, 4}, false},
        {"jumbogram", {0xc2, 4, 0, 1, 0, 0}, false},
        {"to be dropped, behind padding", {1, 0, 0, 0x5e, 1, 0}, false},
        {"longer than the header", {1, 5, 0, 0, 0, 0}, false},
        {"without a length", {1, 3, 0, 0, 0, 1}, false},
    };
    static const uint8_t headers[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS};
    uint8_t data[400];

    (void)state;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        for (size_t j = 0; j < 2; j++) {
            size_t len = with_extensions(data, headers[j], 1);

            memcpy(data + PACKET_IP6_HEADER + 2, options[i].bytes, sizeof(options[i].bytes));
            if (parses(data, len) != options[i].good)
                fail_msg("%s", options[i].name);
        }
    }
}

static void test_bad_tcp(void **state)
{
    struct craft craft = example(AF_INET);
    struct segment segment;
    struct packet packet;
    uint8_t data[200];

    (void)state;
    for (uint8_t words = 0; words < 16; words++) {
        size_t len = craft_tcp(data, &craft);
        uint8_t *tcp = data + PACKET_IP4_HEADER;
        size_t tcp_len = len - PACKET_IP4_HEADER;
        uint64_t sum = checksum_pseudo(craft.src.bytes, craft.dst.bytes, 4, IPPROTO_TCP, tcp_len);

        tcp[12] = (uint8_t)(words << 4);
        memset(tcp + 16, 0, 2);
        craft_checksum(tcp + 16, checksum_add(sum, tcp, tcp_len));
        assert_true(packet_parse(data, len, &packet));
        assert_int_equal(packet_parse_tcp(&packet, &segment), words == 5 || words == 6);
    }
}

static void test_take_options(void **state)
{
    const uint8_t options[8] = {2, 4, 5, 6, 1, 1, 1, 1};
    struct craft craft = example(AF_INET);
    struct segment segment;
    struct packet packet;
    uint8_t data[200];
    size_t len;

    (void)state;
    craft.options = options;
    craft.options_len = sizeof(options);
    len = craft_tcp(data, &craft);
    assert_true(packet_parse(data, len, &packet));
    assert_true(packet_parse_tcp(&packet, &segment));
    assert_int_equal(segment.header_len, 28);
    segment_take_options(&segment);
    assert_int_equal(segment.header_len, 20);
    assert_int_equal(segment.header[12] >> 4, 5);
    assert_int_equal(packet_load32(segment.header + 4), craft.seq);
    assert_memory_equal(segment.header + 20, "hello", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_bad_ip4),
        cmocka_unit_test(test_do_not_fragment),
        cmocka_unit_test(test_ip6_extensions),
        cmocka_unit_test(test_ip6_options),
        cmocka_unit_test(test_bad_tcp),
        cmocka_unit_test(test_take_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
