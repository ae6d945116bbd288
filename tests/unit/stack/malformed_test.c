/*
 * Segments that no honest peer sends, by table: what the stack answers, what it delivers, and
 * whether the connection lives (RFC 9293, 3.10.7; RFC 5961).
 */
#include "tests/unit/stack/craft.h"

#define URG 0x20
#define ECE 0x40
#define CWR 0x80

/* Bytes that are delivered are end_pattern(2, …), as struct end wants them. */
static uint8_t stream[300000];

struct scene {
    struct craft_peer peer;
    struct end end;
};

static void begin(struct scene *scene, int family)
{
    memset(scene, 0, sizeof(*scene));
    scene->end = (struct end){.pattern = 1, .pattern_in = 2, .total = 500, .keep_open = true};
    craft_peer_init(&scene->peer, 1, family);
    craft_peer_connect(&scene->peer, &scene->end);
    for (size_t i = 0; i < sizeof(stream); i++)
        stream[i] = end_pattern(2, i);
    craft_peer_clear(&scene->peer);
}

static void finish(struct scene *scene)
{
    if (scene->end.conn != NULL)
        stack_conn_abort(scene->end.conn);
    craft_peer_fini(&scene->peer);
}

static void send_and_flush(struct scene *scene, const struct craft *segment)
{
    craft_peer_send(&scene->peer, segment);
    craft_peer_flush(&scene->peer);
}

/* The connection carries data as if nothing had happened; `received` bytes of it have come. */
static void check_alive(struct scene *scene, size_t received)
{
    struct craft segment =
        craft_segment(&scene->peer, PACKET_ACK | PACKET_PSH, stream + received, 100);

    segment.seq = scene->peer.seq + (uint32_t)received;
    send_and_flush(scene, &segment);
    assert_false(scene->end.closed);
    assert_int_equal(scene->end.received, received + 100);
}

/* --- Flags and numbers ----------------------------------------------------------------------- */

enum answer { NOTHING, AN_ACK, A_RST };

struct odd {
    const char *name;
    uint8_t flags;
    int64_t seq; /* from what the stack expects */
    int64_t ack; /* from what the peer has got */
    size_t data; /* bytes, which begin at the offset that seq says */
    enum answer answer;
    size_t received; /* bytes that are delivered then */
    int error;       /* 0 = it lives */
};

static enum answer find_answer(const struct craft_peer *peer)
{
    enum answer answer = NOTHING;

    for (size_t i = 0; i < peer->log_count; i++) {
        if ((peer->log[i].flags & PACKET_RST) != 0)
            return A_RST;
        if (peer->log[i].data_len == 0)
            answer = AN_ACK;
    }
    return answer;
}

static void check_odd(const struct odd *odd, int family)
{
    struct scene scene;
    struct craft segment;
    size_t at = odd->seq > 0 && odd->seq < (int64_t)sizeof(stream) - 2000 ? (size_t)odd->seq : 0;

    begin(&scene, family);
    segment = craft_segment(&scene.peer, odd->flags, stream + at, odd->data);
    segment.seq += (uint32_t)odd->seq;
    segment.ack += (uint32_t)odd->ack;
    send_and_flush(&scene, &segment);
    if (find_answer(&scene.peer) != odd->answer)
        fail_msg("%s: answer %d", odd->name, find_answer(&scene.peer));
    if (scene.end.received != odd->received || scene.end.error != odd->error)
        fail_msg("%s: %zu bytes, error %d", odd->name, scene.end.received, scene.end.error);
    if (odd->error == 0)
        check_alive(&scene, odd->received);
    finish(&scene);
}

static void test_odd_segments(void **state)
{
    static const struct odd table[] = {
        /* RFC 5961, 3.2: only a RST at the very number that is expected is one. */
        {"RST", PACKET_RST, 0, 0, 0, NOTHING, 0, -ECONNRESET},
        {"RST and ACK", PACKET_RST | PACKET_ACK, 0, 0, 0, NOTHING, 0, -ECONNRESET},
        {"RST in the window", PACKET_RST, 1, 0, 0, AN_ACK, 0, 0},
        {"RST at the window's end", PACKET_RST, 60000, 0, 0, AN_ACK, 0, 0},
        {"RST before the window", PACKET_RST, -1, 0, 0, NOTHING, 0, 0},
        {"RST far away", PACKET_RST, 0x40000000, 0, 0, NOTHING, 0, 0},
        {"RST with data in the window", PACKET_RST, 5, 0, 100, AN_ACK, 0, 0},
        /* RFC 5961, 4.2: a SYN is answered, and nothing else. */
        {"SYN", PACKET_SYN, 0, 0, 0, AN_ACK, 0, 0},
        {"SYN in the window", PACKET_SYN, 100, 0, 0, AN_ACK, 0, 0},
        {"SYN far away", PACKET_SYN, 0x40000000, 0, 0, AN_ACK, 0, 0},
        {"SYN and ACK", PACKET_SYN | PACKET_ACK, 0, 0, 0, AN_ACK, 0, 0},
        {"SYN and FIN", PACKET_SYN | PACKET_FIN | PACKET_ACK, 0, 0, 0, AN_ACK, 0, 0},
        {"SYN with data", PACKET_SYN | PACKET_ACK, 0, 0, 100, AN_ACK, 0, 0},
        /* RST wins over SYN, and is none out of place. */
        {"SYN and RST in the window", PACKET_SYN | PACKET_RST, 7, 0, 0, AN_ACK, 0, 0},
        /* Without ACK nothing is taken. */
        {"no flags", 0, 0, 0, 0, NOTHING, 0, 0},
        {"data without ACK", PACKET_PSH, 0, 0, 100, NOTHING, 0, 0},
        {"FIN without ACK", PACKET_FIN, 0, 0, 0, NOTHING, 0, 0},
        {"data behind a hole without ACK", PACKET_PSH, 100, 0, 100, NOTHING, 0, 0},
        /* Urgent data is data; ECN was not agreed upon. */
        {"urgent", PACKET_ACK | PACKET_PSH | URG, 0, 0, 100, NOTHING, 100, 0},
        {"ECE", PACKET_ACK | ECE, 0, 0, 100, NOTHING, 100, 0},
        {"CWR and ECE", PACKET_ACK | ECE | CWR, 0, 0, 100, NOTHING, 100, 0},
        /* Numbers. */
        {"old data", PACKET_ACK, -50, 0, 50, AN_ACK, 0, 0},
        {"ancient data", PACKET_ACK, -0x40000000, 0, 50, AN_ACK, 0, 0},
        {"data behind the window", PACKET_ACK, 0x20000000, 0, 50, AN_ACK, 0, 0},
        {"data with a hole", PACKET_ACK, 1000, 0, 50, AN_ACK, 0, 0},
        {"an acknowledgment of what was not sent", PACKET_ACK, 0, 501, 0, AN_ACK, 0, 0},
        {"an acknowledgment from far away", PACKET_ACK, 0, 0x40000000, 0, AN_ACK, 0, 0},
        /* RFC 5961, 5.2: who does not know what we have sent has nothing to say. */
        {"data, and an acknowledgment of what was not sent", PACKET_ACK, 0, 501, 100, AN_ACK, 0, 0},
        {"data, and an acknowledgment from far ahead", PACKET_ACK, 0, 0x70000000, 100, AN_ACK, 0,
         0},
        {"data, and an older acknowledgment", PACKET_ACK, 0, -65536, 100, AN_ACK, 0, 0},
        {"data behind a hole, and an acknowledgment from far ahead", PACKET_ACK, 100, 0x70000000,
         100, AN_ACK, 0, 0},
        {"FIN, and an acknowledgment of what was not sent", PACKET_FIN | PACKET_ACK, 0, 501, 0,
         AN_ACK, 0, 0},
        {"FIN, and an ancient acknowledgment", PACKET_FIN | PACKET_ACK, 0, -0x70000000, 0, AN_ACK,
         0, 0},
        {"data, and the oldest acknowledgment in use", PACKET_ACK, 0, -65535, 100, NOTHING, 100, 0},
        {"FIN behind a hole", PACKET_FIN | PACKET_ACK, 1000, 0, 0, AN_ACK, 0, 0},
        {"FIN behind the window", PACKET_FIN | PACKET_ACK, 0x20000000, 0, 0, AN_ACK, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        check_odd(&table[i], AF_INET);
        check_odd(&table[i], AF_INET6);
    }
}

/* Whether what a segment acknowledges, with this sequence number, counts as acknowledged. */
static bool is_acknowledged(int64_t seq, size_t data, uint16_t window)
{
    struct scene scene;
    struct craft segment;
    size_t again = 0;

    begin(&scene, AF_INET);
    segment = craft_segment(&scene.peer, PACKET_ACK, stream, data);
    segment.seq += (uint32_t)seq;
    segment.ack += 500;
    segment.window = window;
    send_and_flush(&scene, &segment);
    craft_peer_clear(&scene.peer);
    for (int i = 0; i < 20; i++) {
        scene.peer.now += 50 * MILLISECOND;
        stack_expire(scene.peer.stack);
    }
    for (size_t i = 0; i < scene.peer.log_count; i++)
        again += scene.peer.log[i].data_len;
    assert_true(again == 0 || again >= 500);
    check_alive(&scene, 0);
    finish(&scene);
    return again == 0;
}

/*
 * Who does not know which sequence number is expected cannot have what is on the way forgotten, nor
 * close the window for it (RFC 9293, 3.10.7.4, first).
 */
static void test_foreign_acknowledgments(void **state)
{
    static const struct {
        int64_t seq;
        size_t data;
        bool is_taken;
    } table[] = {
        {0, 0, true},
        {-1, 0, true},     /* a keep-alive probe */
        {-60000, 0, true}, /* overtaken by what was sent after it */
        {-60000, 1, true}, /* sent again */
        {65536, 0, true},  /* with the window filled */
        {65537, 0, true},  /* and probed */
        {65536 + 65536, 0, false},
        {0x02000000, 0, false},
        {0x40000000, 0, false},
        {0x7fffffff, 0, false},
        {-0x02000000, 0, false},
        {-0x02000000, 1, false},
        {-0x40000000, 0, false},
        {-0x40000000, 1000, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (is_acknowledged(table[i].seq, table[i].data, 65535) != table[i].is_taken)
            fail_msg("row %zu", i);
        if (!table[i].is_taken)
            assert_false(is_acknowledged(table[i].seq, table[i].data, 0));
    }
}

/* Two ends that do not agree about their numbers do not answer each other for ever. */
static void test_challenges_are_limited(void **state)
{
    static const struct odd odd[] = {
        {"RST", .flags = PACKET_RST, .seq = 1},
        {"SYN", .flags = PACKET_SYN},
        {"ACK", .flags = PACKET_ACK, .ack = 501},
        {"data", .flags = PACKET_ACK, .seq = 0x20000000, .data = 100},
    };
    struct scene scene;

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        begin(&scene, AF_INET);
        for (int n = 0; n < 1000; n++) {
            struct craft segment = craft_segment(&scene.peer, odd[i].flags, stream, odd[i].data);

            segment.seq += (uint32_t)odd[i].seq;
            segment.ack += (uint32_t)odd[i].ack;
            send_and_flush(&scene, &segment);
            scene.peer.now += MILLISECOND;
        }
        if (scene.peer.log_count != 10)
            fail_msg("%s: %zu answers in a second", odd[i].name, scene.peer.log_count);
        check_alive(&scene, 0);
        finish(&scene);
    }
}

/* --- Options --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint8_t bytes[40];
    size_t len;
} options[] = {
    {"length 0", {2, 0, 5, 100}, 4},
    {"length 1", {2, 1, 5, 100}, 4},
    {"length beyond the header", {2, 40, 5, 100}, 4},
    {"kind without length", {1, 1, 1, 2}, 4},
    {"MSS of 3 bytes", {2, 3, 5, 1}, 4},
    {"MSS of 6 bytes", {2, 6, 5, 100, 0, 0, 1, 1}, 8},
    {"MSS 0", {2, 4, 0, 0}, 4},
    {"MSS 1", {2, 4, 0, 1}, 4},
    {"MSS 65535", {2, 4, 255, 255}, 4},
    {"MSS twice", {2, 4, 5, 100, 2, 4, 0, 10}, 8},
    {"window scale 255", {3, 3, 255, 1}, 4},
    {"window scale of 4 bytes", {3, 4, 5, 1}, 4},
    {"SACK permitted of 3 bytes", {4, 3, 0, 1}, 4},
    {"SACK without a block", {1, 1, 5, 2}, 4},
    {"SACK with half a block", {1, 1, 5, 6, 1, 2, 3, 4}, 8},
    {"SACK of nonsense", {1, 1, 5, 10, 255, 255, 255, 255, 0, 0, 0, 0}, 12},
    {"timestamps", {1, 1, 8, 10, 255, 255, 255, 255, 255, 255, 255, 255}, 12},
    {"timestamps of 2 bytes", {8, 2, 1, 1}, 4},
    {"unknown", {253, 4, 1, 2}, 4},
    {"unknown of length 0", {253, 0, 1, 2}, 4},
    {"end, and rubbish behind it", {0, 2, 0, 3}, 4},
    {"40 bytes of rubbish",
     {7, 3, 1, 9, 5, 1, 1, 4, 9, 9, 7, 7, 7, 2, 0, 7, 3, 0, 1, 9,
      5, 3, 2, 8, 4, 6, 1, 2, 0, 5, 5, 0, 2, 3, 4, 2, 8, 1, 9, 255},
     40},
};

static void check_options_of_data(size_t i, int family)
{
    struct scene scene;
    struct craft segment;

    begin(&scene, family);
    segment = craft_segment(&scene.peer, PACKET_ACK | PACKET_PSH, stream, 100);
    segment.options = options[i].bytes;
    segment.options_len = options[i].len;
    send_and_flush(&scene, &segment);
    if (scene.end.received != 100)
        fail_msg("%s: %zu bytes", options[i].name, scene.end.received);
    check_alive(&scene, 100);
    finish(&scene);
}

/* The connection is made, and what is sent on it is no smaller than is worth a packet. */
static void check_options_of_syn(size_t i, int family)
{
    struct scene scene = {.end = {.pattern = 1, .pattern_in = 2, .total = 500, .keep_open = true}};
    struct craft_peer *peer = &scene.peer;
    struct craft segment;
    size_t sent = 0;

    craft_peer_init(peer, 1, family);
    assert_int_equal(
        stack_connect(peer->stack, &peer->remote, 80, &end_ops, &scene.end, &scene.end.conn), 0);
    peer->ack = peer->log[0].seq + 1;
    segment = craft_segment(peer, PACKET_SYN | PACKET_ACK, NULL, 0);
    segment.options = options[i].bytes;
    segment.options_len = options[i].len;
    craft_peer_clear(peer);
    send_and_flush(&scene, &segment);
    if (!scene.end.connected)
        fail_msg("%s: not connected", options[i].name);
    for (size_t n = 0; n < peer->log_count; n++) {
        sent += peer->log[n].data_len;
        assert_in_range(peer->log[n].data_len, 0, 1380);
    }
    assert_true(peer->log_count <= 2 + 500 / 64);
    assert_true(sent > 0);
    peer->seq++;
    check_alive(&scene, 0);
    finish(&scene);
}

static void test_odd_options(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        check_options_of_data(i, AF_INET);
        check_options_of_data(i, AF_INET6);
        check_options_of_syn(i, AF_INET);
        check_options_of_syn(i, AF_INET6);
    }
}

/* --- Overlaps and windows -------------------------------------------------------------------- */

/* Pieces of the stream in any order, overlapping in every way, are the stream. */
static void test_overlaps(void **state)
{
    static const struct {
        size_t from, to;
    } pieces[] = {{500, 800}, {700, 900}, {450, 1000}, {100, 200},  {100, 200},   {150, 600},
                  {0, 50},    {40, 120},  {0, 1000},   {990, 1010}, {1005, 1400}, {0, 1400}};
    struct scene scene;

    (void)state;
    begin(&scene, AF_INET);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct craft segment = craft_segment(&scene.peer, PACKET_ACK, stream + pieces[i].from,
                                             pieces[i].to - pieces[i].from);

        segment.seq += (uint32_t)pieces[i].from;
        send_and_flush(&scene, &segment);
    }
    check_alive(&scene, 1400);
    finish(&scene);
}

/* More than was offered: the rest is not taken, and nothing breaks. */
static void test_beyond_the_window(void **state)
{
    struct scene scene;
    size_t sent = 0;

    (void)state;
    begin(&scene, AF_INET);
    scene.end.paused = true;
    while (sent < sizeof(stream) - 1380) {
        struct craft segment = craft_segment(&scene.peer, PACKET_ACK, stream + sent, 1380);

        segment.seq += (uint32_t)sent;
        send_and_flush(&scene, &segment);
        craft_peer_clear(&scene.peer);
        sent += 1380;
    }
    assert_true(stack_conn_pending(scene.end.conn) < sent);
    assert_in_range(stack_conn_pending(scene.end.conn), 1, 131072);
    scene.end.paused = false;
    end_readable(&scene.end);
    check_alive(&scene, scene.end.received);
    finish(&scene);
}

/* What the window has room for, with the reader asleep. */
#define WINDOW 65535

/* Data behind a hole that reaches beyond the window is not counted as received when it is filled.
 */
static void test_hole_at_the_end_of_the_window(void **state)
{
    const size_t behind[] = {WINDOW - 1, WINDOW - 10, WINDOW - 1379};
    struct scene scene;

    (void)state;
    for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
        struct craft segment;

        begin(&scene, AF_INET);
        scene.end.paused = true;
        segment = craft_segment(&scene.peer, PACKET_ACK, stream + behind[i], 1380);
        segment.seq += (uint32_t)behind[i];
        send_and_flush(&scene, &segment);
        for (size_t sent = 0; sent < sizeof(stream) - 1380; sent += 1380) {
            segment = craft_segment(&scene.peer, PACKET_ACK, stream + sent, 1380);
            segment.seq += (uint32_t)sent;
            send_and_flush(&scene, &segment);
            craft_peer_clear(&scene.peer);
        }
        assert_in_range(stack_conn_pending(scene.end.conn), 1, WINDOW + 1);
        scene.end.paused = false;
        end_readable(&scene.end);
        check_alive(&scene, scene.end.received);
        finish(&scene);
    }
}

/* Two ends of one stream: the first that was told is the end, and no byte behind it counts. */
static void test_data_behind_the_end(void **state)
{
    const size_t room = 1000;
    struct scene scene;

    (void)state;
    for (unsigned covered = 0; covered < 2; covered++) {
        struct craft segment;
        size_t sent = 0;

        begin(&scene, AF_INET);
        scene.end.paused = true;
        while (sent < WINDOW + 1 - room) {
            size_t left = WINDOW + 1 - room - sent;

            segment =
                craft_segment(&scene.peer, PACKET_ACK, stream + sent, left < 1380 ? left : 1380);
            segment.seq += (uint32_t)sent;
            send_and_flush(&scene, &segment);
            craft_peer_clear(&scene.peer);
            sent += segment.len;
        }
        segment = craft_segment(&scene.peer, PACKET_ACK | PACKET_FIN, stream + sent + 10, 5);
        segment.seq += (uint32_t)sent + 10;
        send_and_flush(&scene, &segment);
        if (covered == 1) { /* also out of order */
            segment = craft_segment(&scene.peer, PACKET_ACK, stream + sent + 5, 1380);
            segment.seq += (uint32_t)sent + 5;
            send_and_flush(&scene, &segment);
        }
        segment = craft_segment(&scene.peer, PACKET_ACK, stream + sent, covered == 1 ? 5 : 1380);
        segment.seq += (uint32_t)sent;
        send_and_flush(&scene, &segment);
        assert_int_equal(stack_conn_pending(scene.end.conn), sent + 15);
        scene.end.paused = false;
        end_readable(&scene.end);
        assert_true(scene.end.eof);
        finish(&scene);
    }
}

/* With the window closed nothing is taken, wherever it claims to be. */
static void test_closed_window(void **state)
{
    struct scene scene;
    size_t pending;

    (void)state;
    begin(&scene, AF_INET);
    scene.end.paused = true;
    for (size_t sent = 0; sent < sizeof(stream) - 1380; sent += 1380) {
        struct craft segment = craft_segment(&scene.peer, PACKET_ACK, stream + sent, 1380);

        segment.seq += (uint32_t)sent;
        send_and_flush(&scene, &segment);
        craft_peer_clear(&scene.peer);
    }
    pending = stack_conn_pending(scene.end.conn);
    for (size_t i = 1; i < 100; i++) {
        struct craft segment = craft_segment(&scene.peer, PACKET_ACK, stream, 1380);

        segment.seq += (uint32_t)(pending + i * 0x1000000);
        send_and_flush(&scene, &segment);
        segment.flags |= PACKET_FIN;
        send_and_flush(&scene, &segment);
        craft_peer_clear(&scene.peer);
    }
    assert_int_equal(stack_conn_pending(scene.end.conn), pending);
    scene.end.paused = false;
    end_readable(&scene.end);
    assert_int_equal(scene.end.received, pending);
    check_alive(&scene, pending);
    assert_int_equal(stack_conn_pending(scene.end.conn), 0);
    finish(&scene);
}

/* The window closes, opens, and shrinks below what was sent: all of it arrives in the end. */
static void test_zero_and_shrinking_windows(void **state)
{
    static const uint16_t windows[] = {0, 1, 0, 2, 0, 0, 1, 4, 0, 100};
    struct scene scene;
    struct craft_peer *peer = &scene.peer;
    uint32_t first, end;

    (void)state;
    begin(&scene, AF_INET);
    first = peer->ack;
    scene.end.total = 6000;
    end_write(&scene.end);
    end = first + 6000;
    for (unsigned round = 0; peer->ack != end; round++) {
        struct craft ack;

        if (round > 3000)
            fail_msg("stuck at %u", peer->ack - first);
        for (size_t i = 0; i < peer->log_count; i++) {
            uint32_t behind = peer->log[i].seq + (uint32_t)peer->log[i].data_len;

            if ((int32_t)(peer->log[i].seq - peer->ack) <= 0 && (int32_t)(behind - peer->ack) > 0)
                peer->ack = behind;
        }
        craft_peer_clear(peer);
        ack = craft_segment(peer, PACKET_ACK, NULL, 0);
        ack.window = windows[round % (sizeof(windows) / sizeof(windows[0]))];
        send_and_flush(&scene, &ack);
        peer->now += 200 * MILLISECOND;
        if (stack_deadline(peer->stack) <= peer->now)
            stack_expire(peer->stack);
    }
    check_alive(&scene, 0);
    finish(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_odd_segments),
        cmocka_unit_test(test_foreign_acknowledgments),
        cmocka_unit_test(test_challenges_are_limited),
        cmocka_unit_test(test_odd_options),
        cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_beyond_the_window),
        cmocka_unit_test(test_hole_at_the_end_of_the_window),
        cmocka_unit_test(test_data_behind_the_end),
        cmocka_unit_test(test_closed_window),
        cmocka_unit_test(test_zero_and_shrinking_windows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
