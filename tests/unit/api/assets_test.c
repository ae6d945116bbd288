#include "api/assets.h"
#include "tests/unit/api/http_world.h"

#define POLICY                                                                                     \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "          \
    "form-action 'none'"

/* A GET without a token; header is one more line with its CRLF. */
static struct answer fetch(const char *path, const char *header)
{
    char request[512];
    int len =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s\r\n", path, header);
    return exchange(connect_tcp(), request, (size_t)len);
}

static void test_every_file_is_served_without_a_token(void **state)
{
    (void)state;
    for (const struct asset *asset = assets; asset->name != NULL; asset++) {
        char path[128];
        char type[128];
        char etag[64];
        snprintf(path, sizeof(path), "/assets/%s", asset->name);
        snprintf(type, sizeof(type), "Content-Type: %s", asset_content_type(asset->name));
        snprintf(etag, sizeof(etag), "ETag: \"%llu\"", (unsigned long long)asset->tag);
        struct answer answer = fetch(path, "");
        assert_int_equal(answer.status, 200);
        assert_true(has_header(&answer, type));
        assert_true(has_header(&answer, etag));
        assert_true(has_header(&answer, POLICY));
        assert_true(has_header(&answer, "Cache-Control: no-cache"));
        assert_true(has_header(&answer, "Referrer-Policy: no-referrer"));
        assert_true(has_header(&answer, "X-Content-Type-Options: nosniff"));
        assert_int_equal(strlen(answer.body), asset->len);
        assert_memory_equal(answer.body, asset->bytes, asset->len);
        free_answer(&answer);
    }
}

static void test_root_is_the_page(void **state)
{
    (void)state;
    struct answer answer = fetch("/", "");
    assert_int_equal(answer.status, 200);
    assert_true(has_header(&answer, "Content-Type: text/html; charset=utf-8"));
    assert_true(has_header(&answer, POLICY));
    assert_non_null(strstr(answer.body, "<title>manytun</title>"));
    free_answer(&answer);
}

static void test_an_unchanged_file_is_not_sent_again(void **state)
{
    (void)state;
    const struct asset *asset = asset_find("app.js");
    assert_non_null(asset);
    char header[128];
    snprintf(header, sizeof(header), "If-None-Match: W/\"1\", \"%llu\"\r\n",
             (unsigned long long)asset->tag);
    struct answer answer = fetch("/assets/app.js", header);
    assert_int_equal(answer.status, 304);
    assert_string_equal(answer.body, "");
    free_answer(&answer);

    answer = fetch("/assets/app.js", "If-None-Match: \"1\"\r\n");
    assert_int_equal(answer.status, 200);
    free_answer(&answer);
    answer = fetch("/assets/app.js", "If-None-Match: nonsense\r\n");
    assert_int_equal(answer.status, 200);
    free_answer(&answer);
}

static void test_other_files_do_not_exist(void **state)
{
    (void)state;
    expect_problem("GET", "/assets/none.js", "", "", 404, "not_found");
    expect_problem("GET", "/assets/package.json", "", "", 404, "not_found");
}

static void test_content_types(void **state)
{
    (void)state;
    assert_string_equal(asset_content_type("a.b.js"), "text/javascript; charset=utf-8");
    assert_string_equal(asset_content_type("icon.svg"), "image/svg+xml");
    assert_string_equal(asset_content_type(".js"), "application/octet-stream");
    assert_string_equal(asset_content_type("js"), "application/octet-stream");
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_every_file_is_served_without_a_token),
        TEST(test_root_is_the_page),
        TEST(test_an_unchanged_file_is_not_sent_again),
        TEST(test_other_files_do_not_exist),
        cmocka_unit_test(test_content_types),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
