/*
 * Inner packets into the virtual stack, as WireGuard would deliver them: raw ones, and TCP segments
 * near what the stack has sent, with their checksums right. A listener and a connection are there.
 * What the stack sends is well-formed (craft_output), callbacks come to live connections only,
 * lwIP finds nothing wrong with itself, and nothing is left behind.
 */
#include "tests/fuzz/fuzz.h"

#include "engine/wg/packet.h"
#include "tests/unit/stack/craft.h"

#define CONNS_MAX    4
#define ACTIONS_MAX  200
#define LISTEN_PORT  2222
#define PAYLOAD_MAX  30000
#define WINDOW_SCALE 5
#define PENDING_MAX  (1024 * 1024) /* the largest window */

struct slot {
    struct stack_conn *conn;
};

static struct craft_peer peer;
static struct slot slots[CONNS_MAX];
static bool asleep; /* nobody reads */

static void on_event(void *ctx)
{
    struct slot *slot = ctx;
    fuzz_check(slot->conn != NULL);
}

static void on_readable(void *ctx)
{
    struct slot *slot = ctx;
    struct iovec pieces[4];
    size_t peeked = 0;
    fuzz_check(slot->conn != NULL);
    size_t pending = stack_conn_pending(slot->conn);
    fuzz_check(pending <= PENDING_MAX);
    if (asleep)
        return;
    int count = stack_conn_peek(slot->conn, pieces, 4);
    for (int i = 0; i < count; i++)
        peeked += pieces[i].iov_len;
    fuzz_check(count < 4 ? peeked == pending : peeked <= pending);
    stack_conn_consume(slot->conn, (pending + 1) / 2);
}

static void on_closed(void *ctx, int error)
{
    struct slot *slot = ctx;
    fuzz_check(slot->conn != NULL);
    fuzz_check(error <= 0);
    slot->conn = NULL;
}

static const struct stack_conn_ops conn_ops = {
    .connected = on_event,
    .readable = on_readable,
    .writable = on_event,
    .closed = on_closed,
};

static struct slot *find_free_slot(void)
{
    for (size_t i = 0; i < CONNS_MAX; i++) {
        if (slots[i].conn == NULL)
            return &slots[i];
    }
    return NULL;
}

static void on_accepted(void *ctx, struct stack_conn *conn, const struct inet_addr *addr,
                        uint16_t port)
{
    struct slot *slot = find_free_slot();
    (void)ctx;
    fuzz_check(addr->family == AF_INET || addr->family == AF_INET6);
    fuzz_check(port != 0);
    if (slot == NULL)
        return; /* and the stack aborts it */
    slot->conn = conn;
    stack_conn_attach(conn, &conn_ops, slot);
}

/* --- Actions --------------------------------------------------------------------------------- */

static void receive_raw(struct fuzz_input *input)
{
    uint8_t packet[256];
    struct packet_info info;
    size_t len = fuzz_bytes(input, packet, fuzz_byte(input));
    /* As the WireGuard side: the header is whole, and the packet trimmed to what it says. */
    if (packet_info_read(&info, packet, len) == 0 && info.len <= len)
        craft_peer_receive(&peer, packet, info.len);
    else
        craft_peer_receive(&peer, packet, len);
}

/* One of many protocols behind a right IP header. */
static void receive_ip(struct fuzz_input *input)
{
    uint8_t packet[PACKET_IP6_HEADER + 256];
    uint8_t payload[256];
    unsigned protocol = fuzz_byte(input);
    size_t len = fuzz_bytes(input, payload, fuzz_byte(input));
    size_t header = craft_ip(packet, &peer.remote, &peer.local, (uint8_t)protocol, len);
    if (len > 0)
        memcpy(packet + header, payload, len);
    craft_peer_receive(&peer, packet, header + len);
}

static uint32_t window_end(const struct segment *seen, unsigned choice)
{
    return choice % 2 == 0 ? seen->window : (uint32_t)seen->window << WINDOW_SCALE;
}

static void receive_segment(struct fuzz_input *input)
{
    static uint8_t payload[PAYLOAD_MAX];
    uint8_t options[40];
    unsigned shape = fuzz_byte(input);
    struct craft c = craft_segment(&peer, fuzz_byte(input), payload, 0);
    if (peer.log_count > 0) {
        const struct segment *seen = &peer.log[peer.log_count - 1];
        c.seq = seen->ack;
        c.ack = seen->seq + (uint32_t)seen->data_len + ((seen->flags & (PACKET_SYN | 1)) ? 1 : 0);
        if (shape & 64) { /* near the end of the window, whether that is scaled or not */
            c.seq += window_end(seen, fuzz_byte(input));
            c.seq -= fuzz_byte(input);
        }
    }
    if (shape & 1)
        c.seq += (uint32_t)(int16_t)fuzz_u16(input);
    if (shape & 2)
        c.ack += (uint32_t)(int16_t)fuzz_u16(input);
    if (shape & 4)
        c.window = fuzz_u16(input);
    if (shape & 8) {
        c.options = options;
        c.options_len = fuzz_bytes(input, options, fuzz_byte(input) % 41u) & ~(size_t)3;
    }
    if (shape & 16) {
        c.dst_port = LISTEN_PORT;
        c.src_port = (uint16_t)(1000 + fuzz_byte(input) % 8);
    }
    if (shape & 32) {
        c.len = fuzz_byte(input) * 2u;
        memset(payload, 0x5a, c.len);
    }
    if (shape & 128)
        c.len = fuzz_u16(input) % PAYLOAD_MAX;
    craft_peer_send(&peer, &c);
}

static void connect_one(struct fuzz_input *input)
{
    struct slot *slot = find_free_slot();
    if (slot != NULL)
        fuzz_check(stack_connect(peer.stack, &peer.remote, fuzz_u16(input), &conn_ops, slot,
                                 &slot->conn) == 0);
}

static void use_one(struct fuzz_input *input)
{
    static const uint8_t data[4096];
    unsigned what = fuzz_byte(input);
    struct slot *slot = &slots[what % CONNS_MAX];
    if (slot->conn == NULL)
        return;
    size_t space = stack_conn_send_space(slot->conn);
    switch (what >> 5) {
    case 0:
        stack_conn_close(slot->conn);
        slot->conn = NULL;
        break;
    case 1:
        stack_conn_abort(slot->conn);
        slot->conn = NULL;
        break;
    case 2:
        stack_conn_shutdown(slot->conn);
        break;
    case 3:
        asleep = !asleep;
        if (stack_conn_pending(slot->conn) > 0)
            on_readable(slot);
        break;
    default:
        if (space > 0) {
            int rc =
                stack_conn_write(slot->conn, data, space < sizeof(data) ? space : sizeof(data));
            fuzz_check(rc == 0 || rc == -EPIPE);
        }
    }
}

static void pass_time(struct fuzz_input *input)
{
    peer.now += (uint64_t)fuzz_u16(input) * 10 * MILLISECOND;
    if (stack_deadline(peer.stack) <= peer.now)
        stack_expire(peer.stack);
}

static void flush(struct fuzz_input *input)
{
    peer.output_result = fuzz_byte(input) % 8 == 7 ? -EAGAIN : 0;
    craft_peer_flush(&peer);
    peer.output_result = 0;
    stack_resume(peer.stack);
}

static void (*const actions[])(struct fuzz_input *input) = {
    receive_raw, receive_ip, receive_segment, receive_segment,
    connect_one, use_one,    pass_time,       flush,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct stack_listen_ops listen_ops = {.accepted = on_accepted};
    struct stack_listener *listener;
    struct fuzz_input input = {data, size};

    memset(slots, 0, sizeof(slots));
    asleep = false;
    craft_peer_init(&peer, 1, fuzz_byte(&input) & 1 ? AF_INET6 : AF_INET);
    peer.forgetful = true;
    fuzz_check(stack_listen(peer.stack, &peer.local, LISTEN_PORT, &listen_ops, NULL, &listener) ==
               0);
    for (int i = 0; i < ACTIONS_MAX && input.left > 0; i++) {
        actions[fuzz_byte(&input) % (sizeof(actions) / sizeof(actions[0]))](&input);
    }
    craft_peer_flush(&peer);
    for (size_t i = 0; i < CONNS_MAX; i++) {
        if (slots[i].conn != NULL)
            stack_conn_abort(slots[i].conn);
        slots[i].conn = NULL;
    }
    craft_peer_clear(&peer);
    stack_unlisten(listener);
    craft_peer_fini(&peer);
    return 0;
}
