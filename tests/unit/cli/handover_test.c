/* handover: newer programs that come, go, say nothing, or die, and the end in the middle of it. */
#include "cli/handover.h"

#include "server/handoff.h"
#include "server/retired.h"
#include "tests/unit/api/http_world.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define WAIT_MS 50

static struct retired *retired;
static struct handover *handover;

static int make_handover(unsigned wait_ms)
{
    const struct handover_config config = {
        .directory = fx.directory,
        .service = fx.service,
        .api = fx.api,
        .store = fx.store,
        .retired = retired,
        .wait_ms = wait_ms,
    };
    return handover_new(fx.base, &config, &handover);
}

static int set_up_handover(void **state)
{
    fake.drained = NULL;
    if (set_up(state) != 0 || retired_new(fx.base, 60, &retired) < 0)
        return -1;
    return make_handover(WAIT_MS);
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

/* More than the socket to the newer program takes at once. */
static void make_forwards(unsigned count)
{
    const struct service_forward *forward;
    struct problem problem = {0};
    expect_status("POST", "/v1/tunnels", TUNNEL("home"), 201);
    assert_int_equal(store_begin(fx.store), 0); /* so that the disk is not waited for each time */
    for (unsigned i = 0; i < count; i++) {
        struct spec_forward spec = {.tunnel = "home",
                                    .target_port = 80,
                                    .enabled = true,
                                    .connect_timeout_seconds = SPEC_CONNECT_TIMEOUT_DEFAULT};
        snprintf(spec.name, sizeof(spec.name), "f%u", i);
        inet_addr_parse("127.0.0.1", &spec.listen_address);
        inet_addr_parse("10.9.0.1", &spec.target_address);
        if (service_create_forward(fx.service, &spec, &forward, &problem) < 0)
            fail_msg("%s", problem.detail);
    }
    assert_int_equal(store_end(fx.store, 0), 0);
}

/* Also a program that has used most of its descriptors can be taken over from. */
static void what_waits_takes_no_descriptors(void **state)
{
    (void)state;
    enum { COUNT = 600 };
    struct rlimit limit;
    struct {
        uint32_t len, offset;
        uint16_t type, fds;
        char body[512];
    } frame = {0};
    unsigned items = 0;
    allow_descriptors();
    make_forwards(COUNT);
    handover_free(handover);
    assert_int_equal(make_handover(10000), 0);
    int fd = come();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const int spare = dup(fd); /* about as many as are duplicated at once by others */
    assert_int_equal(close(spare), 0);
    const struct rlimit few = {.rlim_cur = (rlim_t)spare + 4, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (frame.type != HANDOFF_ALL) {
        ssize_t len = recv(fd, &frame, sizeof(frame), 0);
        assert_true(len > 0 || (len < 0 && errno == EAGAIN)); /* it does not hang up */
        if (len < 0)
            turn();
        else
            items += frame.type == HANDOFF_ITEM;
    }
    assert_true(items > COUNT);
    close(fd);
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

/* Neither does it end, nor has it said READY: an older version does not. */
static void who_hangs_up_and_lives_has_taken_over(void **state)
{
    (void)state;
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    say(fd, HANDOFF_TAKE, 0);
    fake.drained(fake.drained_ctx);
    close(fd);
    assert_true(run_ms(10000));
    assert_true(handover_is_done(handover));
    assert_false(handover_is_lost(handover));
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

/* How many of the kind are among what the program is to go on with; 0 also when it is not to. */
static unsigned is_back_with(enum inherited_kind kind)
{
    struct inherited *kept;
    int fds[INHERITED_FDS_MAX];
    unsigned count = 0;
    if (!handover_is_back(handover, &kept))
        return 0;
    assert_false(handover_is_done(handover));
    while (inherited_take(kept, kind, NULL, fds)) {
        count++;
        for (int i = 0; i < INHERITED_FDS_MAX && !inherited_is_numerous(kind); i++) {
            if (fds[i] >= 0)
                close(fds[i]);
        }
    }
    /* The service has these, too, and goes on to own them here. */
    while (inherited_take(kept, INHERITED_TUNNEL, NULL, fds) ||
           inherited_take(kept, INHERITED_FORWARD, NULL, fds) ||
           inherited_take(kept, INHERITED_BRIDGE, NULL, fds))
        ;
    inherited_free(kept);
    return count;
}

/* Its workers have begun to retire, and finish that. */
static void who_dies_before_it_has_everything_is_done_without(void **state)
{
    (void)state;
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    say(fd, HANDOFF_TAKE, 0);
    close(fd);
    assert_false(run_ms(3 * WAIT_MS));
    fake.drained(fake.drained_ctx);
    assert_false(handover_is_lost(handover));
    assert_true(is_back_with(INHERITED_LOCK));
    assert_false(handover_stop(handover));
}

/* Also a program that has used most of its descriptors goes on with all of them. */
static void what_comes_back_takes_no_descriptors(void **state)
{
    (void)state;
    enum { COUNT = 600 };
    struct rlimit limit;
    allow_descriptors();
    make_forwards(COUNT);
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    say(fd, HANDOFF_TAKE, 0);
    close(fd);
    turn();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const int spare = dup(STDERR_FILENO);
    assert_int_equal(close(spare), 0);
    const struct rlimit few = {.rlim_cur = (rlim_t)spare + 12, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    fake.drained(fake.drained_ctx);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(is_back_with(INHERITED_FORWARD), COUNT);
}

static void an_end_while_everything_comes_back_is_the_end(void **state)
{
    (void)state;
    int fd = come();
    say(fd, HANDOFF_HELLO, HANDOFF_VERSION);
    say(fd, HANDOFF_TAKE, 0);
    close(fd);
    turn();
    assert_true(handover_stop(handover));
    assert_true(handover_is_done(handover));
    assert_false(handover_is_lost(handover)); /* as it was told */
    fake.drained(fake.drained_ctx);           /* too late */
    assert_false(is_back_with(INHERITED_LOCK));
}

/* A newer program that is a process of its own, has everything, and waits for its end. */
static pid_t start_newer(bool says_ready)
{
    int news[2];
    char byte;
    assert_int_equal(pipe(news), 0);
    pid_t newer = fork();
    if (newer == 0) {                     /* the loop is the parent's */
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it may fail while this one waits */
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", fx.directory, HANDOFF_SOCKET);
        const struct {
            uint32_t len, offset;
            uint16_t type, fds;
            uint32_t version;
        } hello = {4, 0, HANDOFF_HELLO, 0, HANDOFF_VERSION}, take = {0, 0, HANDOFF_TAKE, 0, 0},
          ready = {0, 0, HANDOFF_READY, 0, 0};
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
            send(fd, &hello, 16, 0) == 16 && send(fd, &take, 12, 0) == 12 &&
            write(news[1], "x", 1) == 1) {
            struct pollfd given = {.fd = fd, .events = POLLIN};
            char frame[512];
            while (poll(&given, 1, 10000) == 1 && recv(fd, frame, sizeof(frame), 0) > 8 &&
                   frame[8] != HANDOFF_DONE)
                ;
            if (says_ready)
                send(fd, &ready, 12, 0);
            pause();
        }
        _exit(1);
    }
    assert_int_equal(read(news[0], &byte, 1), 1);
    while (fake.drained == NULL)
        turn();
    fake.drained(fake.drained_ctx);
    close(news[0]);
    close(news[1]);
    return newer;
}

static void who_dies_with_everything_is_done_without(void **state)
{
    (void)state;
    pid_t newer = start_newer(false);
    fake.drained = NULL;
    kill(newer, SIGKILL);
    while (fake.drained == NULL) /* its workers retire once more */
        turn();
    fake.drained(fake.drained_ctx);
    assert_false(handover_is_lost(handover));
    assert_true(is_back_with(INHERITED_API));
    waitpid(newer, NULL, 0);
}

/* It may have been told to; a service manager is to know that nobody is there. */
static void who_ends_after_it_was_ready_is_missed(void **state)
{
    (void)state;
    pid_t newer = start_newer(true);
    fake.drained = NULL;
    assert_false(run_ms(WAIT_MS / 2));
    kill(newer, SIGKILL);
    assert_true(run_ms(10000));
    assert_null(fake.drained);
    assert_true(handover_is_done(handover));
    assert_true(handover_is_lost(handover));
    waitpid(newer, NULL, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_handover, tear_down_handover)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_only_looks_changes_nothing),
        TEST(who_says_nothing_is_hung_up_on),
        TEST(who_is_refused_changes_nothing),
        TEST(what_waits_takes_no_descriptors),
        TEST(who_takes_too_long_is_given_up),
        TEST(an_end_before_it_is_the_end),
        TEST(an_end_after_it_shuts_nothing),
        TEST(who_dies_before_it_has_everything_is_done_without),
        TEST(what_comes_back_takes_no_descriptors),
        TEST(an_end_while_everything_comes_back_is_the_end),
        TEST(who_dies_with_everything_is_done_without),
        TEST(who_ends_after_it_was_ready_is_missed),
        TEST(who_hangs_up_and_lives_has_taken_over),
        TEST(who_hangs_with_everything_is_not_waited_for),
        TEST(an_end_is_not_waited_for_either),
    };
    log_set_level(LOG_LEVEL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
