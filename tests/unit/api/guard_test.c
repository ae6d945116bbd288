#include "api/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_hosts(void **state)
{
    (void)state;
    static const char *const names[] = {"box.example.org", "box"};
    static const struct {
        const char *host;
        bool allowed;
    } rows[] = {
        {"127.0.0.1", true},
        {"127.0.0.1:80", true},
        {"192.0.2.1:65535", true},
        {"[2001:db8::1]", true},
        {"[::1]:8585", true},
        {"localhost", true},
        {"LocalHost:8585", true},
        {"box", true},
        {"BOX.example.org:1", true},

        {NULL, false},
        {"", false},
        {":80", false},
        {"localhost.", false},
        {"localhost.evil.example", false},
        {"xlocalhost", false},
        {"box.example.org.evil.example", false},
        {"boxx", false},
        {"127.0.0.1.evil.example", false},
        {"127.1", false},
        {"0x7f.0.0.1", false},
        {"2130706433", false},
        {"::1", false},
        {"[::1", false},
        {"[::1]x", false},
        {"[127.0.0.1]", false},
        {"[box]", false},
        {"localhost:", false},
        {"localhost:65536", false},
        {"localhost:80:80", false},
        {"localhost, evil.example", false},
        {"user@localhost", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (guard_host_allowed(rows[i].host, names, 2) != rows[i].allowed)
            fail_msg("row %zu: %s", i, rows[i].host ? rows[i].host : "(absent)");
    }
    assert_false(guard_host_allowed("box", NULL, 0));
}

static void test_origins(void **state)
{
    (void)state;
    assert_true(guard_origin_allowed(NULL, "localhost:8585"));
    assert_true(guard_origin_allowed("http://localhost:8585", "localhost:8585"));
    assert_true(guard_origin_allowed("https://box", "box"));
    assert_false(guard_origin_allowed("http://localhost", "localhost:8585"));
    assert_false(guard_origin_allowed("http://localhost:8585.evil.example", "localhost:8585"));
    assert_false(guard_origin_allowed("http://evil.example", "localhost:8585"));
    assert_false(guard_origin_allowed("null", "localhost:8585"));
    assert_false(guard_origin_allowed("", "localhost:8585"));
    assert_false(guard_origin_allowed("localhost:8585", "localhost:8585"));
    assert_false(guard_origin_allowed("http://localhost", NULL));
}

static void test_fetch_sites(void **state)
{
    (void)state;
    assert_true(guard_fetch_site_allowed(NULL));
    assert_true(guard_fetch_site_allowed("same-origin"));
    assert_true(guard_fetch_site_allowed("none"));
    assert_false(guard_fetch_site_allowed("same-site"));
    assert_false(guard_fetch_site_allowed("cross-site"));
    assert_false(guard_fetch_site_allowed(""));
}

static void test_media_types(void **state)
{
    (void)state;
    assert_true(guard_is_json("application/json"));
    assert_true(guard_is_json("APPLICATION/JSON ; charset=utf-8"));
    assert_false(guard_is_json(NULL));
    assert_false(guard_is_json(""));
    assert_false(guard_is_json("application/json-patch+json"));
    assert_false(guard_is_json("text/plain; application/json"));
    assert_false(guard_is_json("application/json x"));
    assert_false(guard_is_json("application/merge-patch+json"));
    assert_true(guard_is_merge_patch("Application/Merge-Patch+JSON; charset=utf-8"));
    assert_false(guard_is_merge_patch("application/merge-patch+jsonx"));
    assert_false(guard_is_merge_patch("application/json"));
    assert_false(guard_is_merge_patch(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_fetch_sites),
        cmocka_unit_test(test_media_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
