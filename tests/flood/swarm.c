/*
 * swarm: thousands of WireGuard peers in one process, for the benchmarks: each is a device of its
 * own (engine/wg) with an address and a socket of its own, as thousands of clients have. They all
 * begin a handshake with one target at once; when each has a session, they send it packets in turn.
 *
 * Peer number n has the address n of OUTER_NET outside and of INNER_NET inside, and keys that
 * follow from its number, so that the target can be told of them before. The outer addresses must
 * be local.
 */
#include "base/heap.h"
#include "base/inet.h"
#include "base/spec.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/x25519.h"
#include "engine/wg/container.h"
#include "engine/wg/device.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/ip.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define OUTER_NET    UINT32_C(0x0ac80000) /* 10.200.0.0/16 */
#define INNER_NET    UINT32_C(0x0a400000) /* 10.64.0.0/16 */
#define INNER_TARGET UINT32_C(0x0a3ffffe) /* 10.63.255.254 */

#define MEMBERS_MAX  16384
#define DATAGRAM_MAX 2048
#define PACKET_LEN   256 /* inside */
#define EVENTS_MAX   256
#define PATIENCE     120 /* seconds, for all to have a session */
#define NS_PER_S     UINT64_C(1000000000)

struct member {
    struct heap_node deadline;
    struct wg_device *device;
    struct wg_peer *target;
    int fd;
    size_t reserved;
    bool established;
};

struct swarm {
    struct member *members;
    size_t count;
    size_t established;
    struct heap deadlines;
    int epoll;
    uint64_t now;
};

static struct swarm swarm;
static uint8_t room[DATAGRAM_MAX]; /* of the datagram that is being written: one at a time */

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "swarm: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void refresh(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    swarm.now = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void private_key(size_t number, uint8_t out[WG_KEY_LEN])
{
    static const char seed[] = "a swarm of peers";
    const uint32_t bytes = (uint32_t)number;
    hash_two(out, seed, sizeof(seed), &bytes, sizeof(bytes));
    x25519_clamp(out);
}

/* --- A member's device ----------------------------------------------------------------------- */

static uint8_t *reserve(void *ctx, const struct wg_endpoint *to, size_t len, uint8_t tos)
{
    (void)to;
    (void)tos;
    struct member *member = ctx;
    if (len > sizeof(room))
        return NULL;
    member->reserved = len;
    return room;
}

static void commit(void *ctx)
{
    struct member *member = ctx;
    /* A datagram may be lost anywhere, here as well. */
    (void)!send(member->fd, room, member->reserved, 0);
}

static void deliver(void *ctx, struct wg_peer *peer, uint8_t *packet, size_t len)
{
    (void)ctx;
    (void)peer;
    (void)packet;
    (void)len;
}

static void on_event(void *ctx, struct wg_peer *peer, enum wg_event event)
{
    (void)peer;
    struct member *member = ctx;
    if (event != WG_EVENT_HANDSHAKE_DONE || member->established)
        return;
    member->established = true;
    swarm.established++;
}

static uint64_t now(void *ctx)
{
    (void)ctx;
    return swarm.now;
}

static void wall_clock(void *ctx, struct timespec *out)
{
    (void)ctx;
    clock_gettime(CLOCK_REALTIME, out);
}

static void fill_random(void *ctx, void *out, size_t len)
{
    (void)ctx;
    randombytes_buf(out, len);
}

static void timestamp(void *ctx, uint64_t unix_ns)
{
    (void)ctx;
    (void)unix_ns; /* nobody with this key comes later */
}

static const struct wg_device_ops ops = {
    .reserve = reserve,
    .commit = commit,
    .deliver = deliver,
    .event = on_event,
    .now = now,
    .wall_clock = wall_clock,
    .timestamp = timestamp,
    .random = fill_random,
};

/* --- The swarm ------------------------------------------------------------------------------- */

static struct inet_addr address_in(uint32_t net, size_t number)
{
    struct inet_addr addr = {.family = AF_INET};
    const uint32_t bytes = htonl(net | (uint32_t)number);
    memcpy(addr.bytes, &bytes, sizeof(bytes));
    return addr;
}

static int open_socket(size_t number, const union inet_sockaddr *target)
{
    const struct inet_addr addr = address_in(OUTER_NET, number);
    union inet_sockaddr local;
    inet_sockaddr_make(&local, &addr, 0);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, &local.sa, inet_sockaddr_len(&local)) < 0 ||
        connect(fd, &target->sa, inet_sockaddr_len(target)) < 0)
        fail("socket");
    return fd;
}

static void add_member(size_t number, const union inet_sockaddr *target,
                       const uint8_t target_key[WG_KEY_LEN])
{
    struct member *member = &swarm.members[number];
    const struct inet_prefix all = {.addr = {.family = AF_INET}};
    uint8_t key[WG_KEY_LEN];

    private_key(number, key);
    member->fd = open_socket(number, target);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};
    if (epoll_ctl(swarm.epoll, EPOLL_CTL_ADD, member->fd, &event) < 0)
        fail("epoll");
    int error = wg_device_new(&ops, member, &member->device);
    if (!error) {
        wg_device_set_private_key(member->device, key);
        error = wg_peer_add(member->device, target_key, NULL, &member->target);
    }
    if (!error)
        error = wg_peer_allow(member->target, &all);
    if (error) {
        errno = -error;
        fail("device");
    }
    wg_peer_set_endpoint(member->target, target);
}

static void init(size_t count, const union inet_sockaddr *target,
                 const uint8_t target_key[WG_KEY_LEN])
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    swarm.count = count;
    swarm.members = calloc(count, sizeof(*swarm.members));
    swarm.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!swarm.members || swarm.epoll < 0 || heap_reserve(&swarm.deadlines, count) < 0)
        fail("start");
    refresh();
    for (size_t i = 0; i < count; i++)
        add_member(i, target, target_key);
}

static void fini(void)
{
    for (size_t i = 0; i < swarm.count; i++) {
        wg_device_free(swarm.members[i].device);
        close(swarm.members[i].fd);
    }
    heap_fini(&swarm.deadlines);
    free(swarm.members);
    close(swarm.epoll);
}

/* --- Time ------------------------------------------------------------------------------------ */

static void set_deadline(struct member *member)
{
    uint64_t deadline = wg_device_deadline(member->device);
    if (deadline == WG_NEVER)
        heap_remove(&swarm.deadlines, &member->deadline);
    else
        heap_set(&swarm.deadlines, &member->deadline, deadline);
}

static void receive(struct member *member)
{
    static uint8_t datagram[DATAGRAM_MAX];
    const struct wg_endpoint *from = wg_peer_endpoint(member->target);
    ssize_t len;
    while ((len = recv(member->fd, datagram, sizeof(datagram), 0)) >= 0)
        wg_device_receive(member->device, from, 0, datagram, (size_t)len);
    set_deadline(member);
}

/* Does what is due, and waits for more at most until then. */
static void step(uint64_t until)
{
    struct epoll_event events[EVENTS_MAX];
    struct heap_node *first;
    refresh();
    while ((first = heap_first(&swarm.deadlines)) && first->key <= swarm.now) {
        struct member *member = container_of(first, struct member, deadline);
        wg_device_expire(member->device);
        set_deadline(member);
        refresh();
    }
    if (first && first->key < until)
        until = first->key;
    uint64_t wait_ms = until > swarm.now ? (until - swarm.now) / 1000000 : 0;
    int count = epoll_wait(swarm.epoll, events, EVENTS_MAX, (int)wait_ms);
    refresh();
    for (int i = 0; i < count; i++)
        receive(events[i].data.ptr);
}

static void establish(void)
{
    refresh();
    const uint64_t begun = swarm.now;
    for (size_t i = 0; i < swarm.count; i++) {
        wg_peer_send_keepalive(swarm.members[i].target);
        set_deadline(&swarm.members[i]);
    }
    while (swarm.established < swarm.count && swarm.now < begun + PATIENCE * NS_PER_S)
        step(swarm.now + NS_PER_S);
    printf("%zu established in %.2f s\n", swarm.established,
           (double)(swarm.now - begun) / (double)NS_PER_S);
    fflush(stdout);
}

static void send_packet(size_t number)
{
    struct member *member = &swarm.members[number];
    const struct iphdr header = {.version = 4,
                                 .ihl = 5,
                                 .ttl = 64,
                                 .protocol = IPPROTO_UDP, /* which nobody there listens for */
                                 .tot_len = htons(PACKET_LEN),
                                 .saddr = htonl(INNER_NET | (uint32_t)number),
                                 .daddr = htonl(INNER_TARGET)};
    uint8_t packet[PACKET_LEN] = {0};
    memcpy(packet, &header, sizeof(header));
    const struct iovec piece = {.iov_base = packet, .iov_len = sizeof(packet)};
    wg_device_send(member->device, &piece, 1, sizeof(packet));
    set_deadline(member);
}

/* Each member in turn sends one packet, until so many are sent. */
static void send_packets(uint64_t count, uint64_t rate)
{
    refresh();
    const uint64_t begun = swarm.now;
    uint64_t sent = 0;
    while (sent < count) {
        uint64_t due = (swarm.now - begun) * rate / NS_PER_S + 1;
        for (; sent < count && sent < due; sent++)
            send_packet(sent % swarm.count);
        step(swarm.now + NS_PER_S / 1000);
    }
    printf("%" PRIu64 " sent in %.2f s\n", sent, (double)(swarm.now - begun) / (double)NS_PER_S);
    fflush(stdout);
}

/* --- The command line ------------------------------------------------------------------------ */

static const char usage[] =
    "Usage: swarm keys COUNT\n"
    "       swarm run COUNT ADDRESS PORT PUBLIC_KEY PACKETS RATE\n"
    "The first prints the public keys of so many peers. The second is these peers: they make\n"
    "sessions with the device there, wait for a line, and send it packets, so many per second.\n";

static void print_keys(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t key[WG_KEY_LEN], public_key[WG_KEY_LEN];
        char text[SPEC_KEY_TEXT];
        private_key(i, key);
        x25519_public(public_key, key);
        puts(spec_key_print(public_key, text));
    }
}

static int run(size_t count, char **arguments)
{
    struct inet_addr addr;
    union inet_sockaddr target;
    uint8_t key[WG_KEY_LEN];
    if (inet_addr_parse(arguments[0], &addr) < 0 || spec_key_parse(arguments[2], key) < 0)
        return 2;
    inet_sockaddr_make(&target, &addr, (uint16_t)atoi(arguments[1]));
    init(count, &target, key);
    establish();
    if (getchar() != EOF)
        send_packets(strtoull(arguments[3], NULL, 10), strtoull(arguments[4], NULL, 10));
    fini();
    return 0;
}

int main(int argc, char **argv)
{
    if (sodium_init() < 0)
        return 1;
    size_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    bool sane = count >= 1 && count <= MEMBERS_MAX;
    if (sane && argc == 3 && strcmp(argv[1], "keys") == 0) {
        print_keys(count);
        return 0;
    }
    if (sane && argc == 8 && strcmp(argv[1], "run") == 0)
        return run(count, argv + 3);
    fputs(usage, stderr);
    return 2;
}
