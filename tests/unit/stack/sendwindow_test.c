/* sendwindow: nothing is sent beyond the right edge of the window that the peer has told. */
#include "tests/unit/stack/craft.h"

#define MSS   1380
#define SCALE 5              /* of the peer's windows (craft_peer_connect) */
#define ROOM  (863 << SCALE) /* about twenty segments, which the peer does not read */
#define HOLE  1000           /* bytes of the peer's that are missing */

struct fixture {
    struct craft_peer peer;
    struct end end;
    uint32_t base;   /* our first byte */
    uint32_t behind; /* what the peer sends behind the hole */
    uint32_t sent;   /* the end of what we have sent, from base */
};

static uint16_t window_left(uint32_t acknowledged)
{
    return (uint16_t)((ROOM - acknowledged) >> SCALE);
}

/* A segment of the peer with a byte of data; acknowledged is from base. */
static void receive(struct fixture *f, uint32_t seq, uint32_t acknowledged)
{
    struct craft segment = craft_segment(&f->peer, PACKET_ACK, "x", 1);

    segment.seq = seq;
    segment.ack = f->base + acknowledged;
    segment.window = window_left(acknowledged);
    craft_peer_send(&f->peer, &segment);
    craft_peer_flush(&f->peer);
    for (size_t i = 0; i < f->peer.log_count; i++) {
        uint32_t end = f->peer.log[i].seq + (uint32_t)f->peer.log[i].data_len - f->base;
        if (end > f->sent)
            f->sent = end;
    }
    craft_peer_clear(&f->peer);
}

/* Ten segments are on their way, and the peer has told its window in data behind a hole. */
static int setup(void **state)
{
    static struct fixture fixture;
    static const uint8_t data[4 * ROOM];
    struct fixture *f = &fixture;

    *f = (struct fixture){.end = {.keep_open = true, .paused = true}};
    craft_peer_init(&f->peer, 1, AF_INET);
    craft_peer_connect(&f->peer, &f->end);
    f->base = f->peer.ack;
    f->behind = f->peer.seq + HOLE;
    receive(f, f->behind, 0);
    assert_int_equal(stack_conn_write(f->end.conn, data, sizeof(data)), 0);
    receive(f, f->behind + 1, 0);
    assert_int_equal(f->sent, 10 * MSS);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    stack_conn_abort(f->end.conn);
    craft_peer_fini(&f->peer);
    return 0;
}

/* What acknowledges our data fills the hole: with older sequence numbers. */
static void test_retransmissions_tell_the_window(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 20; i++) {
        receive(f, f->peer.seq++, f->sent);
        assert_true(f->sent <= ROOM);
    }
    assert_true(f->sent > ROOM - 2 * MSS);
}

/* An acknowledgment with the newest sequence number comes after one of more. */
static void test_overtaken_acknowledgments_tell_nothing(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 20; i += 2) {
        receive(f, f->behind + 2 + i, f->sent);
        receive(f, f->behind + 3 + i, 5 * MSS);
        assert_true(f->sent <= ROOM);
    }
    assert_true(f->sent > ROOM - 2 * MSS);
}

#define window_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        window_test(test_retransmissions_tell_the_window),
        window_test(test_overtaken_acknowledgments_tell_nothing),
    };

    return cmocka_run_group_tests_name("sendwindow", tests, NULL, NULL);
}
