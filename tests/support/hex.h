/* hex: bytes of test vectors, written as text. */
#ifndef MANYTUN_TESTS_HEX_H
#define MANYTUN_TESTS_HEX_H

#include "tests/support/cmocka_all.h"

#include <string.h>

static inline int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = strchr(digits, c);
    assert_true(c != '\0' && found);
    return (int)(found - digits);
}

/* Reads hexadecimal text of at most size bytes; returns how many. */
static inline size_t hex_read(uint8_t *out, size_t size, const char *text)
{
    size_t len = strlen(text) / 2;
    assert_true(len <= size);
    assert_int_equal(strlen(text) % 2, 0);
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return len;
}

/* Checks that bytes are those of a hexadecimal text. */
static inline void assert_hex(const uint8_t *bytes, size_t len, const char *text)
{
    assert_int_equal(strlen(text), 2 * len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
}

#endif
