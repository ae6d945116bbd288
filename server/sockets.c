/*
 * sockets: owns nothing; makes sockets and unmakes them.
 *
 * UDP has no shutdown(): a port stays taken until the last duplicate is closed. So a socket that
 * is given up turns SO_REUSEADDR on, after which the kernel lets another socket with the same
 * option bind its port; the newest one gets the datagrams. A new socket uses the option only for a
 * port that was released here lately, and only while it binds: a port of another program, or of
 * another tunnel, stays a conflict.
 */
#include "server/sockets.h"

#include "base/descriptor.h"
#include "server/ephemeral.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How often a port that is free in IPv4 only is given back for another. */
#define PAIR_ATTEMPTS 32

/* How many ports are tried where any will do, before the kernel chooses. */
#define GUESSES 32

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int close_failed(int fd, int rc)
{
    close(fd);
    return rc;
}

/* A socket for good, or -errno: -EMFILE when it would use up the reserve. */
static int open_socket(sa_family_t family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -errno;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
        (rlim_t)fd + SOCKETS_DESCRIPTORS_RESERVED >= limit.rlim_cur)
        return close_failed(fd, -EMFILE);
    return fd;
}

static int bind_to(int fd, const struct inet_addr *address, uint16_t port)
{
    union inet_sockaddr sa;
    inet_sockaddr_make(&sa, address, port);
    return bind(fd, &sa.sa, inet_sockaddr_len(&sa)) < 0 ? -errno : 0;
}

static int read_port(int fd, uint16_t *out)
{
    union inet_sockaddr sa;
    socklen_t len = sizeof(sa);
    if (getsockname(fd, &sa.sa, &len) < 0)
        return -errno;
    struct inet_addr address;
    inet_sockaddr_split(&sa, &address, out);
    return 0;
}

uint16_t sockets_port(int fd)
{
    uint16_t port = 0;
    return read_port(fd, &port) == 0 ? port : 0;
}

/* --- Listeners -------------------------------------------------------------------------------- */

/* A listener and its port, or -errno. */
static int open_listener(const struct inet_addr *address, uint16_t port, uint16_t *bound)
{
    int fd = open_socket(address->family, SOCK_STREAM, IPPROTO_TCP);
    if (fd < 0)
        return fd;
    int rc = 0;
    /* IPv6 means IPv6: 0.0.0.0 and :: can be two forwards. */
    if (address->family == AF_INET6)
        rc = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (rc == 0)
        rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0)
        rc = bind_to(fd, address, port);
    if (rc == 0 && listen(fd, SOCKETS_BACKLOG) < 0)
        rc = -errno;
    uint16_t chosen = 0;
    if (rc == 0)
        rc = read_port(fd, &chosen);
    if (rc < 0)
        return close_failed(fd, rc);
    *bound = chosen;
    return fd;
}

int sockets_listen(const struct inet_addr *address, uint16_t port, uint16_t *bound)
{
    for (unsigned i = 0; i < GUESSES && port == 0; i++) {
        uint16_t guess = ephemeral_port(i);
        int fd = guess != 0 ? open_listener(address, guess, bound) : -EADDRINUSE;
        if (fd != -EADDRINUSE && fd != -EACCES)
            return fd;
    }
    return open_listener(address, port, bound);
}

void sockets_close_listener(int listener)
{
    if (listener < 0)
        return;
    shutdown(listener, SHUT_RDWR);
    descriptor_close(listener);
}

/* --- Outer sockets ---------------------------------------------------------------------------- */

static uint64_t now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

static bool was_released(const struct sockets_released *released, uint16_t port)
{
    uint64_t now = now_seconds();
    for (size_t i = 0; i < SOCKETS_RELEASED_MAX; i++) {
        if (released->items[i].port == port && released->items[i].until > now)
            return true;
    }
    return false;
}

static void set_buffer(int fd, int force, int option)
{
    /* With CAP_NET_ADMIN beyond the system's limit, else up to it. */
    if (set_option(fd, SOL_SOCKET, force, SOCKETS_UDP_BUFFER) < 0)
        set_option(fd, SOL_SOCKET, option, SOCKETS_UDP_BUFFER);
}

/* What makes packets faster or answers go out where they came in; each may be absent. */
static void tune_udp(int fd, sa_family_t family)
{
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    set_option(fd, IPPROTO_UDP, UDP_GRO, 1);
    if (family == AF_INET6) {
        set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
        return;
    }
    set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
    /* The inner packets' size is the tunnel's MTU, fixed beforehand: on a narrower path an outer
     * packet must be fragmented, because nobody inside would hear of its being refused. Over IPv4
     * the routers do that, so who tells of a narrower path by ICMP is not to be believed. */
    set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
}

/* One outer socket, or -errno. */
static int open_udp(const struct inet_addr *address, uint16_t port, bool take_over)
{
    int fd = open_socket(address->family, SOCK_DGRAM, IPPROTO_UDP);
    if (fd < 0)
        return fd;
    int rc = 0;
    if (address->family == AF_INET6)
        rc = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (rc == 0 && take_over)
        rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0)
        rc = bind_to(fd, address, port);
    if (rc == 0 && take_over)
        rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 0);
    if (rc < 0)
        return close_failed(fd, rc);
    tune_udp(fd, address->family);
    return fd;
}

static int open_released_udp(const struct inet_addr *address, uint16_t port,
                             const struct sockets_released *released)
{
    int fd = open_udp(address, port, false);
    if (fd == -EADDRINUSE && port != 0 && was_released(released, port))
        fd = open_udp(address, port, true);
    return fd;
}

static int bind_one(const struct inet_addr *address, uint16_t port,
                    const struct sockets_released *released, int sockets[2], uint16_t *bound)
{
    int fd = open_released_udp(address, port, released);
    if (fd < 0)
        return fd;
    int rc = read_port(fd, bound);
    if (rc < 0)
        return close_failed(fd, rc);
    sockets[0] = address->family == AF_INET ? fd : -1;
    sockets[1] = address->family == AF_INET6 ? fd : -1;
    return 0;
}

static bool is_family_absent(int rc)
{
    return rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL;
}

/* Both families on one port. -EADDRINUSE also when a chosen port is free in one of them only. */
static int bind_pair(uint16_t port, const struct sockets_released *released, int sockets[2],
                     uint16_t *bound)
{
    static const struct inet_addr any4 = {.family = AF_INET};
    static const struct inet_addr any6 = {.family = AF_INET6};

    int pair[2];
    uint16_t chosen = 0;
    int rc = bind_one(&any4, port, released, pair, &chosen);
    if (is_family_absent(rc))
        return bind_one(&any6, port, released, sockets, bound);
    if (rc < 0)
        return rc;
    pair[1] = open_released_udp(&any6, chosen, released);
    if (pair[1] < 0 && !is_family_absent(pair[1]))
        return close_failed(pair[0], pair[1]);
    sockets[0] = pair[0];
    sockets[1] = pair[1] < 0 ? -1 : pair[1];
    *bound = chosen;
    return 0;
}

int sockets_bind_udp(const struct inet_addr *address, uint16_t port,
                     const struct sockets_released *released, int sockets[2], uint16_t *bound)
{
    if (address->family != AF_UNSPEC)
        return bind_one(address, port, released, sockets, bound);
    int rc = bind_pair(port, released, sockets, bound);
    for (int i = 1; i < PAIR_ATTEMPTS && rc == -EADDRINUSE && port == 0; i++)
        rc = bind_pair(port, released, sockets, bound);
    return rc;
}

bool sockets_has_route(const union inet_sockaddr *to)
{
    int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno != EAFNOSUPPORT;
    bool none = connect(fd, &to->sa, inet_sockaddr_len(to)) < 0 &&
                (errno == ENETUNREACH || errno == EHOSTUNREACH || errno == EADDRNOTAVAIL);
    close(fd);
    return !none;
}

void sockets_close_udp(int sockets[2], uint16_t port, struct sockets_released *released)
{
    bool any = false;
    for (int i = 0; i < 2; i++) {
        if (sockets[i] < 0)
            continue;
        set_option(sockets[i], SOL_SOCKET, SO_REUSEADDR, 1);
        descriptor_close(sockets[i]);
        sockets[i] = -1;
        any = true;
    }
    if (!any)
        return;
    released->items[released->next].port = port;
    released->items[released->next].until = now_seconds() + SOCKETS_RELEASED_SECONDS;
    released->next = (released->next + 1) % SOCKETS_RELEASED_MAX;
}
