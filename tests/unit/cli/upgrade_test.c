/* upgrade: what is started, with what, and what becomes of one that ends. */
#include "cli/upgrade.h"

#include "base/log.h"
#include "cli/notify.h"
#include "tests/support/cmocka_all.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture {
    struct event_base *base;
    struct upgrade *upgrade;
    struct notify *notify;
    char directory[32];
    char path[64]; /* of what the started program wrote */
} fx;

static int set_up(void **state)
{
    (void)state;
    fx = (struct fixture){.directory = "/tmp/upgrade-test-XXXXXX"};
    fx.base = event_base_new();
    assert_non_null(mkdtemp(fx.directory));
    snprintf(fx.path, sizeof(fx.path), "%s/out", fx.directory);
    return fx.base == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    upgrade_free(fx.upgrade);
    notify_free(fx.notify);
    event_base_free(fx.base);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left, not even a dead one */
    unlink(fx.path);
    return rmdir(fx.directory);
}

/* Lets the loop run until the program has ended and was reaped. */
static void ask(void)
{
    struct timeval limit = {.tv_sec = 10};
    struct timespec moment = {.tv_nsec = 1000000};
    siginfo_t info = {0};
    raise(SIGUSR2);
    event_base_loopexit(fx.base, &limit);
    while (!event_base_got_exit(fx.base)) {
        assert_int_equal(event_base_loop(fx.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
            return;
        nanosleep(&moment, NULL);
    }
    fail_msg("the program has not ended");
}

static void expect(const char *text)
{
    char found[512] = "";
    FILE *file = fopen(fx.path, "r");
    assert_non_null(file);
    size_t len = fread(found, 1, sizeof(found) - 1, file);
    fclose(file);
    found[len] = '\0';
    assert_string_equal(found, text);
}

static void make(char *const *arguments)
{
    assert_int_equal(upgrade_new(fx.base, arguments, fx.notify, &fx.upgrade), 0);
}

/* A program that writes what it was given. */
#define SCRIPT "echo \"$NOTIFY_SOCKET,$WATCHDOG_USEC,$WATCHDOG_PID,$*\" >>\"$0\"; exit 3"

static void has_the_same_arguments_and_one_more(void **state)
{
    (void)state;
    char *arguments[] = {"sh", "-c", SCRIPT, fx.path, "--data", "x", NULL};
    make(arguments);
    ask();
    expect(",,,--data x --takeover\n");
    ask(); /* it can be asked again */
    expect(",,,--data x --takeover\n,,,--data x --takeover\n");
}

static void takes_over_only_once(void **state)
{
    (void)state;
    char *arguments[] = {"sh", "-c", SCRIPT, fx.path, "--takeover", "x", NULL};
    make(arguments);
    ask();
    expect(",,,--takeover x\n");
}

/* The manager is told of by the next one, too, and not to be heard of by others. */
static void has_the_manager(void **state)
{
    (void)state;
    char expected[192];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", fx.directory);
    assert_int_equal(bind(manager, (struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    setenv("WATCHDOG_USEC", "9000000", 1);
    assert_int_equal(notify_new(fx.base, &fx.notify), 0);
    char *arguments[] = {"sh", "-c", SCRIPT, fx.path, NULL};
    make(arguments);
    ask();
    snprintf(expected, sizeof(expected), "%s,9000000,,--takeover\n", address.sun_path);
    expect(expected);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    close(manager);
    unlink(address.sun_path);
}

static void what_cannot_be_started_changes_nothing(void **state)
{
    (void)state;
    char *arguments[] = {"/nonexistent/manytun", "serve", NULL};
    make(arguments);
    ask();
    ask();
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(has_the_same_arguments_and_one_more),
        TEST(takes_over_only_once),
        TEST(has_the_manager),
        TEST(what_cannot_be_started_changes_nothing),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
