/*
 * Peers whose window is tiny, or closed: no silly segments (RFC 9293, 3.8.6.2), and probes.
 */
#include "tests/unit/stack/craft.h"

#define STEP (50 * MILLISECOND)

static const uint8_t options[] = {2, 4, 0x05, 0x64, 1, 1, 4, 2}; /* no window scaling */

struct counts {
    size_t segments; /* with data */
    size_t bytes;    /* of new data, in order */
    size_t shortest; /* segment with data */
    size_t fin;      /* bytes before the first FIN */
};

/* What came, of which at most `window` bytes at a time were asked for; and its acknowledgment. */
static void take(struct craft_peer *peer, uint32_t base, uint16_t window, struct counts *counts)
{
    struct craft segment = craft_segment(peer, PACKET_ACK, NULL, 0);
    size_t before = counts->bytes;
    bool any = false;

    for (size_t i = 0; i < peer->log_count; i++) {
        const struct segment *sent = &peer->log[i];

        if (sent->data_len == 0)
            continue;
        any = true;
        if (counts->fin == 0 && (sent->flags & PACKET_FIN) != 0)
            counts->fin = sent->seq - base + sent->data_len;
        counts->segments++;
        if (counts->shortest == 0 || sent->data_len < counts->shortest)
            counts->shortest = sent->data_len;
        if (sent->seq == base + counts->bytes && window > 0)
            counts->bytes += sent->data_len;
    }
    craft_peer_clear(peer);
    if (!any)
        return;
    assert_true(counts->bytes - before <= window);
    segment.ack = base + (uint32_t)counts->bytes;
    segment.window = window;
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
}

static void pass(struct craft_peer *peer, uint64_t time, uint32_t base, uint16_t window,
                 struct counts *counts)
{
    for (uint64_t end = peer->now + time; peer->now < end;) {
        peer->now += STEP;
        if (stack_deadline(peer->stack) <= peer->now)
            stack_expire(peer->stack);
        take(peer, base, window, counts);
    }
}

/* Tells of a new window. */
static void open_window(struct craft_peer *peer, uint32_t base, uint16_t window,
                        const struct counts *counts)
{
    struct craft segment = craft_segment(peer, PACKET_ACK, NULL, 0);

    segment.ack = base + (uint32_t)counts->bytes;
    segment.window = window;
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
}

/* Opens a connection to a peer with this window; the first sequence number of its data. */
static uint32_t connect_peer(struct craft_peer *peer, struct end *end, uint16_t window)
{
    craft_peer_init(peer, 1, AF_INET);
    craft_peer_answer(peer, end, options, sizeof(options), window);
    return peer->ack;
}

/* Two bytes of window: a segment per tick of the persist timer, and none of a byte in the queue. */
static void test_tiny_window(void **state)
{
    static uint8_t data[8000];
    struct end end = {.keep_open = true};
    struct counts counts = {0}, rest = {0};
    struct craft_peer peer;
    uint32_t base;

    (void)state;
    base = connect_peer(&peer, &end, 2);
    assert_true(stack_conn_send_space(end.conn) >= sizeof(data));
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    pass(&peer, 10 * SECOND, base, 2, &counts);
    assert_in_range(counts.segments, 10, 50);
    assert_int_equal(counts.bytes, 2 * counts.segments);
    /* The window opens: the queue is of segments that are worth sending. */
    open_window(&peer, base, 8000, &counts);
    rest.bytes = counts.bytes;
    pass(&peer, 10 * SECOND, base, 8000, &rest);
    assert_int_equal(rest.bytes, sizeof(data));
    assert_true(rest.segments <= sizeof(data) / 64 + 2);
    /* What is written from now on is cut to half of the window that it has seen. */
    peer.ack = base + sizeof(data);
    base = peer.ack;
    rest = (struct counts){0};
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    pass(&peer, 10 * SECOND, base, 8000, &rest);
    assert_int_equal(rest.bytes, sizeof(data));
    assert_true(rest.segments <= 8);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* A closed window that is confirmed is waited for, with probes further and further apart. */
static void test_closed_window(void **state)
{
    static uint8_t data[3000];
    struct end end = {.keep_open = true};
    struct counts counts = {0};
    struct craft_peer peer;
    uint32_t base;

    (void)state;
    base = connect_peer(&peer, &end, 0);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    pass(&peer, 600 * SECOND, base, 0, &counts);
    assert_false(end.closed);
    assert_in_range(counts.segments, 40, 70);
    assert_int_equal(counts.shortest, 1);
    open_window(&peer, base, 8000, &counts);
    take(&peer, base, 8000, &counts);
    assert_int_equal(counts.bytes, sizeof(data));
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/*
 * The last segment, with the end of the stream, is longer than the window: what the persist timer
 * sends of it does not end the stream.
 */
static void test_fin_behind_a_small_window(void **state)
{
    static uint8_t data[3760];
    struct end end = {.keep_open = true};
    struct counts counts = {0};
    struct craft_peer peer;
    uint32_t base;

    (void)state;
    base = connect_peer(&peer, &end, 2760);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    stack_conn_shutdown(end.conn);
    assert_int_equal(peer.log_count, 2);
    craft_peer_clear(&peer);
    counts.bytes = 2760;
    open_window(&peer, base, 400, &counts);
    pass(&peer, 10 * SECOND, base, 400, &counts);
    assert_int_equal(counts.fin, sizeof(data));
    assert_int_equal(counts.bytes, sizeof(data));
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/*
 * The peer takes its window back, and loses what was on the way: with room again that is sent as
 * after a timeout, a segment first, and not all at once (RFC 5681, 3.1).
 */
static void test_timeout_with_a_closed_window(void **state)
{
    static const uint8_t with_sack[] = {2, 4, 0x05, 0x64, 1, 1, 4, 2};
    static uint8_t data[13800];
    struct end end = {.keep_open = true};
    struct counts counts = {0};
    struct craft_peer peer;
    uint32_t base;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_answer(&peer, &end, with_sack, sizeof(with_sack), 60000);
    base = peer.ack;
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_int_equal(peer.log_count, 10);
    open_window(&peer, base, 0, &counts);
    craft_peer_clear(&peer);
    for (int i = 0; i < 20; i++) {
        peer.now += STEP;
        stack_expire(peer.stack);
    }
    craft_peer_clear(&peer);
    open_window(&peer, base, 60000, &counts);
    assert_int_equal(peer.log_count, 1);
    for (size_t round = 1; counts.bytes < sizeof(data); round++) {
        assert_in_range(peer.log_count, 1, 1u << round);
        peer.now += CRAFT_ROUND_TRIP;
        take(&peer, base, 60000, &counts);
    }
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* Acknowledges, and tells a window: a byte of data makes it one that counts, however small. */
static void tell_window(struct craft_peer *peer, uint32_t ack, uint16_t window)
{
    struct craft segment = craft_segment(peer, PACKET_ACK, "x", 1);

    segment.ack = ack;
    segment.window = window;
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
    peer->seq++;
}

/* Passes the time until a segment with so many bytes of data is sent. */
static void wait_for_data(struct craft_peer *peer, size_t len)
{
    for (int i = 0; i < 200; i++) {
        for (size_t j = 0; j < peer->log_count; j++) {
            if (peer->log[j].data_len == len)
                return;
        }
        peer->now += STEP;
        stack_expire(peer->stack);
    }
    fail_msg("no segment of %zu bytes", len);
}

/*
 * What was sent grows while it waits for the window, and is cut to a smaller window then: a piece
 * that was acknowledged is gone, and what is behind it is found.
 */
static void test_cut_after_it_grew(void **state)
{
    static uint8_t data[100];
    struct end end = {.keep_open = true, .paused = true};
    struct craft_peer peer;
    uint32_t base;

    (void)state;
    base = connect_peer(&peer, &end, 60000);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    tell_window(&peer, base, 0);
    wait_for_data(&peer, 1); /* a probe: the timer has run out */
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    craft_peer_clear(&peer);
    tell_window(&peer, base, 60000);
    wait_for_data(&peer, 200);
    tell_window(&peer, base, 40);
    wait_for_data(&peer, 40);
    craft_peer_clear(&peer);
    tell_window(&peer, base + 40, 60000);
    wait_for_data(&peer, 160);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    wait_for_data(&peer, 100);
    tell_window(&peer, base + 300, 60000);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* The probe was all that there was, and the peer takes it: nothing is left to be probed with. */
static void test_probe_takes_the_last_byte(void **state)
{
    struct end end = {.keep_open = true, .paused = true};
    struct craft_peer peer;
    uint32_t base;

    (void)state;
    base = connect_peer(&peer, &end, 0);
    assert_int_equal(stack_conn_write(end.conn, "y", 1), 0);
    wait_for_data(&peer, 1);
    tell_window(&peer, base + 1, 0);
    craft_peer_clear(&peer);
    for (int i = 0; i < 100; i++) {
        peer.now += STEP;
        if (stack_deadline(peer.stack) <= peer.now)
            stack_expire(peer.stack);
    }
    world_check_assertions();
    assert_true(stack_deadline(peer.stack) > peer.now + SECOND);
    peer.ack = base + 1;
    tell_window(&peer, peer.ack, 60000);
    craft_peer_clear(&peer);
    assert_int_equal(stack_conn_write(end.conn, "z", 1), 0);
    wait_for_data(&peer, 1);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* Reports that all from the second up to a number of segments has arrived. */
static void report(struct craft_peer *peer, uint32_t base, uint32_t segments)
{
    struct craft segment = craft_segment(peer, PACKET_ACK, NULL, 0);
    uint8_t option[12] = {1, 1, 5, 10};

    packet_store32(option + 4, base + 1380);
    packet_store32(option + 8, base + segments * 1380);
    segment.ack = base;
    segment.options = option;
    segment.options_len = sizeof(option);
    peer->now += CRAFT_ROUND_TRIP;
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
}

/* The most segments with data that are sent at once in that time. */
static size_t largest_burst(struct craft_peer *peer, uint64_t time)
{
    size_t largest = 0;

    for (uint64_t end = peer->now + time; peer->now < end;) {
        size_t burst = 0;

        craft_peer_clear(peer);
        peer->now += STEP;
        stack_expire(peer->stack);
        for (size_t i = 0; i < peer->log_count; i++)
            burst += peer->log[i].data_len > 0;
        if (burst > largest)
            largest = burst;
    }
    craft_peer_clear(peer);
    return largest;
}

/*
 * One segment never gets through, and the window grows by what is reported of others. The next
 * timeout sends one segment like the first one, and not all that is reported (RFC 5681, 3.1).
 */
static void test_second_timeout(void **state)
{
    static uint8_t data[40 * 1380];
    struct end end = {.keep_open = true, .paused = true};
    struct craft_peer peer;
    uint32_t base;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_connect(&peer, &end);
    base = peer.ack;
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_int_equal(peer.log_count, 10);
    report(&peer, base, 4);
    assert_in_range(largest_burst(&peer, 400 * MILLISECOND), 1, 1); /* the first timeout */
    report(&peer, base, 10);
    report(&peer, base, 16);
    assert_true(peer.log_count > 6);
    assert_in_range(largest_burst(&peer, 2 * SECOND), 1, 2);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* Time passes, and what is sent meanwhile is lost. */
static void lose(struct craft_peer *peer, uint64_t time)
{
    for (uint64_t end = peer->now + time; peer->now < end;) {
        peer->now += STEP;
        if (stack_deadline(peer->stack) <= peer->now)
            stack_expire(peer->stack);
    }
    craft_peer_clear(peer);
}

/* A byte of the peer, which takes its window back. */
static void close_window(struct craft_peer *peer, uint32_t ack)
{
    struct craft segment = craft_segment(peer, PACKET_ACK, "x", 1);

    segment.ack = ack;
    segment.window = 0;
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
    peer->seq++;
}

/* Acknowledges each segment by itself, in order; returns how many came. */
static size_t take_each(struct craft_peer *peer, uint32_t *next)
{
    size_t count = 0, logged = peer->log_count;
    static struct segment log[64];

    assert_true(logged <= 64);
    memcpy(log, peer->log, logged * sizeof(log[0]));
    craft_peer_clear(peer);
    for (size_t i = 0; i < logged; i++) {
        struct craft segment = craft_segment(peer, PACKET_ACK, NULL, 0);

        if (log[i].data_len == 0)
            continue;
        if (log[i].seq == *next)
            *next += (uint32_t)log[i].data_len;
        count++;
        segment.ack = *next;
        craft_peer_send(peer, &segment);
        craft_peer_flush(peer);
    }
    return count;
}

/*
 * The window is closed while something is on the way, for longer than half of what 32 bits of
 * microseconds can tell: what is sent then is not older than what arrived before, and is sent once.
 */
static void test_window_closed_for_long(void **state)
{
    static uint8_t data[40 * 1380];
    struct end end = {.keep_open = true, .paused = true};
    struct counts counts = {.bytes = 1380};
    struct craft_peer peer;
    uint32_t base, next;
    size_t sent = 0;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_connect(&peer, &end);
    base = peer.ack;
    next = base + 1380;
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    peer.now += CRAFT_ROUND_TRIP;
    close_window(&peer, next);
    for (uint64_t end_at = peer.now + 2400 * SECOND; peer.now < end_at;) {
        craft_peer_clear(&peer);
        peer.now += STEP;
        stack_expire(peer.stack);
        if (peer.log_count > 0) /* a probe */
            open_window(&peer, base, 0, &counts);
    }
    assert_false(end.closed);
    craft_peer_clear(&peer);
    open_window(&peer, base, 65535, &counts);
    while (next - base < sizeof(data) && sent < 80) {
        peer.now += CRAFT_ROUND_TRIP;
        sent += take_each(&peer, &next);
    }
    assert_int_equal(next - base, sizeof(data));
    assert_int_equal(sent, 39);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* A part of a segment is acknowledged, and of the rest a part fits: less than was acknowledged. */
static void test_small_window_within_a_segment(void **state)
{
    static uint8_t data[1300];
    struct end end = {.keep_open = true, .paused = true};
    struct counts counts = {.bytes = 500};
    struct craft_peer peer;
    uint32_t base;

    (void)state;
    base = connect_peer(&peer, &end, 60000);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_int_equal(peer.log_count, 1);
    close_window(&peer, base + 500);
    lose(&peer, 2 * SECOND);
    open_window(&peer, base, 100, &counts);
    pass(&peer, 10 * SECOND, base, 100, &counts);
    assert_int_equal(counts.bytes, sizeof(data));
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* Probes that nobody answers end the connection. */
static void test_dead_peer(void **state)
{
    static uint8_t data[3000];
    struct end end = {.keep_open = true};
    struct craft_peer peer;

    (void)state;
    connect_peer(&peer, &end, 0);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    for (int i = 0; i < 6000 && !end.closed; i++) {
        peer.now += STEP;
        if (stack_deadline(peer.stack) <= peer.now)
            stack_expire(peer.stack);
    }
    assert_true(end.closed);
    assert_int_equal(end.error, -ETIMEDOUT);
    assert_in_range(peer.log_count, 10, 16);
    craft_peer_fini(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny_window),
        cmocka_unit_test(test_closed_window),
        cmocka_unit_test(test_fin_behind_a_small_window),
        cmocka_unit_test(test_dead_peer),
        cmocka_unit_test(test_timeout_with_a_closed_window),
        cmocka_unit_test(test_cut_after_it_grew),
        cmocka_unit_test(test_probe_takes_the_last_byte),
        cmocka_unit_test(test_second_timeout),
        cmocka_unit_test(test_small_window_within_a_segment),
        cmocka_unit_test(test_window_closed_for_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
