/*
 * network: devices on a simulated network in virtual time.
 *
 * The clock stands still while a device works and jumps to the next thing that happens. Randomness
 * comes from one seed, which is printed when a test fails; SIM_SEED=n in the environment repeats a
 * run. Each node has one outer address; datagrams may be lost, delayed, tampered with or observed.
 */
#ifndef MANYTUN_TESTS_SIM_NETWORK_H
#define MANYTUN_TESTS_SIM_NETWORK_H

#include "tests/support/cmocka_all.h"

#include "base/heap.h"
#include "engine/wg/device.h"
#include "engine/wg/interface.h"
#include "engine/wg/messages.h"
#include "engine/wg/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NODES_MAX      4
#define PORT           51820
#define DATAGRAM_MAX   2048
#define PACKETS_MAX    65536 /* numbers of inner packets whose arrival is recorded */
#define EVENTS_MAX     4
#define STEPS_MAX      10000000 /* things that may happen in one run before it counts as a spin */
#define SPINS_MAX      1000     /* calls of one device's expire() in a row at one moment */
#define PAYLOAD_OFFSET 40       /* of the packet's number: beyond either IP header */

#define MS(n) ((uint64_t)(n)*WG_MILLISECOND)
#define S(n)  ((uint64_t)(n)*WG_SECOND)

struct network;

struct datagram {
    struct heap_node node; /* key: when it arrives */
    struct wg_endpoint from;
    union inet_sockaddr to;
    uint8_t tos;
    uint32_t id;   /* the same for duplicates */
    bool tampered; /* in a place that is authenticated */
    size_t len;
    uint8_t data[DATAGRAM_MAX];
};

struct node {
    struct network *network;
    struct wg_device *device;
    uint8_t private_key[WG_KEY_LEN];
    uint8_t public_key[WG_KEY_LEN];
    union inet_sockaddr addr;
    struct datagram *reserved;
    bool blocked; /* the sending side is full, */
    size_t room;  /* or has no more than this much room; 0 = as much as is wanted */
    bool asleep;  /* suspended: time passes, but nothing is done, and what comes in is lost */
    uint8_t last_tos;
    uint64_t timestamp;              /* of the last initiation */
    uint8_t last_inner_tos;          /* of what was delivered */
    unsigned sent[MESSAGE_DATA + 1]; /* datagrams by type of message; [0] = keepalives */
    unsigned events[EVENTS_MAX];
    unsigned delivered;
    uint32_t last_number;
    bool in_order;            /* numbers came in rising order so far */
    uint8_t got[PACKETS_MAX]; /* how often each number came in */
};

/* What becomes of a datagram. */
enum fate { FATE_PASS, FATE_DROP };

struct network {
    uint64_t now;
    int64_t wall_offset; /* of the wall clock, in seconds */
    uint64_t random;
    uint64_t seed;
    struct node nodes[NODES_MAX];
    size_t nodes_count;
    struct heap datagrams; /* on the way */
    uint64_t last_arrival; /* what was launched last would have arrived then, */
    uint64_t ties;         /* had not so many before it the same time: they stay in order */
    uint8_t mark;          /* what a router on the way sets TOS bytes to; 0 = leaves them */
    uint64_t delay;
    uint64_t delay_spread;   /* a random addition, which reorders */
    unsigned loss_per_mille; /* of datagrams, as the next three */
    unsigned duplicate_per_mille;
    unsigned corrupt_per_mille;
    unsigned truncate_per_mille;
    uint32_t launched;
    const struct node *spinner; /* who was called last, */
    unsigned spins;             /* and how often at this moment */
    enum fate (*watch)(struct network *network, struct datagram *datagram); /* or NULL */
    void *watch_ctx;
    /* Hands a datagram to its node; NULL = plainly. */
    void (*arrive)(struct network *network, struct node *node, const struct datagram *datagram);
    struct datagram kept; /* what a watcher or keep_next() put aside; len 0 = nothing */
};

static inline uint64_t network_random(struct network *network)
{
    uint64_t z = (network->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* --- The devices' view ---------------------------------------------------------------------- */

static inline uint8_t *node_reserve(void *ctx, const struct wg_endpoint *to, size_t len,
                                    uint8_t tos)
{
    struct node *node = ctx;
    assert_null(node->reserved);
    assert_true(len <= DATAGRAM_MAX);
    assert_int_not_equal(to->remote.sa.sa_family, AF_UNSPEC);
    if (node->blocked || (node->room > 0 && len > node->room))
        return NULL;
    node->reserved = calloc(1, sizeof(*node->reserved));
    assert_non_null(node->reserved);
    node->reserved->to = to->remote;
    node->reserved->from.remote = node->addr;
    node->reserved->len = len;
    node->reserved->tos = tos;
    node->last_tos = tos;
    return node->reserved->data;
}

/* Whether it happens this time. */
static inline bool network_chance(struct network *network, unsigned per_mille)
{
    return per_mille > 0 && network_random(network) % 1000 < per_mille;
}

/* How much of a message nobody can change unnoticed: mac2 is looked at under load only. */
static inline size_t authenticated_len(const struct datagram *datagram)
{
    const unsigned type = datagram->data[0];
    const size_t macs = MESSAGE_MACS_LEN / 2;
    bool has_mac2 = type == MESSAGE_INITIATION || type == MESSAGE_RESPONSE;
    return has_mac2 && datagram->len > macs ? datagram->len - macs : datagram->len;
}

/* Flips a bit that is authenticated. */
static inline void datagram_corrupt(struct network *network, struct datagram *datagram)
{
    const size_t at = network_random(network) % authenticated_len(datagram);
    datagram->data[at] ^= (uint8_t)(1u << network_random(network) % 8);
    datagram->tampered = true;
}

static inline void datagram_truncate(struct network *network, struct datagram *datagram)
{
    datagram->len = network_random(network) % datagram->len;
    datagram->tampered = true;
}

static inline void network_schedule(struct network *network, struct datagram *datagram)
{
    uint64_t spread = network->delay_spread;
    uint64_t delay = network->delay + (spread ? network_random(network) % spread : 0);
    if (network->mark)
        datagram->tos = network->mark;
    uint64_t arrival = network->now + delay;
    network->ties = arrival == network->last_arrival ? network->ties + 1 : 0;
    network->last_arrival = arrival;
    assert_int_equal(heap_reserve(&network->datagrams, 1), 0);
    heap_set(&network->datagrams, &datagram->node, arrival + network->ties);
}

/* Puts a datagram on its way. */
static inline void network_launch(struct network *network, struct datagram *datagram)
{
    datagram->id = network->launched++;
    bool lost = network_chance(network, network->loss_per_mille);
    if (lost || (network->watch && network->watch(network, datagram) == FATE_DROP)) {
        free(datagram);
        return;
    }
    if (network_chance(network, network->duplicate_per_mille)) {
        struct datagram *copy = malloc(sizeof(*copy));
        assert_non_null(copy);
        *copy = *datagram;
        network_schedule(network, copy);
    }
    if (network_chance(network, network->corrupt_per_mille))
        datagram_corrupt(network, datagram);
    if (network_chance(network, network->truncate_per_mille))
        datagram_truncate(network, datagram);
    network_schedule(network, datagram);
}

static inline void node_commit(void *ctx)
{
    struct node *node = ctx;
    struct datagram *datagram = node->reserved;
    assert_non_null(datagram);
    node->reserved = NULL;
    unsigned type = datagram->data[0];
    assert_in_range(type, MESSAGE_INITIATION, MESSAGE_DATA);
    node->sent[datagram->len == DATA_OVERHEAD ? 0 : type]++;
    network_launch(node->network, datagram);
}

static inline void node_deliver(void *ctx, struct wg_peer *peer, uint8_t *packet, size_t len)
{
    struct node *node = ctx;
    assert_non_null(peer);
    assert_true(len >= PAYLOAD_OFFSET + 4);
    uint32_t number = load_le32(packet + PAYLOAD_OFFSET);
    node->last_inner_tos = (uint8_t)(packet[0] >> 4 == 4 ? packet[1] : load_be16(packet) >> 4);
    assert_true(number < PACKETS_MAX);
    if (node->delivered > 0 && number <= node->last_number)
        node->in_order = false;
    node->last_number = number;
    node->delivered++;
    node->got[number]++;
}

static inline void node_event(void *ctx, struct wg_peer *peer, enum wg_event event)
{
    struct node *node = ctx;
    assert_non_null(peer);
    assert_in_range(event, 0, EVENTS_MAX - 1);
    node->events[event]++;
}

static inline uint64_t node_now(void *ctx)
{
    return ((struct node *)ctx)->network->now;
}

static inline void node_wall_clock(void *ctx, struct timespec *out)
{
    const struct network *network = ((struct node *)ctx)->network;
    out->tv_sec = (time_t)(1700000000 + network->wall_offset + (int64_t)(network->now / WG_SECOND));
    out->tv_nsec = (long)(network->now % WG_SECOND);
}

static inline void node_timestamp(void *ctx, uint64_t unix_ns)
{
    struct node *node = ctx;
    node->timestamp = unix_ns;
}

static inline void node_random(void *ctx, void *out, size_t len)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)network_random(((struct node *)ctx)->network);
}

static const struct wg_device_ops node_ops = {
    .reserve = node_reserve,
    .commit = node_commit,
    .deliver = node_deliver,
    .event = node_event,
    .now = node_now,
    .wall_clock = node_wall_clock,
    .timestamp = node_timestamp,
    .random = node_random,
};

/* --- Life ----------------------------------------------------------------------------------- */

static inline void sockaddr_of(union inet_sockaddr *out, const char *address, uint16_t port)
{
    struct inet_addr addr;
    assert_int_equal(inet_addr_parse(address, &addr), 0);
    inet_sockaddr_make(out, &addr, port);
}

static inline struct node *node_add(struct network *network, const char *address)
{
    struct node *node = &network->nodes[network->nodes_count++];
    struct noise_keys keys;

    assert_true(network->nodes_count <= NODES_MAX);
    node->network = network;
    node->in_order = true;
    sockaddr_of(&node->addr, address, PORT);
    node_random(node, node->private_key, WG_KEY_LEN);
    noise_keys_init(&keys, node->private_key);
    memcpy(node->public_key, keys.public_key, WG_KEY_LEN);
    assert_int_equal(wg_device_new(&node_ops, node, &node->device), 0);
    wg_device_set_private_key(node->device, node->private_key);
    return node;
}

static inline struct network *network_new_seeded(uint64_t seed)
{
    struct network *network = calloc(1, sizeof(*network));
    assert_non_null(network);
    network->seed = seed;
    network->random = seed;
    network->now = S(1000);
    network->delay = MS(10);
    return network;
}

static inline struct network *network_new(void)
{
    static uint64_t runs;
    const char *text = getenv("SIM_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : 20240229 + runs++;
    print_message("seed %" PRIu64 "\n", seed);
    return network_new_seeded(seed);
}

/* Frees everything, and checks that nothing was left behind in a device without peers. */
static inline void network_free(struct network *network)
{
    for (size_t i = 0; i < network->nodes_count; i++) {
        struct wg_device *device = network->nodes[i].device;
        while (device->peers)
            wg_peer_remove(device->peers);
        assert_int_equal(device->peers_count, 0);
        assert_int_equal(device->peers_by_key.count, 0);
        assert_int_equal(device->indices.table.count, 0);
        assert_int_equal(device->deadlines.count, 0);
        assert_int_equal(wg_device_staged(device), 0);
        assert_null(device->allowed.root4);
        assert_null(device->allowed.root6);
        wg_device_free(device);
    }
    struct heap_node *first;
    while ((first = heap_first(&network->datagrams))) {
        heap_remove(&network->datagrams, first);
        free(first);
    }
    heap_fini(&network->datagrams);
    free(network);
}

/* Makes `to` a peer of `node`, at its address, with one allowed prefix. */
static inline struct wg_peer *node_peer(struct node *node, const struct node *to,
                                        const char *allowed)
{
    struct inet_prefix prefix;
    struct wg_peer *peer;
    assert_int_equal(wg_peer_add(node->device, to->public_key, NULL, &peer), 0);
    assert_int_equal(inet_prefix_parse(allowed, &prefix), 0);
    assert_int_equal(wg_peer_allow(peer, &prefix), 0);
    wg_peer_set_endpoint(peer, &to->addr);
    return peer;
}

/* --- Time ----------------------------------------------------------------------------------- */

static inline struct node *node_at(struct network *network, const union inet_sockaddr *addr)
{
    for (size_t i = 0; i < network->nodes_count; i++)
        if (inet_sockaddr_equal(&network->nodes[i].addr, addr))
            return &network->nodes[i];
    return NULL;
}

static inline void node_arrive(struct node *node, const struct datagram *datagram)
{
    /* An exact allocation lets the sanitizer see the first byte read beyond the end. */
    uint8_t *copy = malloc(datagram->len ? datagram->len : 1);
    assert_non_null(copy);
    memcpy(copy, datagram->data, datagram->len);
    wg_device_receive(node->device, &datagram->from, datagram->tos, copy, datagram->len);
    free(copy);
}

static inline void network_deliver(struct network *network, const struct datagram *datagram)
{
    struct node *node = node_at(network, &datagram->to);
    if (!node || node->asleep)
        return;
    if (network->arrive)
        network->arrive(network, node, datagram);
    else
        node_arrive(node, datagram);
}

/* Runs what is due in a node; a device that is due again and again has a deadline that spins. */
static inline void node_expire(struct node *node)
{
    struct network *network = node->network;
    network->spins = network->spinner == node ? network->spins + 1 : 0;
    network->spinner = node;
    assert_true(network->spins < SPINS_MAX);
    wg_device_expire(node->device);
}

/* Does the next thing that happens until `until`. False when there is none. */
static inline bool network_step(struct network *network, uint64_t until)
{
    struct heap_node *first = heap_first(&network->datagrams);
    uint64_t at = first ? first->key : WG_NEVER;
    struct node *due = NULL;

    for (size_t i = 0; i < network->nodes_count; i++) {
        uint64_t deadline = wg_device_deadline(network->nodes[i].device);
        if (deadline < at && !network->nodes[i].asleep) {
            at = deadline;
            due = &network->nodes[i];
        }
    }
    if (at > until)
        return false;
    if (at > network->now) {
        network->now = at;
        network->spinner = NULL;
    }
    if (due) {
        node_expire(due);
    } else {
        network->spinner = NULL;
        heap_remove(&network->datagrams, first);
        network_deliver(network, (struct datagram *)(void *)first);
        free(first);
    }
    return true;
}

/* Lets this much time pass. */
static inline void network_run(struct network *network, uint64_t duration)
{
    const uint64_t until = network->now + duration;
    unsigned steps = 0;
    while (network_step(network, until))
        assert_true(++steps < STEPS_MAX);
    network->now = until;
}

/* --- Packets -------------------------------------------------------------------------------- */

/* Writes an IP packet of len bytes that carries a number; returns its length. */
static inline size_t packet_make(uint8_t *out, size_t len, const char *source,
                                 const char *destination, uint32_t number)
{
    struct inet_addr from;
    struct inet_addr to;
    assert_int_equal(inet_addr_parse(source, &from), 0);
    assert_int_equal(inet_addr_parse(destination, &to), 0);
    memset(out, 0, len);
    if (from.family == AF_INET) {
        out[0] = 0x45;
        out[2] = (uint8_t)(len >> 8);
        out[3] = (uint8_t)len;
        memcpy(out + 12, from.bytes, 4);
        memcpy(out + 16, to.bytes, 4);
    } else {
        out[0] = 0x60;
        out[4] = (uint8_t)((len - 40) >> 8);
        out[5] = (uint8_t)(len - 40);
        memcpy(out + 8, from.bytes, 16);
        memcpy(out + 24, to.bytes, 16);
    }
    store_le32(out + PAYLOAD_OFFSET, number);
    return len;
}

static inline int node_send_sized(struct node *node, const char *source, const char *destination,
                                  uint32_t number, size_t len)
{
    uint8_t packet[DATAGRAM_MAX];
    const struct iovec piece = {
        .iov_base = packet,
        .iov_len = packet_make(packet, len, source, destination, number),
    };
    return wg_device_send(node->device, &piece, 1, len);
}

static inline int node_send(struct node *node, const char *source, const char *destination,
                            uint32_t number)
{
    return node_send_sized(node, source, destination, number, 100);
}

static inline uint64_t node_drops(const struct node *node, enum wg_drop reason)
{
    return wg_device_drops(node->device, reason);
}

/* --- The usual setting: two nodes that are each other's peer -------------------------------- */

#define INNER_A "10.0.0.1"
#define INNER_B "10.0.0.2"

struct pair {
    struct network *network;
    struct node *a;
    struct node *b;
    struct wg_peer *a_to_b;
    struct wg_peer *b_to_a;
};

static inline int pair_setup(void **state)
{
    static struct pair pair;
    pair.network = network_new();
    pair.a = node_add(pair.network, "192.0.2.1");
    pair.b = node_add(pair.network, "192.0.2.2");
    pair.a_to_b = node_peer(pair.a, pair.b, INNER_B "/32");
    pair.b_to_a = node_peer(pair.b, pair.a, INNER_A "/32");
    *state = &pair;
    return 0;
}

static inline int pair_teardown(void **state)
{
    network_free(((struct pair *)*state)->network);
    return 0;
}

static inline void a_sends(struct pair *pair, uint32_t number)
{
    assert_int_equal(node_send(pair->a, INNER_A, INNER_B, number), 0);
}

static inline void b_sends(struct pair *pair, uint32_t number)
{
    assert_int_equal(node_send(pair->b, INNER_B, INNER_A, number), 0);
}

/* Establishes a session by packet number 0 from a to b, and an answer that keeps timers calm. */
static inline void pair_connect(struct pair *pair)
{
    a_sends(pair, 0);
    network_run(pair->network, S(1));
    b_sends(pair, 0);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->delivered, 1);
    assert_int_equal(pair->a->delivered, 1);
}

#define pair_test(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

#endif
