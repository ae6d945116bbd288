/*
 * Configurations in files: what is read, and how errors are told.
 */
#include "base/config_files.h"

#include "base/log.h"
#include "tests/support/folder.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static char folder[64];
static struct config_files files;

static const char *path_of(const char *name)
{
    static char path[192];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *out = fopen(path_of(name), "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/config-test-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    config_files_fini(&files);
    return folder_remove(folder);
}

/* Reads and finds one error, of which the line ends so. */
static void refuse(const char *path, const char *wanted)
{
    char line[CONFIG_FILES_LINE];
    config_files_fini(&files);
    assert_int_equal(config_files_read(path, &files), -EINVAL);
    assert_int_equal(files.errors.count, 1);
    config_files_print(&files, &files.errors.items[0], line);
    size_t len = strlen(line);
    size_t wanted_len = strlen(wanted);
    if (len < wanted_len || strcmp(line + len - wanted_len, wanted) != 0)
        fail_msg("%s", line);
}

static void test_folder(void **state)
{
    (void)state;
    write_file("b.json", "{\"forwards\":[{\"name\":\"web\",\"tunnel\":\"home\","
                         "\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}]}");
    write_file("a.json", "{\"tunnels\":[{\"name\":\"home\",\"private_key\":\"" KEY
                         "\",\"addresses\":[\"10.9.0.2/32\"]}]}");
    write_file(".hidden.json", "{");
    write_file("notes", "{");
    assert_int_equal(config_files_read(folder, &files), 0);
    assert_int_equal(files.names_count, 2);
    assert_non_null(strstr(files.names[0], "/a.json"));
    assert_int_equal(files.config.tunnels_count, 1);
    assert_int_equal(files.config.forwards_count, 1);
    write_file("c.json", "{\"tunnels\":[{\"name\":\"home\",\"private_key\":\"" KEY
                         "\",\"addresses\":[\"10.9.0.2/32\"]}]}");
    refuse(folder, "/c.json: /tunnels/0/name: in another document /tunnels/0 has the same name");
}

static void test_places(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *wanted;
    } rows[] = {
        {"", "/a.json:1:1: the text ends where a value is expected"},
        {"{", "/a.json:1:2: expected a string"},
        {"{\n  \"tunnels\": [01]\n}", "/a.json:2:16: a number must not have leading zeros"},
        {"{}\n{}", "/a.json:2:1: something follows the value"},
        {"[]", "/a.json: must be an object"},
        {"{\"forwards\":[{\"name\":\"web\",\"tunnel\":\"home\","
         "\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}]}",
         "/a.json: /forwards/0/tunnel: there is no tunnel \"home\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        write_file("a.json", rows[i].text);
        refuse(path_of("a.json"), rows[i].wanted);
    }
}

static void test_what_is_no_file(void **state)
{
    (void)state;
    refuse(path_of("none.json"), "/none.json: cannot be read: No such file or directory");
    assert_int_equal(mkfifo(path_of("a.json"), 0600), 0);
    refuse(path_of("a.json"), "/a.json: cannot be read: it is not a file");
    refuse(folder, "/a.json: cannot be read: it is not a file");
    assert_int_equal(unlink(path_of("a.json")), 0);
    write_file("a.json", "");
    assert_int_equal(truncate(path_of("a.json"), CONFIG_FILES_SIZE_MAX + 1), 0);
    refuse(folder, "/a.json: cannot be read: File too large");
}

static void test_wg_quick_files(void **state)
{
    (void)state;
    write_file("a.json", "{\"tunnels\":[{\"name\":\"home\",\"wg_quick_file\":\"home.conf\"}]}");
    refuse(folder, "/a.json: /tunnels/0/wg_quick_file: home.conf cannot be read: No such file or "
                   "directory");
    config_files_fini(&files);
    write_file("home.conf", "[Interface]\nPrivateKey = " KEY "\nAddress = 10.9.0.2/32\n");
    assert_int_equal(config_files_read(folder, &files), 0);
    assert_string_equal(files.config.tunnels[0].spec.name, "home");
    config_files_fini(&files);
    write_file("home.conf", "[Interface]\nPrivateKey = x\nAddress = 10.9.0.2/32\n");
    char line[CONFIG_FILES_LINE];
    assert_int_equal(config_files_read(path_of("a.json"), &files), -EINVAL);
    config_files_print(&files, &files.errors.items[0], line);
    assert_non_null(strstr(line, "/a.json: /tunnels/0/wg_quick_file: line 2 of home.conf: "));
    write_file("a.json",
               "{\"tunnels\":[{\"name\":\"home\",\"wg_quick_file\":\"home.conf\",\"mtu\":1400}]}");
    refuse(folder, "/a.json: /tunnels/0/mtu: only the name goes with wg_quick_file; the rest is in "
                   "that file");
}

/* Also behind so many errors that no more are noted. */
static void test_wg_quick_files_without_names(void **state)
{
    (void)state;
    char text[8192] = "{\"tunnels\":[{\"wg_quick_file\":1}";
    for (int i = 1; i <= SPEC_ERRORS_MAX; i++)
        strcat(text, ",{\"wg_quick_file\":\"home.conf\"}");
    write_file("a.json", strcat(text, "]}"));
    assert_int_equal(config_files_read(folder, &files), -EINVAL);
    assert_int_equal(files.errors.count, SPEC_ERRORS_MAX);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_folder),
        TEST(test_places),
        TEST(test_what_is_no_file),
        TEST(test_wg_quick_files),
        TEST(test_wg_quick_files_without_names),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
