#include "server/ephemeral.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void test_lists(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        uint16_t port;
        bool has;
    } rows[] = {
        {"", 80, false},
        {"\n", 80, false},
        {"80\n", 80, true},
        {"80\n", 8, false},
        {"80,443", 443, true},
        {"80,443", 81, false},
        {"1,8000-8010,9", 8000, true},
        {"1,8000-8010,9", 8010, true},
        {"1,8000-8010,9", 8011, false},
        {"1,8000-8010,9", 9, true},
        {"nonsense", 80, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(ephemeral_list_has(rows[i].list, rows[i].port), rows[i].has);
}

static void test_ports_are_of_the_range(void **state)
{
    (void)state;
    unsigned low, high;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u %u", &low, &high), 2);
    fclose(file);
    for (unsigned i = 0; i < 1000; i++) {
        uint16_t port = ephemeral_port(i);
        assert_true(port == 0 || (port >= low && port <= high));
        if (i == 0 && port != 0)
            assert_int_equal((port - low) % 2, 1);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_ports_are_of_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
