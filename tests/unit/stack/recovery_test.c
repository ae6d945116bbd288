/*
 * Recovery from losses, with a handmade peer: what is sent again, and when, and what that does to
 * the window.
 */
#include "tests/unit/stack/craft.h"

#define MSS 1380

/* Ten segments on their way, sent at base a round trip ago, to a peer that answered with these. */
static uint32_t send_ten_to(struct craft_peer *peer, struct end *end, const uint8_t *options,
                            size_t options_len)
{
    static uint8_t data[10 * MSS];

    *end = (struct end){.keep_open = true};
    craft_peer_init(peer, 1, AF_INET);
    craft_peer_answer(peer, end, options, options_len, 65535);
    assert_int_equal(stack_conn_write(end->conn, data, sizeof(data)), 0);
    assert_int_equal(peer->log_count, 10);
    craft_peer_clear(peer);
    peer->now += CRAFT_ROUND_TRIP;
    return peer->ack;
}

static uint32_t send_ten(struct craft_peer *peer, struct end *end)
{
    const uint8_t options[] = {2, 4, 0x05, 0x64, 1, 3, 3, 5, 1, 1, 4, 2};

    return send_ten_to(peer, end, options, sizeof(options));
}

/* The peer does not report what arrives out of order. */
static uint32_t send_ten_without_sack(struct craft_peer *peer, struct end *end)
{
    const uint8_t options[] = {2, 4, 0x05, 0x64};

    return send_ten_to(peer, end, options, sizeof(options));
}

/* An acknowledgment of all before segment `next`, and of those from `left` to before `right`. */
static void acknowledge(struct craft_peer *peer, uint32_t base, uint32_t next, uint32_t left,
                        uint32_t right)
{
    struct craft segment = craft_segment(peer, PACKET_ACK, NULL, 0);
    uint8_t sack[12] = {1, 1, 5, 10};

    segment.ack = base + next * MSS;
    packet_store32(sack + 4, base + left * MSS);
    packet_store32(sack + 8, base + right * MSS);
    if (left < right) {
        segment.options = sack;
        segment.options_len = sizeof(sack);
    }
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
}

/* Segments 0, 2 and 4 are lost: all three are repaired in one round trip, each once. */
static void test_several_losses(void **state)
{
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    acknowledge(&peer, base, 0, 1, 2);
    acknowledge(&peer, base, 0, 3, 4);
    assert_int_equal(peer.log_count, 0);
    for (uint32_t i = 5; i < 10; i++)
        acknowledge(&peer, base, 0, 5, i + 1);
    assert_int_equal(peer.log_count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(peer.log[i].seq, base + 2 * i * MSS);
    craft_peer_clear(&peer);
    acknowledge(&peer, base, 2, 3, 4);
    acknowledge(&peer, base, 4, 5, 10);
    acknowledge(&peer, base, 10, 0, 0);
    assert_int_equal(peer.log_count, 0);
    /* Recovery is over: what comes next is sent at once. */
    assert_int_equal(stack_conn_write(end.conn, "next", 4), 0);
    assert_int_equal(peer.log_count, 1);
    assert_int_equal(peer.log[0].seq, base + 10 * MSS);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

static void acknowledge_times(struct craft_peer *peer, uint32_t base, uint32_t next, unsigned times)
{
    while (times-- > 0)
        acknowledge(peer, base, next, 0, 0);
}

/* Segments 0 and 4 are lost: NewReno repairs one per round trip (RFC 6582, 3.2). */
static void test_duplicate_acknowledgments(void **state)
{
    static uint8_t data[4 * MSS];
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten_without_sack(&peer, &end);
    acknowledge_times(&peer, base, 0, 2);
    assert_int_equal(peer.log_count, 0);
    acknowledge_times(&peer, base, 0, 6);
    assert_int_equal(peer.log_count, 1);
    assert_int_equal(peer.log[0].seq, base);
    /* Of ten eight have arrived: there is room for new segments. */
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_in_range(peer.log_count, 4, 5);
    assert_int_equal(peer.log[1].seq, base + 10 * MSS);
    craft_peer_clear(&peer);
    peer.now += CRAFT_ROUND_TRIP;
    acknowledge(&peer, base, 4, 0, 0);
    assert_true(peer.log_count >= 1);
    assert_int_equal(peer.log[0].seq, base + 4 * MSS);
    for (size_t i = 1; i < peer.log_count; i++)
        assert_true((int32_t)(peer.log[i].seq - base) >= 10 * MSS);
    craft_peer_clear(&peer);
    /* The recovery is over, and duplicates of what was sent in it mean nothing (3.2, step 1). */
    peer.now += CRAFT_ROUND_TRIP;
    acknowledge(&peer, base, 10, 0, 0);
    craft_peer_clear(&peer);
    acknowledge_times(&peer, base, 10, 3);
    for (size_t i = 0; i < peer.log_count; i++)
        assert_int_not_equal(peer.log[i].seq, base + 10 * MSS);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* No duplicates: window updates, what comes with data, and what is too soon to be for anything. */
static void test_no_duplicates(void **state)
{
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten_without_sack(&peer, &end);
    for (uint16_t i = 1; i < 9; i++) {
        struct craft segment = craft_segment(&peer, PACKET_ACK, NULL, 0);

        segment.ack = base;
        segment.window = (uint16_t)(65535 - i);
        craft_peer_send(&peer, &segment);
        craft_peer_flush(&peer);
    }
    assert_int_equal(peer.log_count, 0);
    end.paused = true;
    for (int i = 0; i < 8; i++) {
        craft_peer_data(&peer, "data", 4);
        craft_peer_flush(&peer);
    }
    for (size_t i = 0; i < peer.log_count; i++)
        assert_int_equal(peer.log[i].data_len, 0);
    craft_peer_clear(&peer);
    peer.now -= CRAFT_ROUND_TRIP / 2;
    acknowledge_times(&peer, base, 0, 20);
    assert_int_equal(peer.log_count, 0);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

static void wait_for_output(struct craft_peer *peer)
{
    uint64_t limit = peer->now + 5 * SECOND;

    while (peer->log_count == 0 && peer->now < limit) {
        peer->now = stack_deadline(peer->stack);
        stack_expire(peer->stack);
    }
}

/* A timeout sends again only what has not arrived. */
static void test_timeout_keeps_reports(void **state)
{
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    acknowledge(&peer, base, 0, 1, 9);
    assert_int_equal(peer.log_count, 1); /* it is sent again, and lost again */
    assert_int_equal(peer.log[0].seq, base);
    craft_peer_clear(&peer);
    wait_for_output(&peer);
    assert_int_equal(peer.log_count, 1);
    assert_int_equal(peer.log[0].seq, base);
    craft_peer_clear(&peer);
    acknowledge(&peer, base, 9, 0, 0);
    assert_int_equal(peer.log_count, 1);
    assert_int_equal(peer.log[0].seq, base + 9 * MSS);
    acknowledge(&peer, base, 10, 0, 0);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

static unsigned sent_times(const struct craft_peer *peer, uint32_t seq)
{
    unsigned count = 0;

    for (size_t i = 0; i < peer->log_count; i++)
        count += peer->log[i].seq == seq;
    return count;
}

/* A retransmission that is lost is sent again when later segments have arrived. */
static void test_lost_retransmission(void **state)
{
    static uint8_t data[10 * MSS];
    struct craft_peer peer;
    struct end end;
    uint32_t base, fresh;

    (void)state;
    base = send_ten(&peer, &end);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    for (uint32_t i = 1; i < 10; i++)
        acknowledge(&peer, base, 0, 1, i + 1);
    assert_int_equal(sent_times(&peer, base), 1);
    assert_true(peer.log_count > 3);
    fresh = (uint32_t)peer.log_count - 1;
    assert_int_equal(peer.log[fresh].seq, base + (9 + fresh) * MSS);
    craft_peer_clear(&peer);
    peer.now += CRAFT_ROUND_TRIP;
    acknowledge(&peer, base, 0, 1, 10 + fresh);
    assert_int_equal(sent_times(&peer, base), 1);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/*
 * A retransmission is lost, too: that is a second sign of congestion (RFC 5681, 4.3), and further
 * losses of the same round trip are none.
 */
static void test_lost_retransmission_counts(void **state)
{
    static uint8_t data[30 * MSS];
    struct craft_peer peer;
    struct end end;
    uint32_t base, fresh;

    (void)state;
    base = send_ten(&peer, &end);
    assert_int_equal(stack_conn_write(end.conn, data, 10 * MSS), 0);
    for (uint32_t i = 2; i < 10; i++)
        acknowledge(&peer, base, 0, 2, i + 1);
    assert_int_equal(sent_times(&peer, base), 1);
    assert_int_equal(sent_times(&peer, base + MSS), 1);
    fresh = 10 + (uint32_t)peer.log_count - 2;
    craft_peer_clear(&peer);
    peer.now += CRAFT_ROUND_TRIP;
    acknowledge(&peer, base, 0, 2, fresh);
    assert_int_equal(sent_times(&peer, base), 1);
    while (fresh < 20) {
        peer.now += CRAFT_ROUND_TRIP;
        fresh += (uint32_t)peer.log_count - sent_times(&peer, base) - sent_times(&peer, base + MSS);
        craft_peer_clear(&peer);
        acknowledge(&peer, base, fresh, 0, 0);
    }
    peer.now += CRAFT_ROUND_TRIP;
    craft_peer_clear(&peer);
    acknowledge(&peer, base, 20, 0, 0);
    craft_peer_clear(&peer);
    assert_int_equal(stack_conn_write(end.conn, data, 20 * MSS), 0);
    assert_in_range(peer.log_count, 4, 5); /* of ten, 0.7 times 0.7 */
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/*
 * What was sent just before the recovery, by an acknowledgment of the same batch, and is lost, too,
 * is not lost of what the recovery sent: the window is reduced once.
 */
static void test_losses_of_one_batch(void **state)
{
    static uint8_t data[30 * MSS];
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    assert_int_equal(stack_conn_write(end.conn, data, 4 * MSS), 0);
    acknowledge(&peer, base, 2, 0, 0);
    assert_int_equal(peer.log_count, 4);
    for (uint32_t i = 3; i < 10; i++)
        acknowledge(&peer, base, 2, 3, i + 1);
    assert_int_equal(sent_times(&peer, base + 2 * MSS), 1);
    /* Of 10 to 13 all but the last are lost. */
    craft_peer_clear(&peer);
    peer.now += CRAFT_ROUND_TRIP;
    acknowledge(&peer, base, 10, 13, 14);
    assert_int_equal(sent_times(&peer, base + 10 * MSS), 1);
    peer.now += CRAFT_ROUND_TRIP;
    acknowledge(&peer, base, 14, 0, 0);
    craft_peer_clear(&peer);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_in_range(peer.log_count, 9, 10); /* of 14, 0.7 times */
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* The last two are lost: a probe after two round trips finds out, long before the timeout. */
static void test_tail_probe(void **state)
{
    struct craft_peer peer;
    struct end end;
    uint64_t start;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    acknowledge(&peer, base, 8, 0, 0);
    start = peer.now;
    wait_for_output(&peer);
    assert_in_range(peer.now - start, 2 * CRAFT_ROUND_TRIP, 2 * CRAFT_ROUND_TRIP + MILLISECOND);
    assert_int_equal(peer.log_count, 1);
    assert_int_equal(peer.log[0].seq, base + 9 * MSS);
    peer.now += CRAFT_ROUND_TRIP;
    acknowledge(&peer, base, 8, 9, 10);
    assert_int_equal(peer.log_count, 2);
    assert_int_equal(peer.log[1].seq, base + 8 * MSS);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* How much is sent at once after a probe, and the answers to it, `told` by the peer. */
static size_t window_after_probe(void (*told)(struct craft_peer *peer, uint32_t base))
{
    static uint8_t data[40 * MSS];
    struct craft_peer peer;
    struct end end;
    size_t count;
    uint32_t base;

    base = send_ten(&peer, &end);
    acknowledge(&peer, base, 8, 0, 0);
    wait_for_output(&peer);
    assert_int_equal(peer.log[0].seq, base + 9 * MSS);
    peer.now += CRAFT_ROUND_TRIP;
    told(&peer, base);
    craft_peer_clear(&peer);
    assert_int_equal(stack_conn_write(end.conn, "x", 1), 0);
    assert_int_equal(peer.log_count, 1);
    peer.now += CRAFT_ROUND_TRIP;
    craft_peer_clear(&peer);
    peer.ack = base + 10 * MSS + 1;
    acknowledge(&peer, peer.ack, 0, 0, 0);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    count = peer.log_count;
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
    return count;
}

/* The last one was lost, and the probe repaired it. */
static void tell_once(struct craft_peer *peer, uint32_t base)
{
    acknowledge(peer, base, 10, 0, 0);
}

/* Both came, and the answer to the first one was late. */
static void tell_twice(struct craft_peer *peer, uint32_t base)
{
    acknowledge(peer, base, 10, 0, 0);
    acknowledge(peer, base, 10, 9, 10); /* D-SACK */
}

/* The same from a peer that does not tell of duplicates, but acknowledges them. */
static void tell_again(struct craft_peer *peer, uint32_t base)
{
    acknowledge(peer, base, 10, 0, 0);
    acknowledge(peer, base, 10, 0, 0);
}

/* What a probe repaired is a sign of congestion, and what it repeated is none (RFC 8985, 7.4.2). */
static void test_answers_to_a_probe(void **state)
{
    (void)state;
    assert_in_range(window_after_probe(tell_once), 8, 16);
    assert_in_range(window_after_probe(tell_twice), 18, 30);
    assert_in_range(window_after_probe(tell_again), 18, 30);
}

/* The peer got segment 0 twice: it was reordered, and the window is as before. */
static void test_undo(void **state)
{
    static uint8_t data[20 * MSS];
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    acknowledge(&peer, base, 0, 1, 5);
    assert_int_equal(peer.log_count, 1);
    acknowledge(&peer, base, 10, 0, 0);
    acknowledge(&peer, base, 10, 0, 1); /* D-SACK */
    craft_peer_clear(&peer);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_true(peer.log_count >= 10);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* The path had doubled segment 0. That segment 4 was sent again was not needless because of it. */
static void test_no_undo_by_older_duplicates(void **state)
{
    static uint8_t data[20 * MSS];
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    acknowledge(&peer, base, 4, 0, 0);
    acknowledge(&peer, base, 4, 5, 10);
    assert_int_equal(peer.log_count, 1);
    acknowledge(&peer, base, 4, 0, 1); /* D-SACK */
    peer.now += CRAFT_ROUND_TRIP;
    acknowledge(&peer, base, 10, 0, 0);
    craft_peer_clear(&peer);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_in_range(peer.log_count, 1, 10);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/*
 * A timeout in a recovery, and then, too soon to be for what that sent, what the recovery had sent
 * before arrives. The timeout was needless, the recovery not.
 */
static void test_no_undo_of_a_loss(void **state)
{
    static uint8_t data[20 * MSS];
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    acknowledge(&peer, base, 0, 1, 10);
    assert_int_equal(peer.log_count, 1);
    craft_peer_clear(&peer);
    wait_for_output(&peer);
    assert_int_equal(peer.log_count, 1);
    peer.now += MILLISECOND;
    acknowledge(&peer, base, 10, 0, 0);
    craft_peer_clear(&peer);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_in_range(peer.log_count, 1, 8);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/*
 * Two SYNs are lost: the first window is of one segment (RFC 6928, 2), and a timeout of three
 * seconds, not of what the SYNs had backed off to (RFC 6298, 5.7).
 */
static void test_lost_syns(void **state)
{
    const uint8_t options[] = {2, 4, 0x05, 0x64, 1, 1, 4, 2};
    static uint8_t data[10 * MSS];
    struct craft_peer peer;
    struct end end = {.keep_open = true};
    struct craft segment;
    uint64_t start;

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    assert_int_equal(stack_connect(peer.stack, &peer.remote, 80, &end_ops, &end, &end.conn), 0);
    for (int i = 0; i < 2; i++) {
        craft_peer_clear(&peer);
        wait_for_output(&peer);
        assert_int_equal(peer.log[0].flags, PACKET_SYN);
    }
    peer.ack = peer.log[0].seq + 1;
    segment = craft_segment(&peer, PACKET_SYN | PACKET_ACK, NULL, 0);
    segment.options = options;
    segment.options_len = sizeof(options);
    craft_peer_send(&peer, &segment);
    craft_peer_flush(&peer);
    peer.seq++;
    assert_true(end.connected);
    craft_peer_clear(&peer);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_int_equal(peer.log_count, 1);
    craft_peer_clear(&peer);
    start = peer.now;
    wait_for_output(&peer);
    assert_in_range(peer.now - start, 2800 * MILLISECOND, 3200 * MILLISECOND);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/*
 * Nothing was lost, but all of it late: what comes after the timeout is for segments that were sent
 * only once. They are not sent again, and the window is as before (RFC 5682).
 */
static void test_early_timeout(void **state)
{
    static uint8_t data[20 * MSS];
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    wait_for_output(&peer); /* the probe */
    craft_peer_clear(&peer);
    wait_for_output(&peer);
    assert_int_equal(peer.log[0].seq, base);
    craft_peer_clear(&peer);
    peer.now += 3 * CRAFT_ROUND_TRIP;
    acknowledge(&peer, base, 2, 0, 0);
    assert_int_equal(peer.log_count, 0);
    acknowledge(&peer, base, 5, 0, 0);
    acknowledge(&peer, base, 10, 0, 0);
    assert_int_equal(peer.log_count, 0);
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    assert_true(peer.log_count >= 10);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/*
 * The last of ten is all that is reported. When nothing else comes the other nine are lost, and are
 * sent again in step with what arrives, not in one burst (RFC 9937).
 */
static void test_no_burst_after_waiting(void **state)
{
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    acknowledge(&peer, base, 0, 9, 10);
    assert_int_equal(peer.log_count, 0);
    wait_for_output(&peer);
    assert_int_equal(peer.log_count, 1);
    assert_int_equal(peer.log[0].seq, base);
    craft_peer_clear(&peer);
    peer.now += CRAFT_ROUND_TRIP;
    acknowledge(&peer, base, 1, 9, 10);
    assert_int_equal(peer.log_count, 2);
    assert_int_equal(peer.log[0].seq, base + MSS);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* A whole segment with FIN is longer than the window of a segment that a timeout leaves. */
static void test_full_segment_with_fin(void **state)
{
    static uint8_t data[MSS];
    struct craft_peer peer;
    struct end end = {.keep_open = true};

    (void)state;
    craft_peer_init(&peer, 1, AF_INET);
    craft_peer_connect(&peer, &end);
    peer.output_result = -EAGAIN;
    assert_int_equal(stack_conn_write(end.conn, data, sizeof(data)), 0);
    stack_conn_shutdown(end.conn);
    peer.output_result = 0;
    stack_resume(peer.stack);
    assert_int_equal(peer.log_count, 1);
    assert_int_equal(peer.log[0].data_len, MSS);
    assert_true((peer.log[0].flags & PACKET_FIN) != 0);
    craft_peer_clear(&peer);
    /* It is lost, and so is the probe; at the timeout output refuses it. */
    wait_for_output(&peer);
    craft_peer_clear(&peer);
    peer.output_result = -EAGAIN;
    for (int i = 0; i < 100; i++) {
        peer.now += 10 * MILLISECOND;
        stack_expire(peer.stack);
    }
    peer.output_result = 0;
    stack_resume(peer.stack);
    assert_int_equal(peer.log_count, 1);
    assert_int_equal(peer.log[0].data_len, MSS);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* When the path works again, a timer that has backed off far does not have the last word. */
static void test_hurry(void **state)
{
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    craft_peer_clear(&peer);
    stack_hurry(peer.stack); /* nothing is known to be lost */
    peer.now += 100 * MILLISECOND;
    stack_expire(peer.stack);
    for (size_t i = 0; i < peer.log_count; i++)
        assert_int_not_equal(peer.log[i].seq, base); /* a probe of the tail at the most */
    for (int i = 0; i < 400; i++) {
        peer.now += 50 * MILLISECOND;
        stack_expire(peer.stack);
    }
    craft_peer_clear(&peer);
    peer.now += 100 * MILLISECOND;
    stack_expire(peer.stack);
    assert_int_equal(peer.log_count, 0);
    stack_hurry(peer.stack);
    assert_int_equal(peer.log_count, 0);
    peer.now += 100 * MILLISECOND;
    stack_expire(peer.stack);
    assert_true(peer.log_count >= 1);
    assert_int_equal(peer.log[0].seq, base);
    acknowledge(&peer, base, 10, 0, 0);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* A peer that drops what it had reported gets everything after the second timeout. */
static void test_reneging_peer(void **state)
{
    struct craft_peer peer;
    struct end end;
    uint32_t base, next = 0;

    (void)state;
    base = send_ten(&peer, &end);
    acknowledge(&peer, base, 0, 1, 10);
    for (int i = 0; i < 2000 && next < 10; i++) {
        peer.now += 50 * MILLISECOND;
        craft_peer_clear(&peer);
        stack_expire(peer.stack);
        /* It takes only what comes in order. */
        for (size_t j = 0; j < peer.log_count; j++)
            next += peer.log[j].seq == base + next * MSS;
        if (peer.log_count > 0 && i > 60)
            acknowledge(&peer, base, next, 0, 0);
    }
    assert_int_equal(next, 10);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

/* Reports of what was never sent, or the wrong way round, do nothing. */
static void test_false_reports(void **state)
{
    struct craft_peer peer;
    struct end end;
    uint32_t base;

    (void)state;
    base = send_ten(&peer, &end);
    acknowledge(&peer, base, 0, 1, 100);
    acknowledge(&peer, base - 100 * MSS, 100, 1, 100);
    for (int i = 0; i < 10; i++)
        acknowledge(&peer, base, 0, 20, 30);
    assert_int_equal(peer.log_count, 0);
    acknowledge(&peer, base, 10, 0, 0);
    stack_conn_abort(end.conn);
    craft_peer_fini(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_several_losses),
        cmocka_unit_test(test_timeout_keeps_reports),
        cmocka_unit_test(test_hurry),
        cmocka_unit_test(test_lost_retransmission),
        cmocka_unit_test(test_lost_retransmission_counts),
        cmocka_unit_test(test_losses_of_one_batch),
        cmocka_unit_test(test_tail_probe),
        cmocka_unit_test(test_answers_to_a_probe),
        cmocka_unit_test(test_lost_syns),
        cmocka_unit_test(test_early_timeout),
        cmocka_unit_test(test_no_burst_after_waiting),
        cmocka_unit_test(test_full_segment_with_fin),
        cmocka_unit_test(test_no_undo_of_a_loss),
        cmocka_unit_test(test_no_undo_by_older_duplicates),
        cmocka_unit_test(test_duplicate_acknowledgments),
        cmocka_unit_test(test_no_duplicates),
        cmocka_unit_test(test_undo),
        cmocka_unit_test(test_reneging_peer),
        cmocka_unit_test(test_false_reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
