/* pcap: the bytes of both headers, as readers of the format expect them. */
#include "base/pcap.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static uint32_t word(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

static void test_file_header(void **state)
{
    (void)state;
    uint8_t header[PCAP_FILE_HEADER];
    uint16_t version[2];
    pcap_file_header(header);
    assert_int_equal(word(header), 0xa1b23c4d);
    memcpy(version, header + 4, sizeof(version));
    assert_int_equal(version[0], 2);
    assert_int_equal(version[1], 4);
    assert_int_equal(word(header + 8), 0);
    assert_int_equal(word(header + 12), 0);
    assert_int_equal(word(header + 16), 65535);
    assert_int_equal(word(header + 20), 101);
}

static void test_record_header(void **state)
{
    (void)state;
    uint8_t header[PCAP_RECORD_HEADER];
    pcap_record_header(header, INT64_C(1700000000123456789), 96, 1420);
    assert_int_equal(word(header), 1700000000);
    assert_int_equal(word(header + 4), 123456789);
    assert_int_equal(word(header + 8), 96);
    assert_int_equal(word(header + 12), 1420);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_header),
        cmocka_unit_test(test_record_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
