#include "api/http_counts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_counts(void **state)
{
    (void)state;
    static struct http_counts counts;
    static const struct {
        const char *route;
        int status;
        size_t entry;
        uint64_t count;
    } rows[] = {
        {"/a", 200, 0, 1}, {"/a", 404, 1, 1}, {"/b", 200, 2, 1},
        {"/a", 200, 0, 2}, {"/b", 200, 2, 2}, {"none", 404, 3, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        http_counts_add(&counts, rows[i].route, rows[i].status);
        const struct http_count *entry = &counts.entries[rows[i].entry];
        assert_string_equal(entry->route, rows[i].route);
        assert_int_equal(entry->status, rows[i].status);
        assert_int_equal(entry->count, rows[i].count);
    }
    assert_int_equal(counts.used, 4);
}

static void test_bound(void **state)
{
    (void)state;
    static struct http_counts counts;
    for (int i = 0; i < HTTP_COUNTS_MAX + 10; i++)
        http_counts_add(&counts, "/a", i);
    assert_int_equal(counts.used, HTTP_COUNTS_MAX);
    http_counts_add(&counts, "/a", 0);
    assert_int_equal(counts.entries[0].count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
