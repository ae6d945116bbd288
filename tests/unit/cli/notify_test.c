/* notify: what a service manager is told, on a socket of the file system or an abstract one. */
#include "cli/notify.h"

#include "base/log.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct fixture {
    struct event_base *base;
    struct notify *notify;
    char directory[32];
    char path[64];
    int manager; /* -1 = there is none */
} fx;

static int set_up(void **state)
{
    (void)state;
    fx = (struct fixture){.manager = -1, .directory = "/tmp/notify-test-XXXXXX"};
    fx.base = event_base_new();
    assert_non_null(mkdtemp(fx.directory));
    snprintf(fx.path, sizeof(fx.path), "%s/notify", fx.directory);
    return fx.base == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    notify_free(fx.notify);
    event_base_free(fx.base);
    if (fx.manager >= 0)
        close(fx.manager);
    unlink(fx.path);
    return rmdir(fx.directory);
}

/* The manager's socket; a name that begins with '@' is abstract. */
static void listen_as(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    memcpy(address.sun_path, name, strlen(name));
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    fx.manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fx.manager, (struct sockaddr *)&address, len), 0);
    setenv("NOTIFY_SOCKET", name, 1);
}

static void assert_told(const char *expected)
{
    char text[1024];
    ssize_t len = recv(fx.manager, text, sizeof(text) - 1, 0);
    assert_true(len > 0);
    text[len] = '\0';
    assert_string_equal(text, expected);
}

static void tells(const char *name)
{
    listen_as(name);
    assert_int_equal(notify_new(fx.base, &fx.notify), 0);
    assert_null(getenv("NOTIFY_SOCKET"));
    notify_ready(fx.notify, "two workers");
    assert_told("READY=1\nSTATUS=two workers\n");
    char successor[64];
    snprintf(successor, sizeof(successor), "MAINPID=%d\nREADY=1\nSTATUS=here\n", (int)getpid());
    notify_successor(fx.notify, "here");
    assert_told(successor);
    notify_stopping(fx.notify, 20, "draining");
    assert_told("STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000\nSTATUS=draining\n");
}

static void tells_on_a_path(void **state)
{
    (void)state;
    tells(fx.path);
}

static void tells_on_an_abstract_name(void **state)
{
    (void)state;
    char name[128];
    snprintf(name, sizeof(name), "@%s", fx.path);
    tells(name);
}

static void without_a_manager(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(notify_new(fx.base, &fx.notify), 0);
    assert_null(fx.notify);
    notify_ready(fx.notify, "x");
    notify_successor(fx.notify, "x");
    notify_stopping(fx.notify, 1, "x");
    assert_int_equal(notify_lend(fx.notify), 0);
    notify_take_back(fx.notify);
}

static void feeds_the_watchdog(void **state)
{
    (void)state;
    listen_as(fx.path);
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_USEC", "20000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(notify_new(fx.base, &fx.notify), 0);
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(event_base_loop(fx.base, EVLOOP_ONCE), 0);
        assert_told("WATCHDOG=1\n");
    }
    /* A manager that does not read any more blocks nobody. */
    for (int i = 0; i < 10000; i++)
        notify_ready(fx.notify, "again");
}

/* Reads nothing before the one who tells it waits; the last datagram is then a successor's. */
static void *busy_manager(void *ctx)
{
    atomic_bool *told = ctx;
    char path[64], stat[512] = "", text[1024];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)getpid());
    while (!atomic_load(told) && strstr(stat, ") S ") == NULL) {
        FILE *in = fopen(path, "r");
        if (in == NULL || fgets(stat, sizeof(stat), in) == NULL)
            stat[0] = '\0';
        if (in != NULL)
            fclose(in);
    }
    bool successor = false;
    while (!successor && (!atomic_load(told) || recv(fx.manager, text, 1, MSG_PEEK) == 1)) {
        ssize_t len = recv(fx.manager, text, sizeof(text), 0);
        successor = len > 7 && memcmp(text, "MAINPID", 7) == 0;
    }
    return successor ? ctx : NULL;
}

static void a_busy_manager_does_not_miss_the_successor(void **state)
{
    (void)state;
    atomic_bool told = false;
    pthread_t manager;
    void *heard;
    listen_as(fx.path);
    assert_int_equal(notify_new(fx.base, &fx.notify), 0);
    for (int i = 0; i < 1000; i++) /* net.unix.max_dgram_qlen is 10, or 512 */
        notify_ready(fx.notify, "again");
    assert_int_equal(pthread_create(&manager, NULL, busy_manager, &told), 0);
    notify_successor(fx.notify, "here");
    atomic_store(&told, true);
    assert_int_equal(pthread_join(manager, &heard), 0);
    assert_non_null(heard);
}

static void anothers_watchdog_is_not_fed(void **state)
{
    (void)state;
    listen_as(fx.path);
    setenv("WATCHDOG_USEC", "20000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(notify_new(fx.base, &fx.notify), 0);
    assert_int_equal(event_base_loop(fx.base, EVLOOP_NONBLOCK), 1); /* there is no event */
}

static void refuses_what_is_no_socket(void **state)
{
    (void)state;
    static const struct {
        const char *name, *usec;
        int error;
    } rows[] = {
        {"", NULL, -EINVAL},
        {"relative", NULL, -EINVAL},
        {"@", NULL, -EINVAL},
        {"/nowhere", NULL, -ENOENT},
        {NULL, "0", -EINVAL},
        {NULL, "1", -EINVAL},
        {NULL, "nonsense", -EINVAL},
        {NULL, "-5", -EINVAL},
        {NULL, "99999999999999999999", -EINVAL},
    };
    listen_as(fx.path);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        setenv("NOTIFY_SOCKET", rows[i].name ? rows[i].name : fx.path, 1);
        if (rows[i].usec)
            setenv("WATCHDOG_USEC", rows[i].usec, 1);
        assert_int_equal(notify_new(fx.base, &fx.notify), rows[i].error);
        assert_null(fx.notify);
    }
    char name[200];
    memset(name, 'x', sizeof(name));
    name[0] = '/';
    name[sizeof(name) - 1] = '\0';
    setenv("NOTIFY_SOCKET", name, 1);
    assert_int_equal(notify_new(fx.base, &fx.notify), -EINVAL);
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(tells_on_a_path),
        TEST(tells_on_an_abstract_name),
        TEST(without_a_manager),
        TEST(feeds_the_watchdog),
        TEST(a_busy_manager_does_not_miss_the_successor),
        TEST(anothers_watchdog_is_not_fed),
        TEST(refuses_what_is_no_socket),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
