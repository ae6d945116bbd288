#include "api/rfc3339.h"

#include "tests/support/cmocka_all.h"

#include <errno.h>

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        time_t seconds;
        long ns;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"2023-11-14T22:13:20Z", 1700000000, 0},
        {"2023-11-14t22:13:20z", 1700000000, 0},
        {"2023-11-14T22:13:20.5Z", 1700000000, 500000000},
        {"2023-11-14T22:13:20.1234567891Z", 1700000000, 123456789},
        {"2023-11-14T23:13:20+01:00", 1700000000, 0},
        {"2023-11-14T16:43:20.25-05:30", 1700000000, 250000000},
        {"2024-02-29T00:00:00Z", 1709164800, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct timespec time = {0};
        if (rfc3339_parse(rows[i].text, &time) < 0 || time.tv_sec != rows[i].seconds ||
            time.tv_nsec != rows[i].ns)
            fail_msg("%s: %lld.%09ld", rows[i].text, (long long)time.tv_sec, time.tv_nsec);
    }
}

static void test_what_is_no_time(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "2023",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14 22:13:20Z",
        "2023-11-14T22:13Z",
        "2023-11-14T22:13:20Zx",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20+0100",
        "2023-11-14T22:13:20+01:00x",
        "2023-11-14T22:13:20+24:00",
        "2023-11-14T22:13:20+01:60",
        "2023-02-29T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-00-01T00:00:00Z",
        "2023-01-00T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:60:00Z",
        "2023-01-01T00:00:60Z",
        "+023-01-01T00:00:00Z",
        "23-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct timespec time;
        if (rfc3339_parse(texts[i], &time) != -EINVAL)
            fail_msg("%s", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_what_is_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
