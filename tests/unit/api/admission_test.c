#include "api/admission.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct token items[2];
static struct guess_limit guesses;
static struct tokens tokens = {.items = items, .count = 2};
static struct api_access access_rules = {.tokens = &tokens, .guesses = &guesses};

static int set_up(void **state)
{
    (void)state;
    memset(items, 0, sizeof(items));
    guess_limit_init(&guesses);
    strcpy(items[0].name, "boss");
    strcpy(items[1].name, "watcher");
    items[0].role = API_ROLE_ADMIN;
    token_hash("admin-token", items[0].hash);
    items[1].role = API_ROLE_READ;
    token_hash("read-token", items[1].hash);
    access_rules.auth_none = false;
    return 0;
}

#define ADMIN  .authorization = "Bearer admin-token"
#define READER .authorization = "Bearer read-token"
#define JSON   .content_type = "application/json"
#define TEXT   .content_type = "text/plain; charset=utf-8"

static const struct {
    struct api_head head;
    int status; /* of the problem; 0 = admitted */
} rows[] = {
    {{API_CALLER_TCP, "GET", "/v1/tunnels", .headers = {.host = "localhost", ADMIN}}, 0},
    {{API_CALLER_TCP, "GET", "/v1/tunnels", .headers = {.host = "localhost", READER}}, 0},
    {{API_CALLER_TCP, "POST", "/v1/tunnels", .headers = {.host = "localhost", ADMIN, JSON}}, 0},
    {{API_CALLER_OWNER, "DELETE", "/v1/tunnels/home", .headers = {.host = "anything"}}, 0},
    {{API_CALLER_TCP, "DELETE", "/v1/tunnels/home", .headers = {.host = "::1", ADMIN}}, 403},

    /* The form comes first. */
    {{API_CALLER_TCP, "GET", "/v1/tunnels", .headers = {ADMIN}}, 400},
    {{API_CALLER_OWNER, "GET", "/v1/tunnels", .headers = {0}}, 400},
    {{API_CALLER_TCP, "GET", "/v1/tunnels",
      .headers = {.host = "localhost", ADMIN, .repeated = true}},
     400},
    {{API_CALLER_TCP, "GET", "/v1/tunnels", .headers = {.host = "evil.example", ADMIN}}, 403},

    {{API_CALLER_OWNER, "POST", "/v1/tunnels",
      .headers = {.host = "x", JSON, .transfer_encoding = "chunked", .content_length = "5"}},
     400},
    {{API_CALLER_OWNER, "POST", "/v1/tunnels",
      .headers = {.host = "x", JSON, .transfer_encoding = "gzip"}},
     400},

    /* Without a token nothing can be told apart. */
    {{API_CALLER_TCP, "GET", "/v1/tunnels", .headers = {.host = "localhost"}}, 401},
    {{API_CALLER_TCP, "GET", "/nowhere", .headers = {.host = "localhost"}}, 401},
    {{API_CALLER_TCP, "BREW", "/v1/tunnels", .headers = {.host = "localhost"}}, 401},
    {{API_CALLER_TCP, "GET", "/%00", .headers = {.host = "localhost"}}, 401},
    {{API_CALLER_TCP, "POST", "/v1/tunnels",
      .headers = {.host = "localhost", .content_length = "9999999"}},
     401},
    {{API_CALLER_TCP, "GET", "/v1/tunnels",
      .headers = {.host = "localhost", .authorization = "Bearer x"}},
     401},
    {{API_CALLER_STRANGER, "GET", "/v1/tunnels", .headers = {.host = "localhost", ADMIN}}, 403},

    /* A health listener needs no token, and serves nothing else even with one. */
    {{API_CALLER_PROBE, "GET", "/livez", .headers = {.host = "10.0.0.7:8686"}}, 0},
    {{API_CALLER_PROBE, "HEAD", "/readyz", .headers = {.host = "[fd00::7]:8686"}}, 0},
    {{API_CALLER_PROBE, "GET", "/metrics", .headers = {.host = "localhost"}}, 0},
    {{API_CALLER_PROBE, "GET", "/livez", .headers = {0}}, 0},
    {{API_CALLER_PROBE, "GET", "/livez", .headers = {.host = "evil.example"}}, 403},
    {{API_CALLER_PROBE, "POST", "/livez", .headers = {.host = "10.0.0.7", JSON}}, 405},
    {{API_CALLER_PROBE, "GET", "/livez", .headers = {.host = "10.0.0.7", .content_length = "1"}},
     400},
    {{API_CALLER_PROBE, "GET", "/v1/status", .headers = {.host = "10.0.0.7", ADMIN}}, 404},
    {{API_CALLER_PROBE, "GET", "/v1/tunnels", .headers = {.host = "10.0.0.7", ADMIN}}, 404},
    {{API_CALLER_PROBE, "DELETE", "/v1/tunnels/home", .headers = {.host = "10.0.0.7", ADMIN}}, 404},
    {{API_CALLER_PROBE, "GET", "/openapi.yaml", .headers = {.host = "10.0.0.7", ADMIN}}, 404},

    /* But for the status page, which holds no data. */
    {{API_CALLER_TCP, "GET", "/", .headers = {.host = "localhost"}}, 0},
    {{API_CALLER_TCP, "GET", "/assets/app.js", .headers = {.host = "localhost"}}, 0},
    {{API_CALLER_TCP, "GET", "/", .headers = {.host = "localhost", .authorization = "Bearer x"}},
     0},
    {{API_CALLER_TCP, "GET", "/", .headers = {.host = "evil.example"}}, 403},
    {{API_CALLER_TCP, "POST", "/", .headers = {.host = "localhost"}}, 401},
    {{API_CALLER_TCP, "GET", "/", .headers = {.host = "localhost", .content_length = "1"}}, 400},
    {{API_CALLER_STRANGER, "GET", "/", .headers = {.host = "localhost"}}, 403},
    {{API_CALLER_OWNER, "GET", "/", .headers = {.host = "x"}}, 0},

    /* Roles. */
    {{API_CALLER_TCP, "POST", "/v1/tunnels", .headers = {.host = "localhost", READER, JSON}}, 403},
    {{API_CALLER_TCP, "DELETE", "/v1/tunnels/home", .headers = {.host = "localhost", READER}}, 403},
    {{API_CALLER_TCP, "GET", "/nowhere", .headers = {.host = "localhost", READER}}, 404},
    {{API_CALLER_TCP, "PUT", "/v1/tunnels", .headers = {.host = "localhost", READER}}, 405},

    /* Other web sites may read nothing that they could not before, and change nothing. */
    {{API_CALLER_TCP, "GET", "/v1/tunnels",
      .headers = {.host = "localhost", ADMIN, .origin = "http://e"}},
     0},
    {{API_CALLER_TCP, "POST", "/v1/tunnels",
      .headers = {.host = "localhost", ADMIN, JSON, .origin = "null"}},
     403},
    {{API_CALLER_TCP, "POST", "/v1/tunnels",
      .headers = {.host = "localhost:1", ADMIN, JSON, .origin = "http://localhost:1"}},
     0},
    {{API_CALLER_OWNER, "POST", "/v1/tunnels",
      .headers = {.host = "localhost", JSON, .sec_fetch_site = "cross-site"}},
     403},
    {{API_CALLER_TCP, "GET", "/v1/tunnels/home/capture", .headers = {.host = "localhost", ADMIN}},
     0},
    {{API_CALLER_TCP, "GET", "/v1/tunnels/home/capture",
      .headers = {.host = "localhost", ADMIN, .sec_fetch_site = "cross-site"}},
     403},

    /* What the head says of the body. */
    {{API_CALLER_OWNER, "PUT", "/v1/tunnels/a/config", .headers = {.host = "x", TEXT}}, 0},
    {{API_CALLER_OWNER, "PUT", "/v1/tunnels/a/config", .headers = {.host = "x"}}, 415},
    {{API_CALLER_OWNER, "PUT", "/v1/tunnels/a/config", .headers = {.host = "x", JSON}}, 415},
    {{API_CALLER_OWNER, "PUT", "/v1/tunnels/a", .headers = {.host = "x", TEXT}}, 415},
    {{API_CALLER_OWNER, "POST", "/v1/tunnels", .headers = {.host = "x"}}, 415},
    {{API_CALLER_OWNER, "POST", "/v1/tunnels",
      .headers = {.host = "x", .content_type = "text/json"}},
     415},
    {{API_CALLER_OWNER, "POST", "/v1/tunnels",
      .headers = {.host = "x", JSON, .content_encoding = "gzip"}},
     415},
    {{API_CALLER_OWNER, "POST", "/v1/tunnels",
      .headers = {.host = "x", JSON, .content_length = "1048576"}},
     0},
    {{API_CALLER_OWNER, "POST", "/v1/tunnels",
      .headers = {.host = "x", JSON, .content_length = "1048577"}},
     413},
    {{API_CALLER_OWNER, "POST", "/v1/tunnels",
      .headers = {.host = "x", JSON, .content_length = "99999999999999999999999999"}},
     413},
    {{API_CALLER_OWNER, "POST", "/v1/tunnels",
      .headers = {.host = "x", JSON, .transfer_encoding = "chunked"}},
     0},
    {{API_CALLER_OWNER, "GET", "/v1/tunnels", .headers = {.host = "x", .content_length = "0"}}, 0},
    {{API_CALLER_OWNER, "GET", "/v1/tunnels", .headers = {.host = "x", .content_length = "1"}},
     400},
    {{API_CALLER_OWNER, "GET", "/v1/tunnels",
      .headers = {.host = "x", .transfer_encoding = "chunked"}},
     400},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_match match;
        struct problem problem = {0};
        int rc = api_admit(&access_rules, &rows[i].head, &match, &problem);
        if (problem.status != rows[i].status || (rc == 0) != (rows[i].status == 0))
            fail_msg("row %zu: %s %s: %d %s", i, rows[i].head.method, rows[i].head.path,
                     problem.status, problem.detail);
    }
}

static void test_auth_none(void **state)
{
    (void)state;
    access_rules.auth_none = true;
    struct api_head head = {API_CALLER_TCP, "DELETE", "/v1/tunnels/home",
                            .headers = {.host = "localhost"}};
    struct api_match match;
    struct problem problem = {0};
    assert_int_equal(api_admit(&access_rules, &head, &match, &problem), 0);
    head.headers.host = "evil.example";
    assert_int_equal(api_admit(&access_rules, &head, &match, &problem), -1);
}

static void expect_actor(struct api_head head, const char *actor)
{
    struct api_match match;
    struct problem problem = {0};
    assert_int_equal(api_admit(&access_rules, &head, &match, &problem), 0);
    assert_string_equal(match.actor, actor);
}

static void test_actors(void **state)
{
    (void)state;
    expect_actor((struct api_head){API_CALLER_TCP, "GET", "/livez",
                                   .headers = {.host = "localhost", ADMIN}},
                 "token:boss");
    expect_actor((struct api_head){API_CALLER_TCP, "GET", "/livez",
                                   .headers = {.host = "localhost", READER}},
                 "token:watcher");
    expect_actor((struct api_head){API_CALLER_OWNER, "GET", "/livez", .headers = {.host = "x"},
                                   .uid = 1000},
                 "uid:1000");
    access_rules.auth_none = true;
    expect_actor((struct api_head){API_CALLER_TCP, "GET", "/livez",
                                   .headers = {.host = "localhost"}},
                 "anonymous");
}

static void test_headers(void **state)
{
    (void)state;
    struct api_headers headers = {0};
    api_headers_add(&headers, "HOST", "a");
    api_headers_add(&headers, "x-other", "b");
    api_headers_add(&headers, "X-Other", "c");
    api_headers_add(&headers, "Content-Type", NULL);
    assert_string_equal(headers.host, "a");
    assert_string_equal(headers.content_type, "");
    assert_false(headers.repeated);
    api_headers_add(&headers, "host", "a");
    assert_true(headers.repeated);
}

static void test_roles_of_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *authorization;
        enum api_role role;
    } values[] = {
        {"Bearer admin-token", API_ROLE_ADMIN},
        {"bearer admin-token", API_ROLE_ADMIN},
        {"Bearer  read-token", API_ROLE_READ},
        {NULL, API_ROLE_NOBODY},
        {"", API_ROLE_NOBODY},
        {"Bearer", API_ROLE_NOBODY},
        {"Bearer ", API_ROLE_NOBODY},
        {"admin-token", API_ROLE_NOBODY},
        {"Bearer admin-token ", API_ROLE_NOBODY},
        {"Bearer Admin-token", API_ROLE_NOBODY},
        {"Basic admin-token", API_ROLE_NOBODY},
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        const struct timespec now = {.tv_sec = 1};
        const struct token *token = tokens_authenticate(&tokens, values[i].authorization, &now);
        assert_int_equal(token != NULL ? token->role : API_ROLE_NOBODY, values[i].role);
    }
}

/* The caller's role and token are told to the handler; a token counts until it expires. */
static void test_identity(void **state)
{
    (void)state;
    struct api_match match;
    struct problem problem = {0};
    struct api_head head = {.caller = API_CALLER_TCP,
                            .method = "GET",
                            .path = "/v1/tunnels",
                            .headers = {.host = "localhost", READER}};
    assert_int_equal(api_admit(&access_rules, &head, &match, &problem), 0);
    assert_int_equal(match.role, API_ROLE_READ);
    assert_true(items[1].last_used_at.tv_sec > 0);
    items[1].expires_at = items[1].last_used_at;
    assert_int_equal(api_admit(&access_rules, &head, &match, &problem), -1);
    assert_int_equal(problem.status, 401);
    items[1].expires_at.tv_sec += 3600;
    assert_int_equal(api_admit(&access_rules, &head, &match, &problem), 0);
    head.caller = API_CALLER_OWNER;
    assert_int_equal(api_admit(&access_rules, &head, &match, &problem), 0);
    assert_int_equal(match.role, API_ROLE_ADMIN);
}

static void test_generated_tokens(void **state)
{
    (void)state;
    char one[TOKEN_TEXT];
    char two[TOKEN_TEXT];
    token_generate(one);
    token_generate(two);
    assert_int_equal(strlen(one), TOKEN_TEXT - 1);
    assert_true(strcmp(one, two) != 0);
    assert_int_equal(strspn(one,
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                     strlen(one));
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_rows, set_up),
        cmocka_unit_test_setup(test_auth_none, set_up),
        cmocka_unit_test_setup(test_actors, set_up),
        cmocka_unit_test_setup(test_headers, set_up),
        cmocka_unit_test_setup(test_roles_of_tokens, set_up),
        cmocka_unit_test_setup(test_identity, set_up),
        cmocka_unit_test_setup(test_generated_tokens, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
