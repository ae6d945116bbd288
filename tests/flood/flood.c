/*
 * flood: sends datagrams to a WireGuard device at a steady rate, for the tests and the benchmarks.
 * They are made before the first is sent, and sent over and over, many with one system call, so
 * that sending costs as little as it can on a machine that the device is on, too.
 *
 * With one source it is a socket as any other; with more, each datagram has one of so many
 * addresses and ports of SPOOFED_NET, which needs CAP_NET_RAW and, at the other end, a route back.
 */
#include "tests/flood/packets.h"

#include "base/inet.h"
#include "base/spec.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POOL        4096 /* different datagrams */
#define BATCH       64   /* sent with one call */
#define BURST       16   /* at least so many at a time: one by one would be all system calls */
#define SPOOFED_NET UINT32_C(0x0ac80000) /* 10.200.0.0/16 */

/* What could not be sent in time is made up for as long as this; a longer delay is a lower rate. */
#define BACKLOG_NS UINT64_C(5000000)
#define NS_PER_S   UINT64_C(1000000000)

/* Bounds, so that no mistake in a test floods for ever. */
#define RATE_MAX    1000000
#define SECONDS_MAX 120

struct headers {
    struct iphdr ip;
    struct udphdr udp;
};

struct datagram {
    struct headers headers; /* sent with spoofed sources only */
    uint8_t payload[FLOOD_DATAGRAM_MAX];
};

struct options {
    enum flood_kind kind;
    union inet_sockaddr to;
    uint8_t public_key[SPEC_KEY_LEN];
    uint64_t rate; /* per second */
    uint64_t count;
    uint64_t seconds;
    uint32_t sources;
};

static struct datagram pool[POOL];
static struct iovec pieces[POOL];
static struct mmsghdr messages[POOL];

_Noreturn static void fail(const char *what, const char *why)
{
    fprintf(stderr, "flood: %s: %s\n", what, why);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- Before ---------------------------------------------------------------------------------- */

/* The kernel fills in the rest: checksum, and identification. A UDP checksum of 0 says "none". */
static void spoof(struct headers *headers, const struct options *options, size_t len, uint32_t i)
{
    uint32_t source = i % options->sources;
    *headers = (struct headers){
        .ip = {.version = 4,
               .ihl = 5,
               .ttl = 64,
               .protocol = IPPROTO_UDP,
               .tot_len = htons((uint16_t)(sizeof(*headers) + len)),
               .saddr = htonl(SPOOFED_NET | (source & 0xffff)),
               .daddr = options->to.in.sin_addr.s_addr},
        .udp = {.source = htons((uint16_t)(1024 + (source & 0x7fff))),
                .dest = options->to.in.sin_port,
                .len = htons((uint16_t)(sizeof(headers->udp) + len))},
    };
}

static void fill_pool(const struct options *options)
{
    for (uint32_t i = 0; i < POOL; i++) {
        struct datagram *datagram = &pool[i];
        size_t len = flood_packet_make(options->kind, options->public_key, datagram->payload);
        pieces[i] = (struct iovec){.iov_base = datagram->payload, .iov_len = len};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
        if (options->sources == 1)
            continue;
        spoof(&datagram->headers, options, len, i);
        pieces[i] = (struct iovec){.iov_base = datagram, .iov_len = sizeof(struct headers) + len};
        messages[i].msg_hdr.msg_name = (void *)&options->to;
        messages[i].msg_hdr.msg_namelen = inet_sockaddr_len(&options->to);
    }
}

static int open_socket(const struct options *options)
{
    bool raw = options->sources > 1;
    int fd = socket(options->to.sa.sa_family, (raw ? SOCK_RAW : SOCK_DGRAM) | SOCK_CLOEXEC,
                    raw ? IPPROTO_RAW : 0);
    if (fd < 0)
        fail("socket", strerror(errno));
    if (!raw && connect(fd, &options->to.sa, inet_sockaddr_len(&options->to)) < 0)
        fail("connect", strerror(errno));
    return fd;
}

/* --- Sending --------------------------------------------------------------------------------- */

/* Sends count datagrams from the pool, beginning at number sent. Returns how many went out. */
static uint64_t send_some(int fd, uint64_t sent, uint64_t count)
{
    uint64_t first = sent % POOL;
    if (count > BATCH)
        count = BATCH;
    if (count > POOL - first)
        count = POOL - first;
    int done = sendmmsg(fd, &messages[first], (unsigned)count, 0);
    if (done >= 0)
        return (uint64_t)done;
    /* Nobody listens any more, or the queue is full: as if it had been lost on the way. */
    if (errno == ECONNREFUSED || errno == ENOBUFS || errno == EAGAIN || errno == EINTR)
        return 1;
    fail("send", strerror(errno));
}

static void flood(int fd, const struct options *options)
{
    const uint64_t begin = now_ns();
    const uint64_t end = begin + options->seconds * NS_PER_S;
    const uint64_t interval = NS_PER_S / options->rate;
    uint64_t next = begin; /* when the next one is due */
    uint64_t sent = 0;
    uint64_t now;

    while ((now = now_ns()) < end && sent < options->count) {
        if (next + BACKLOG_NS < now)
            next = now - BACKLOG_NS;
        if (next > now) {
            uint64_t wait = next - now + BURST * interval;
            nanosleep(&(struct timespec){.tv_sec = (time_t)(wait / NS_PER_S),
                                         .tv_nsec = (long)(wait % NS_PER_S)},
                      NULL);
            continue;
        }
        uint64_t due = (now - next) / interval + 1;
        uint64_t left = options->count - sent;
        uint64_t done = send_some(fd, sent, due < left ? due : left);
        sent += done;
        next += done * interval;
    }
    double seconds = (double)(now - begin) / (double)NS_PER_S;
    printf("sent %" PRIu64 " in %.2f s\n", sent, seconds);
}

/* --- The command line ------------------------------------------------------------------------ */

static const char usage[] =
    "Usage: flood KIND ADDRESS PORT PUBLIC_KEY [options]\n"
    "Sends datagrams to the WireGuard device there. KIND is initiation, bad-mac1, unknown-index,\n"
    "truncated or random; PUBLIC_KEY is the device's.\n"
    "  --rate N      per second (100000)\n"
    "  --seconds N   ends after so long (10)\n"
    "  --count N     ends after so many\n"
    "  --sources N   from so many addresses and ports of 10.200.0.0/16 (1: its own); IPv4 only\n";

static uint64_t number(const char *text, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end || end == text || value < 1 || value > max)
        fail("not a number in range", text);
    return value;
}

static void read_target(struct options *options, char **arguments)
{
    struct inet_addr addr;
    options->kind = flood_kind_find(arguments[0]);
    if (options->kind == FLOOD_KINDS)
        fail("unknown kind", arguments[0]);
    if (inet_addr_parse(arguments[1], &addr) < 0)
        fail("not an address", arguments[1]);
    inet_sockaddr_make(&options->to, &addr, (uint16_t)number(arguments[2], UINT16_MAX));
    if (spec_key_parse(arguments[3], options->public_key) < 0)
        fail("not a key", arguments[3]);
    if (options->sources > 1 && addr.family != AF_INET)
        fail("--sources", "IPv4 only");
}

static void read_options(struct options *options, int argc, char **argv)
{
    enum { RATE = 1, SECONDS, COUNT, SOURCES };
    static const struct option table[] = {
        {"rate", required_argument, NULL, RATE},
        {"seconds", required_argument, NULL, SECONDS},
        {"count", required_argument, NULL, COUNT},
        {"sources", required_argument, NULL, SOURCES},
        {NULL, 0, NULL, 0},
    };
    *options = (struct options){.rate = 100000, .seconds = 10, .count = UINT64_MAX, .sources = 1};
    int option;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (option == RATE)
            options->rate = number(optarg, RATE_MAX);
        else if (option == SECONDS)
            options->seconds = number(optarg, SECONDS_MAX);
        else if (option == COUNT)
            options->count = number(optarg, UINT64_MAX);
        else if (option == SOURCES)
            options->sources = (uint32_t)number(optarg, POOL);
        else
            break;
    }
    if (option != -1 || argc - optind != 4) {
        fputs(usage, stderr);
        exit(2);
    }
    read_target(options, argv + optind);
}

int main(int argc, char **argv)
{
    static struct options options;
    if (sodium_init() < 0)
        fail("libsodium", "cannot be used");
    read_options(&options, argc, argv);
    fill_pool(&options);
    int fd = open_socket(&options);
    flood(fd, &options);
    close(fd);
    return 0;
}
