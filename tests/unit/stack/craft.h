/*
 * craft: inner packets made by hand, and a TCP peer that consists of them.
 */
#ifndef MANYTUN_TESTS_UNIT_STACK_CRAFT_H
#define MANYTUN_TESTS_UNIT_STACK_CRAFT_H

#include "engine/stack/checksum.h"
#include "engine/stack/packet.h"
#include "tests/unit/stack/world.h"

#include <netinet/in.h>

/* A TCP segment to be made, and one that was seen. */
struct craft {
    struct inet_addr src, dst;
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint16_t window;
    uint8_t flags;
    const uint8_t *options;
    size_t options_len; /* a multiple of 4 */
    const uint8_t *data;
    size_t len;
};

static inline void craft_checksum(uint8_t *to, uint64_t sum)
{
    uint16_t checksum = (uint16_t)~checksum_fold(sum);

    memcpy(to, &checksum, sizeof(checksum));
}

/* Writes an IP header for payload_len bytes behind it; returns its length. */
static inline size_t craft_ip(uint8_t *out, const struct inet_addr *src,
                              const struct inet_addr *dst, uint8_t protocol, size_t payload_len)
{
    if (src->family == AF_INET) {
        memset(out, 0, PACKET_IP4_HEADER);
        out[0] = 0x45;
        packet_store16(out + 2, (uint16_t)(PACKET_IP4_HEADER + payload_len));
        out[8] = 64;
        out[9] = protocol;
        memcpy(out + 12, src->bytes, 4);
        memcpy(out + 16, dst->bytes, 4);
        craft_checksum(out + 10, checksum_add(0, out, PACKET_IP4_HEADER));
        return PACKET_IP4_HEADER;
    }
    memset(out, 0, PACKET_IP6_HEADER);
    out[0] = 0x60;
    packet_store16(out + 4, (uint16_t)payload_len);
    out[6] = protocol;
    out[7] = 64;
    memcpy(out + 8, src->bytes, 16);
    memcpy(out + 24, dst->bytes, 16);
    return PACKET_IP6_HEADER;
}

static inline size_t craft_tcp(uint8_t *out, const struct craft *c)
{
    size_t tcp_len = PACKET_TCP_HEADER + c->options_len + c->len;
    size_t ip_len = craft_ip(out, &c->src, &c->dst, IPPROTO_TCP, tcp_len);
    uint8_t *tcp = out + ip_len;
    uint64_t sum;

    memset(tcp, 0, PACKET_TCP_HEADER);
    packet_store16(tcp, c->src_port);
    packet_store16(tcp + 2, c->dst_port);
    packet_store32(tcp + 4, c->seq);
    packet_store32(tcp + 8, c->ack);
    tcp[12] = (uint8_t)((PACKET_TCP_HEADER + c->options_len) / 4 << 4);
    tcp[13] = c->flags;
    packet_store16(tcp + 14, c->window);
    if (c->options_len > 0)
        memcpy(tcp + PACKET_TCP_HEADER, c->options, c->options_len);
    if (c->len > 0)
        memcpy(tcp + PACKET_TCP_HEADER + c->options_len, c->data, c->len);
    sum = checksum_pseudo(c->src.bytes, c->dst.bytes, c->src.family == AF_INET ? 4u : 16u,
                          IPPROTO_TCP, tcp_len);
    craft_checksum(tcp + 16, checksum_add(sum, tcp, tcp_len));
    return ip_len + tcp_len;
}

/* --- A peer of one stack -----------------------------------------------------------------------
 */

#define CRAFT_LOG_MAX 4096

struct craft_peer {
    uint64_t now;
    struct stack *stack;
    struct inet_addr local, remote; /* the stack's, the peer's */
    uint16_t local_port, remote_port;
    uint32_t seq, ack; /* the peer's next, what it expects */
    int output_result;

    /* The TCP segments that the stack has sent since craft_peer_clear(). */
    struct segment log[CRAFT_LOG_MAX];
    size_t log_count;
    bool forgetful; /* a full log begins again, and is no failure */
    size_t others;  /* packets that are not TCP */
    uint8_t last[2048];
    size_t last_len;

    /* Packets of the batch that was received and not flushed yet. */
    uint8_t *batch[CRAFT_LOG_MAX];
    size_t batch_count;
};

static inline int craft_output(void *ctx, const struct iovec *pieces, int count, size_t len)
{
    struct craft_peer *peer = ctx;
    static uint8_t whole[65536];
    struct packet packet;
    size_t at = 0;

    if (peer->output_result != 0)
        return peer->output_result;
    for (int i = 0; i < count; i++) {
        memcpy(whole + at, pieces[i].iov_base, pieces[i].iov_len);
        at += pieces[i].iov_len;
    }
    assert_int_equal(at, len);
    assert_true(packet_parse(whole, len, &packet));
    peer->last_len = len < sizeof(peer->last) ? len : sizeof(peer->last);
    memcpy(peer->last, whole, peer->last_len);
    if (packet.protocol != IPPROTO_TCP) {
        peer->others++;
        return 0;
    }
    if (peer->forgetful && peer->log_count == CRAFT_LOG_MAX)
        peer->log_count = 0;
    assert_true(peer->log_count < CRAFT_LOG_MAX);
    assert_true(packet_parse_tcp(&packet, &peer->log[peer->log_count]));
    /* Seen from the receiver: its local port is the destination. */
    peer->local_port = packet.flow.remote_port;
    peer->remote_port = packet.flow.local_port;
    peer->log_count++;
    return 0;
}

static inline uint64_t craft_now(void *ctx)
{
    return ((struct craft_peer *)ctx)->now;
}

static inline void craft_peer_init(struct craft_peer *peer, uint64_t seed, int family)
{
    const struct stack_ops ops = {.output = craft_output, .now = craft_now};
    struct stack_config config = {.addresses_count = 1, .mtu = 1420};

    world_seed_random(seed);
    memset(peer, 0, sizeof(*peer));
    peer->now = 1000 * SECOND;
    peer->local = family == AF_INET ? world_ip4(1) : world_ip6(1);
    peer->remote = family == AF_INET ? world_ip4(2) : world_ip6(2);
    config.addresses = &peer->local;
    assert_int_equal(stack_new(&config, &ops, peer, &peer->stack), 0);
}

static inline void craft_peer_clear(struct craft_peer *peer)
{
    peer->log_count = 0;
    peer->others = 0;
}

/* Hands a packet to the stack in an allocation of its own that lives until the flush. */
static inline void craft_peer_receive(struct craft_peer *peer, const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    assert_true(peer->batch_count < CRAFT_LOG_MAX);
    memcpy(copy, data, len);
    peer->batch[peer->batch_count++] = copy;
    stack_receive(peer->stack, copy, len);
}

static inline void craft_peer_flush(struct craft_peer *peer)
{
    stack_flush(peer->stack);
    while (peer->batch_count > 0)
        free(peer->batch[--peer->batch_count]);
}

static inline void craft_peer_fini(struct craft_peer *peer)
{
    craft_peer_flush(peer);
    stack_free(peer->stack);
    world_check_assertions();
}

/* A segment of the peer with its addresses, ports and numbers. */
static inline struct craft craft_segment(const struct craft_peer *peer, uint8_t flags,
                                         const void *data, size_t len)
{
    return (struct craft){
        .src = peer->remote,
        .dst = peer->local,
        .src_port = peer->remote_port,
        .dst_port = peer->local_port,
        .seq = peer->seq,
        .ack = peer->ack,
        .window = 65535,
        .flags = flags,
        .data = data,
        .len = len,
    };
}

static inline void craft_peer_send(struct craft_peer *peer, const struct craft *segment)
{
    static uint8_t packet[65536];

    craft_peer_receive(peer, packet, craft_tcp(packet, segment));
}

/* Sends data at the peer's present sequence number, and moves that. */
static inline void craft_peer_data(struct craft_peer *peer, const void *data, size_t len)
{
    struct craft segment = craft_segment(peer, PACKET_ACK, data, len);

    craft_peer_send(peer, &segment);
    peer->seq += (uint32_t)len;
}

/* From the SYN to its answer. */
#define CRAFT_ROUND_TRIP (20 * MILLISECOND)

/* Connects the stack to the peer: SYN seen, SYN/ACK with these options and window answered. */
static inline void craft_peer_answer(struct craft_peer *peer, struct end *end,
                                     const uint8_t *options, size_t options_len, uint16_t window)
{
    struct craft segment;

    assert_int_equal(stack_connect(peer->stack, &peer->remote, 80, &end_ops, end, &end->conn), 0);
    assert_int_equal(peer->log_count, 1);
    assert_int_equal(peer->log[0].flags, PACKET_SYN);
    peer->seq = 0xfffffff0; /* wraps soon */
    peer->ack = peer->log[0].seq + 1;
    peer->now += CRAFT_ROUND_TRIP;
    segment = craft_segment(peer, PACKET_SYN | PACKET_ACK, NULL, 0);
    segment.options = options;
    segment.options_len = options_len;
    segment.window = window;
    craft_peer_send(peer, &segment);
    craft_peer_flush(peer);
    peer->seq++;
    assert_true(end->connected);
    craft_peer_clear(peer);
}

/* The same, with an MSS, window scaling and SACK. */
static inline void craft_peer_connect(struct craft_peer *peer, struct end *end)
{
    const uint8_t options[] = {2, 4, 0x05, 0x64, 1, 3, 3, 5, 1, 1, 4, 2};

    craft_peer_answer(peer, end, options, sizeof(options), 65535);
}

#endif
