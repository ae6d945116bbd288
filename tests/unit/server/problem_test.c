#include "server/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_code_gives_status_and_title(void **state)
{
    (void)state;
    struct problem problem = {0};
    spec_errors_add(&problem.errors, "/name", "required", "is required");
    assert_int_equal(problem_set(&problem, "validation", "%d error", 1), -1);
    assert_int_equal(problem.status, 422);
    assert_string_equal(problem.code, "validation");
    assert_true(strlen(problem.title) > 0);
    assert_string_equal(problem.detail, "1 error");
    assert_int_equal(problem.errors.count, 1);
}

static void test_unknown_code_is_an_internal_error(void **state)
{
    (void)state;
    struct problem problem = {0};
    problem_set(&problem, "no-such-code", "x");
    assert_int_equal(problem.status, 500);
    assert_string_equal(problem.code, "internal");
}

static void test_long_detail_is_cut(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct problem problem = {0};
    problem_set(&problem, "not_found", "%s", text);
    assert_int_equal(strlen(problem.detail), sizeof(problem.detail) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_gives_status_and_title),
        cmocka_unit_test(test_unknown_code_is_an_internal_error),
        cmocka_unit_test(test_long_detail_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
