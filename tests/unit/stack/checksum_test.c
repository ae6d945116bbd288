/*
 * The checksum against a naive one, over all small lengths and alignments.
 */
#include "engine/stack/checksum.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEN_MAX   300
#define ALIGN_MAX 64

/* RFC 1071, 4.1, in network byte order. */
static uint16_t naive(const uint8_t *data, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)sum);
}

static void fill(uint8_t *data, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245 + 12345;
        data[i] = (uint8_t)(seed >> 16);
    }
}

static void test_all_alignments(void **state)
{
    static uint8_t data[LEN_MAX + ALIGN_MAX];

    (void)state;
    fill(data, sizeof(data), 1);
    for (size_t align = 0; align < ALIGN_MAX; align++) {
        for (size_t len = 0; len <= LEN_MAX; len++)
            assert_int_equal(checksum_fold(checksum_add(0, data + align, len)),
                             naive(data + align, len));
    }
}

static void test_copy(void **state)
{
    static uint8_t data[LEN_MAX + ALIGN_MAX], copy[LEN_MAX + ALIGN_MAX + 1];

    (void)state;
    fill(data, sizeof(data), 2);
    for (size_t align = 0; align < ALIGN_MAX; align++) {
        for (size_t len = 0; len <= LEN_MAX; len++) {
            memset(copy, 0xa5, sizeof(copy));
            assert_int_equal(checksum_fold(checksum_add_copy(0, copy + align, data + align, len)),
                             naive(data + align, len));
            assert_memory_equal(copy + align, data + align, len);
            assert_int_equal(copy[align + len], 0xa5);
        }
    }
}

static void test_extremes(void **state)
{
    static uint8_t data[65535];

    (void)state;
    memset(data, 0xff, sizeof(data));
    assert_int_equal(checksum_fold(checksum_add(0, data, 65534)), 0xffff);
    assert_int_equal(checksum_lwip(data, 65535), naive(data, 65535));
    memset(data, 0, sizeof(data));
    assert_int_equal(checksum_fold(checksum_add(0, data, sizeof(data))), 0);
    assert_int_equal(checksum_fold(UINT64_MAX), 0xffff);
}

/* Pieces of even length add up. */
static void test_pieces(void **state)
{
    static uint8_t data[LEN_MAX];
    uint64_t sum;

    (void)state;
    fill(data, sizeof(data), 3);
    for (size_t split = 0; split <= LEN_MAX; split += 2) {
        sum = checksum_add(0, data, split);
        sum = checksum_add(sum, data + split, LEN_MAX - split);
        assert_int_equal(checksum_fold(sum), naive(data, LEN_MAX));
    }
}

/* The example of RFC 1071, 3, and the pseudo header of RFC 9293, 3.1. */
static void test_known(void **state)
{
    const uint8_t rfc1071[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    const uint8_t src[] = {192, 0, 2, 1}, dst[] = {192, 0, 2, 2};
    const uint8_t pseudo[] = {192, 0, 2, 1, 192, 0, 2, 2, 0, 6, 0, 20};

    (void)state;
    assert_int_equal(checksum_fold(checksum_add(0, rfc1071, sizeof(rfc1071))), htons(0xddf2));
    assert_int_equal(checksum_fold(checksum_pseudo(src, dst, 4, 6, 20)),
                     naive(pseudo, sizeof(pseudo)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_alignments), cmocka_unit_test(test_copy),
        cmocka_unit_test(test_extremes),       cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
