/*
 * The model by itself; what it makes of links is in links_test and long_paths_test.
 */
#include "engine/stack/congestion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MSS 1000u

/* What is undone is the last that happened, and not a timeout of long ago. */
static void test_undo(void **state)
{
    struct congestion congestion;

    (void)state;
    congestion_open(&congestion, STACK_BBR, MSS, 1000000);
    congestion.window = 100 * MSS;
    congestion.control->timeout(&congestion, MSS, 2000000);
    assert_int_equal(congestion.window, 2 * MSS);
    congestion.control->undo(&congestion, 3000000);
    assert_int_equal(congestion.window, 100 * MSS);
    congestion.window = 10 * MSS;
    congestion.control->loss(&congestion, 10 * MSS, 600000000);
    congestion.control->undo(&congestion, 601000000);
    assert_int_equal(congestion.window, 10 * MSS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_undo),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
