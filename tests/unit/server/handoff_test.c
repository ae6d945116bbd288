/* handoff, inherited: descriptors and names through a channel, and what is no message. */
#include "server/handoff.h"

#include "base/descriptor.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fixture {
    struct event_base *base;
    struct channel *older, *newer;
    struct inherited *inherited;
    unsigned last; /* type of the last message that was no item */
    int hello;
    char reason[HANDOFF_REASON_MAX + 1];
} fx;

static int on_message(void *ctx, struct channel_message *message)
{
    (void)ctx;
    struct inherited_item item;
    switch (message->type) {
    case HANDOFF_ITEM:
        assert_int_equal(handoff_read_item(message, &item), 0);
        assert_int_equal(inherited_add(fx.inherited, &item), 0);
        return 0;
    case HANDOFF_HELLO:
        fx.hello = handoff_read_hello(message);
        break;
    case HANDOFF_REFUSED:
        assert_int_equal(handoff_read_refused(message, fx.reason), 0);
        break;
    default:
        assert_int_equal(handoff_read_empty(message), 0);
        break;
    }
    fx.last = message->type;
    return 0;
}

static void on_closed(void *ctx, int error)
{
    (void)ctx;
    (void)error;
}

static const struct channel_ops ops = {.message = on_message, .closed = on_closed};

static int set_up(void **state)
{
    (void)state;
    int pair[2];
    fx = (struct fixture){.hello = 1};
    fx.base = event_base_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    assert_int_equal(channel_new(fx.base, pair[0], &ops, NULL, &fx.older), 0);
    assert_int_equal(channel_new(fx.base, pair[1], &ops, NULL, &fx.newer), 0);
    assert_int_equal(inherited_new(&fx.inherited), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    channel_free(fx.older);
    channel_free(fx.newer);
    inherited_free(fx.inherited);
    event_base_free(fx.base);
    return 0;
}

static void run_until(unsigned type)
{
    for (int i = 0; fx.last != type; i++) {
        assert_true(i < 100000);
        assert_true(event_base_loop(fx.base, EVLOOP_NONBLOCK) >= 0);
    }
}

static ino_t inode(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

static void descriptors_arrive_by_name(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    ino_t inodes[COUNT];
    char name[32];
    int fds[INHERITED_FDS_MAX];
    for (int i = COUNT - 1; i >= 0; i--) {
        int pipe_ends[2];
        assert_int_equal(pipe(pipe_ends), 0);
        inodes[i] = inode(pipe_ends[0]);
        snprintf(name, sizeof(name), "forward-%d", i);
        fds[0] = i % 2 ? pipe_ends[0] : -1;
        fds[1] = pipe_ends[1];
        assert_int_equal(handoff_send_item(fx.older, INHERITED_FORWARD, name, fds), 0);
        descriptor_close(pipe_ends[0]);
        descriptor_close(pipe_ends[1]);
    }
    assert_int_equal(handoff_send(fx.older, HANDOFF_ALL), 0);
    run_until(HANDOFF_ALL);
    for (int i = 0; i < COUNT; i += 3) {
        snprintf(name, sizeof(name), "forward-%d", i);
        assert_false(inherited_take(fx.inherited, INHERITED_TUNNEL, name, fds));
        assert_true(inherited_has(fx.inherited, INHERITED_FORWARD, name));
        assert_true(inherited_take(fx.inherited, INHERITED_FORWARD, name, fds));
        assert_false(inherited_has(fx.inherited, INHERITED_FORWARD, name));
        assert_int_equal(fds[0] >= 0, i % 2);
        assert_int_equal(inode(fds[1]), inodes[i]);
        if (fds[0] >= 0)
            close(fds[0]);
        close(fds[1]);
        /* Only once. */
        assert_false(inherited_take(fx.inherited, INHERITED_FORWARD, name, fds));
        assert_int_equal(fds[0], -1);
    }
    unsigned left = 0;
    while (inherited_take(fx.inherited, INHERITED_FORWARD, NULL, fds)) {
        left++;
        if (fds[0] >= 0)
            close(fds[0]);
        close(fds[1]);
    }
    assert_int_equal(left, COUNT - COUNT / 3);
}

/* What nobody takes is closed: the far end of the pipe tells. */
static void what_is_left_is_closed(void **state)
{
    (void)state;
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    struct inherited_item item = {.kind = INHERITED_WORKER, .fds = {-1, pipe_ends[1]}};
    assert_int_equal(inherited_add(fx.inherited, &item), 0);
    assert_int_equal(item.fds[1], -1);
    inherited_free(fx.inherited);
    fx.inherited = NULL;
    char byte;
    assert_int_equal(read(pipe_ends[0], &byte, 1), 0);
    close(pipe_ends[0]);
    int fds[INHERITED_FDS_MAX];
    assert_false(inherited_take(NULL, INHERITED_WORKER, NULL, fds));
}

static void words_are_said(void **state)
{
    (void)state;
    assert_int_equal(handoff_send_hello(fx.newer), 0);
    run_until(HANDOFF_HELLO);
    assert_int_equal(fx.hello, 0);
    assert_int_equal(handoff_send_refused(fx.older, "no\nway"), 0);
    run_until(HANDOFF_REFUSED);
    assert_string_equal(fx.reason, "no?way");
    char long_reason[1000];
    memset(long_reason, 'x', sizeof(long_reason) - 1);
    long_reason[sizeof(long_reason) - 1] = '\0';
    fx.last = 0;
    assert_int_equal(handoff_send_refused(fx.older, long_reason), 0);
    run_until(HANDOFF_REFUSED);
    assert_int_equal(strlen(fx.reason), HANDOFF_REASON_MAX);
    const int none[INHERITED_FDS_MAX] = {-1, -1};
    assert_int_equal(handoff_send_item(fx.older, INHERITED_API, long_reason, none), -EMSGSIZE);
}

static struct channel_message message_of(const char *body, size_t len)
{
    return (struct channel_message){.body = (const uint8_t *)body, .len = len, .fds = {-1, -1}};
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct inherited_item item;
    char reason[HANDOFF_REASON_MAX + 1];
    static const char zeros[1000];
    struct channel_message message = message_of("\2\0\0\0", 4);
    assert_int_equal(handoff_read_hello(&message), -EPROTONOSUPPORT);
    message = message_of("\1\0\0", 3);
    assert_int_equal(handoff_read_hello(&message), -EPROTO);
    message = message_of("", 0);
    assert_int_equal(handoff_read_item(&message, &item), -EPROTO);
    assert_int_equal(handoff_read_empty(&message), 0);
    message = message_of("\4we\0b", 5);
    assert_int_equal(handoff_read_item(&message, &item), -EPROTO);
    message = message_of(zeros, 2 + INHERITED_NAME_MAX);
    assert_int_equal(handoff_read_item(&message, &item), -EPROTO);
    message = message_of(zeros, HANDOFF_REASON_MAX + 1);
    assert_int_equal(handoff_read_refused(&message, reason), -EPROTO);
    assert_int_equal(handoff_read_empty(&message), -EPROTO);
    message = message_of("\4web", 4);
    assert_int_equal(handoff_read_item(&message, &item), 0);
    assert_int_equal(item.kind, INHERITED_FORWARD);
    assert_string_equal(item.name, "web");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(descriptors_arrive_by_name),
        TEST(what_is_left_is_closed),
        TEST(words_are_said),
        TEST(nonsense_is_refused),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
