/* hosts: the hosts file, as a table of names. */
#include "server/hosts.h"

#include "tests/support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct hosts hosts;
static char path[] = "/tmp/manytun_hosts_XXXXXX";

static void load(const char *text, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
    assert_int_equal(hosts_load(&hosts, path), 0);
}

/* All addresses, each followed by a blank. */
static const char *find(const char *name)
{
    static char text[512];
    struct inet_addr found[3];
    char address[INET_ADDR_TEXT];
    size_t len = 0;
    size_t count = hosts_find(&hosts, name, found, 3);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s ",
                                inet_addr_print(&found[i], address));
    return text;
}

static void test_names(void **state)
{
    (void)state;
    static const char text[] = "127.0.0.1\tlocalhost loopback\r\n"
                               "# 192.0.2.1 comment\n"
                               "\n"
                               "  192.0.2.2   Gw.Example.org   gw # 192.0.2.9 behind\n"
                               "2001:db8::2 gw\n"
                               "fe80::1%eth0 zone\n"
                               "not-an-address bad\n"
                               "192.0.2.3\n"
                               "192.0.2.4 gw\n192.0.2.5 gw\n"
                               "192.0.2.6 last";
    static const struct {
        const char *name, *found;
    } names[] = {
        {"localhost", "127.0.0.1 "},
        {"loopback", "127.0.0.1 "},
        {"gw.example.org", "192.0.2.2 "},
        {"GW.EXAMPLE.ORG.", "192.0.2.2 "},
        {"gw", "192.0.2.2 2001:db8::2 192.0.2.4 "}, /* no more than asked for */
        {"g", ""},
        {"gw.example", ""},
        {"comment", ""},
        {"behind", ""},
        {"192.0.2.9", ""},
        {"zone", ""},
        {"bad", ""},
        {"last", "192.0.2.6 "},
        {".", ""},
        {"", ""},
    };
    load(text, sizeof(text) - 1);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_string_equal(find(names[i].name), names[i].found);
    load("", 0);
    assert_string_equal(find("localhost"), "");
}

static void test_no_file(void **state)
{
    (void)state;
    assert_int_equal(hosts_load(&hosts, "/nonexistent/hosts"), 0);
    assert_string_equal(find("localhost"), "127.0.0.1 ::1 ");
    assert_string_equal(find("gw"), "");
}

/* A line that is cut in two by the bound would give a name that is not in the file. */
static void test_file_that_is_too_long(void **state)
{
    (void)state;
    static const char last[] = "192.0.2.1 gw.example.org\n";
    static char text[HOSTS_BYTES_MAX + 64];
    memset(text, '#', sizeof(text));
    memcpy(text, "192.0.2.7 first\n", 16);
    text[HOSTS_BYTES_MAX - 13] = '\n';
    memcpy(&text[HOSTS_BYTES_MAX - 12], last, sizeof(last) - 1);
    load(text, sizeof(text));
    assert_string_equal(find("first"), "192.0.2.7 ");
    for (size_t len = 0; len < sizeof("gw.example.org"); len++) {
        char name[sizeof("gw.example.org")] = "";
        memcpy(name, "gw.example.org", len);
        assert_string_equal(find(name), "");
    }
    memset(text, '#', sizeof(text)); /* one line is all there is */
    load(text, sizeof(text));
    assert_string_equal(find("first"), "");
}

static void test_any_bytes(void **state)
{
    (void)state;
    static const char bytes[] = "\0\n1.2.3.4 \0 a\n\xff\xfe 1.2.3.4\n1.2.3.4\t\xff";
    load(bytes, sizeof(bytes) - 1);
    assert_string_equal(find("a"), "1.2.3.4 ");
    assert_string_equal(find("\xff"), "1.2.3.4 ");
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    hosts_fini(&hosts);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_file_that_is_too_long),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
