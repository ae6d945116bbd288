#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(literal) literal, sizeof(literal) - 1

static const struct {
    const char *text;
    size_t len;
    const char *detail; /* part of the refusal; NULL = accepted */
} texts[] = {
    {TEXT("{}"), NULL},
    {TEXT(" \t\r\n[1, -0, 0.5, 1e3, 1E-3, -12.25e+2] \n"), NULL},
    {TEXT("{\"a\":{\"b\":[true,false,null,\"x\"]}}"), NULL},
    {TEXT("\"\\\" \\\\ \\/ \\b\\f\\n\\r\\t \\u00e9 \\ud83d\\ude00\""), NULL},
    {TEXT("\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf\""), NULL},
    {TEXT("{\"a\":1,\"A\":2}"), NULL},
    {TEXT("{\"a\":{\"x\":1},\"b\":{\"x\":1}}"), NULL},

    {TEXT(""), "ends where a value"},
    {TEXT("   "), "ends where a value"},
    {TEXT("{"), "expected a string"},
    {TEXT("{\"a\"}"), "expected ':'"},
    {TEXT("{\"a\":}"), "expected a value"},
    {TEXT("{\"a\":1"), "expected ',' or '}'"},
    {TEXT("{\"a\":1,}"), "expected a string"},
    {TEXT("{a:1}"), "expected a string"},
    {TEXT("[1,]"), "expected a value"},
    {TEXT("[1 2]"), "expected ',' or ']'"},
    {TEXT("{} x"), "something follows"},
    {TEXT("{}{}"), "something follows"},
    {TEXT("{}\0"), "something follows"},
    {TEXT("\xef\xbb\xbf{}"), "expected a value"},
    {TEXT("tru"), "expected a value"},
    {TEXT("True"), "expected a value"},
    {TEXT("NaN"), "expected a value"},
    {TEXT("/* c */ 1"), "expected a value"},

    {TEXT("01"), "leading zeros"},
    {TEXT("-01"), "leading zeros"},
    {TEXT("1."), "expected a digit"},
    {TEXT(".5"), "expected a value"},
    {TEXT("+1"), "expected a value"},
    {TEXT("-"), "expected a digit"},
    {TEXT("1e"), "expected a digit"},
    {TEXT("0x10"), "something follows"},
    {TEXT("1e400"), "out of range"},
    {TEXT("-1e400"), "out of range"},
    {TEXT("1234567890123456789012345678901234567890123456789012345678901234"), "too many char"},

    {TEXT("\"abc"), "not closed"},
    {TEXT("\"a\nb\""), "control character"},
    {TEXT("\"a\0b\""), "control character"},
    {TEXT("\"a\\u0000b\""), "\\u0000"},
    {TEXT("\"\\x\""), "unknown escape"},
    {TEXT("\"\\u12g4\""), "four hexadecimal"},
    {TEXT("\"\\u12"), "four hexadecimal"},
    {TEXT("\"\\ud800\""), "lone surrogate"},
    {TEXT("\"\\ud800x\""), "lone surrogate"},
    {TEXT("\"\\ud800\\u0041\""), "lone surrogate"},
    {TEXT("\"\\udc00\""), "lone surrogate"},
    {TEXT("\"\xff\""), "UTF-8"},
    {TEXT("\"\x80\""), "UTF-8"},
    {TEXT("\"\xc0\x80\""), "UTF-8"},
    {TEXT("\"\xe0\x80\x80\""), "UTF-8"},
    {TEXT("\"\xed\xa0\x80\""), "UTF-8"},
    {TEXT("\"\xf4\x90\x80\x80\""), "UTF-8"},
    {TEXT("\"\xe2\x82\""), "UTF-8"},
    {TEXT("\"\xe2"), "UTF-8"},

    {TEXT("{\"a\":1,\"a\":2}"), "\"a\" twice"},
    {TEXT("{\"a\":1,\"\\u0061\":2}"), "\"a\" twice"},
    {TEXT("[{\"x\":{\"b\":1,\"c\":0,\"b\":2}}]"), "\"b\" twice"},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        /* An exact heap copy lets the sanitizer see a read past the end. */
        char *copy = malloc(texts[i].len ? texts[i].len : 1);
        assert_non_null(copy);
        memcpy(copy, texts[i].text, texts[i].len);
        struct json_error error = {0};
        cJSON *value = json_read(copy, texts[i].len, &error);
        free(copy);
        if ((value == NULL) != (texts[i].detail != NULL) ||
            (value == NULL && strstr(error.detail, texts[i].detail) == NULL))
            fail_msg("row %zu (%s): %s", i, texts[i].text, value ? "accepted" : error.detail);
        json_free(value);
    }
}

static cJSON *read_nested(unsigned depth, struct json_error *error)
{
    char text[256];
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return json_read(text, (size_t)depth * 2, error);
}

static void test_depth_is_limited(void **state)
{
    (void)state;
    struct json_error error;
    cJSON *value = read_nested(JSON_DEPTH_MAX, &error);
    assert_non_null(value);
    json_free(value);
    assert_null(read_nested(JSON_DEPTH_MAX + 1, &error));
    assert_non_null(strstr(error.detail, "too deeply"));
    assert_int_equal(error.offset, JSON_DEPTH_MAX + 1);
}

static void test_depth_counts_open_values_only(void **state)
{
    (void)state;
    char text[512];
    size_t used = (size_t)snprintf(text, sizeof(text), "[");
    for (int i = 0; i < 100; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "[],");
    snprintf(text + used, sizeof(text) - used, "{}]");
    struct json_error error;
    cJSON *value = json_read(text, strlen(text), &error);
    assert_non_null(value);
    json_free(value);
}

static void test_error_has_an_offset(void **state)
{
    (void)state;
    struct json_error error;
    assert_null(json_read(TEXT("{\"a\": x}"), &error));
    assert_int_equal(error.offset, 6);
}

/* A megabyte of names must take milliseconds, not minutes; a hang fails by ctest's limit. */
static void test_many_names(void **state)
{
    (void)state;
    enum { NAMES = 80000 };
    size_t size = NAMES * 16 + 3;
    char *text = malloc(size);
    assert_non_null(text);
    size_t used = 0;
    text[used++] = '{';
    for (int i = 0; i < NAMES; i++)
        used += (size_t)snprintf(text + used, size - used, "%s\"n%d\":0", i ? "," : "", i);
    text[used++] = '}';
    struct json_error error;
    cJSON *value = json_read(text, used, &error);
    assert_non_null(value);
    json_free(value);
    free(text);
}

static void test_long_duplicate_name_stays_utf8(void **state)
{
    (void)state;
    /* 62 bytes, then a character of two bytes that the message has room for only half of. */
    char name[80];
    memset(name, 'n', 62);
    memcpy(name + 62, "\xc3\xa9z", 4);
    char text[256];
    int len = snprintf(text, sizeof(text), "{\"%s\":1,\"%s\":2}", name, name);
    struct json_error error;
    assert_null(json_read(text, (size_t)len, &error));
    assert_null(strchr(error.detail, '\xc3'));
}

static void test_members_are_case_sensitive(void **state)
{
    (void)state;
    struct json_error error;
    cJSON *value = json_read(TEXT("{\"NAME\":1,\"name\":2}"), &error);
    assert_non_null(value);
    assert_true(json_member(value, "name")->valueint == 2);
    assert_null(json_member(value, "Name"));
    json_free(value);
}

static const struct {
    const char *text;
    bool integer;
    int64_t value;
} integers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"80", true, 80},
    {"80.0", true, 80},
    {"8e1", true, 80},
    {"80.9", false, 0},
    {"1e300", false, 0},
    {"-1e300", false, 0},
    {"9007199254740992", true, 9007199254740992},
    {"9007199254740994", false, 0},
    {"\"80\"", false, 0},
    {"true", false, 0},
    {"null", false, 0},
    {"[80]", false, 0},
};

static void test_integers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        struct json_error error;
        cJSON *value = json_read(integers[i].text, strlen(integers[i].text), &error);
        assert_non_null(value);
        int64_t out = -1;
        bool integer = json_integer(value, INT64_MIN, INT64_MAX, &out);
        if (integer != integers[i].integer || (integer && out != integers[i].value))
            fail_msg("row %zu: %s", i, integers[i].text);
        json_free(value);
    }
    int64_t out;
    cJSON *value = cJSON_CreateNumber(65536);
    assert_false(json_integer(value, 0, 65535, &out));
    assert_true(json_integer(value, 0, 65536, &out));
    assert_false(json_integer(value, 65537, 70000, &out));
    cJSON_Delete(value);
    assert_false(json_integer(NULL, 0, 1, &out));
}

static void test_pointer(void **state)
{
    (void)state;
    char pointer[16] = "";
    json_pointer_append(pointer, sizeof(pointer), "a/b");
    assert_string_equal(pointer, "/a~1b");
    json_pointer_append(pointer, sizeof(pointer), "~");
    assert_string_equal(pointer, "/a~1b/~0");
    json_pointer_append(pointer, sizeof(pointer), "12345\xc3\xa9");
    assert_string_equal(pointer, "/a~1b/~0/12345");
    json_pointer_append(pointer, sizeof(pointer), "x");
    assert_string_equal(pointer, "/a~1b/~0/12345/");
    json_pointer_append(pointer, sizeof(pointer), "y");
    assert_string_equal(pointer, "/a~1b/~0/12345/");
}

/* What is freed is wiped, also what a text left behind while it grew. */
static void test_freed_memory_is_wiped(void **state)
{
    (void)state;
    enum { LEN = 3000 };
    char secret[LEN + 1];
    memset(secret, 's', LEN);
    secret[LEN] = '\0';
    json_wipe_freed();
    cJSON *value = cJSON_CreateString(secret);
    char *text = cJSON_PrintUnformatted(value);
    assert_non_null(text);
    assert_int_equal(strlen(text), LEN + 2);
    cJSON_free(text);
    json_free(value);
    /* The allocator hands the same memory out again. */
    for (size_t size = 16; size <= LEN + 16; size += 16) {
        char *again = malloc(size);
        assert_non_null(again);
        assert_null(memmem(again, size, "ssss", 4));
        free(again);
    }
    cJSON_InitHooks(NULL);
}

static void test_values_are_counted(void **state)
{
    (void)state;
    struct json_error error;
    static const char text[] = "[1,{\"a\":[]}]"; /* four */
    cJSON *json = json_read_bounded(text, sizeof(text) - 1, 4, &error);
    assert_non_null(json);
    json_free(json);
    assert_null(json_read_bounded(text, sizeof(text) - 1, 3, &error));
    assert_true(error.too_large);
    assert_string_equal(error.detail, "too many values");
    assert_null(json_read("[1,]", 4, &error));
    assert_false(error.too_large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_depth_is_limited),
        cmocka_unit_test(test_values_are_counted),
        cmocka_unit_test(test_depth_counts_open_values_only),
        cmocka_unit_test(test_error_has_an_offset),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_long_duplicate_name_stays_utf8),
        cmocka_unit_test(test_members_are_case_sensitive),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_pointer),
        cmocka_unit_test(test_freed_memory_is_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
