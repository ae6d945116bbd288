/* run_config: the predecessor's grammar, and every error told. */
#include "cli/run_config.h"

#include "tests/support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define KEY        "4L6+vGCYDDwMvJ0bmWRbNhYyVFTPC4pxDdM6gXbGm0c="
#define PUBLIC_KEY "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

static void parses_forwards(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *listen, *target; /* NULL = refused */
    } rows[] = {
        {"8080:192.168.4.2:80", "127.0.0.1:8080", "192.168.4.2:80"},
        {"8080:192.168.4.2:80:TCP", "127.0.0.1:8080", "192.168.4.2:80"},
        {"8080:192.168.4.2:80:tcp,TCP", "127.0.0.1:8080", "192.168.4.2:80"},
        {"0.0.0.0:8080:192.168.4.2:80", "0.0.0.0:8080", "192.168.4.2:80"},
        {"0.0.0.0:8080:192.168.4.2:80:TCP", "0.0.0.0:8080", "192.168.4.2:80"},
        {"localhost:8080:192.168.4.2:80", "127.0.0.1:8080", "192.168.4.2:80"},
        {"[::1]:8080:[fd00::2]:80", "[::1]:8080", "[fd00::2]:80"},
        {"8080:[fd00::2]:80:TCP", "127.0.0.1:8080", "[fd00::2]:80"},
        {"0:10.0.0.1:1", "127.0.0.1:0", "10.0.0.1:1"},
        {"", NULL, NULL},
        {"8080", NULL, NULL},
        {"8080:192.168.4.2", NULL, NULL},
        {"8080:192.168.4.2:", NULL, NULL},
        {"8080:192.168.4.2:0", NULL, NULL},
        {"8080:192.168.4.2:65536", NULL, NULL},
        {"-1:192.168.4.2:80", NULL, NULL},
        {"8080:192.168.4.2:80:", NULL, NULL},
        {"8080:192.168.4.2:80:SCTP", NULL, NULL},
        {"8080:192.168.4.2:80:UDP", NULL, NULL},
        {"8080:192.168.4.2:80:TCP,UDP", NULL, NULL},
        {"8080:192.168.4.2:80:TCP:", NULL, NULL},
        {"8080:192.168.4.2:80 trailing", NULL, NULL},
        {"1:8080:192.168.4.2:80:TCP:x", NULL, NULL},
        {"[::1:8080:192.168.4.2:80", NULL, NULL},
        {"[::1]8080:192.168.4.2:80", NULL, NULL},
        {"8080:fd00::2:80", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct spec_forward forward;
        struct run_errors errors = {0};
        int result = run_forward_parse(rows[i].text, AF_INET, &forward, &errors);
        if (!rows[i].listen) {
            assert_int_equal(result, -1);
            assert_int_equal(errors.count, 1);
            assert_non_null(strstr(errors.texts[0], rows[i].text));
            continue;
        }
        union inet_sockaddr listen, target;
        char text[INET_SOCKADDR_TEXT];
        assert_int_equal(result, 0);
        inet_sockaddr_make(&listen, &forward.listen_address, forward.listen_port);
        inet_sockaddr_make(&target, &forward.target_address, forward.target_port);
        assert_string_equal(inet_sockaddr_print(&listen, text), rows[i].listen);
        assert_string_equal(inet_sockaddr_print(&target, text), rows[i].target);
    }
}

static int read_line(const char *line, struct run_config *config, struct run_errors *errors)
{
    enum { ARGUMENTS_MAX = 32 };
    char copy[1024];
    char *argv[ARGUMENTS_MAX + 1] = {"onetun"};
    int argc = 1;
    char *rest = NULL;
    struct options options;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    assert_int_equal(options_parse(argc, argv, &options), 0);
    int result = run_config_read(&options, config, errors);
    options_fini(&options);
    return result;
}

#define GOOD                                                                                       \
    "--private-key " KEY " --endpoint-public-key " PUBLIC_KEY                                      \
    " --endpoint-addr vpn.example.org:51820 --source-peer-ip 192.168.4.3 "

static void reads_a_whole_line(void **state)
{
    (void)state;
    struct run_config config;
    struct run_errors errors;
    assert_int_equal(read_line(GOOD "--keep-alive 10 --max-transmission-unit 1400 "
                                    "--preshared-key " KEY " --endpoint-bind-addr 0.0.0.0:5000 "
                                    "--congestion-control bbr "
                                    "8080:192.168.4.2:80 8081:192.168.4.2:81",
                               &config, &errors),
                     0);
    assert_int_equal(config.forwards_count, 2);
    assert_string_equal(config.forwards[1].name, "forward-2");
    assert_int_equal(config.tunnel.mtu, 1400);
    assert_int_equal(config.tunnel.listen_port, 5000);
    assert_int_equal(config.tunnel.congestion_control, SPEC_BBR);
    assert_int_equal(config.tunnel.peers[0].keepalive_seconds, 10);
    assert_true(config.tunnel.peers[0].has_preshared_key);
    assert_string_equal(config.tunnel.peers[0].endpoint_host, "vpn.example.org");
    assert_int_equal(config.tunnel.peers[0].endpoint_port, 51820);
    run_config_fini(&config);
}

static void reads_the_old_form(void **state)
{
    (void)state;
    struct run_config config;
    struct run_errors errors;
    assert_int_equal(read_line(GOOD "127.0.0.1:8080 192.168.4.2:80", &config, &errors), 0);
    assert_int_equal(config.forwards_count, 1);
    assert_int_equal(config.forwards[0].listen_port, 8080);
    assert_int_equal(config.forwards[0].target_port, 80);
    run_config_fini(&config);
}

static void tells_every_error(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        size_t count;
        const char *first; /* in the first error */
    } rows[] = {
        {"", 5, "--private-key-file"},
        {GOOD, 1, "no forward"},
        {GOOD "8080:x", 1, "8080:x"},
        {GOOD "--congestion-control reno 1:10.0.0.1:1", 1, "neither cubic nor bbr"},
        {GOOD "--private-key-file /nonexistent 1:10.0.0.1:1", 1, "exclude"},
        {"--private-key-file /nonexistent/key --endpoint-public-key " PUBLIC_KEY
         " --endpoint-addr a:1 --source-peer-ip 10.0.0.2 1:10.0.0.1:1",
         1, "/nonexistent/key"},
        {"--private-key short --endpoint-public-key " PUBLIC_KEY
         " --endpoint-addr a --source-peer-ip x --keep-alive 70000 --max-transmission-unit 10 "
         "--endpoint-bind-addr host:1 1:10.0.0.1:0",
         7, "--private-key"},
        {GOOD "--remote 1:10.0.0.1:1 -- 1:10.0.0.1:1", 1, "--remote"},
        {GOOD "1:[fd00::1]:1", 1, "\"1:[fd00::1]:1\": its destination"},
        {"--private-key " KEY " --endpoint-public-key " PUBLIC_KEY
         " --endpoint-addr 192.0.2.1:1 --source-peer-ip 10.0.0.2 --endpoint-bind-addr [::]:0 "
         "1:10.0.0.1:1",
         1, "--endpoint-bind-addr: \"[::]:0\" and --endpoint-addr"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct run_config config;
        struct run_errors errors;
        assert_int_equal(read_line(rows[i].line, &config, &errors), -1);
        if (errors.count != rows[i].count) {
            for (size_t e = 0; e < errors.count; e++)
                print_message("row %zu: %s\n", i, errors.texts[e]);
        }
        assert_int_equal(errors.count, rows[i].count);
        assert_non_null(strstr(errors.texts[0], rows[i].first));
        run_config_fini(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_forwards),
        cmocka_unit_test(reads_a_whole_line),
        cmocka_unit_test(reads_the_old_form),
        cmocka_unit_test(tells_every_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
