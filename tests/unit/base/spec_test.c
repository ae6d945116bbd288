#include "base/json.h"
#include "base/log.h"
#include "base/spec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A private key, its public key, and two more keys. */
#define KEY_A  "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define KEY_B  "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
#define KEY_C  "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="
#define PUBLIC "pOCSkrZRwni5dyxWn1+puxPZBrRqtoyd+dwrRAn4ogk="

#define TUNNEL(fields) "{\"name\":\"t\",\"private_key\":\"" KEY_A "\"," fields "}"
#define PEER(fields)   TUNNEL("\"addresses\":[\"10.0.0.2/32\"],\"peers\":[{" fields "}]")
#define FORWARD(fields)                                                                            \
    "{\"name\":\"f\",\"tunnel\":\"t\",\"target\":{\"host\":\"10.0.0.1\",\"port\":80}," fields "}"

struct row {
    const char *json;
    const char *pointer; /* NULL = accepted */
    const char *code;
};

static const struct row tunnels[] = {
    {TUNNEL("\"addresses\":[\"10.0.0.2/32\"]"), NULL, NULL},
    {TUNNEL("\"addresses\":[\"10.0.0.2\",\"fd00::2/64\"],\"mtu\":1280"), NULL, NULL},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"listen_address\":\"::\",\"listen_port\":51820"), NULL,
     NULL},
    {PEER("\"public_key\":\"" KEY_B "\""), NULL, NULL},
    {PEER("\"public_key\":\"" KEY_B "\",\"endpoint\":\"[2001:db8::1]:51820\","
          "\"preshared_key\":\"" KEY_C "\",\"allowed_ips\":[\"0.0.0.0/0\",\"10.1.2.3/8\"]"),
     NULL, NULL},

    {"[]", "", "invalid_type"},
    {"null", "", "invalid_type"},
    {"{\"private_key\":\"" KEY_A "\",\"addresses\":[\"10.0.0.2\"]}", "/name", "required"},
    {"{\"NAME\":\"t\",\"private_key\":\"" KEY_A "\",\"addresses\":[\"10.0.0.2\"]}", "/NAME",
     "unknown_field"},
    {"{\"name\":\"t\",\"addresses\":[\"10.0.0.2\"]}", "/private_key", "required"},
    {"{\"name\":\"t\",\"private_key\":null,\"addresses\":[\"10.0.0.2\"]}", "/private_key",
     "invalid_type"},
    {"{\"name\":\"t\",\"private_key\":\"short\",\"addresses\":[\"10.0.0.2\"]}", "/private_key",
     "invalid_key"},
    {"{\"name\":\"T\",\"private_key\":\"" KEY_A "\",\"addresses\":[\"10.0.0.2\"]}", "/name",
     "invalid_name"},
    {"{\"name\":7,\"private_key\":\"" KEY_A "\",\"addresses\":[\"10.0.0.2\"]}", "/name",
     "invalid_type"},
    {TUNNEL("\"private_key_file\":\"/x\",\"addresses\":[\"10.0.0.2\"]"), "/private_key_file",
     "conflict"},
    {"{\"name\":\"t\",\"private_key_file\":\"/nonexistent/key\",\"addresses\":[\"10.0.0.2\"]}",
     "/private_key_file", "unreadable_file"},
    {"{\"name\":\"t\",\"private_key_file\":\"key\",\"addresses\":[\"10.0.0.2\"]}",
     "/private_key_file", "invalid_path"},
    {TUNNEL("\"mtu\":1420"), "/addresses", "required"},
    {TUNNEL("\"addresses\":[]"), "/addresses", "required"},
    {TUNNEL("\"addresses\":\"10.0.0.2\""), "/addresses", "invalid_type"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\",\"10.0.0\"]"), "/addresses/1", "invalid_address"},
    {TUNNEL("\"addresses\":[\"0.0.0.0/0\"]"), "/addresses/0", "invalid_address"},
    {TUNNEL("\"addresses\":[\"224.0.0.1\"]"), "/addresses/0", "invalid_address"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\",\"10.0.0.2/24\"]"), "/addresses/1", "duplicate"},
    {TUNNEL("\"addresses\":[\"10.0.0.2/33\"]"), "/addresses/0", "invalid_address"},
    {TUNNEL("\"addresses\":[5]"), "/addresses/0", "invalid_type"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"mtu\":575"), "/mtu", "out_of_range"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"mtu\":65456"), "/mtu", "out_of_range"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"mtu\":1420.5"), "/mtu", "out_of_range"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"mtu\":\"1420\""), "/mtu", "invalid_type"},
    {TUNNEL("\"addresses\":[\"fd00::2\"],\"mtu\":1279"), "/mtu", "out_of_range"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"listen_port\":65536"), "/listen_port", "out_of_range"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"required\":1"), "/required", "invalid_type"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"congestion_control\":\"bbr\""), NULL, NULL},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"congestion_control\":\"reno\""), "/congestion_control",
     "invalid_value"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"congestion_control\":1"), "/congestion_control",
     "invalid_type"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"listen_address\":\"localhost\""), "/listen_address",
     "invalid_address"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"public_key\":\"" PUBLIC "\""), "/public_key",
     "unknown_field"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"a/b~\":1"), "/a~1b~0", "unknown_field"},
    {TUNNEL("\"addresses\":[\"10.0.0.2\"],\"peers\":{}"), "/peers", "invalid_type"},

    {PEER("\"name\":\"p\""), "/peers/0/public_key", "required"},
    {PEER("\"public_key\":\"" PUBLIC "\""), "/peers/0/public_key", "own_key"},
    {PEER("\"public_key\":\"" KEY_B "=\""), "/peers/0/public_key", "invalid_key"},
    {PEER("\"public_key\":\"" KEY_B "\",\"name\":\"-p\""), "/peers/0/name", "invalid_name"},
    {PEER("\"public_key\":\"" KEY_B "\",\"endpoint\":\"host\""), "/peers/0/endpoint",
     "invalid_endpoint"},
    {PEER("\"public_key\":\"" KEY_B "\",\"endpoint\":\"host:0\""), "/peers/0/endpoint",
     "invalid_endpoint"},
    {PEER("\"public_key\":\"" KEY_B "\",\"endpoint\":\"ho st:1\""), "/peers/0/endpoint",
     "invalid_endpoint"},
    {PEER("\"public_key\":\"" KEY_B "\",\"endpoint\":\"0.0.0.0:1\""), "/peers/0/endpoint",
     "invalid_endpoint"},
    {PEER("\"public_key\":\"" KEY_B "\",\"endpoint\":\"[2001:db8::1%eth0]:1\""),
     "/peers/0/endpoint", "invalid_endpoint"},
    {PEER("\"public_key\":\"" KEY_B "\",\"allowed_ips\":[\"10.0.0.0/8\",\"x\"]"),
     "/peers/0/allowed_ips/1", "invalid_prefix"},
    {PEER("\"public_key\":\"" KEY_B "\",\"keepalive_seconds\":-1"), "/peers/0/keepalive_seconds",
     "out_of_range"},
    {PEER("\"public_key\":\"" KEY_B "\",\"preshared_key\":\"\""), "/peers/0/preshared_key",
     "invalid_key"},
    {PEER("\"public_key\":\"" KEY_B "\",\"has_preshared_key\":true"), "/peers/0/has_preshared_key",
     "unknown_field"},
    {PEER("\"public_key\":\"" KEY_B "\"},{\"public_key\":\"" KEY_B "\""), "/peers/1/public_key",
     "duplicate"},
    {PEER("\"name\":\"p\",\"public_key\":\"" KEY_B "\"},{\"name\":\"p\",\"public_key\":\"" KEY_C
          "\""),
     "/peers/1/name", "duplicate"},
    {PEER("\"public_key\":\"" KEY_B "\",\"allowed_ips\":[\"10.0.0.1/8\"]},"
          "{\"public_key\":\"" KEY_C "\",\"allowed_ips\":[\"11.0.0.0/8\",\"10.9.9.9/8\"]"),
     "/peers/1/allowed_ips/1", "duplicate"},
    {PEER("\"public_key\":\"" KEY_B "\",\"allowed_ips\":[\"10.0.0.0/8\"]},"
          "{\"public_key\":\"" KEY_C "\",\"allowed_ips\":[\"10.0.0.0/9\"]"),
     NULL, NULL},
};

static const struct row forwards[] = {
    {FORWARD("\"enabled\":true"), NULL, NULL},
    {FORWARD("\"listen\":{\"address\":\"::1\",\"port\":0}"), NULL, NULL},
    {FORWARD("\"listen\":{}"), NULL, NULL},
    {FORWARD("\"connect_timeout_seconds\":300,\"idle_timeout_seconds\":604800"), NULL, NULL},
    {FORWARD("\"direction\":\"local\",\"protocol\":\"tcp\""), NULL, NULL},

    {FORWARD("\"direction\":\"remote\""), "/direction", "not_supported"},
    {FORWARD("\"direction\":\"both\""), "/direction", "invalid_value"},
    {FORWARD("\"direction\":1"), "/direction", "invalid_type"},
    {FORWARD("\"protocol\":\"udp\""), "/protocol", "not_supported"},
    {FORWARD("\"protocol\":\"TCP\""), "/protocol", "invalid_value"},
    {FORWARD("\"listen\":\"127.0.0.1:80\""), "/listen", "invalid_type"},
    {FORWARD("\"listen\":{\"address\":\"localhost\"}"), "/listen/address", "invalid_address"},
    {FORWARD("\"listen\":{\"port\":80.9}"), "/listen/port", "out_of_range"},
    {FORWARD("\"listen\":{\"port\":-1}"), "/listen/port", "out_of_range"},
    {FORWARD("\"listen\":{\"prot\":1}"), "/listen/prot", "unknown_field"},
    {FORWARD("\"enabled\":1"), "/enabled", "invalid_type"},
    {FORWARD("\"connect_timeout_seconds\":0"), "/connect_timeout_seconds", "out_of_range"},
    {FORWARD("\"connect_timeout_seconds\":301"), "/connect_timeout_seconds", "out_of_range"},
    {FORWARD("\"idle_timeout_seconds\":604801"), "/idle_timeout_seconds", "out_of_range"},
    {FORWARD("\"status\":{}"), "/status", "unknown_field"},
    {"{\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}", "/tunnel", "required"},
    {"{\"tunnel\":\"t\"}", "/target", "required"},
    {"{\"tunnel\":\"t\",\"target\":{\"port\":80}}", "/target/host", "required"},
    {"{\"tunnel\":\"t\",\"target\":{\"host\":\"10.0.0.1\"}}", "/target/port", "required"},
    {"{\"tunnel\":\"t\",\"target\":{\"host\":\"10.0.0.1\",\"port\":0}}", "/target/port",
     "out_of_range"},
    {"{\"tunnel\":\"t\",\"target\":{\"host\":\"example.org\",\"port\":1}}", "/target/host",
     "not_supported"},
    {"{\"tunnel\":\"t\",\"target\":{\"host\":\"10.0.0.300 \",\"port\":1}}", "/target/host",
     "invalid_address"},
    {"{\"tunnel\":\"t\",\"target\":{\"host\":\"fe80::1%eth0\",\"port\":1}}", "/target/host",
     "invalid_address"},
    {"{\"tunnel\":\"t\",\"target\":{\"host\":\"0.0.0.0\",\"port\":1}}", "/target/host",
     "invalid_address"},
};

static cJSON *read_json(const char *text)
{
    struct json_error error;
    cJSON *json = json_read(text, strlen(text), &error);
    if (json == NULL)
        fail_msg("%s: %s", text, error.detail);
    return json;
}

static bool has_error(const struct spec_errors *errors, const char *pointer, const char *code)
{
    for (size_t i = 0; i < errors->count; i++) {
        if (strcmp(errors->items[i].pointer, pointer) == 0 &&
            strcmp(errors->items[i].code, code) == 0)
            return true;
    }
    return false;
}

static void check_row(const struct row *row, size_t number, int rc,
                      const struct spec_errors *errors)
{
    if (row->pointer == NULL && rc != 0)
        fail_msg("row %zu is refused: %s %s", number, errors->items[0].pointer,
                 errors->items[0].detail);
    if (row->pointer != NULL && (rc != -EINVAL || !has_error(errors, row->pointer, row->code)))
        fail_msg("row %zu: no %s at \"%s\" but %d, %zu errors, first %s at \"%s\"", number,
                 row->code, row->pointer, rc, errors->count, errors->items[0].code,
                 errors->items[0].pointer);
}

static void test_tunnel_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(tunnels) / sizeof(tunnels[0]); i++) {
        cJSON *json = read_json(tunnels[i].json);
        struct spec_errors errors = {0};
        struct spec_tunnel tunnel;
        int rc = spec_tunnel_from_json(json, &tunnel, &errors);
        check_row(&tunnels[i], i, rc, &errors);
        spec_tunnel_fini(&tunnel);
        json_free(json);
    }
}

static void test_forward_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(forwards) / sizeof(forwards[0]); i++) {
        cJSON *json = read_json(forwards[i].json);
        struct spec_errors errors = {0};
        struct spec_forward forward;
        int rc = spec_forward_from_json(json, &forward, &errors);
        check_row(&forwards[i], i, rc, &errors);
        json_free(json);
    }
}

static void test_all_errors_are_reported(void **state)
{
    (void)state;
    cJSON *json = read_json("{\"name\":\"_\",\"mtu\":1,\"addresses\":[\"x\"],\"nope\":0,"
                            "\"peers\":[{\"public_key\":\"y\",\"endpoint\":\"z\"}]}");
    struct spec_errors errors = {0};
    struct spec_tunnel tunnel;
    assert_int_equal(spec_tunnel_from_json(json, &tunnel, &errors), -EINVAL);
    assert_int_equal(errors.count, 7);
    assert_true(has_error(&errors, "/name", "invalid_name"));
    assert_true(has_error(&errors, "/mtu", "out_of_range"));
    assert_true(has_error(&errors, "/addresses/0", "invalid_address"));
    assert_true(has_error(&errors, "/nope", "unknown_field"));
    assert_true(has_error(&errors, "/peers/0/public_key", "invalid_key"));
    assert_true(has_error(&errors, "/peers/0/endpoint", "invalid_endpoint"));
    assert_true(has_error(&errors, "/private_key", "required"));
    json_free(json);
}

static void test_errors_are_bounded(void **state)
{
    (void)state;
    cJSON *json = cJSON_CreateObject();
    for (int i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof(name), "field-%d", i);
        cJSON_AddNumberToObject(json, name, 0);
    }
    struct spec_errors errors = {0};
    struct spec_forward forward;
    assert_int_equal(spec_forward_from_json(json, &forward, &errors), -EINVAL);
    assert_int_equal(errors.count, SPEC_ERRORS_MAX);
    json_free(json);
}

static const char full_tunnel[] =
    "{\"name\":\"home\",\"private_key\":\"" KEY_A "\",\"addresses\":[\"10.9.0.2/24\",\"fd00::2/128"
    "\"],\"mtu\":1400,\"congestion_control\":\"bbr\",\"listen_port\":51820,"
    "\"listen_address\":\"127.0.0.1\",\"required\":true,\"peers\":["
    "{\"name\":\"gw\",\"public_key\":\"" KEY_B "\",\"preshared_key\":\"" KEY_C
    "\",\"endpoint\":\"[2001:db8::1]:51820\",\"allowed_ips\":[\"192.168.4.0/24\",\"fd01::/64\"],"
    "\"keepalive_seconds\":25},"
    "{\"name\":\"peer-2\",\"public_key\":\"" KEY_C
    "\",\"endpoint\":\"vpn.example.org:1\",\"allowed_ips\":[],\"keepalive_seconds\":0}]}";

static void test_complete_round_trip(void **state)
{
    (void)state;
    cJSON *json = read_json(full_tunnel);
    struct spec_errors errors = {0};
    struct spec_tunnel tunnel;
    assert_int_equal(spec_tunnel_from_json(json, &tunnel, &errors), 0);
    struct spec_tunnel copy;
    assert_int_equal(spec_tunnel_copy(&copy, &tunnel), 0);
    spec_tunnel_fini(&tunnel);

    cJSON *written = spec_tunnel_to_json(&copy, SPEC_COMPLETE);
    char *text = cJSON_PrintUnformatted(written);
    assert_string_equal(text, full_tunnel);
    free(text);
    json_free(written);
    spec_tunnel_fini(&copy);
    json_free(json);
}

static void test_secrets_stay_inside(void **state)
{
    (void)state;
    cJSON *json = read_json(full_tunnel);
    struct spec_errors errors = {0};
    struct spec_tunnel tunnel;
    assert_int_equal(spec_tunnel_from_json(json, &tunnel, &errors), 0);
    cJSON *redacted = spec_tunnel_to_json(&tunnel, SPEC_REDACTED);
    assert_string_equal(json_member(redacted, "public_key")->valuestring, PUBLIC);
    assert_null(json_member(redacted, "private_key"));
    const cJSON *peer = json_member(redacted, "peers")->child;
    assert_true(cJSON_IsTrue(json_member(peer, "has_preshared_key")));
    assert_null(json_member(peer, "preshared_key"));
    assert_true(cJSON_IsFalse(json_member(peer->next, "has_preshared_key")));
    json_free(redacted);

    cJSON *without = spec_tunnel_to_json(&tunnel, SPEC_WITHOUT_SECRETS);
    char *text = cJSON_PrintUnformatted(without);
    assert_null(strstr(text, KEY_A));
    assert_null(strstr(text, "private"));
    assert_null(strstr(text, "preshared"));
    free(text);
    json_free(without);
    spec_tunnel_fini(&tunnel);
    json_free(json);
}

static void test_no_error_shows_a_secret(void **state)
{
    (void)state;
    cJSON *json = read_json("{\"name\":\"t\",\"private_key\":\"c2VjcmV0\",\"addresses\":[\"x\"],"
                            "\"peers\":[{\"preshared_key\":\"c2VjcmV0\"}]}");
    struct spec_errors errors = {0};
    struct spec_tunnel tunnel;
    assert_int_equal(spec_tunnel_from_json(json, &tunnel, &errors), -EINVAL);
    for (size_t i = 0; i < errors.count; i++)
        assert_null(strstr(errors.items[i].detail, "c2VjcmV0"));
    json_free(json);
}

static void test_forward_round_trip(void **state)
{
    (void)state;
    static const char text[] =
        "{\"name\":\"web\",\"tunnel\":\"home\",\"direction\":\"local\",\"protocol\":\"tcp\","
        "\"listen\":{\"address\":\"::1\",\"port\":8080},\"target\":{\"host\":\"192.168.4.2\","
        "\"port\":80},\"enabled\":false,\"connect_timeout_seconds\":5,\"idle_timeout_seconds\":9}";
    cJSON *json = read_json(text);
    struct spec_errors errors = {0};
    struct spec_forward forward;
    assert_int_equal(spec_forward_from_json(json, &forward, &errors), 0);
    cJSON *written = spec_forward_to_json(&forward);
    char *printed = cJSON_PrintUnformatted(written);
    assert_string_equal(printed, text);
    free(printed);
    json_free(written);
    json_free(json);
}

static void test_defaults(void **state)
{
    (void)state;
    cJSON *json = read_json("{\"tunnel\":\"t\",\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}");
    struct spec_errors errors = {0};
    struct spec_forward forward;
    assert_int_equal(spec_forward_from_json(json, &forward, &errors), 0);
    assert_string_equal(forward.name, "");
    assert_true(forward.enabled);
    assert_int_equal(forward.listen_port, 0);
    assert_true(inet_addr_is_loopback(&forward.listen_address));
    assert_int_equal(forward.connect_timeout_seconds, SPEC_CONNECT_TIMEOUT_DEFAULT);
    assert_int_equal(forward.idle_timeout_seconds, 0);
    json_free(json);
}

static void test_generated_peer_names_avoid_given_ones(void **state)
{
    (void)state;
    cJSON *json = read_json(PEER("\"public_key\":\"" KEY_B "\"},{\"name\":\"peer-1\","
                                 "\"public_key\":\"" KEY_C "\"},{\"public_key\":\"" KEY_A "\""));
    struct spec_errors errors = {0};
    struct spec_tunnel tunnel;
    assert_int_equal(spec_tunnel_from_json(json, &tunnel, &errors), 0);
    assert_string_equal(tunnel.peers[0].name, "peer-2");
    assert_string_equal(tunnel.peers[1].name, "peer-1");
    assert_string_equal(tunnel.peers[2].name, "peer-3");
    spec_tunnel_fini(&tunnel);
    json_free(json);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a", "0", "a-b", "a--b", "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"};
    static const char *const bad[] = {
        "",
        "-",
        "a-",
        "-a",
        "A",
        "a_b",
        "a.b",
        "a b",
        "\xc3\xa9",
        "a/b",
        "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz01"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(spec_name_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(spec_name_valid(bad[i]));
}

static void test_keys(void **state)
{
    (void)state;
    uint8_t key[SPEC_KEY_LEN];
    char text[SPEC_KEY_TEXT];
    assert_int_equal(spec_key_parse(KEY_B, key), 0);
    assert_int_equal(key[0], 2);
    assert_int_equal(key[31], 2);
    assert_string_equal(spec_key_print(key, text), KEY_B);
    static const char *const bad[] = {
        "",
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",   /* no padding */
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE==", /* too much */
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF=",  /* bits beyond the last byte */
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",  /* 33 bytes */
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAA==",  /* 31 bytes */
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEB_QEBAQEBAQEBAQE=",  /* the URL alphabet */
        " QEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "AQE\276\272QEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", /* bytes outside ASCII */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(spec_key_parse(bad[i], key), -EINVAL);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_who_shares_a_key_file(void **state)
{
    (void)state;
    const uid_t before = geteuid();
    assert_true(before != 0 || seteuid(65534) == 0); /* root reads all, and is lent nothing */
    const uid_t us = geteuid();
    const struct {
        uid_t owner;
        mode_t mode;
        bool shared;
    } rows[] = {
        {us, 0600, false},     {us, 0640, true},     {us, 0604, true},
        {us + 1, 0440, false}, {us + 1, 0460, true}, {us + 1, 0444, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct stat st = {.st_uid = rows[i].owner, .st_mode = S_IFREG | rows[i].mode};
        assert_int_equal(spec_key_file_shared(&st), rows[i].shared);
    }
    if (before == 0) {
        assert_int_equal(seteuid(0), 0);
        const struct stat st = {.st_uid = us, .st_mode = S_IFREG | 0440};
        assert_true(spec_key_file_shared(&st));
    }
}

static void test_key_files(void **state)
{
    (void)state;
    char directory[] = "/tmp/spec-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char path[64];
    snprintf(path, sizeof(path), "%s/key", directory);
    uint8_t key[SPEC_KEY_LEN];
    bool shared = true;

    write_file(path, " \n" KEY_B "\r\n", 0600);
    assert_int_equal(spec_key_read_file(path, key, &shared), 0);
    assert_int_equal(key[0], 2);
    assert_false(shared);
    write_file(path, KEY_B, 0640);
    assert_int_equal(spec_key_read_file(path, key, &shared), 0);
    assert_true(shared);
    write_file(path, KEY_B " " KEY_C, 0600);
    assert_int_equal(spec_key_read_file(path, key, &shared), -EINVAL);
    write_file(path, "", 0600);
    assert_int_equal(spec_key_read_file(path, key, &shared), -EINVAL);
    assert_int_equal(truncate(path, 1 << 20), 0);
    assert_int_equal(spec_key_read_file(path, key, &shared), -EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(spec_key_read_file(path, key, &shared), -ENOENT);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(spec_key_read_file(path, key, &shared), -EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_true(spec_key_read_file(directory, key, &shared) < 0);
    assert_int_equal(rmdir(directory), 0);
}

/* What no message to a worker would have room for. */
static void test_allowed_ips_of_all_peers_are_bounded(void **state)
{
    (void)state;
    const size_t each = SPEC_TUNNEL_ALLOWED_IPS_MAX / 2;
    struct spec_peer peers[3] = {{.public_key = {1}}, {.public_key = {2}}, {.public_key = {3}}};
    struct spec_tunnel tunnel = {.mtu = 1420, .addresses_count = 1, .peers = peers};
    struct inet_prefix *prefixes = calloc(2 * each + 1, sizeof(*prefixes));
    assert_non_null(prefixes);
    for (size_t i = 0; i < 2 * each + 1; i++) {
        prefixes[i] = (struct inet_prefix){.addr.family = AF_INET6, .bits = 128};
        memcpy(prefixes[i].addr.bytes, &i, sizeof(i));
    }
    assert_int_equal(inet_prefix_parse("fd00::1/64", &tunnel.addresses[0]), 0);
    strcpy(peers[0].name, "a");
    strcpy(peers[1].name, "b");
    strcpy(peers[2].name, "c");
    for (size_t i = 0; i < 3; i++) {
        peers[i].allowed_ips = &prefixes[i * each];
        peers[i].allowed_ips_count = i < 2 ? each : 1;
    }
    for (size_t count = 2; count <= 3; count++) {
        struct spec_errors errors = {0};
        tunnel.peers_count = count;
        assert_int_equal(spec_tunnel_check(&tunnel, &errors), count == 2 ? 0 : -EINVAL);
        assert_int_equal(has_error(&errors, "/peers", "too_many"), count == 3);
    }
    free(prefixes);
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tunnel_rows),
        cmocka_unit_test(test_allowed_ips_of_all_peers_are_bounded),
        cmocka_unit_test(test_forward_rows),
        cmocka_unit_test(test_all_errors_are_reported),
        cmocka_unit_test(test_errors_are_bounded),
        cmocka_unit_test(test_complete_round_trip),
        cmocka_unit_test(test_secrets_stay_inside),
        cmocka_unit_test(test_no_error_shows_a_secret),
        cmocka_unit_test(test_forward_round_trip),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_generated_peer_names_avoid_given_ones),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_who_shares_a_key_file),
        cmocka_unit_test(test_key_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
