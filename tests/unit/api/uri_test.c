#include "api/uri.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        const char *decoded;
    } rows[] = {
        {"", 0, ""},
        {"web-1", 0, "web-1"},
        {"w%65b", 0, "web"},
        {"%2D%2d", 0, "--"},
        {"a+b", 0, "a+b"},
        {"%25", 0, "%"},
        {"%2525", 0, "%25"},
        {"1234567", 0, "1234567"},
        {"12345678", -ENAMETOOLONG, NULL},
        {"%", -EINVAL, NULL},
        {"a%6", -EINVAL, NULL},
        {"%6g", -EINVAL, NULL},
        {"% 1", -EINVAL, NULL},
        {"%00", -EINVAL, NULL},
        {"%0a", -EINVAL, NULL},
        {"%2F", 0, "/"},
        {"a/b", 0, "a/b"},
        {"%7F", -EINVAL, NULL},
        {"%80", -EINVAL, NULL},
        {"\xc3\xa9", -EINVAL, NULL},
        {"%c3%a9", -EINVAL, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[8];
        int rc = uri_decode(rows[i].text, strlen(rows[i].text), out, sizeof(out));
        if (rc != rows[i].rc || (rc == 0 && strcmp(out, rows[i].decoded) != 0))
            fail_msg("row %zu: %s: %d", i, rows[i].text, rc);
    }
}

static void test_length_ends_the_text(void **state)
{
    (void)state;
    char out[8];
    assert_int_equal(uri_decode("ab%41", 2, out, sizeof(out)), 0);
    assert_string_equal(out, "ab");
    assert_int_equal(uri_decode("ab%41", 4, out, sizeof(out)), -EINVAL);
    assert_int_equal(uri_decode("a\0b", 3, out, sizeof(out)), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_length_ends_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
