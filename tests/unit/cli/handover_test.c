/* handover: newer programs that come, go, say nothing, or die, and the end in the middle of it. */
#include "cli/handover.h"

#include "server/handoff.h"
#include "server/retired.h"
#include "tests/unit/api/http_world.h"

#include <signal.h>
#include <sys/wait.h>

#define WAIT_MS 50

static struct retired *retired;
static struct handover *handover;

static int set_up_handover(void **state)
{
    fake.drained = NULL;
    if (set_up(state) != 0 || retired_new(fx.base, 60, &retired) < 0)
        return -1;
    const struct handover_config config = {
        .directory = fx.directory,
        .service = fx.service,
        .api = fx.api,
        .store = fx.store,
        .retired = retired,
        .wait_ms = WAIT_MS,
    };
    return handover_new(fx.base, &config, &handover);
}

static int tear_down_handover(void **state)
{
    handover_free(handover);
    retired_free(retired);
    return tear_down(state);
}

static void turn(void)
{
    assert_int_equal(event_base_loop(fx.base, EVLOOP_NONBLOCK), 0);
}

/* What a program would do that ends; whether it had to. */
static bool run_ms(unsigned ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    assert_int_equal(event_base_loopexit(fx.base, &wait), 0);
    assert_int_equal(event_base_dispatch(fx.base), 0);
    return event_base_got_break(fx.base);
}

static int come(void)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", fx.directory, HANDOFF_SOCKET);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    turn();
    return fd;
}

static void say(int fd, enum handoff_type type, uint32_t version)
{
    const struct {
        uint32_t len, offset;
        uint16_t type, fds;
        uint32_t version;
    } frame = {.len = type == HANDOFF_HELLO ? 4 : 0, .type = (uint16_t)type, .version = version};
    size_t len = type == HANDOFF_HELLO ? 16 : 12;
    assert_int_equal(send(fd, &frame, len, MSG_NOSIGNAL), (ssize_t)len);
    turn();
}

/* Reads what comes, without its descriptors; whether it was hung up. */
static bool is_hung_up(int fd)
{
    char frame[512];
    ssize_t len;
    while ((len = recv(fd, frame, sizeof(frame), 0)) > 0)
        ;
    return len == 0;
}

/* Reads what comes until it is hung up; the type of the last message. */
static int last_of(int fd)
{
    struct {
        uint32_t len, offset;
        uint16_t type, fds;
        char body[512];
    } frame = {0};
    ssize_t len;
    while ((len = recv(fd, &frame, sizeof(frame), 0)) > 0)
        ;
    assert_int_equal(len, 0);
    return frame.type;
}

static void who_only_looks_changes_nothing(void **state)
{
    (void)state;
    close(come());
    assert_false(run_ms(3 * WAIT_MS));
    assert_false(handover_is_done(handover));
}

static void who_says_nothing_is_hung_up_on(void **state)
{
    (void)state;
    int fd = come();
    assert_false(is_hung_up(fd));
    assert_false(run_ms(3 * WAIT_MS));
    assert_true(is_hung_up(fd));
    assert_false(handover_is_done(handover));
    close(fd);
    fd = come(); /* there is room for the next */
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    assert_true(service_frozen(fx.service));
    close(fd);
}

static void who_is_refused_changes_nothing(void **state)
{
    (void)state;
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION + 1);
    assert_true(is_hung_up(fd));
    close(fd);
    assert_false(run_ms(3 * WAIT_MS));
    assert_false(handover_is_done(handover));
    assert_false(service_frozen(fx.service));
}

static void who_takes_too_long_is_given_up(void **state)
{
    (void)state;
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    assert_true(service_frozen(fx.service));
    assert_false(run_ms(3 * WAIT_MS));
    assert_true(is_hung_up(fd));
    assert_false(service_frozen(fx.service));
    close(fd);
}

static void an_end_before_it_is_the_end(void **state)
{
    (void)state;
    assert_false(handover_stop(NULL));
    assert_false(handover_stop(handover));
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    assert_false(handover_stop(handover));
    assert_int_equal(last_of(fd), HANDOFF_REFUSED); /* or it would take it for a crash */
    assert_false(service_frozen(fx.service));
    close(fd);
}

static void an_end_after_it_shuts_nothing(void **state)
{
    (void)state;
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    say(fd, HANDOFF_TAKE, 0);
    assert_true(handover_stop(handover)); /* its workers retire */
    fake.drained(fake.drained_ctx);
    assert_true(handover_stop(handover)); /* the newer one begins to work with it */
    assert_false(run_ms(1));
    assert_false(handover_is_done(handover));
    close(fd);
    turn();
    assert_true(handover_stop(handover));
    assert_true(handover_is_done(handover));
    assert_false(handover_is_lost(handover));
}

/* The newer one has everything, and neither hangs up nor ends. */
static void who_hangs_with_everything_is_not_waited_for(void **state)
{
    (void)state;
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    say(fd, HANDOFF_TAKE, 0);
    assert_false(run_ms(3 * WAIT_MS)); /* workers have a time of their own */
    fake.drained(fake.drained_ctx);
    assert_true(run_ms(10000));
    assert_true(handover_is_done(handover));
    assert_false(handover_is_lost(handover)); /* it lives */
    close(fd);
}

/* However often, and in whichever state: it ends after the linger. */
static void an_end_is_not_waited_for_either(void **state)
{
    (void)state;
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    say(fd, HANDOFF_TAKE, 0);
    assert_true(handover_stop(handover));
    fake.drained(fake.drained_ctx);
    assert_true(handover_stop(handover));
    assert_false(run_ms(HANDOVER_LINGER_MS / 2));
    assert_true(handover_stop(handover)); /* again: the time is not begun anew */
    assert_true(run_ms(HANDOVER_LINGER_MS * 3 / 4));
    assert_true(handover_is_done(handover));
    close(fd);
}

static void who_dies_without_a_way_back_is_missed(void **state)
{
    (void)state;
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    say(fd, HANDOFF_TAKE, 0);
    close(fd);
    assert_true(run_ms(1000));
    assert_true(handover_is_lost(handover));
    assert_false(handover_is_done(handover));
    assert_false(handover_stop(handover));
    fake.drained(fake.drained_ctx); /* too late */
    assert_true(handover_is_lost(handover));
}

/* After the hand-over, too: a service manager is to know that nobody is there. */
static void who_dies_with_everything_is_missed(void **state)
{
    (void)state;
    int news[2];
    char byte;
    assert_int_equal(pipe(news), 0);
    pid_t newer = fork();
    if (newer == 0) { /* the loop is the parent's: this one only connects, and waits for its end */
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", fx.directory, HANDOFF_SOCKET);
        const struct {
            uint32_t len, offset;
            uint16_t type, fds;
            uint32_t version;
        } hello = {4, 0, HANDOFF_HELLO, 0, HANDOFF_VERSION}, take = {0, 0, HANDOFF_TAKE, 0, 0};
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
            send(fd, &hello, 16, 0) == 16 && send(fd, &take, 12, 0) == 12 &&
            write(news[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(news[0], &byte, 1), 1);
    while (fake.drained == NULL)
        turn();
    fake.drained(fake.drained_ctx);
    kill(newer, SIGKILL);
    assert_true(run_ms(10000));
    assert_true(handover_is_done(handover));
    assert_true(handover_is_lost(handover));
    waitpid(newer, NULL, 0);
    close(news[0]);
    close(news[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_handover, tear_down_handover)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_only_looks_changes_nothing),
        TEST(who_says_nothing_is_hung_up_on),
        TEST(who_is_refused_changes_nothing),
        TEST(who_takes_too_long_is_given_up),
        TEST(an_end_before_it_is_the_end),
        TEST(an_end_after_it_shuts_nothing),
        TEST(who_dies_without_a_way_back_is_missed),
        TEST(who_dies_with_everything_is_missed),
        TEST(who_hangs_with_everything_is_not_waited_for),
        TEST(an_end_is_not_waited_for_either),
    };
    log_set_level(LOG_LEVEL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
