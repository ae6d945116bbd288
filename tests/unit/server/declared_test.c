/*
 * The configuration file of a service, as it changes on disk.
 */
#include "server/declared.h"

#include "server/events.h"
#include "server/service_takeover.h"
#include "tests/unit/server/service_world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define TUNNEL                                                                                     \
    "{\"tunnels\":[{\"name\":\"home\",\"private_key\":\"" KEY                                      \
    "\",\"addresses\":[\"10.9.0.2/32\"],\"listen_address\":\"127.0.0.1\"}],\"forwards\":["
#define FORWARD(name)                                                                              \
    "{\"name\":\"" name "\",\"tunnel\":\"home\",\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}"

#define DEADLINE_SECONDS 30

static struct declared *declared;
static char folder[96];

/* --- Helpers ---------------------------------------------------------------------------------- */

static const char *path_of(const char *name)
{
    static char paths[4][192];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void write_in_place(const char *name, const char *text)
{
    FILE *out = fopen(path_of(name), "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void replace(const char *name, const char *text)
{
    write_in_place(".partial", text);
    assert_int_equal(rename(path_of(".partial"), path_of(name)), 0);
}

static int set_up_folder(void **state)
{
    if (set_up(state) < 0)
        return -1;
    snprintf(folder, sizeof(folder), "%s/config", fx.directory);
    return mkdir(folder, 0700);
}

static int tear_down_folder(void **state)
{
    declared_free(declared);
    declared = NULL;
    return tear_down(state);
}

/* The path stays where it is as long as `declared` refers to it. */
static int load(const char *path)
{
    static char kept[192];
    declared_free(declared);
    if (path != NULL)
        snprintf(kept, sizeof(kept), "%s", path);
    path = path != NULL ? kept : NULL;
    assert_int_equal(declared_new(fx.base, fx.service, path, &declared), 0);
    return declared_load(declared);
}

/* Turns the loop until the configuration is as it should be. */
static void wait_until(bool (*reached)(const char *name), const char *name)
{
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += DEADLINE_SECONDS;
    while (!reached(name)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > end.tv_sec)
            fail_msg("waited in vain for %s", name);
        event_base_loop(fx.base, EVLOOP_ONCE);
    }
}

static bool there_is(const char *name)
{
    return service_find_forward(fx.service, name) != NULL;
}

static bool is_gone(const char *name)
{
    return !there_is(name);
}

static bool is_condition(const char *reason)
{
    return strcmp(declared_condition(declared)->is.reason, reason) == 0;
}

/* --- Loading ---------------------------------------------------------------------------------- */

static void test_file_is_all_that_there_is(void **state)
{
    (void)state;
    replace("a.json", TUNNEL FORWARD("web") "," FORWARD("ssh") "]}");
    assert_int_equal(load(path_of("a.json")), 0);
    assert_int_equal(declared_condition(declared)->is.status, CONDITION_TRUE);
    assert_int_equal(service_find_forward(fx.service, "web")->source, SPEC_SOURCE_FILE);
    create_forward(make_forward("mine", 0));
    replace("a.json", TUNNEL FORWARD("web") "]}");
    assert_int_equal(declared_load(declared), 0);
    assert_true(is_gone("ssh"));
    assert_true(there_is("mine"));
    assert_int_equal(service_find_forward(fx.service, "web")->generation, 1);
}

static void test_wrong_at_the_start(void **state)
{
    (void)state;
    replace("a.json", TUNNEL FORWARD("web") "]");
    assert_int_equal(load(path_of("a.json")), -1);
    assert_true(is_condition("Invalid"));
    assert_non_null(strstr(declared_condition(declared)->is.message, "a.json:1:"));
    assert_int_equal(load(path_of("none.json")), -1);
    assert_null(service_find_tunnel(fx.service, "home"));
    /* Whoever goes on nevertheless sees it when it is right. */
    replace("none.json", TUNNEL FORWARD("web") "]}");
    wait_until(there_is, "web");
}

/* Objects outlive a restart, with their generation and their port. */
static void test_restart(void **state)
{
    (void)state;
    replace("a.json", TUNNEL FORWARD("web") "]}");
    assert_int_equal(load(path_of("a.json")), 0);
    uint16_t port = service_find_forward(fx.service, "web")->bound_port;
    declared_free(declared);
    declared = NULL;
    stop();
    start();
    assert_int_equal(load(path_of("a.json")), 0);
    assert_int_equal(service_find_forward(fx.service, "web")->bound_port, port);
    assert_int_equal(service_find_forward(fx.service, "web")->generation, 1);
    /* Without a configuration there is nothing that a file defines. */
    assert_int_equal(load(NULL), 0);
    assert_null(service_find_tunnel(fx.service, "home"));
    assert_null(declared_condition(declared));
}

/* --- Watching --------------------------------------------------------------------------------- */

static void test_edits(void **state)
{
    (void)state;
    replace("a.json", TUNNEL FORWARD("a") "]}");
    assert_int_equal(load(path_of("a.json")), 0);
    replace("a.json", TUNNEL FORWARD("b") "]}");
    wait_until(there_is, "b");
    assert_true(is_gone("a"));
    write_in_place("a.json", TUNNEL FORWARD("c") "]}");
    wait_until(there_is, "c");
    /* What is wrong changes nothing, until it is right again. */
    write_in_place("a.json", TUNNEL FORWARD("d") "");
    wait_until(is_condition, "Invalid");
    assert_true(there_is("c"));
    assert_int_equal(unlink(path_of("a.json")), 0);
    event_base_loop(fx.base, EVLOOP_NONBLOCK);
    assert_true(there_is("c"));
    replace("a.json", TUNNEL FORWARD("e") "]}");
    wait_until(there_is, "e");
    assert_true(is_condition("Applied"));
}

static void test_folder(void **state)
{
    (void)state;
    replace("b.json", "{\"forwards\":[" FORWARD("b") "]}"); /* its tunnel is in the other one */
    replace("c.json", TUNNEL "]}");
    replace("notes.txt", "none of this");
    assert_int_equal(load(folder), 0);
    replace("d.json", "{\"forwards\":[" FORWARD("d") "]}");
    wait_until(there_is, "d");
    assert_int_equal(unlink(path_of("b.json")), 0);
    wait_until(is_gone, "b");
    replace("e.json", "{\"forwards\":[" FORWARD("d") "]}"); /* it is in d.json, too */
    wait_until(is_condition, "Invalid");
    assert_non_null(strstr(declared_condition(declared)->is.message, "/forwards/0/name"));
}

/* The files are links into "..data", which is exchanged as a whole. */
static void test_config_map(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path_of("..v1"), 0700), 0);
    assert_int_equal(mkdir(path_of("..v2"), 0700), 0);
    replace("..v1/a.json", TUNNEL FORWARD("one") "]}");
    replace("..v2/a.json", TUNNEL FORWARD("two") "]}");
    assert_int_equal(symlink("..v1", path_of("..data")), 0);
    assert_int_equal(symlink("..data/a.json", path_of("a.json")), 0);
    assert_int_equal(load(folder), 0);
    assert_true(there_is("one"));
    assert_int_equal(symlink("..v2", path_of("..data_tmp")), 0);
    assert_int_equal(rename(path_of("..data_tmp"), path_of("..data")), 0);
    wait_until(there_is, "two");
    assert_true(is_gone("one"));
}

static void test_wg_quick_file(void **state)
{
    (void)state;
    replace("home.conf", "[Interface]\nPrivateKey = " KEY "\nAddress = 10.9.0.2/32\nMTU = 1400\n");
    replace("a.json", "{\"tunnels\":[{\"name\":\"home\",\"wg_quick_file\":\"home.conf\"}],"
                      "\"forwards\":[" FORWARD("web") "]}");
    assert_int_equal(load(path_of("a.json")), 0);
    assert_int_equal(service_find_tunnel(fx.service, "home")->spec.mtu, 1400);
    replace("home.conf", "[Interface]\nPrivateKey = " KEY "\nAddress = 10.9.0.2/32\nMTU = 1\n");
    wait_until(is_condition, "Invalid");
    const char *message = declared_condition(declared)->is.message;
    assert_non_null(strstr(message, "a.json: /tunnels/0/wg_quick_file: line 4 of home.conf"));
    assert_int_equal(service_find_tunnel(fx.service, "home")->spec.mtu, 1400);
}

/* A port in use refuses all of it. */
static void test_conflicts(void **state)
{
    (void)state;
    replace("a.json", TUNNEL FORWARD("a") "]}");
    assert_int_equal(load(folder), 0);
    uint16_t port = 0;
    int other = take_port(&port);
    char text[1024];
    snprintf(text, sizeof(text),
             "{\"forwards\":[" FORWARD(
                 "b") ",{\"name\":\"c\",\"tunnel\":\"home\",\"listen\":"
                      "{\"port\":%u},\"target\":{\"host\":\"10.0.0.1\",\"port\":80}}]}",
             port);
    replace("b.json", text);
    wait_until(is_condition, "NotApplied");
    const char *message = declared_condition(declared)->is.message;
    assert_non_null(strstr(message, "b.json: /forwards/1/listen/port: TCP 127.0.0.1:"));
    assert_true(is_gone("b"));
    close(other);
    assert_int_equal(declared_load(declared), 0);
    assert_true(there_is("b"));
    /* A name that the API has. */
    create_forward(make_forward("d", 0));
    replace("b.json", "{\"forwards\":[" FORWARD("d") "]}");
    wait_until(is_condition, "NotApplied");
    message = declared_condition(declared)->is.message;
    assert_non_null(strstr(message, "b.json: /forwards/0/name: there is a forward \"d\" already"));
}

static int note_event(void *ctx, const struct store_event *event)
{
    char *text = ctx;
    if (strcmp(event->kind, "service") != 0)
        sprintf(text + strlen(text), "%s %s; ", event->type, event->actor);
    return 0;
}

static bool settled;

static void note_settled(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
    settled = true;
}

static bool is_settled(const char *name)
{
    (void)name;
    return settled;
}

/* While somebody else may take over nothing can be changed; that is no fault of the file. */
static void test_waits_while_frozen(void **state)
{
    (void)state;
    const struct timeval wait = {.tv_usec = 3 * DECLARED_SETTLE_MS * 1000};
    replace("a.json", TUNNEL FORWARD("a") "]}");
    assert_int_equal(load(path_of("a.json")), 0);
    service_freeze(fx.service);
    replace("a.json", TUNNEL FORWARD("b") "]}");
    settled = false;
    event_base_once(fx.base, -1, EV_TIMEOUT, note_settled, NULL, &wait);
    wait_until(is_settled, "a look at the file");
    assert_true(there_is("a"));
    assert_true(is_condition("Applied"));
    assert_int_equal(declared_load(declared), 0); /* on demand */
    assert_true(is_condition("Applied"));
    service_thaw(fx.service);
    wait_until(there_is, "b");
    assert_true(is_gone("a"));
}

static void test_events(void **state)
{
    (void)state;
    char text[512] = "";
    struct events *events = service_events(fx.service);
    replace("a.json", TUNNEL "]}");
    assert_int_equal(load(folder), 0);
    assert_string_equal(events_actor(events), EVENTS_ACTOR_SYSTEM);
    write_in_place("a.json", "{");
    assert_int_equal(declared_load(declared), -1);
    assert_int_equal(events_flush(events), 0);
    assert_int_equal(events_read(events, 0, note_event, text), 0);
    assert_string_equal(text, "tunnel.created file; config.applied file; config.failed system; ");
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_folder, tear_down_folder)
    const struct CMUnitTest tests[] = {
        TEST(test_file_is_all_that_there_is),
        TEST(test_wrong_at_the_start),
        TEST(test_restart),
        TEST(test_edits),
        TEST(test_folder),
        TEST(test_config_map),
        TEST(test_wg_quick_file),
        TEST(test_conflicts),
        TEST(test_events),
        TEST(test_waits_while_frozen),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
