#include "api/handlers.h"
#include "api/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *method, *path;
    int status; /* of the problem; 0 = found */
    int (*handle)(struct api_call *call);
    const char *name;
} rows[] = {
    {"GET", "/v1/tunnels", 0, api_list_tunnels, ""},
    {"HEAD", "/v1/tunnels", 0, api_list_tunnels, ""},
    {"POST", "/v1/tunnels", 0, api_create_tunnel, ""},
    {"GET", "/v1/tunnels/home", 0, api_get_tunnel, "home"},
    {"DELETE", "/v1/tunnels/a-1", 0, api_delete_tunnel, "a-1"},
    {"GET", "/v1/forwards", 0, api_list_forwards, ""},
    {"GET", "/v1/forwards/web", 0, api_get_forward, "web"},
    {"GET", "/v1/forwards/w%65b", 0, api_get_forward, "web"},
    {"GET", "/%76%31/forwards", 0, api_list_forwards, ""},
    {"GET", "/v1/status", 0, api_get_status, ""},
    {"HEAD", "/v1/info", 0, api_get_info, ""},
    {"GET", "/metrics", 0, api_get_metrics, ""},
    {"PUT", "/v1/tunnels/home", 0, api_put_tunnel, "home"},
    {"PATCH", "/v1/tunnels/home", 0, api_patch_tunnel, "home"},
    {"PUT", "/v1/forwards/web", 0, api_put_forward, "web"},
    {"PATCH", "/v1/forwards/web", 0, api_patch_forward, "web"},
    {"GET", "/v1/tunnels/home/peers", 0, api_list_peers, "home"},
    {"GET", "/v1/tunnels/home/peers/gw", 0, api_get_peer, "home"},
    {"PUT", "/v1/tunnels/home/peers/gw", 0, api_put_peer, "home"},
    {"GET", "/v1/tunnels/home/peers/", 404, NULL, ""},
    {"GET", "/v1/tunnels/home/peers/gw/x", 404, NULL, ""},
    {"GET", "/v1/tunnels/home/config", 0, api_get_tunnel_config, "home"},
    {"PUT", "/v1/tunnels/home/config", 0, api_put_tunnel_config, "home"},
    {"GET", "/livez", 0, api_get_livez, ""},
    {"GET", "/", 0, api_get_page, ""},
    {"HEAD", "/assets/app.js", 0, api_get_asset, "app.js"},
    {"GET", "/assets/%61pp.js", 0, api_get_asset, "app.js"},

    {"GET", "", 400, NULL, ""},
    {"GET", "*", 400, NULL, ""},
    {"GET", "v1/tunnels", 400, NULL, ""},
    {"GET", "/v1/tunnels/%2e%2e%2fx", 400, NULL, ""},
    {"GET", "/v1/tunnels%2Fa", 400, NULL, ""},
    {"GET", "/v1/tunnels/a%2fb", 400, NULL, ""},
    {"GET", "/v1/tunnels/a%", 400, NULL, ""},
    {"GET", "/v1/tunnels/a%0", 400, NULL, ""},
    {"GET", "/v1/tunnels/a%0a", 400, NULL, ""},
    {"GET", "/v1/tunnels/a%7f", 400, NULL, ""},
    {"GET", "/nowhere/%00", 400, NULL, ""},
    {"POST", "/", 405, NULL, ""},
    {"GET", "/assets", 404, NULL, ""},
    {"GET", "/assets/", 404, NULL, ""},
    {"GET", "/assets/.", 404, NULL, ""},
    {"GET", "/assets/..", 404, NULL, ""},
    {"GET", "/assets/APP.js", 404, NULL, ""},
    {"GET", "/assets/%2e%2e%2fapp.js", 400, NULL, ""},
    {"GET", "/assets/lib/app.js", 404, NULL, ""},
    {"GET", "//", 404, NULL, ""},
    {"GET", "/v1", 404, NULL, ""},
    {"GET", "/v1/", 404, NULL, ""},
    {"GET", "/v1/tunnels/", 404, NULL, ""},
    {"GET", "/v1/tunnels/home/", 404, NULL, ""},
    {"GET", "/v1/tunnels/.", 404, NULL, ""},
    {"GET", "/v1/tunnels/{name}", 404, NULL, ""},
    {"GET", "/v1/tunnelsx", 404, NULL, ""},
    {"GET", "/livez/x", 404, NULL, ""},
    {"PUT", "/v1/tunnels", 405, NULL, ""},
    {"POST", "/v1/tunnels/home", 405, NULL, ""},
    {"HEAD", "/nowhere", 404, NULL, ""},
    {"TRACE", "/livez", 405, NULL, ""},
    {"QUERY", "/livez", 405, NULL, ""},
    {"Get", "/livez", 501, NULL, ""},
    {"", "/livez", 501, NULL, ""},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_match match;
        struct problem problem = {0};
        int rc = api_router_find(api_routes, rows[i].method, rows[i].path, &match, &problem);
        if (problem.status != rows[i].status || (rc == 0) != (rows[i].status == 0))
            fail_msg("row %zu: %s %s: %d", i, rows[i].method, rows[i].path, problem.status);
        if (rc == 0) {
            assert_ptr_equal(match.route->handle, rows[i].handle);
            assert_string_equal(match.name, rows[i].name);
        }
    }
}

static void test_long_segments(void **state)
{
    (void)state;
    char path[4096] = "/v1/tunnels/";
    memset(path + 12, 'a', sizeof(path) - 13);
    struct api_match match;
    struct problem problem = {0};
    assert_int_equal(api_router_find(api_routes, "GET", path, &match, &problem), -1);
    assert_int_equal(problem.status, 404);
    path[12 + SPEC_NAME_MAX] = '\0';
    assert_int_equal(api_router_find(api_routes, "GET", path, &match, &problem), 0);
}

static void test_allow(void **state)
{
    (void)state;
    struct api_match match;
    struct problem problem = {0};
    api_router_find(api_routes, "POST", "/v1/tunnels/home", &match, &problem);
    assert_string_equal(match.allow, "GET, HEAD, PUT, PATCH, DELETE");
}

static void test_both_names(void **state)
{
    (void)state;
    struct api_match match;
    struct problem problem = {0};
    assert_int_equal(
        api_router_find(api_routes, "GET", "/v1/tunnels/home/peers/gw", &match, &problem), 0);
    assert_string_equal(match.name, "home");
    assert_string_equal(match.peer, "gw");
    assert_int_equal(api_router_find(api_routes, "GET", "/v1/tunnels/home", &match, &problem), 0);
    assert_string_equal(match.peer, "");
}

static bool shows_secrets(const char *path)
{
    return strncmp(path, "/v1/tokens", strlen("/v1/tokens")) == 0 ||
           strcmp(path, "/v1/tunnels/{name}/capture") == 0;
}

/* What changes something, all of tokens, and captures are for admins; the table says so. */
static void test_table(void **state)
{
    (void)state;
    for (const struct api_route *route = api_routes; route->method != NULL; route++) {
        bool for_admins = !api_method_is_safe(route->method) || shows_secrets(route->path);
        bool is_page = strcmp(route->path, "/") == 0 || strncmp(route->path, "/assets/", 8) == 0;
        enum api_role reads = is_page ? API_ROLE_NOBODY : API_ROLE_READ;
        assert_int_equal(route->role, for_admins ? API_ROLE_ADMIN : reads);
        assert_non_null(route->handle);
        if (api_method_is_safe(route->method))
            assert_int_equal(route->body, API_NO_BODY);
    }
    for (const struct api_route *route = api_health_routes; route->method != NULL; route++) {
        assert_int_equal(route->role, API_ROLE_NOBODY);
        assert_string_equal(route->method, "GET");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),  cmocka_unit_test(test_long_segments),
        cmocka_unit_test(test_allow), cmocka_unit_test(test_both_names),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
