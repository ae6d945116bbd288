/* takeover: older programs that hand over, die, or are told to end in the middle of it. */
#include "cli/takeover.h"

#include "server/handoff.h"

#include <event2/event.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    char directory[32];
    struct sockaddr_un address;
    struct event_base *base;
    struct takeover *takeover;
    pid_t older;
    char error[256];
} fx;

static int set_up(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    strcpy(fx.directory, "/tmp/takeover-test-XXXXXX");
    if (mkdtemp(fx.directory) == NULL)
        return -1;
    fx.address.sun_family = AF_UNIX;
    snprintf(fx.address.sun_path, sizeof(fx.address.sun_path), "%s/%s", fx.directory,
             HANDOFF_SOCKET);
    fx.base = event_base_new();
    return fx.base != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    takeover_free(fx.takeover);
    event_base_free(fx.base);
    kill(fx.older, SIGKILL);
    waitpid(fx.older, NULL, 0);
    unlink(fx.address.sun_path);
    return rmdir(fx.directory);
}

/* --- The older program, a process of its own -------------------------------------------------- */

static void say(int fd, enum handoff_type type, const char *body)
{
    struct {
        uint32_t len, offset;
        uint16_t type, fds;
        char body[HANDOFF_REASON_MAX];
    } frame = {.len = (uint32_t)strlen(body), .type = (uint16_t)type};
    memcpy(frame.body, body, frame.len);
    if (send(fd, &frame, 12 + frame.len, MSG_NOSIGNAL) != (ssize_t)(12 + frame.len))
        _exit(2);
}

/* Waits for the next message, and leaves it unread. */
static void await(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, 10000) != 1)
        _exit(2);
}

static void hear(int fd)
{
    char frame[64];
    if (recv(fd, frame, sizeof(frame), 0) <= 0)
        _exit(2);
}

static void hands_over(int fd)
{
    hear(fd);
    say(fd, HANDOFF_DONE, "");
    pause();
}

static void dies(int fd)
{
    hear(fd);
}

static void goes_on(int fd)
{
    close(fd);
    pause();
}

static void is_told_to_end(int fd)
{
    say(fd, HANDOFF_REFUSED, "it is ending");
}

/* When it is just being told to hand over. */
static void is_told_to_end_late(int fd)
{
    await(fd);
    say(fd, HANDOFF_REFUSED, "it is ending");
}

/* Takes over from one that offers nothing, and then does this. */
static enum takeover_outcome take_over_from(void (*then)(int fd))
{
    int listening[2];
    char byte;
    assert_int_equal(pipe(listening), 0);
    fx.older = fork();
    if (fx.older == 0) { /* it listens itself: that is who it is for who connects */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        if (bind(fd, (struct sockaddr *)&fx.address, sizeof(fx.address)) < 0 || listen(fd, 1) < 0 ||
            write(listening[1], "x", 1) != 1)
            _exit(2);
        fd = accept(fd, NULL, NULL);
        hear(fd);
        say(fd, HANDOFF_ALL, "");
        then(fd);
        _exit(0);
    }
    assert_int_equal(read(listening[0], &byte, 1), 1);
    close(listening[0]);
    close(listening[1]);
    if (takeover_begin(fx.base, fx.directory, &fx.takeover, fx.error) < 0)
        fail_msg("%s", fx.error);
    return takeover_take(fx.takeover, fx.error);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void who_hands_over_is_done(void **state)
{
    (void)state;
    assert_int_equal(take_over_from(hands_over), TAKEOVER_DONE);
}

static void who_dies_leaves_it_alone(void **state)
{
    (void)state;
    assert_int_equal(take_over_from(dies), TAKEOVER_ALONE);
}

static void who_hangs_up_goes_on(void **state)
{
    (void)state;
    assert_int_equal(take_over_from(goes_on), TAKEOVER_REFUSED);
}

/* It ends like one that dies, and has shut down what it had offered. */
static void who_is_told_to_end_is_the_end(void **state)
{
    (void)state;
    assert_int_equal(take_over_from(is_told_to_end), TAKEOVER_REFUSED);
    assert_non_null(strstr(fx.error, "it is ending"));
}

static void who_is_told_to_end_late_is_the_end(void **state)
{
    (void)state;
    assert_int_equal(take_over_from(is_told_to_end_late), TAKEOVER_REFUSED);
    assert_non_null(strstr(fx.error, "it is ending"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_hands_over_is_done),
        TEST(who_dies_leaves_it_alone),
        TEST(who_hangs_up_goes_on),
        TEST(who_is_told_to_end_is_the_end),
        TEST(who_is_told_to_end_late_is_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
