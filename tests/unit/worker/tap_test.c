/* tap: what the reader gets, what it misses when it is slow, and how either end ends it. */
#include "engine/tap.h"

#include "base/tap_frame.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX

static struct fixture {
    struct event_base *base;
    struct turn turn;
    struct tap_list taps;
    struct counters_worker counters;
    int reader;
    uint8_t frame[TAP_FRAME_MAX];
    struct tap_totals totals; /* of the last frame */
} fx;

static int set_up(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.base = event_base_new();
    turn_init(&fx.turn);
    LIST_INIT(&fx.taps);
    fx.reader = -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tap_free_all(&fx.taps);
    assert_true(LIST_EMPTY(&fx.taps));
    turn_end(&fx.turn);
    if (fx.reader >= 0)
        close(fx.reader);
    event_base_free(fx.base);
    return 0;
}

static int begin(uint64_t max_bytes)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                     0);
    const struct tap_config config = {.base = fx.base,
                                      .turn = &fx.turn,
                                      .fd = pair[1],
                                      .max_bytes = max_bytes,
                                      .counters = &fx.counters};
    assert_int_equal(tap_new(&fx.taps, &config), 0);
    return pair[0];
}

static void turn(void)
{
    event_base_loop(fx.base, EVLOOP_NONBLOCK);
    turn_end(&fx.turn);
}

/* A packet of len bytes that begins with a number, in two pieces. */
static void send_packet(uint32_t number, size_t len)
{
    static uint8_t rest[1 << 17];
    const struct iovec pieces[] = {{.iov_base = &number, .iov_len = sizeof(number)},
                                   {.iov_base = rest, .iov_len = len - sizeof(number)}};
    tap_packet(&fx.taps, pieces, len);
}

/* The length of the next frame's records; 0 = the end, -EAGAIN = there is none. */
static ssize_t read_frame(int reader)
{
    ssize_t len = recv(reader, fx.frame, sizeof(fx.frame), MSG_DONTWAIT | MSG_TRUNC);
    if (len < 0)
        return -errno;
    if (len == 0)
        return 0;
    assert_in_range(len, sizeof(fx.totals), sizeof(fx.frame));
    memcpy(&fx.totals, fx.frame, sizeof(fx.totals));
    return len - (ssize_t)sizeof(fx.totals);
}

static const uint8_t *records(void)
{
    return fx.frame + sizeof(fx.totals);
}

static uint32_t word(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

/* Reads to the end; how many packets, whose numbers must ascend. */
static uint64_t read_rest(int reader, uint64_t *bytes)
{
    uint64_t count = 0;
    uint32_t last = 0;
    ssize_t len;
    while ((len = read_frame(reader)) != 0) {
        if (len == -EAGAIN) {
            turn();
            continue;
        }
        for (ssize_t at = 0; at < len; count++) {
            uint32_t number = word(records() + at + PCAP_RECORD_HEADER);
            assert_true(number > last);
            last = number;
            at += PCAP_RECORD_HEADER + (ssize_t)word(records() + at + 8);
            assert_true(at <= len);
        }
        *bytes += (uint64_t)len;
    }
    return count;
}

static void test_packets_of_a_turn_are_one_frame(void **state)
{
    (void)state;
    fx.reader = begin(NO_LIMIT);
    send_packet(7, 40);
    send_packet(8, 1420);
    assert_int_equal(read_frame(fx.reader), -EAGAIN);
    turn();
    assert_int_equal(read_frame(fx.reader), 2 * PCAP_RECORD_HEADER + 40 + 1420);
    assert_int_equal(fx.totals.packets, 2);
    assert_int_equal(fx.totals.dropped, 0);
    assert_int_equal(word(records() + 8), 40);
    assert_int_equal(word(records() + 12), 40);
    assert_int_equal(word(records() + 16), 7);
    assert_int_equal(word(records() + 16 + 40 + 12), 1420);
    assert_int_equal(word(records() + 16 + 40 + 16), 8);
    turn();
    assert_int_equal(read_frame(fx.reader), -EAGAIN);
    assert_int_equal(counter_get(&fx.counters.captured), 2);
}

static void test_each_reader_has_its_own(void **state)
{
    (void)state;
    fx.reader = begin(NO_LIMIT);
    send_packet(1, 40);
    int second = begin(NO_LIMIT);
    send_packet(2, 40);
    turn();
    assert_int_equal(read_frame(fx.reader), 2 * (PCAP_RECORD_HEADER + 40));
    assert_int_equal(read_frame(second), PCAP_RECORD_HEADER + 40);
    assert_int_equal(word(records() + 16), 2);
    close(second);
    turn();
    send_packet(3, 40);
    turn();
    assert_int_equal(read_frame(fx.reader), PCAP_RECORD_HEADER + 40);
}

/* Longer than any record can be. */
static void test_a_jumbogram_is_cut(void **state)
{
    (void)state;
    fx.reader = begin(NO_LIMIT);
    send_packet(1, 100000);
    turn();
    assert_int_equal(read_frame(fx.reader), PCAP_RECORD_HEADER + PCAP_SNAPLEN);
    assert_int_equal(word(records() + 8), PCAP_SNAPLEN);
    assert_int_equal(word(records() + 12), 100000);
}

/* The oldest are kept, and what is missing is known. */
static void test_a_slow_reader_misses_packets(void **state)
{
    (void)state;
    enum { PACKETS = 20000 };
    uint64_t bytes = 0;
    fx.reader = begin(NO_LIMIT);
    for (uint32_t i = 1; i <= PACKETS; i++) {
        send_packet(i, 1420);
        if (i % 100 == 0)
            turn();
    }
    shutdown(fx.reader, SHUT_WR);
    uint64_t count = read_rest(fx.reader, &bytes);
    assert_true(count > 0 && count < PACKETS);
    assert_int_equal(fx.totals.packets, count);
    assert_int_equal(fx.totals.packets + fx.totals.dropped, PACKETS);
    assert_int_equal(counter_get(&fx.counters.captured), count);
    assert_int_equal(counter_get(&fx.counters.capture_dropped), PACKETS - count);
    assert_true(bytes <= 2 * (TAP_BUFFER + TAP_FRAME_MAX)); /* as the kernel counts buffers */
    turn();
    assert_true(LIST_EMPTY(&fx.taps));
}

/* There is room again: what waited is sent without another packet. */
static void test_what_waits_is_sent_when_there_is_room(void **state)
{
    (void)state;
    fx.reader = begin(NO_LIMIT);
    uint32_t number = 0;
    while (counter_get(&fx.counters.capture_dropped) == 0) {
        send_packet(++number, 1420);
        turn();
    }
    ssize_t len = -EAGAIN;
    uint64_t packets = 0;
    while (packets < number - 1) {
        while ((len = read_frame(fx.reader)) > 0)
            packets = fx.totals.packets;
        assert_int_equal(len, -EAGAIN);
        turn();
    }
    assert_int_equal(packets, number - 1);
}

static void test_it_ends_at_the_limit(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    fx.reader = begin(PCAP_FILE_HEADER + 3 * (PCAP_RECORD_HEADER + 100) + 50);
    for (uint32_t i = 1; i <= 10; i++)
        send_packet(i, 100);
    assert_false(LIST_EMPTY(&fx.taps)); /* not within tap_packet() */
    turn();
    assert_true(LIST_EMPTY(&fx.taps));
    assert_int_equal(read_rest(fx.reader, &bytes), 3);
    assert_int_equal(bytes, 3 * (PCAP_RECORD_HEADER + 100));
    assert_int_equal(fx.totals.dropped, 0);
}

static void test_no_room_for_anything(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    fx.reader = begin(0);
    send_packet(1, 40);
    turn();
    assert_int_equal(read_rest(fx.reader, &bytes), 0);
}

static void test_the_reader_stops_it(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    fx.reader = begin(NO_LIMIT);
    send_packet(1, 40);
    shutdown(fx.reader, SHUT_WR);
    turn();
    assert_true(LIST_EMPTY(&fx.taps));
    send_packet(2, 40);
    assert_int_equal(read_rest(fx.reader, &bytes), 1);
}

/* Found out by what is sent, or by the event, whichever comes first. */
static void test_the_reader_is_gone(void **state)
{
    (void)state;
    int reader = begin(NO_LIMIT);
    close(reader);
    send_packet(1, 40);
    turn_end(&fx.turn);
    assert_true(LIST_EMPTY(&fx.taps));
    reader = begin(NO_LIMIT);
    close(reader);
    turn();
    assert_true(LIST_EMPTY(&fx.taps));
}

static void test_the_tunnel_ends(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    fx.reader = begin(NO_LIMIT);
    send_packet(1, 40);
    tap_free_all(&fx.taps);
    assert_int_equal(read_rest(fx.reader, &bytes), 1);
    assert_int_equal(fx.totals.packets, 1);
    turn();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_packets_of_a_turn_are_one_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_reader_has_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_jumbogram_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_slow_reader_misses_packets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_waits_is_sent_when_there_is_room, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_it_ends_at_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_room_for_anything, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_reader_stops_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_reader_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_tunnel_ends, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
