/* packet: headers whole and cut short, lengths and the traffic class. */
#include "tests/support/cmocka_all.h"

#include "engine/wg/packet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void ipv4_fields(void **state)
{
    (void)state;
    uint8_t data[24] = {0x46, 0xb9, 0x12, 0x34};
    struct packet_info info;
    const uint8_t source[4] = {10, 0, 0, 1};
    const uint8_t destination[4] = {10, 0, 0, 2};
    memcpy(data + 12, source, 4);
    memcpy(data + 16, destination, 4);
    assert_int_equal(packet_info_read(&info, data, sizeof(data)), 0);
    assert_int_equal(info.len, 0x1234);
    assert_int_equal(info.tos, 0xb9);
    assert_int_equal(info.source.family, AF_INET);
    assert_memory_equal(info.source.bytes, source, 4);
    assert_memory_equal(info.destination.bytes, destination, 4);
}

static void ipv6_fields(void **state)
{
    (void)state;
    uint8_t data[40] = {0x6a, 0xbc, 0, 0, 0xff, 0xff};
    struct packet_info info;
    memset(data + 8, 1, 16);
    memset(data + 24, 2, 16);
    assert_int_equal(packet_info_read(&info, data, sizeof(data)), 0);
    assert_int_equal(info.len, 65535 + 40); /* does not wrap */
    assert_int_equal(info.tos, 0xab);
    assert_int_equal(info.destination.family, AF_INET6);
    assert_memory_equal(info.source.bytes, data + 8, 16);
    assert_memory_equal(info.destination.bytes, data + 24, 16);
}

static void malformed_headers(void **state)
{
    (void)state;
    static const struct {
        uint8_t first;
        uint16_t total; /* IPv4's length field */
        size_t len;
        int error;
    } cases[] = {
        {0x45, 20, 20, 0},       {0x45, 20, 19, -EINVAL}, {0x45, 19, 20, -EINVAL},
        {0x44, 20, 20, -EINVAL}, {0x46, 20, 24, -EINVAL}, {0x46, 24, 20, 0},
        {0x60, 0, 40, 0},        {0x60, 0, 39, -EINVAL},  {0x00, 20, 40, -EINVAL},
        {0x55, 20, 40, -EINVAL}, {0xf5, 20, 40, -EINVAL}, {0x45, 20, 0, -EINVAL},
        {0x45, 65535, 20, 0},    {0x45, 20, 1, -EINVAL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* An exact allocation lets the sanitizer see the first byte read beyond the end. */
        uint8_t *data = calloc(1, cases[i].len ? cases[i].len : 1);
        struct packet_info info;
        assert_non_null(data);
        data[0] = cases[i].first;
        if (cases[i].len > 3) {
            data[2] = (uint8_t)(cases[i].total >> 8);
            data[3] = (uint8_t)cases[i].total;
        }
        assert_int_equal(packet_info_read(&info, data, cases[i].len), cases[i].error);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_fields),
        cmocka_unit_test(ipv6_fields),
        cmocka_unit_test(malformed_headers),
    };
    return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
