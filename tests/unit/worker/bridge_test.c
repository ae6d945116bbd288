/* bridge: two ends in one program, and ends that do not speak as they should. */
#include "engine/bridge.h"

#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS      700 /* more than one frame has */
#define MANY_PEERS ((size_t)20000)

struct end {
    struct bridge *bridge;
    size_t packets, bytes, batches, peers, live, ports, writable;
    uint8_t first[16]; /* of the last packet */
    struct bridge_peer last;
    char gone[64]; /* the last forward */
    bool closed;
    int error;
};

static struct fixture {
    struct event_base *base;
    struct end older, newer;
    int raw; /* the older end, when the test speaks itself; else -1 */
    int fd;  /* … when it does not */
} fx;

static void on_peer(void *ctx, const struct bridge_peer *peer)
{
    struct end *end = ctx;
    end->peers++;
    end->live += peer->live;
    end->last = *peer;
}

static void on_ports(void *ctx, const uint8_t ports[BRIDGE_PORT_BYTES])
{
    struct end *end = ctx;
    for (int i = 0; i < BRIDGE_PORT_BYTES; i++)
        end->ports += (size_t)__builtin_popcount(ports[i]);
}

static void on_gone(void *ctx, const char *name)
{
    struct end *end = ctx;
    strcpy(end->gone, name);
}

static void on_packet(void *ctx, uint8_t *packet, size_t len)
{
    struct end *end = ctx;
    end->packets++;
    end->bytes += len;
    memcpy(end->first, packet, len < sizeof(end->first) ? len : sizeof(end->first));
}

static void on_received(void *ctx)
{
    ((struct end *)ctx)->batches++;
}

static void on_writable(void *ctx)
{
    ((struct end *)ctx)->writable++;
}

static void on_closed(void *ctx, int error)
{
    struct end *end = ctx;
    assert_false(end->closed);
    end->closed = true;
    end->error = error;
}

static const struct bridge_ops ops = {
    .peer = on_peer,
    .ports = on_ports,
    .gone = on_gone,
    .packet = on_packet,
    .received = on_received,
    .writable = on_writable,
    .closed = on_closed,
};

static int set_up(void **state)
{
    (void)state;
    int pair[2];
    fx = (struct fixture){.raw = -1};
    fx.base = event_base_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    fx.fd = pair[0];
    assert_int_equal(bridge_new(fx.base, pair[0], &ops, &fx.older, &fx.older.bridge), 0);
    assert_int_equal(bridge_new(fx.base, pair[1], &ops, &fx.newer, &fx.newer.bridge), 0);
    return 0;
}

static int set_up_raw(void **state)
{
    (void)state;
    int pair[2];
    fx = (struct fixture){.raw = -1};
    fx.base = event_base_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    fx.raw = pair[0];
    assert_int_equal(bridge_new(fx.base, pair[1], &ops, &fx.newer, &fx.newer.bridge), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bridge_free(fx.older.bridge);
    bridge_free(fx.newer.bridge);
    if (fx.raw >= 0)
        close(fx.raw);
    event_base_free(fx.base);
    return 0;
}

static void turn(void)
{
    assert_true(event_base_loop(fx.base, EVLOOP_NONBLOCK) >= 0);
}

static void introduces_itself(void **state)
{
    (void)state;
    struct bridge_peer *peers = calloc(PEERS, sizeof(*peers));
    uint8_t ports[BRIDGE_PORT_BYTES] = {0};
    for (int i = 0; i < PEERS; i++) {
        peers[i].public_key[0] = (uint8_t)i;
        peers[i].live = (uint8_t)(i % 2);
    }
    ports[1] = 0x81;
    ports[BRIDGE_PORT_BYTES - 1] = 0x01;
    assert_int_equal(bridge_introduce(fx.older.bridge, peers, PEERS, ports), 0);
    bridge_receive(fx.newer.bridge); /* without the loop */
    assert_int_equal(fx.newer.peers, PEERS);
    assert_int_equal(fx.newer.live, PEERS / 2);
    assert_int_equal(fx.newer.ports, 3);
    assert_memory_equal(&fx.newer.last, &peers[PEERS - 1], sizeof(peers[0]));
    assert_false(fx.newer.closed);
    assert_false(bridge_is_introducing(fx.older.bridge));
}

/* More peers than a socket has room for: the rest comes when there is room, and none is left out.
 */
static void introduces_more_than_fits(void **state)
{
    (void)state;
    struct bridge_peer *peers = calloc(MANY_PEERS, sizeof(*peers));
    const uint8_t ports[BRIDGE_PORT_BYTES] = {0};
    int size = 1 << 16; /* which is what a program without rights may have to do with */
    assert_non_null(peers);
    assert_int_equal(setsockopt(fx.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    for (size_t i = 0; i < MANY_PEERS; i++)
        memcpy(peers[i].public_key, &i, sizeof(i));
    peers[MANY_PEERS - 1].timestamp[BRIDGE_TIME_LEN - 1] = 7;
    assert_int_equal(bridge_introduce(fx.older.bridge, peers, MANY_PEERS, ports), 0);
    assert_true(bridge_is_introducing(fx.older.bridge));
    while (fx.newer.peers < MANY_PEERS)
        turn();
    const size_t last = MANY_PEERS - 1;
    assert_int_equal(fx.newer.peers, MANY_PEERS);
    assert_memory_equal(fx.newer.last.public_key, &last, sizeof(last));
    assert_int_equal(fx.newer.last.timestamp[BRIDGE_TIME_LEN - 1], 7);
    assert_false(bridge_is_introducing(fx.older.bridge));
    assert_false(fx.newer.closed);
}

/* The other end goes in the middle of it. */
static void an_introduction_may_be_cut_short(void **state)
{
    (void)state;
    struct bridge_peer *peers = calloc(MANY_PEERS, sizeof(*peers));
    const uint8_t ports[BRIDGE_PORT_BYTES] = {0};
    int size = 1 << 16;
    assert_non_null(peers);
    assert_int_equal(setsockopt(fx.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    assert_int_equal(bridge_introduce(fx.older.bridge, peers, MANY_PEERS, ports), 0);
    assert_true(bridge_is_introducing(fx.older.bridge));
    bridge_free(fx.newer.bridge);
    fx.newer.bridge = NULL;
    turn();
    assert_true(fx.older.closed);
    assert_false(bridge_is_introducing(fx.older.bridge));
}

static void carries_packets_both_ways(void **state)
{
    (void)state;
    char head[] = "head", body[] = "body";
    const struct iovec pieces[] = {{head, 4}, {body, 4}};
    assert_int_equal(bridge_send(fx.older.bridge, pieces, 2), 0);
    assert_int_equal(bridge_send(fx.newer.bridge, pieces, 1), 0);
    turn();
    assert_int_equal(fx.newer.packets, 1);
    assert_memory_equal(fx.newer.first, "headbody", 8);
    assert_int_equal(fx.older.packets, 1);
    assert_int_equal(fx.older.bytes, 4);
    assert_true(fx.newer.batches > 0);
    /* The largest inner packet. */
    static uint8_t large[65535];
    struct iovec piece = {large, sizeof(large)};
    assert_int_equal(bridge_send(fx.older.bridge, &piece, 1), 0);
    turn();
    assert_int_equal(fx.newer.bytes, 8 + sizeof(large));
}

static void tells_what_is_gone(void **state)
{
    (void)state;
    static const char longest[] = "a23456789012345678901234567890123456789012345678901234567890123";
    assert_int_equal(bridge_send_gone(fx.newer.bridge, "web"), 0);
    turn();
    assert_string_equal(fx.older.gone, "web");
    assert_int_equal(bridge_send_gone(fx.newer.bridge, longest), 0);
    turn();
    assert_string_equal(fx.older.gone, longest);
    assert_false(fx.older.closed);
}

static void full_is_told_and_over(void **state)
{
    (void)state;
    static uint8_t packet[1420];
    struct iovec piece = {packet, sizeof(packet)};
    size_t sent = 0;
    while (bridge_send(fx.older.bridge, &piece, 1) == 0)
        sent++;
    assert_true(sent > 64);
    assert_int_equal(bridge_send(fx.older.bridge, &piece, 1), -EAGAIN);
    assert_int_equal(fx.older.writable, 0);
    while (fx.newer.packets < sent)
        turn();
    turn();
    assert_true(fx.older.writable > 0);
    assert_int_equal(bridge_send(fx.older.bridge, &piece, 1), 0);
}

static void an_end_is_told_once(void **state)
{
    (void)state;
    struct iovec piece = {"x", 1};
    assert_int_equal(bridge_send(fx.older.bridge, &piece, 1), 0);
    bridge_free(fx.older.bridge);
    fx.older.bridge = NULL;
    turn();
    turn();
    assert_int_equal(fx.newer.packets, 1); /* what was under way still comes */
    assert_true(fx.newer.closed);
    assert_int_equal(fx.newer.error, 0);
    assert_int_equal(bridge_send(fx.newer.bridge, &piece, 1), -EPIPE);
}

static void other_versions_and_nonsense_end_it(void **state)
{
    static const struct {
        const char *frame;
        size_t len;
    } rows[] = {
        {"\1\xff\0\0\0", 5}, /* HELLO of another version */
        {"\1\1\0", 3},       /* cut */
        {"\2x", 2},          /* PEERS that are none */
        {"\3x", 2},          /* PORTS that are too few */
        {"\5", 1},           /* GONE without a name, and with one that is too long */
        {"\5a23456789012345678901234567890123456789012345678901234567890123x", 65},
        {"\0", 1},
        {"\6", 1},
        {"\xff", 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (i > 0)
            set_up_raw(state);
        assert_int_equal(send(fx.raw, rows[i].frame, rows[i].len, 0), (ssize_t)rows[i].len);
        turn();
        assert_true(fx.newer.closed);
        assert_int_equal(fx.newer.error, -EPROTO);
        if (i + 1 < sizeof(rows) / sizeof(rows[0]))
            tear_down(state);
    }
}

/* Frames that come from one end only are a breach when they come from the other. */
static void refuses_what_is_for_the_other_end(void **state)
{
    (void)state;
    static const struct bridge_ops deaf = {
        .packet = on_packet,
        .received = on_received,
        .writable = on_writable,
        .closed = on_closed,
    };
    const uint8_t ports[BRIDGE_PORT_BYTES] = {0};
    for (int i = 0; i < 2; i++) {
        int pair[2];
        struct end end = {0};
        struct end speaker = {0};
        struct bridge_peer *peer = calloc(1, sizeof(*peer));
        assert_non_null(peer);
        assert_int_equal(
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(bridge_new(fx.base, pair[0], &ops, &speaker, &speaker.bridge), 0);
        assert_int_equal(bridge_new(fx.base, pair[1], &deaf, &end, &end.bridge), 0);
        if (i == 0) {
            free(peer);
            assert_int_equal(bridge_send_gone(speaker.bridge, "web"), 0);
        } else {
            assert_int_equal(bridge_introduce(speaker.bridge, peer, 1, ports), 0);
        }
        turn();
        assert_true(end.closed);
        assert_int_equal(end.error, -EPROTO);
        bridge_free(speaker.bridge);
        bridge_free(end.bridge);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(introduces_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(introduces_more_than_fits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_introduction_may_be_cut_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(carries_packets_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_what_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_is_told_and_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_end_is_told_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_versions_and_nonsense_end_it, set_up_raw, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_for_the_other_end, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
