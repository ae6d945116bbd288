/*
 * world: two stacks, a link between them with seeded loss, reordering and duplication, and virtual
 * time. Everything is deterministic: also libsodium's randomness comes from the seed.
 */
#ifndef MANYTUN_TESTS_UNIT_STACK_WORLD_H
#define MANYTUN_TESTS_UNIT_STACK_WORLD_H

#include "engine/stack/checksum.h"
#include "engine/stack/packet.h"
#include "engine/stack/stack.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MILLISECOND UINT64_C(1000000)
#define SECOND      (1000 * MILLISECOND)

uint64_t swap_assertions(const char **last);

/* --- Randomness --------------------------------------------------------------------------------
 */

static uint64_t world_seed;

static inline uint32_t world_random(void)
{
    /* xorshift64* */
    world_seed ^= world_seed >> 12;
    world_seed ^= world_seed << 25;
    world_seed ^= world_seed >> 27;
    return (uint32_t)((world_seed * UINT64_C(2685821657736338717)) >> 32);
}

static inline bool world_chance(unsigned permille)
{
    return world_random() % 1000 < permille;
}

static inline const char *world_random_name(void)
{
    return "seeded";
}

static inline void world_random_bytes(void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)world_random();
}

static inline void world_seed_random(uint64_t seed)
{
    static randombytes_implementation implementation;

    implementation.implementation_name = world_random_name;
    implementation.random = world_random;
    implementation.buf = world_random_bytes;
    randombytes_set_implementation(&implementation);
    world_seed = seed * 2 + 1;
}

/* lwIP has found nothing wrong with itself. */
static inline void world_check_assertions(void)
{
    const char *last = NULL;

    if (swap_assertions(&last) != 0)
        fail_msg("lwIP: %s", last);
}

/* --- The link ----------------------------------------------------------------------------------
 */

struct world;

struct world_packet {
    struct world_packet *next;
    uint64_t due;
    int to;
    size_t len;
    uint8_t *data; /* an allocation of its own, so that ASan sees each end */
};

struct world_side {
    struct world *world;
    struct stack *stack;
    int index;
    uint64_t free_at; /* when what was sent has left a link with a bandwidth */
    uint64_t sent;
    size_t sent_max; /* the longest packet */
    uint64_t waited; /* nanoseconds, all packets together, in front of a link with a bandwidth */
};

struct world {
    uint64_t now;
    struct world_side sides[2];
    struct world_packet *first, *last;
    size_t in_flight;

    uint64_t delay;     /* one way */
    unsigned loss;      /* permille, as all of these */
    unsigned loss_back; /* from side 1 to side 0, on top of it */
    unsigned reorder;
    unsigned duplicate;
    unsigned refuse;    /* -EAGAIN from output */
    uint64_t byte_time; /* nanoseconds per byte; 0 = unlimited bandwidth */
    uint64_t queue; /* nanoseconds that a packet may wait in front of the link, else it is lost */
    uint64_t bunch; /* packets from side 1 leave together, once in so many nanoseconds; 0 = no */
    unsigned room;  /* packets that output takes until the next resume; 0 = any number */
    unsigned taken; /* of these */
    bool cut;       /* nothing arrives */
    bool no_sack;   /* SYNs arrive without that option */
    bool refused;   /* since the last resume */
    struct inet_addr addresses[2][2];
};

static inline void world_insert(struct world *world, int to, uint64_t due, const uint8_t *data,
                                size_t len)
{
    struct world_packet *packet = malloc(sizeof(*packet));
    uint8_t *copy = malloc(len);
    struct world_packet **link = &world->first;

    /* Where tests make memory run out, such a packet is lost. */
    if (packet == NULL || copy == NULL) {
        free(packet);
        free(copy);
        return;
    }
    packet->due = due;
    packet->to = to;
    packet->len = len;
    packet->data = copy;
    memcpy(packet->data, data, len);
    if (world->last != NULL && world->last->due <= due) {
        link = &world->last->next;
    } else {
        while (*link != NULL && (*link)->due <= due)
            link = &(*link)->next;
    }
    packet->next = *link;
    *link = packet;
    if (packet->next == NULL)
        world->last = packet;
    world->in_flight++;
}

/* Puts a packet on the link; false when its queue is full. */
static inline bool world_transmit(struct world_side *side, size_t len, uint64_t *departure)
{
    const struct world *world = side->world;

    if (side->free_at < world->now)
        side->free_at = world->now;
    if (side->free_at - world->now > world->queue)
        return false;
    side->waited += side->free_at - world->now;
    side->free_at += len * world->byte_time;
    *departure = side->free_at;
    return true;
}

/* The option becomes padding. */
static inline void world_remove_sack(uint8_t *ip, size_t len)
{
    struct packet packet;
    uint8_t *tcp;
    uint64_t sum;

    assert_true(packet_parse(ip, len, &packet));
    tcp = packet.payload;
    if ((tcp[13] & PACKET_SYN) == 0)
        return;
    for (size_t i = PACKET_TCP_HEADER; i + 1 < packet.payload_len && tcp[i] != 0;) {
        if (tcp[i] == 4)
            tcp[i] = tcp[i + 1] = 1;
        i += tcp[i] == 1 ? 1 : tcp[i + 1];
    }
    packet_store16(tcp + 16, 0);
    sum = checksum_pseudo(packet.flow.remote, packet.flow.local,
                          packet.flow.family == AF_INET ? 4u : 16u, packet.protocol,
                          packet.payload_len);
    sum = checksum_add(sum, tcp, packet.payload_len);
    packet_store16(tcp + 16, ntohs((uint16_t)~checksum_fold(sum)));
}

static inline int world_output(void *ctx, const struct iovec *pieces, int count, size_t len)
{
    struct world_side *side = ctx;
    struct world *world = side->world;
    static uint8_t whole[65536];
    uint64_t departure;
    size_t at = 0;

    for (int i = 0; i < count; i++) {
        assert_true(at + pieces[i].iov_len <= sizeof(whole));
        memcpy(whole + at, pieces[i].iov_base, pieces[i].iov_len);
        at += pieces[i].iov_len;
    }
    assert_int_equal(at, len);
    if (world_chance(world->refuse) || (world->room != 0 && world->taken == world->room)) {
        world->refused = true;
        return -EAGAIN;
    }
    world->taken++;
    if (world->no_sack)
        world_remove_sack(whole, len);
    side->sent++;
    if (len > side->sent_max)
        side->sent_max = len;
    if (world->cut || world_chance(world->loss) ||
        (side->index == 1 && world_chance(world->loss_back)) ||
        !world_transmit(side, len, &departure))
        return 0;
    if (side->index == 1 && world->bunch != 0)
        departure += world->bunch - departure % world->bunch;
    for (int copies = world_chance(world->duplicate) ? 2 : 1; copies > 0; copies--) {
        uint64_t extra = world_chance(world->reorder) ? world_random() % (5 * MILLISECOND) : 0;

        world_insert(world, 1 - side->index, departure + world->delay + extra, whole, len);
    }
    return 0;
}

static inline uint64_t world_now(void *ctx)
{
    const struct world_side *side = ctx;

    return side->world->now;
}

static inline struct inet_addr world_ip4(uint8_t last)
{
    return (struct inet_addr){.family = AF_INET, .bytes = {10, 0, 0, last}};
}

static inline struct inet_addr world_ip6(uint8_t last)
{
    return (struct inet_addr){.family = AF_INET6, .bytes = {0xfd, [15] = last}};
}

/* The family of a connection from side 0 to side 1. */
static inline const struct inet_addr *world_address(struct world *world, int side, int family)
{
    return &world->addresses[side][family == AF_INET6];
}

static inline struct stack *world_stack(struct world_side *side, const struct inet_addr *addresses,
                                        size_t count, uint16_t mtu)
{
    const struct stack_ops ops = {.output = world_output, .now = world_now};
    const struct stack_config config = {
        .addresses = addresses,
        .addresses_count = count,
        .mtu = mtu,
    };
    struct stack *stack = NULL;

    assert_int_equal(stack_new(&config, &ops, side, &stack), 0);
    return stack;
}

static inline void world_init(struct world *world, uint64_t seed, uint16_t mtu)
{
    world_seed_random(seed);
    memset(world, 0, sizeof(*world));
    world->now = 1000 * SECOND;
    world->delay = 5 * MILLISECOND;
    for (int i = 0; i < 2; i++) {
        world->addresses[i][0] = world_ip4((uint8_t)(i + 1));
        world->addresses[i][1] = world_ip6((uint8_t)(i + 1));
        world->sides[i].world = world;
        world->sides[i].index = i;
        world->sides[i].stack = world_stack(&world->sides[i], world->addresses[i], 2, mtu);
    }
}

static inline struct world_packet *world_pop(struct world *world)
{
    struct world_packet *packet = world->first;

    world->first = packet->next;
    if (world->first == NULL)
        world->last = NULL;
    world->in_flight--;
    return packet;
}

static inline void world_drop_packet(struct world_packet *packet)
{
    free(packet->data);
    free(packet);
}

/* Frees the stacks and checks that they left nothing behind. */
static inline void world_fini(struct world *world)
{
    for (int i = 0; i < 2; i++)
        stack_free(world->sides[i].stack);
    while (world->first != NULL)
        world_drop_packet(world_pop(world));
    world_check_assertions();
}

/* Delivers everything that is due to one side as one batch; the batch is freed after the flush. */
static inline void world_deliver(struct world *world)
{
    struct world_packet *batch = NULL;
    bool received[2] = {false, false};

    while (world->first != NULL && world->first->due <= world->now) {
        struct world_packet *packet = world_pop(world);

        packet->next = batch;
        batch = packet;
        received[packet->to] = true;
        stack_receive(world->sides[packet->to].stack, packet->data, packet->len);
    }
    for (int i = 0; i < 2; i++) {
        if (received[i])
            stack_flush(world->sides[i].stack);
    }
    while (batch != NULL) {
        struct world_packet *next = batch->next;

        world_drop_packet(batch);
        batch = next;
    }
}

/* Advances time to the next event, if that is before limit; false when there is none. */
static inline bool world_step(struct world *world, uint64_t limit)
{
    uint64_t next = world->first != NULL ? world->first->due : STACK_NEVER;

    if (world->refused && world->now + MILLISECOND < next)
        next = world->now + MILLISECOND;
    for (int i = 0; i < 2; i++) {
        uint64_t deadline = stack_deadline(world->sides[i].stack);

        if (deadline < next)
            next = deadline;
    }
    if (next == STACK_NEVER || next > limit) {
        world->now = limit > world->now ? limit : world->now;
        return false;
    }
    if (next > world->now)
        world->now = next;
    if (world->refused) {
        world->refused = false;
        world->taken = 0;
        stack_resume(world->sides[0].stack);
        stack_resume(world->sides[1].stack);
    }
    world_deliver(world);
    for (int i = 0; i < 2; i++) {
        if (stack_deadline(world->sides[i].stack) <= world->now)
            stack_expire(world->sides[i].stack);
    }
    return true;
}

static inline void world_run(struct world *world, uint64_t duration)
{
    uint64_t limit = world->now + duration;

    while (world_step(world, limit)) {
    }
}

/* --- One end of a connection -------------------------------------------------------------------
 */

/* Sends total bytes of a pattern, checks the peer's pattern, and closes as it is told. */
struct end {
    struct stack_conn *conn;
    uint64_t pattern; /* of what it sends; the peer's is pattern_in */
    uint64_t pattern_in;
    size_t total;
    size_t sent;
    size_t received;
    bool paused;    /* does not read */
    bool shut;      /* FIN was asked for */
    bool keep_open; /* no FIN after total bytes */
    bool connected;
    bool eof;
    bool closed;
    int error;
    unsigned readables;
};

static inline uint8_t end_pattern(uint64_t pattern, size_t offset)
{
    uint64_t x = (pattern + offset / 8) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint8_t)(x >> (8 * (offset % 8)));
}

/* The same for len bytes from offset on, eight at a time. */
static inline void end_fill(uint8_t *out, uint64_t pattern, size_t offset, size_t len)
{
    size_t i = 0;

    for (; i < len && (offset + i) % 8 != 0; i++)
        out[i] = end_pattern(pattern, offset + i);
    for (; len - i >= 8; i += 8) {
        uint64_t x = htole64((pattern + (offset + i) / 8) * UINT64_C(0x9e3779b97f4a7c15));

        memcpy(out + i, &x, sizeof(x));
    }
    for (; i < len; i++)
        out[i] = end_pattern(pattern, offset + i);
}

static inline void end_check(const struct end *end, size_t offset, const uint8_t *bytes, size_t len)
{
    uint8_t expected[4096];

    for (size_t at = 0, part; at < len; at += part) {
        part = len - at < sizeof(expected) ? len - at : sizeof(expected);
        end_fill(expected, end->pattern_in, offset + at, part);
        if (memcmp(bytes + at, expected, part) != 0)
            fail_msg("wrong byte at %zu or up to %zu behind", offset + at, part - 1);
    }
}

static inline void end_write(struct end *end)
{
    static uint8_t buffer[100000];

    while (end->conn != NULL && end->sent < end->total) {
        size_t space = stack_conn_send_space(end->conn);
        size_t len = end->total - end->sent;

        if (len > space)
            len = space;
        if (len > sizeof(buffer))
            len = sizeof(buffer);
        if (len == 0)
            return;
        end_fill(buffer, end->pattern, end->sent, len);
        assert_int_equal(stack_conn_write(end->conn, buffer, len), 0);
        end->sent += len;
    }
    if (end->conn != NULL && !end->shut && !end->keep_open) {
        end->shut = true;
        stack_conn_shutdown(end->conn);
    }
}

static inline void end_read(struct end *end)
{
    struct iovec pieces[8];
    size_t len = 0;
    int count = stack_conn_peek(end->conn, pieces, 8);

    for (int i = 0; i < count; i++) {
        end_check(end, end->received + len, pieces[i].iov_base, pieces[i].iov_len);
        len += pieces[i].iov_len;
    }
    end->received += len;
    stack_conn_consume(end->conn, len);
}

static inline void end_connected(void *ctx)
{
    struct end *end = ctx;

    assert_false(end->connected);
    end->connected = true;
    end_write(end);
}

static inline void end_readable(void *ctx)
{
    struct end *end = ctx;

    end->readables++;
    while (!end->paused && stack_conn_pending(end->conn) > 0)
        end_read(end);
    if (stack_conn_at_eof(end->conn))
        end->eof = true;
}

static inline void end_writable(void *ctx)
{
    struct end *end = ctx;

    assert_true(stack_conn_send_space(end->conn) > 0);
    end_write(end);
}

static inline void end_closed(void *ctx, int error)
{
    struct end *end = ctx;

    assert_false(end->closed);
    end->closed = true;
    end->error = error;
    end->conn = NULL;
}

static const struct stack_conn_ops end_ops = {
    .connected = end_connected,
    .readable = end_readable,
    .writable = end_writable,
    .closed = end_closed,
};

/* --- A server ----------------------------------------------------------------------------------
 */

struct server {
    struct stack_listener *listener;
    struct end *ends; /* as connections come in */
    size_t ends_count;
    size_t accepted;
};

static inline void server_accepted(void *ctx, struct stack_conn *conn, const struct inet_addr *peer,
                                   uint16_t port)
{
    struct server *server = ctx;
    struct end *end;

    assert_true(port != 0);
    assert_true(peer->family == AF_INET || peer->family == AF_INET6);
    if (server->accepted >= server->ends_count)
        return;
    end = &server->ends[server->accepted++];
    end->conn = conn;
    end->connected = true;
    stack_conn_attach(conn, &end_ops, end);
    end_write(end);
}

static const struct stack_listen_ops server_ops = {.accepted = server_accepted};

static inline void server_start(struct server *server, struct world *world, int family,
                                uint16_t port, struct end *ends, size_t ends_count)
{
    *server = (struct server){.ends = ends, .ends_count = ends_count};
    assert_int_equal(stack_listen(world->sides[1].stack, world_address(world, 1, family), port,
                                  &server_ops, server, &server->listener),
                     0);
}

static inline void end_connect(struct end *end, struct world *world, int family, uint16_t port)
{
    assert_int_equal(stack_connect(world->sides[0].stack, world_address(world, 1, family), port,
                                   &end_ops, end, &end->conn),
                     0);
}

/* Two ends that send total bytes to each other. */
static inline void ends_pair(struct end *client, struct end *peer, size_t total)
{
    *client = (struct end){.pattern = 1, .pattern_in = 2, .total = total};
    *peer = (struct end){.pattern = 2, .pattern_in = 1, .total = total};
}

#endif
