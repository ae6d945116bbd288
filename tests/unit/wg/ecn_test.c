/* ecn: every combination of inner and outer field, IPv4 and IPv6 (RFC 6040, figures 3 and 4). */
#include "tests/support/cmocka_all.h"

#include "engine/wg/ecn.h"
#include "engine/wg/messages.h"

#define LEN 40

/* The Internet checksum over a header (RFC 1071), which is 0 when the one in it is right. */
static uint16_t checksum(const uint8_t *header, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i += 2)
        sum += load_be16(header + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void make_ipv4(uint8_t packet[LEN], uint8_t tos, uint16_t id)
{
    memset(packet, 0, LEN);
    packet[0] = 0x45;
    packet[1] = tos;
    packet[3] = LEN;
    packet[4] = (uint8_t)(id >> 8);
    packet[5] = (uint8_t)id;
    packet[12] = 10;
    const uint16_t sum = checksum(packet, 20);
    packet[10] = (uint8_t)(sum >> 8);
    packet[11] = (uint8_t)sum;
}

static void make_ipv6(uint8_t packet[LEN], uint8_t tclass)
{
    memset(packet, 0x5a, LEN);
    packet[0] = (uint8_t)(0x60 | tclass >> 4);
    packet[1] = (uint8_t)(tclass << 4 | 0xa); /* and the first bits of a flow label */
}

/* In the order of the RFC: N = Not-ECT, 0 = ECT(0), 1 = ECT(1), C = CE, x = dropped. */
static const struct {
    uint8_t inner, outer;
    char result;
} cases[] = {
    {ECN_NOT_ECT, ECN_NOT_ECT, 'N'}, {ECN_NOT_ECT, ECN_ECT_0, 'N'}, {ECN_NOT_ECT, ECN_ECT_1, 'N'},
    {ECN_NOT_ECT, ECN_CE, 'x'},      {ECN_ECT_0, ECN_NOT_ECT, '0'}, {ECN_ECT_0, ECN_ECT_0, '0'},
    {ECN_ECT_0, ECN_ECT_1, '1'},     {ECN_ECT_0, ECN_CE, 'C'},      {ECN_ECT_1, ECN_NOT_ECT, '1'},
    {ECN_ECT_1, ECN_ECT_0, '1'},     {ECN_ECT_1, ECN_ECT_1, '1'},   {ECN_ECT_1, ECN_CE, 'C'},
    {ECN_CE, ECN_NOT_ECT, 'C'},      {ECN_CE, ECN_ECT_0, 'C'},      {ECN_CE, ECN_ECT_1, 'C'},
    {ECN_CE, ECN_CE, 'C'},
};

static uint8_t ecn_of(char result)
{
    switch (result) {
    case '0':
        return ECN_ECT_0;
    case '1':
        return ECN_ECT_1;
    case 'C':
        return ECN_CE;
    default:
        return ECN_NOT_ECT;
    }
}

static void ipv4_with_any_checksum(void **state)
{
    (void)state;
    const uint8_t dscp = 0xb8; /* of the packet, which keeps it; the outer one says nothing */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (uint32_t id = 0; id <= UINT16_MAX; id++) {
            uint8_t packet[LEN], before[LEN], expected[LEN];
            make_ipv4(packet, dscp | cases[i].inner, (uint16_t)id);
            memcpy(before, packet, LEN);
            make_ipv4(expected, dscp | ecn_of(cases[i].result), (uint16_t)id);
            assert_int_equal(ecn_decapsulate(packet, 0x44 | cases[i].outer),
                             cases[i].result != 'x');
            if (cases[i].result == 'x') {
                assert_memory_equal(packet, before, LEN);
                continue;
            }
            assert_int_equal(packet[1], expected[1]);
            assert_int_equal(checksum(packet, 20), 0);
            assert_memory_equal(packet + 12, expected + 12, LEN - 12);
        }
    }
}

static void ipv6_leaves_the_flow_label_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t packet[LEN], expected[LEN];
        make_ipv6(packet, 0xb8 | cases[i].inner);
        make_ipv6(expected, 0xb8 | ecn_of(cases[i].result));
        assert_int_equal(ecn_decapsulate(packet, 0x44 | cases[i].outer), cases[i].result != 'x');
        assert_memory_equal(packet, expected, LEN);
    }
}

/* A checksum that was wrong stays wrong: whoever checks it must still see it. */
static void wrong_checksums_are_not_repaired(void **state)
{
    (void)state;
    uint8_t packet[LEN];
    make_ipv4(packet, ECN_ECT_0, 77);
    packet[11] ^= 0x20;
    assert_true(ecn_decapsulate(packet, ECN_CE));
    assert_int_not_equal(checksum(packet, 20), 0);
}

static void only_ecn_goes_out(void **state)
{
    (void)state;
    for (unsigned tos = 0; tos <= UINT8_MAX; tos++)
        assert_int_equal(ecn_encapsulate((uint8_t)tos), tos % 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_with_any_checksum),
        cmocka_unit_test(ipv6_leaves_the_flow_label_alone),
        cmocka_unit_test(wrong_checksums_are_not_repaired),
        cmocka_unit_test(only_ecn_goes_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
