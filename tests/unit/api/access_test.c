/*
 * Who may call, over HTTP: the health listener.
 */
#include "tests/unit/api/http_world.h"

/* A request to any listener; each line of the head with its CRLF. */
static struct answer send_to(uint16_t port, const char *line, const char *head)
{
    char request[512];
    int len = snprintf(request, sizeof(request), "%s\r\n%sConnection: close\r\n\r\n", line, head);
    uint16_t kept = fx.port;
    fx.port = port;
    int fd = connect_tcp();
    fx.port = kept;
    return exchange(fd, request, (size_t)len);
}

static void test_health_listener(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *head;
        int status;
    } rows[] = {
        {"GET /livez HTTP/1.1", "Host: 10.0.0.7:8686\r\n", 200},
        {"GET /readyz?verbose HTTP/1.1", "Host: 10.0.0.7:8686\r\n", 200},
        {"HEAD /readyz HTTP/1.1", "Host: [fd00::7]:8686\r\n", 200},
        {"GET /metrics HTTP/1.1", "Host: manytun.example.org\r\n", 200},
        {"GET /livez HTTP/1.0", "", 200},
        {"GET /livez HTTP/1.1", "Host: evil.example\r\n", 403},
        {"GET /v1/status HTTP/1.1", "Host: 10.0.0.7\r\n", 404},
        {"GET /v1/tunnels HTTP/1.1", "Host: 10.0.0.7\r\n", 404},
        {"GET /openapi.yaml HTTP/1.1", "Host: 10.0.0.7\r\n", 404},
        {"POST /metrics HTTP/1.1", "Host: 10.0.0.7\r\n", 405},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct answer answer = send_to(fx.health_port, rows[i].line, rows[i].head);
        if (answer.status != rows[i].status)
            fail_msg("%s: %s", rows[i].line, answer.text);
        free_answer(&answer);
        /* The API's own listener wants a token for all of it. */
        answer = send_to(fx.port, rows[i].line, "Host: 127.0.0.1\r\n");
        assert_int_equal(answer.status, 401);
        free_answer(&answer);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_health_listener),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
