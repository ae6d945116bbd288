#include "api/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ALL (QUERY_LIMIT | QUERY_CURSOR | QUERY_TUNNEL | QUERY_CASCADE | QUERY_VERBOSE)

static const struct {
    unsigned allowed;
    const char *name, *value;
    const char *code; /* NULL = accepted */
} rows[] = {
    {ALL, "limit", "1", NULL},
    {ALL, "limit", "1000", NULL},
    {ALL, "limit", "%31", NULL},
    {ALL, "limit", "0", "invalid_parameter"},
    {ALL, "limit", "1001", "invalid_parameter"},
    {ALL, "limit", "-1", "invalid_parameter"},
    {ALL, "limit", "1.0", "invalid_parameter"},
    {ALL, "limit", " 1", "invalid_parameter"},
    {ALL, "limit", "", "invalid_parameter"},
    {ALL, "limit", NULL, "invalid_parameter"},
    {ALL, "limit", "99999999999999999999", "invalid_parameter"},
    {ALL, "cursor", "web-1", NULL},
    {ALL, "cursor", "Web", "invalid_parameter"},
    {ALL, "cursor", "", "invalid_parameter"},
    {ALL, "cursor", "a%00", "invalid_parameter"},
    {ALL, "tunnel", "home", NULL},
    {ALL, "tunnel", "%", "invalid_parameter"},
    {ALL, "cascade", "true", NULL},
    {ALL, "cascade", "false", NULL},
    {ALL, "cascade", NULL, NULL},
    {ALL, "cascade", "", NULL},
    {ALL, "cascade", "1", "invalid_parameter"},
    {ALL, "verbose", "TRUE", "invalid_parameter"},
    {QUERY_SINCE, "since", "0", NULL},
    {QUERY_SINCE, "since", "999999999999999999", NULL},
    {QUERY_SINCE, "since", "1000000000000000000", "invalid_parameter"},
    {QUERY_SINCE, "since", "", "invalid_parameter"},
    {QUERY_SINCE, "since", "-1", "invalid_parameter"},
    {QUERY_SINCE, "since", "1x", "invalid_parameter"},
    {QUERY_KIND, "kind", "forward", NULL},
    {QUERY_KIND, "kind", "Forward", "invalid_parameter"},
    {QUERY_NAME, "name", "web", NULL},
    {QUERY_NAME, "name", "%00", "invalid_parameter"},
    {QUERY_DRY_RUN, "dry_run", "true", NULL},
    {QUERY_DRY_RUN, "since", "1", "unknown_parameter"},
    {QUERY_READY, "ready", "true", NULL},
    {QUERY_READY, "ready", "false", NULL},
    {QUERY_READY, "ready", "", "invalid_parameter"},
    {QUERY_READY, "ready", "yes", "invalid_parameter"},
    {QUERY_TEXT, "q", "192.168.4.2:80", NULL},
    {QUERY_TEXT, "q", "a%20b", NULL},
    {QUERY_TEXT, "q", "%C3%A4", "invalid_parameter"},
    {QUERY_TEXT, "q", "", "invalid_parameter"},
    {QUERY_TEXT, "q", "a%00b", "invalid_parameter"},
    {QUERY_TEXT, "q", "a%0ab", "invalid_parameter"},
    {QUERY_TEXT, "q",
     "0123456789012345678901234567890123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456789012345678901234567",
     "invalid_parameter"},
    {ALL, "", "", "unknown_parameter"},
    {ALL, "LIMIT", "1", "unknown_parameter"},
    {ALL, "limit%20", "1", "unknown_parameter"},
    {QUERY_CURSOR, "limit", "1", "unknown_parameter"},
    {0, "verbose", NULL, "unknown_parameter"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct query query;
        struct problem problem = {0};
        query_init(&query);
        query_read(&query, rows[i].allowed, rows[i].name, rows[i].value, &problem);
        const char *code = problem.status != 0 ? problem.code : "";
        if (strcmp(code, rows[i].code != NULL ? rows[i].code : "") != 0)
            fail_msg("row %zu: \"%s\"", i, code);
        if (problem.status != 0)
            assert_int_equal(problem.status, 400);
    }
}

static void test_values(void **state)
{
    (void)state;
    struct query query;
    struct problem problem = {0};
    query_init(&query);
    assert_int_equal(query.limit, QUERY_LIMIT_DEFAULT);
    query_read(&query, ALL, "limit", "7", &problem);
    query_read(&query, ALL, "tunnel", "h%6Fme", &problem);
    query_read(&query, ALL, "cascade", "true", &problem);
    query_read(&query, ALL, "verbose", "false", &problem);
    assert_int_equal(problem.status, 0);
    assert_int_equal(query.limit, 7);
    assert_string_equal(query.tunnel, "home");
    assert_true(query.cascade);
    assert_false(query.verbose);
    query_read(&query, ALL, "verbose", "false", &problem);
    assert_string_equal(problem.code, "invalid_parameter");
}

static void test_allowed_ones_are_named(void **state)
{
    (void)state;
    struct query query;
    struct problem problem = {0};
    query_init(&query);
    query_read(&query, QUERY_LIMIT | QUERY_TUNNEL, "x", "1", &problem);
    assert_string_equal(problem.detail, "the parameters here are: limit, tunnel");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_allowed_ones_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
