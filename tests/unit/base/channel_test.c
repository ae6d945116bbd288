/* channel: messages of all sizes and their descriptors, in order, and what ends a channel. */
#include "base/channel.h"

#include "base/descriptor.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct end {
    struct channel *channel;
    unsigned messages;
    size_t bytes;
    uint16_t last_type;
    uint8_t last_first_byte, last_last_byte;
    int kept_fd;   /* the first descriptor of a message is kept here if it is -2 before */
    unsigned lost; /* messages whose descriptors were */
    int refuse;    /* what message() returns */
    bool closed;
    int close_error;
};

struct fixture {
    struct event_base *base;
    struct end a, b;
    int raw; /* the other end, when there is no b.channel */
};

static int on_message(void *ctx, struct channel_message *message)
{
    struct end *end = ctx;
    end->messages++;
    end->bytes += message->len;
    end->lost += message->fds_lost;
    end->last_type = message->type;
    end->last_first_byte = message->len ? message->body[0] : 0;
    end->last_last_byte = message->len ? message->body[message->len - 1] : 0;
    if (end->kept_fd == -2) {
        end->kept_fd = message->fds[0];
        message->fds[0] = -1;
    }
    return end->refuse;
}

static void on_closed(void *ctx, int error)
{
    struct end *end = ctx;
    end->closed = true;
    end->close_error = error;
}

static const struct channel_ops ops = {.message = on_message, .closed = on_closed};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int pair[2];
    f->base = event_base_new();
    f->a.kept_fd = f->b.kept_fd = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    assert_int_equal(channel_new(f->base, pair[0], &ops, &f->a, &f->a.channel), 0);
    f->raw = pair[1];
    *state = f;
    return 0;
}

static int setup_both(void **state)
{
    setup(state);
    struct fixture *f = *state;
    assert_int_equal(channel_new(f->base, f->raw, &ops, &f->b, &f->b.channel), 0);
    f->raw = -1;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    channel_free(f->a.channel);
    channel_free(f->b.channel);
    if (f->raw >= 0)
        close(f->raw);
    if (f->b.kept_fd >= 0)
        close(f->b.kept_fd);
    event_base_free(f->base);
    free(f);
    return 0;
}

/* Runs the loop until messages have arrived at end, or it was closed. */
static void run_until(struct fixture *f, const struct end *end, unsigned messages)
{
    while (end->messages < messages && !end->closed)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
}

static void carries_messages_of_all_sizes(void **state)
{
    static const size_t sizes[] = {0,
                                   1,
                                   CHANNEL_FRAME_MAX - 1,
                                   CHANNEL_FRAME_MAX,
                                   CHANNEL_FRAME_MAX + 1,
                                   3 * CHANNEL_FRAME_MAX,
                                   1000003,
                                   CHANNEL_MESSAGE_MAX};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *body = malloc(sizes[i] + 1);
        memset(body, 0x55, sizes[i] + 1);
        body[0] = (uint8_t)(i + 1);
        if (sizes[i] > 1)
            body[sizes[i] - 1] = (uint8_t)(i + 101);
        size_t before = f->b.bytes;
        assert_int_equal(channel_send(f->a.channel, (uint16_t)(i + 7), body, sizes[i], NULL), 0);
        run_until(f, &f->b, (unsigned)i + 1);
        assert_false(f->b.closed);
        assert_int_equal(f->b.bytes - before, sizes[i]);
        assert_int_equal(f->b.last_type, i + 7);
        if (sizes[i] > 1) {
            assert_int_equal(f->b.last_first_byte, i + 1);
            assert_int_equal(f->b.last_last_byte, i + 101);
        }
        free(body);
    }
}

static void keeps_the_order_of_many(void **state)
{
    enum { COUNT = 5000 };
    struct fixture *f = *state;
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(channel_send(f->a.channel, (uint16_t)i, &i, sizeof(i), NULL), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        run_until(f, &f->b, i + 1);
        assert_false(f->b.closed);
    }
    assert_int_equal(f->b.messages, COUNT);
    assert_int_equal(f->b.last_type, COUNT - 1);
}

static void passes_descriptors(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    struct stat sent, received;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fstat(fds[0], &sent), 0);
    f->b.kept_fd = -2;
    char body[CHANNEL_FRAME_MAX + 10] = {0}; /* two frames: the descriptor comes with the first */
    assert_int_equal(channel_send(f->a.channel, 1, body, sizeof(body), (int[]){fds[0], -1}), 0);
    close(fds[0]);
    close(fds[1]);
    run_until(f, &f->b, 1);
    assert_true(f->b.kept_fd >= 0);
    assert_int_equal(fstat(f->b.kept_fd, &received), 0);
    assert_int_equal(sent.st_ino, received.st_ino);
}

static void closes_descriptors_that_are_not_kept(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(channel_send(f->a.channel, 1, "x", 1, (int[]){-1, fds[1]}), 0);
    close(fds[1]);
    run_until(f, &f->b, 1);
    char byte; /* all writers are gone, so the pipe is at its end */
    assert_int_equal(read(fds[0], &byte, 1), 0);
    close(fds[0]);
}

/* Out of descriptors, who reads gets the message without its own, and all that come after it. */
static void goes_on_without_descriptors(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit;
    int fds[2], spare;
    char byte;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(channel_send(f->a.channel, 1, "x", 1, (int[]){fds[1], fds[1]}), 0);
    assert_int_equal(channel_send(f->a.channel, 1, "x", 1, (int[]){fds[1], fds[1]}), 0);
    assert_int_equal(channel_send(f->a.channel, 2, "yz", 2, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    spare = dup(fds[0]);
    close(spare); /* room for one of the first two */
    const struct rlimit one = {.rlim_cur = (rlim_t)spare + 1, .rlim_max = limit.rlim_max};
    f->b.kept_fd = -2;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &one), 0);
    run_until(f, &f->b, 3);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_false(f->b.closed);
    assert_int_equal(f->b.messages, 3);
    assert_int_equal(f->b.lost, 2);
    assert_int_equal(f->b.kept_fd, -1);
    assert_int_equal(f->b.last_type, 2);
    assert_int_equal(f->b.last_last_byte, 'z');
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 0); /* the one that came was closed */
    close(fds[0]);
}

/* Lends fd more often than the socket takes, by a process that can have no descriptor more. */
static void lend_many(const struct fixture *f, int fd, unsigned count)
{
    struct rlimit limit;
    int errors = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 3, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (unsigned i = 0; i < count; i++)
        errors += channel_lend(f->a.channel, 1, "x", 1, (int[]){fd, -1}) != 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(errors, 0);
}

/* Its owner closes it while it waits: it arrives all the same, and then it is closed. */
static void lent_descriptors_wait_without_duplicates(void **state)
{
    enum { COUNT = 2000 };
    struct fixture *f = *state;
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    lend_many(f, fds[1], COUNT);
    descriptor_close(fds[1]);
    assert_true(fcntl(fds[1], F_GETFD) >= 0);
    run_until(f, &f->b, COUNT);
    assert_false(f->b.closed);
    assert_int_equal(f->b.messages, COUNT);
    assert_int_equal(fcntl(fds[1], F_GETFD), -1);
    assert_int_equal(read(fds[0], &byte, 1), 0); /* all writers are gone, of both ends */
    close(fds[0]);
}

static void lent_descriptors_come_back_with_the_end(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    lend_many(f, fds[0], 2000);
    lend_many(f, fds[1], 1);
    descriptor_close(fds[0]);
    channel_free(f->a.channel);
    f->a.channel = NULL;
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    assert_true(fcntl(fds[1], F_GETFD) >= 0); /* its owner has not closed it */
    descriptor_close(fds[1]);
    assert_int_equal(fcntl(fds[1], F_GETFD), -1);
}

static void refuses_what_is_too_large(void **state)
{
    struct fixture *f = *state;
    uint8_t *body = calloc(1, CHANNEL_MESSAGE_MAX + 1);
    assert_int_equal(channel_send(f->a.channel, 1, body, CHANNEL_MESSAGE_MAX + 1, NULL), -EMSGSIZE);
    /* Nobody reads: the queue fills up to its limit and no further. */
    int error = 0;
    unsigned sent = 0;
    while ((error = channel_send(f->a.channel, 1, body, CHANNEL_MESSAGE_MAX, NULL)) == 0)
        assert_true(++sent < 10);
    assert_int_equal(error, -ENOBUFS);
    assert_int_equal(sent, CHANNEL_QUEUE_MAX / CHANNEL_MESSAGE_MAX);
    free(body);
}

/* All that there is can be told, however much, and then the limit is as before. */
static void tells_more_than_the_queue_may_have(void **state)
{
    enum { COUNT = CHANNEL_QUEUE_MAX / CHANNEL_MESSAGE_MAX + 1 };
    struct fixture *f = *state;
    uint8_t *body = calloc(1, CHANNEL_MESSAGE_MAX);
    channel_set_bounded(f->a.channel, false);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(channel_send(f->a.channel, 1, body, CHANNEL_MESSAGE_MAX, NULL), 0);
    channel_set_bounded(f->a.channel, true);
    assert_int_equal(channel_send(f->a.channel, 1, "x", 1, NULL), 0);
    run_until(f, &f->b, COUNT + 1);
    assert_int_equal(f->b.bytes, COUNT * (size_t)CHANNEL_MESSAGE_MAX + 1);
    for (int i = 0; i < COUNT - 1; i++)
        assert_int_equal(channel_send(f->a.channel, 1, body, CHANNEL_MESSAGE_MAX, NULL), 0);
    assert_int_equal(channel_send(f->a.channel, 1, body, CHANNEL_MESSAGE_MAX, NULL), -ENOBUFS);
    free(body);
}

static void tells_when_the_other_end_is_gone(void **state)
{
    struct fixture *f = *state;
    channel_free(f->a.channel);
    f->a.channel = NULL;
    run_until(f, &f->b, 1);
    assert_true(f->b.closed);
    assert_int_equal(f->b.close_error, 0);
}

static void ends_when_a_message_is_refused(void **state)
{
    struct fixture *f = *state;
    f->b.refuse = -EPROTO;
    assert_int_equal(channel_send(f->a.channel, 1, "x", 1, NULL), 0);
    while (!f->b.closed)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    assert_int_equal(f->b.close_error, -EPROTO);
}

/* What cannot come from a channel of ours. The frame: message length, offset, type, descriptors. */
static void gives_up_on_malformed_frames(void **state)
{
    static const struct {
        uint8_t bytes[16];
        size_t len;
    } frames[] = {
        {{1}, 1},                                             /* shorter than a header */
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 11},              /* the same, by a byte */
        {{5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'x'}, 13},      /* begins in the middle */
        {{1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'x', 'y'}, 14}, /* more than the message */
        {{5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 12},           /* a frame without progress */
        {{255, 255, 255, 255, 0, 0, 0, 0, 1, 0, 0, 0}, 12},   /* a message over the limit */
        {{1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 'x'}, 13},      /* a descriptor that is not there */
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        assert_int_equal(send(f->raw, frames[i].bytes, frames[i].len, 0), frames[i].len);
        while (!f->a.closed)
            assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
        assert_int_equal(f->a.close_error, -EPROTO);
        assert_int_equal(f->a.messages, 0);
        teardown(state);
        setup(state);
        f = *state;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(carries_messages_of_all_sizes, setup_both, teardown),
        cmocka_unit_test_setup_teardown(keeps_the_order_of_many, setup_both, teardown),
        cmocka_unit_test_setup_teardown(passes_descriptors, setup_both, teardown),
        cmocka_unit_test_setup_teardown(closes_descriptors_that_are_not_kept, setup_both, teardown),
        cmocka_unit_test_setup_teardown(goes_on_without_descriptors, setup_both, teardown),
        cmocka_unit_test_setup_teardown(lent_descriptors_wait_without_duplicates, setup_both,
                                        teardown),
        cmocka_unit_test_setup_teardown(lent_descriptors_come_back_with_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_more_than_the_queue_may_have, setup_both, teardown),
        cmocka_unit_test_setup_teardown(tells_when_the_other_end_is_gone, setup_both, teardown),
        cmocka_unit_test_setup_teardown(ends_when_a_message_is_refused, setup_both, teardown),
        cmocka_unit_test_setup_teardown(gives_up_on_malformed_frames, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
