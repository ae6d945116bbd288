/* retired: real processes that end when their channel is closed, or do not. */
#include "server/retired.h"

#include "base/log.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture {
    struct event_base *base;
    struct inherited *inherited;
    struct retired *retired;
} fx;

static int set_up(void **state)
{
    (void)state;
    fx.base = event_base_new();
    assert_int_equal(inherited_new(&fx.inherited), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    retired_free(fx.retired);
    inherited_free(fx.inherited);
    event_base_free(fx.base);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    return errno == ECHILD ? 0 : -1;
}

/* A process that waits for its channel's end, or for ever. */
static pid_t start_worker(bool stubborn)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(pair[0]);
        while (read(pair[1], &byte, 1) > 0)
            ;
        while (stubborn)
            pause();
        _exit(0);
    }
    close(pair[1]);
    struct inherited_item item = {
        .kind = INHERITED_WORKER,
        .fds = {pair[0], (int)syscall(SYS_pidfd_open, pid, 0)},
    };
    assert_int_equal(inherited_add(fx.inherited, &item), 0);
    return pid;
}

static void begin(unsigned seconds, unsigned count)
{
    assert_int_equal(retired_new(fx.base, seconds, &fx.retired), 0);
    retired_inherit(fx.retired, fx.inherited, NULL);
    assert_int_equal(retired_count(fx.retired), count);
}

static void run_until_none(void)
{
    while (retired_count(fx.retired) > 0)
        assert_int_equal(event_base_loop(fx.base, EVLOOP_ONCE), 0);
}

static void who_ends_is_gone(void **state)
{
    (void)state;
    pid_t pid = start_worker(false);
    begin(1000, 1);
    kill(pid, SIGTERM);
    run_until_none();
}

static void time_is_limited(void **state)
{
    (void)state;
    start_worker(false);
    begin(0, 1);
    run_until_none();
}

static void who_does_not_end_is_killed(void **state)
{
    (void)state;
    pid_t pid = start_worker(true);
    siginfo_t end = {0};
    begin(0, 1);
    assert_int_equal(waitid(P_PID, (id_t)pid, &end, WEXITED | WNOWAIT | WNOHANG), 0);
    assert_int_equal(end.si_pid, 0); /* not yet */
    run_until_none();
    assert_int_equal(waitpid(pid, NULL, 0), -1); /* a child of ours is reaped, too */
    assert_int_equal(errno, ECHILD);
}

static int count_offer(void *ctx, enum inherited_kind kind, const char *name,
                       const int fds[INHERITED_FDS_MAX])
{
    assert_int_equal(kind, INHERITED_WORKER);
    assert_non_null(name);
    assert_true(fds[0] >= 0 && fds[1] >= 0);
    ++*(unsigned *)ctx;
    return 0;
}

static void are_offered_to_the_next(void **state)
{
    (void)state;
    unsigned offered = 0;
    start_worker(false);
    start_worker(false);
    begin(1000, 2);
    assert_int_equal(retired_offer(fx.retired, count_offer, &offered), 0);
    assert_int_equal(offered, 2);
    assert_int_equal(retired_count(fx.retired), 2);
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(who_ends_is_gone),
        TEST(time_is_limited),
        TEST(who_does_not_end_is_killed),
        TEST(are_offered_to_the_next),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
