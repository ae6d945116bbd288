/*
 * /v1/status and /v1/info over HTTP.
 */
#include "tests/unit/api/http_world.h"

static long long number_of(const cJSON *json, const char *name)
{
    const cJSON *item = json_member(json, name);
    assert_true(cJSON_IsNumber(item));
    return (long long)item->valuedouble;
}

static struct answer get(const char *path)
{
    struct answer answer = call("GET", path, "", "");
    assert_int_equal(answer.status, 200);
    assert_true(has_header(&answer, "Content-Type: application/json"));
    assert_non_null(answer.json);
    return answer;
}

static void expect_counts(const cJSON *status, const char *kind, long long total, long long ready)
{
    const cJSON *counts = json_member(status, kind);
    assert_int_equal(number_of(counts, "total"), total);
    assert_int_equal(number_of(counts, "ready"), ready);
}

static void test_without_objects(void **state)
{
    (void)state;
    struct answer answer = get("/v1/status");
    expect_counts(answer.json, "tunnels", 0, 0);
    expect_counts(answer.json, "forwards", 0, 0);
    assert_int_equal(number_of(answer.json, "problems_total"), 0);
    assert_true(cJSON_IsArray(json_member(answer.json, "problems")));
    free_answer(&answer);
}

static void test_sums(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("a"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("b"), 201);
    static const char *const names[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        struct counters_forward *counters =
            &service_find_forward(fx.service, names[i])->supervised->counters;
        counter_set(&counters->connections_active, 1);
        counter_set(&counters->connections_total, 10);
        counter_set(&counters->connect_failures, 3);
        counter_set(&counters->bytes_in, 100);
        counter_set(&counters->bytes_out, 1000);
    }
    struct answer answer = get("/v1/status");
    expect_counts(answer.json, "tunnels", 1, 1);
    expect_counts(answer.json, "forwards", 2, 2);
    assert_int_equal(number_of(answer.json, "connections_active"), 2);
    assert_int_equal(number_of(answer.json, "connections_total"), 20);
    assert_int_equal(number_of(answer.json, "connect_failures_total"), 6);
    assert_int_equal(number_of(answer.json, "bytes_in_total"), 200);
    assert_int_equal(number_of(answer.json, "bytes_out_total"), 2000);
    assert_int_equal(number_of(answer.json, "problems_total"), 0);
    free_answer(&answer);
}

static void test_disabled_is_no_problem(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/forwards",
                  "{\"name\":\"web\",\"tunnel\":\"home\",\"enabled\":false,"
                  "\"target\":{\"host\":\"192.168.4.2\",\"port\":80}}",
                  201);
    struct answer answer = get("/v1/status");
    expect_counts(answer.json, "forwards", 1, 0);
    assert_int_equal(number_of(json_member(answer.json, "forwards"), "disabled"), 1);
    assert_int_equal(number_of(answer.json, "problems_total"), 0);
    free_answer(&answer);
}

static void test_problems(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    fake.alive = 0;
    struct answer answer = get("/v1/status");
    fake.alive = 1;
    expect_counts(answer.json, "tunnels", 1, 0);
    assert_int_equal(number_of(answer.json, "problems_total"), 1);
    const cJSON *problem = json_member(answer.json, "problems")->child;
    assert_non_null(problem);
    assert_string_equal(text_of(problem, "kind"), "tunnel");
    assert_string_equal(text_of(problem, "name"), "home");
    assert_string_equal(text_of(problem, "reason"), "WorkerDown");
    assert_true(strlen(text_of(problem, "message")) > 0);
    assert_int_equal(strlen(text_of(problem, "since")), strlen("2024-05-01T12:00:00.000Z"));
    free_answer(&answer);
    answer = get("/v1/status");
    assert_int_equal(number_of(answer.json, "problems_total"), 0);
    free_answer(&answer);
}

/* A forward whose port is taken while the service is away. */
static void test_taken_port(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    char body[256];
    snprintf(body, sizeof(body),
             "{\"name\":\"web\",\"tunnel\":\"home\",\"listen\":{\"port\":%d},"
             "\"target\":{\"host\":\"192.168.4.2\",\"port\":80}}",
             ntohs(address.sin_port));
    expect_status("POST", "/v1/forwards", body, 201);
    stop();
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    start(false);
    struct answer answer = get("/v1/status");
    close(fd);
    expect_counts(answer.json, "tunnels", 1, 1);
    expect_counts(answer.json, "forwards", 1, 0);
    const cJSON *problem = json_member(answer.json, "problems")->child;
    assert_non_null(problem);
    assert_string_equal(text_of(problem, "kind"), "forward");
    assert_string_equal(text_of(problem, "reason"), "AddressInUse");
    free_answer(&answer);
}

/* The list ends at its limit, the count does not. */
static void test_many_problems(void **state)
{
    (void)state;
    enum { TUNNELS = 1001 };
    if (allow_descriptors() < 2 * TUNNELS + 100)
        skip();
    for (int i = 0; i < TUNNELS; i++) {
        struct spec_tunnel spec = {.mtu = SPEC_MTU_DEFAULT, .addresses_count = 1};
        snprintf(spec.name, sizeof(spec.name), "t%d", i);
        inet_prefix_parse("10.9.0.2/32", &spec.addresses[0]);
        inet_addr_parse("127.0.0.1", &spec.listen_address);
        spec.private_key[0] = 1;
        const struct service_tunnel *tunnel;
        struct problem problem = {0};
        if (service_create_tunnel(fx.service, &spec, &tunnel, &problem) < 0)
            fail_msg("%s", problem.detail);
    }
    fake.alive = 0;
    struct answer answer = get("/v1/status");
    fake.alive = 1;
    assert_int_equal(number_of(answer.json, "problems_total"), TUNNELS);
    assert_int_equal(cJSON_GetArraySize(json_member(answer.json, "problems")), 1000);
    free_answer(&answer);
}

static void test_info(void **state)
{
    (void)state;
    struct answer answer = get("/v1/info");
    assert_string_equal(text_of(answer.json, "version"), MANYTUN_VERSION);
    assert_string_equal(text_of(answer.json, "api_version"), "v1");
    assert_string_equal(text_of(answer.json, "auth"), "token");
    assert_int_equal(strlen(text_of(answer.json, "started_at")),
                     strlen("2024-05-01T12:00:00.000Z"));
    assert_true(number_of(answer.json, "uptime_seconds") < 60);
    assert_int_equal(number_of(json_member(answer.json, "workers"), "count"), 1);
    assert_int_equal(number_of(json_member(answer.json, "workers"), "alive"), 1);
    assert_int_equal(number_of(json_member(answer.json, "limits"), "body_bytes"), 1 << 20);
    free_answer(&answer);
    stop();
    start(true);
    answer = get("/v1/info");
    assert_string_equal(text_of(answer.json, "auth"), "none");
    free_answer(&answer);
}

static void ignore_drained(void *ctx)
{
    (void)ctx;
}

/* The API answers, but changes nothing; probes send no one here any more. */
static void test_draining(void **state)
{
    (void)state;
    struct answer answer = call("POST", "/v1/tunnels", "", TUNNEL("home"));
    assert_int_equal(answer.status, 201);
    free_answer(&answer);
    service_drain(fx.service, ignore_drained, NULL);
    assert_non_null(fake.drained);
    expect_problem("POST", "/v1/forwards", "", FORWARD("web"), 503, "draining");
    expect_problem("DELETE", "/v1/tunnels/home", "", "", 503, "draining");
    answer = call("PUT", "/v1/tunnels/home", "", TUNNEL("home"));
    assert_true(has_header(&answer, "Retry-After: 1"));
    free_answer(&answer);
    answer = get("/v1/status");
    assert_true(cJSON_IsTrue(json_member(answer.json, "draining")));
    free_answer(&answer);
    answer = call("GET", "/readyz?verbose=true", "", "");
    assert_int_equal(answer.status, 503);
    assert_string_equal(text_of(answer.json, "status"), "draining");
    free_answer(&answer);
    answer = call("GET", "/livez", "", "");
    assert_int_equal(answer.status, 200);
    free_answer(&answer);
}

static void test_heads_and_parameters(void **state)
{
    (void)state;
    static const char *const paths[] = {"/v1/status", "/v1/info"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct answer answer = call("HEAD", paths[i], "", "");
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "");
        free_answer(&answer);
        expect_problem("POST", paths[i], "", "{}", 405, "method_not_allowed");
    }
    expect_problem("GET", "/v1/status?verbose=true", "", "", 400, "unknown_parameter");
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_without_objects),
        TEST(test_sums),
        TEST(test_disabled_is_no_problem),
        TEST(test_problems),
        TEST(test_taken_port),
        TEST(test_many_problems),
        TEST(test_info),
        TEST(test_draining),
        TEST(test_heads_and_parameters),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
