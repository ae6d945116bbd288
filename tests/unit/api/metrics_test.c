/*
 * /metrics over HTTP, with counters set by hand. Several tests look for whole lines: names and
 * labels are a contract with dashboards.
 */
#include "tests/unit/api/exposition_check.h"
#include "tests/unit/api/http_world.h"

#include "engine/stack/stack.h"

#define PACKAGING TEST_VECTORS "/../../packaging/"

static struct exposition_check check;

/* The metrics, after the checker has seen them. */
static struct answer scrape(void)
{
    struct answer answer = call("GET", "/metrics", "", "");
    assert_int_equal(answer.status, 200);
    assert_true(has_header(&answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8"));
    exposition_check(&check, answer.body);
    return answer;
}

static bool has_line(const struct answer *answer, const char *line)
{
    char wanted[512];
    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    return strstr(answer->body, wanted) != NULL;
}

static void expect_lines(const char *const *lines, size_t count)
{
    struct answer answer = scrape();
    for (size_t i = 0; i < count; i++) {
        if (!has_line(&answer, lines[i]))
            fail_msg("no line %s in:\n%s", lines[i], answer.body);
    }
    free_answer(&answer);
}

#define EXPECT_LINES(...)                                                                          \
    expect_lines((const char *const[]){__VA_ARGS__},                                               \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* A line that begins with this. */
static bool has_series(const char *start)
{
    struct answer answer = scrape();
    char wanted[256];
    snprintf(wanted, sizeof(wanted), "\n%s", start);
    bool has = strstr(answer.body, wanted) != NULL;
    free_answer(&answer);
    return has;
}

static void test_without_objects(void **state)
{
    (void)state;
    counter_set(&fake.counters.stack_limits[STACK_LIMIT_SEND_QUEUE], 31);
    counter_set(&fake.counters.stack_out_of_memory, 32);
    EXPECT_LINES("manytun_build_info{version=\"" MANYTUN_VERSION "\"} 1",
                 "manytun_worker_up{worker=\"0\"} 1",
                 "manytun_worker_accept_paused_total{worker=\"0\"} 0",
                 "manytun_worker_limit_reached_total{worker=\"0\",limit=\"send_queue\"} 31",
                 "manytun_worker_limit_reached_total{worker=\"0\",limit=\"connections\"} 0",
                 "manytun_worker_out_of_memory_total{worker=\"0\"} 32");
    assert_true(has_series("process_start_time_seconds 1"));
    assert_true(has_series("process_open_fds "));
    assert_true(has_series("process_max_fds "));
    assert_true(has_series("process_resident_memory_bytes "));
    assert_false(has_series("manytun_tunnel_ready{"));
    assert_false(has_series("manytun_forward_ready{"));
}

#define KEY_C "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="

static void test_tunnel(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    assert_false(has_series("wireguard_latest_handshake_seconds{"));
    assert_false(has_series("manytun_tunnel_latest_handshake_seconds{"));
    struct supervised_tunnel *supervised = service_find_tunnel(fx.service, "home")->supervised;
    struct counters_tunnel *counters = &supervised->counters;
    assert_false(has_series("manytun_tunnel_handshake_fresh{"));
    counter_set(&supervised->peers[0].unanswered, 3);
    counter_set(&supervised->peers[0].rx_bytes, 901);
    counter_set(&supervised->peers[0].tx_bytes, 902);
    counter_set(&supervised->peers[0].handshakes_given_up, 4);
    counter_set(&supervised->peers[0].last_handshake_unix_ns, 1600000000500000000);
    counter_set(&counters->rx_bytes, 1001);
    counter_set(&counters->tx_bytes, 1002);
    counter_set(&counters->rx_packets, 11);
    counter_set(&counters->tx_packets, 12);
    counter_set(&counters->handshakes, 3);
    counter_set(&counters->last_handshake_unix_ns, 1700000000500000000);
    counter_set(&counters->dropped_in, 21);
    counter_set(&counters->dropped_out, 22);
    counter_set(&counters->connections, 5);
    counter_set(&counters->staged_packets, 6);
    counter_set(&counters->queued_handshakes, 8);
#define PEER "{interface=\"home\",public_key=\"" KEY_B "\",friendly_name=\"peer-1\"} "
    EXPECT_LINES("wireguard_sent_bytes_total" PEER "902",
                 "wireguard_received_bytes_total" PEER "901",
                 "wireguard_latest_handshake_seconds" PEER "1600000000.500000000",
                 "wireguard_handshakes_given_up_total" PEER "4",
                 "manytun_tunnel_ready{tunnel=\"home\"} 0",
                 "manytun_tunnel_bytes_total{tunnel=\"home\",direction=\"in\"} 1001",
                 "manytun_tunnel_bytes_total{tunnel=\"home\",direction=\"out\"} 1002",
                 "manytun_tunnel_packets_total{tunnel=\"home\",direction=\"in\"} 11",
                 "manytun_tunnel_packets_total{tunnel=\"home\",direction=\"out\"} 12",
                 "manytun_tunnel_dropped_packets_total{tunnel=\"home\",direction=\"in\"} 21",
                 "manytun_tunnel_dropped_packets_total{tunnel=\"home\",direction=\"out\"} 22",
                 "manytun_tunnel_handshakes_total{tunnel=\"home\"} 3",
                 "manytun_tunnel_latest_handshake_seconds{tunnel=\"home\"} 1700000000.500000000",
                 "manytun_tunnel_staged_packets{tunnel=\"home\"} 6",
                 "manytun_tunnel_queued_handshakes{tunnel=\"home\"} 8",
                 "manytun_tunnel_endpoint_resolved{tunnel=\"home\"} 1",
                 "manytun_tunnel_handshake_fresh{tunnel=\"home\"} 0",
                 "manytun_tunnel_connections{tunnel=\"home\"} 5");
#undef PEER
}

/* Each peer has its own series, but for those beyond the limit. */
static void test_tunnel_with_two_peers(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels",
                  "{\"name\":\"two\",\"private_key\":\"" KEY_A "\",\"addresses\":[\"10.9.0.2/32\"],"
                  "\"listen_address\":\"127.0.0.1\",\"peers\":[{\"public_key\":\"" KEY_B
                  "\"},{\"name\":\"b\",\"public_key\":\"" KEY_C "\"}]}",
                  201);
    struct supervised_tunnel *supervised = service_find_tunnel(fx.service, "two")->supervised;
    counter_set(&supervised->peers[0].tx_bytes, 1);
    counter_set(&supervised->peers[1].tx_bytes, 2);
    EXPECT_LINES("wireguard_sent_bytes_total{interface=\"two\",public_key=\"" KEY_B
                 "\",friendly_name=\"peer-1\"} 1",
                 "wireguard_sent_bytes_total{interface=\"two\",public_key=\"" KEY_C
                 "\",friendly_name=\"b\"} 2");
}

static void test_forward(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("web"), 201);
    struct counters_forward *counters =
        &service_find_forward(fx.service, "web")->supervised->counters;
    counter_set(&counters->connections_active, 2);
    counter_set(&counters->connections_total, 7);
    counter_set(&counters->connect_failures, 1);
    counter_set(&counters->bytes_in, 1ULL << 40);
    counter_set(&counters->bytes_out, 200);
    assert_false(has_series("manytun_forward_target_reachable{"));
    counter_set(&counters->last_error_at, 1);
    EXPECT_LINES("manytun_forward_target_reachable{forward=\"web\"} 0",
                 "manytun_forward_ready{forward=\"web\"} 1",
                 "manytun_forward_bytes_total{forward=\"web\",direction=\"in\"} 1099511627776",
                 "manytun_forward_bytes_total{forward=\"web\",direction=\"out\"} 200",
                 "manytun_forward_connections_active{forward=\"web\"} 2",
                 "manytun_forward_connections_total{forward=\"web\"} 7",
                 "manytun_forward_connect_failures_total{forward=\"web\"} 1");
    expect_status("DELETE", "/v1/forwards/web", "", 204);
    assert_false(has_series("manytun_forward_ready{"));
}

static void test_disabled_forward(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/forwards",
                  "{\"name\":\"web\",\"tunnel\":\"home\",\"enabled\":false,"
                  "\"target\":{\"host\":\"192.168.4.2\",\"port\":80}}",
                  201);
    assert_false(has_series("manytun_forward_ready{"));
    assert_false(has_series("manytun_forward_bytes_total{"));
}

static void test_worker_down(void **state)
{
    (void)state;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    expect_status("POST", "/v1/forwards", FORWARD("web"), 201);
    fake.alive = 0;
    counter_set(&fake.counters.udp_tx_errors, 4);
    EXPECT_LINES("manytun_worker_up{worker=\"0\"} 0",
                 "manytun_worker_udp_tx_errors_total{worker=\"0\"} 4",
                 "manytun_worker_udp_tx_blocked_total{worker=\"0\"} 0",
                 "manytun_tunnel_ready{tunnel=\"home\"} 0");
    fake.alive = 1;
    counter_set(&fake.counters.udp_tx_errors, 0);
}

static void test_requests_are_counted(void **state)
{
    (void)state;
    expect_status("GET", "/v1/forwards/a", "", 404);
    expect_status("GET", "/v1/forwards/b", "", 404);
    expect_status("HEAD", "/v1/forwards", "", 200);
    expect_status("GET", "/nowhere", "", 404);
    expect_status("BREW", "/v1/forwards", "", 501);
    EXPECT_LINES("manytun_http_requests_total{route=\"/v1/forwards/{name}\",code=\"404\"} 2",
                 "manytun_http_requests_total{route=\"/v1/forwards\",code=\"200\"} 1",
                 "manytun_http_requests_total{route=\"none\",code=\"404\"} 1",
                 "manytun_http_requests_total{route=\"none\",code=\"501\"} 1");
    EXPECT_LINES("manytun_http_requests_total{route=\"/metrics\",code=\"200\"} 1");
}

static void test_needs_a_token(void **state)
{
    (void)state;
    memset(fx.token, 'x', 8);
    expect_problem("GET", "/metrics", "", "", 401, "unauthorized");
}

static void test_head(void **state)
{
    (void)state;
    struct answer answer = call("HEAD", "/metrics", "", "");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "");
    free_answer(&answer);
}

static void test_many_forwards(void **state)
{
    (void)state;
    /* Two descriptors each: the listener, and the fake worker's. */
    size_t room = allow_descriptors() / 2 - 100;
    size_t count = room < 5000 ? room : 5000;
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    assert_int_equal(store_begin(fx.store), 0); /* so that the disk is not waited for each time */
    for (size_t i = 0; i < count; i++) {
        struct spec_forward spec = {.enabled = true, .target_port = 80};
        snprintf(spec.name, sizeof(spec.name), "f%zu", i);
        strcpy(spec.tunnel, "home");
        inet_addr_parse("127.0.0.1", &spec.listen_address);
        inet_addr_parse("192.168.4.2", &spec.target_address);
        spec.connect_timeout_seconds = SPEC_CONNECT_TIMEOUT_DEFAULT;
        const struct service_forward *forward;
        struct problem problem = {0};
        if (service_create_forward(fx.service, &spec, &forward, &problem) < 0)
            fail_msg("%s", problem.detail);
    }
    assert_int_equal(store_end(fx.store, 0), 0);
    struct answer answer = scrape();
    size_t lines = 0;
    for (const char *at = answer.body; (at = strstr(at, "{forward=\"f")) != NULL; at++)
        lines++;
    assert_int_equal(lines, 6 * count);
    free_answer(&answer);
}

/* --- What is shipped for Prometheus and Grafana ----------------------------------------------- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Every word in the file that begins like one of our metrics is one. Returns how many. */
static size_t check_names_in(const char *path)
{
    static const char *const prefixes[] = {"manytun_", "wireguard_", "process_"};
    static char text[1 << 18];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    assert_true(len < sizeof(text) - 1);
    fclose(file);
    text[len] = '\0';
    size_t found = 0;
    for (size_t at = 0; at < len; at++) {
        size_t end = at;
        while (is_word(text[end]))
            end++;
        for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
            if (strncmp(text + at, prefixes[i], strlen(prefixes[i])) != 0)
                continue;
            char name[CHECK_NAME_MAX];
            snprintf(name, sizeof(name), "%.*s", (int)(end - at), text + at);
            if (!exposition_check_has(&check, name))
                fail_msg("%s: %s is no metric", path, name);
            found++;
        }
        at = end;
    }
    return found;
}

static void test_packaging_uses_what_is_served(void **state)
{
    (void)state;
    struct answer answer = scrape();
    free_answer(&answer);
    assert_true(check_names_in(PACKAGING "prometheus/alerts.yml") > 5);
    assert_true(check_names_in(PACKAGING "grafana/manytun.json") > 5);
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_without_objects),
        TEST(test_tunnel),
        TEST(test_tunnel_with_two_peers),
        TEST(test_forward),
        TEST(test_disabled_forward),
        TEST(test_worker_down),
        TEST(test_requests_are_counted),
        TEST(test_needs_a_token),
        TEST(test_head),
        TEST(test_many_forwards),
        TEST(test_packaging_uses_what_is_served),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
