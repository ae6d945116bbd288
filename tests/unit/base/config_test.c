/*
 * Whole configurations: reading, and what no single definition shows.
 */
#include "base/config.h"

#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define TUNNEL(name, address)                                                                      \
    "{\"name\":\"" name "\",\"private_key\":\"" KEY "\",\"addresses\":[\"" address "\"]}"
#define FORWARD(name, tunnel, more)                                                                \
    "{\"name\":\"" name "\",\"tunnel\":\"" tunnel                                                  \
    "\",\"target\":{\"host\":\"10.0.0.1\",\"port\":80}" more "}"

static struct config config;
static struct spec_errors errors;

static int tear_down(void **state)
{
    (void)state;
    config_fini(&config);
    errors.count = 0;
    return 0;
}

static int read_text(const char *text, unsigned document)
{
    struct json_error error;
    cJSON *json = json_read(text, strlen(text), &error);
    assert_non_null(json);
    int rc = config_read(&config, json, &(struct config_source){.document = document}, &errors);
    json_free(json);
    return rc;
}

/* "0/tunnels/1/name duplicate": the errors, with their documents. */
static void assert_errors(const char *wanted)
{
    char text[1024] = "";
    size_t used = 0;
    for (size_t i = 0; i < errors.count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u%s %s", i > 0 ? "; " : "",
                                 errors.items[i].document, errors.items[i].pointer,
                                 errors.items[i].code);
    assert_string_equal(text, wanted);
}

static void test_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        const char *errors;
    } rows[] = {
        {"{}", 0, ""},
        {"{\"tunnels\":[],\"forwards\":[]}", 0, ""},
        {"[]", -EINVAL, "0 invalid_type"},
        {"{\"Tunnels\":[],\"x\":1}", -EINVAL, "0/Tunnels unknown_field; 0/x unknown_field"},
        {"{\"tunnels\":{},\"forwards\":null}", -EINVAL,
         "0/tunnels invalid_type; 0/forwards invalid_type"},
        {"{\"tunnels\":[1],\"forwards\":[\"a\"]}", -EINVAL,
         "0/tunnels/0 invalid_type; 0/forwards/0 invalid_type"},
        {"{\"forwards\":[{\"tunnel\":\"home\",\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}]}",
         -EINVAL, "0/forwards/0/name required"},
        {"{\"tunnels\":[{\"name\":\"a\",\"wg_quick_file\":\"a.conf\"}]}", -EINVAL,
         "0/tunnels/0/addresses required; 0/tunnels/0/wg_quick_file unknown_field; "
         "0/tunnels/0/private_key required"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(read_text(rows[i].text, 0), rows[i].rc);
        assert_errors(rows[i].errors);
        tear_down(NULL);
    }
}

static void test_documents_are_one(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"forwards\":[" FORWARD("web", "home", "") "]}", 0), 0);
    assert_int_equal(read_text("{\"tunnels\":[" TUNNEL("home", "10.9.0.2/32") "]}", 1), 0);
    assert_int_equal(config_check(&config, &errors), 0);
    assert_int_equal(config_check_forwards(&config, NULL, NULL, &errors), 0);
    assert_ptr_equal(config_find_tunnel(&config, "home"), &config.tunnels[0]);
    assert_null(config_find_tunnel(&config, "web"));
    assert_ptr_equal(config_find_forward(&config, "web"), &config.forwards[0]);
    assert_int_equal(config.tunnels[0].place.document, 1);
    assert_int_equal(config_check(&config, &errors), 0); /* again */
}

static void test_doubles(void **state)
{
    (void)state;
    assert_int_equal(
        read_text("{\"tunnels\":[" TUNNEL("home", "10.9.0.2/32") "],\"forwards\":[" FORWARD(
                      "a", "home",
                      ",\"listen\":{\"port\":80}") "," FORWARD("b", "home",
                                                               ",\"listen\":{\"port\":80},"
                                                               "\"enabled\":false") "]}",
                  0),
        0);
    assert_int_equal(
        read_text(
            "{\"tunnels\":[" TUNNEL("home", "10.9.0.3/32") "],\"forwards\":[" FORWARD(
                "c", "home",
                ",\"listen\":{\"address\":\"::1\",\"port\":80}") "," FORWARD("a", "home",
                                                                             "") "," FORWARD("d",
                                                                                             "home",
                                                                                             ",\"li"
                                                                                             "sten"
                                                                                             "\":{"
                                                                                             "\"por"
                                                                                             "t\":"
                                                                                             "80}") "]}",
            1),
        0);
    assert_int_equal(config_check(&config, &errors), -EINVAL);
    assert_errors("1/tunnels/0/name duplicate; 1/forwards/1/name duplicate; "
                  "1/forwards/2/listen/port duplicate");
    assert_non_null(strstr(errors.items[0].detail, "in another document /tunnels/0"));
}

static const struct spec_tunnel *find_other(void *ctx, const char *name)
{
    return strcmp(name, "other") == 0 ? ctx : NULL;
}

static void test_forwards_and_their_tunnels(void **state)
{
    (void)state;
    struct spec_tunnel other = {.addresses_count = 1};
    inet_prefix_parse("10.9.0.2/32", &other.addresses[0]);
    assert_int_equal(
        read_text("{\"tunnels\":[" TUNNEL("six", "fd00::2/128") "],\"forwards\":[" FORWARD(
                      "a", "six", "") "," FORWARD("b", "other", "") "," FORWARD("c", "none",
                                                                                "") "]}",
                  0),
        0);
    assert_int_equal(config_check(&config, &errors), 0);
    assert_int_equal(config_check_forwards(&config, find_other, &other, &errors), -EINVAL);
    assert_errors("0/forwards/0/target/host no_address_of_family; "
                  "0/forwards/2/tunnel unknown_tunnel");
}

static void test_too_many(void **state)
{
    (void)state;
    enum { COUNT = CONFIG_TUNNELS_MAX };
    char *text = malloc(COUNT * 160);
    assert_non_null(text);
    size_t used = (size_t)sprintf(text, "{\"tunnels\":[");
    for (int i = 0; i < COUNT; i++)
        used += (size_t)sprintf(text + used,
                                "%s{\"name\":\"t%d\",\"private_key\":\"" KEY
                                "\",\"addresses\":[\"10.9.0.2/32\"]}",
                                i > 0 ? "," : "", i);
    strcpy(text + used, "]}");
    assert_int_equal(read_text(text, 0), 0);
    free(text);
    assert_int_equal(config_check(&config, &errors), 0);
    assert_int_equal(read_text("{\"tunnels\":[" TUNNEL("x", "10.9.0.2/32") "]}", 1), -EINVAL);
    assert_errors("1/tunnels too_many");
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_shapes),   TEST(test_documents_are_one),
        TEST(test_doubles),  TEST(test_forwards_and_their_tunnels),
        TEST(test_too_many),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
