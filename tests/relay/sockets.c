/* sockets: owns nothing; the descriptors are the caller's. */
#include "tests/relay/sockets.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes that wait in the kernel while the relay does something else. */
#define BUFFER (16 << 20)

int sockets_parse(const char *text, union inet_sockaddr *out)
{
    char host[INET_HOST_TEXT];
    struct inet_addr addr;
    uint16_t port;
    if (inet_host_port_parse(text, host, &port) < 0 || inet_addr_parse(host, &addr) < 0)
        return -EINVAL;
    inet_sockaddr_make(out, &addr, port);
    return 0;
}

/* More than the system's limit where we may, and what it allows where not. */
static void enlarge(int fd, int forced, int allowed)
{
    const int size = BUFFER;
    if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, allowed, &size, sizeof(size));
}

int sockets_open(const union inet_sockaddr *local, const union inet_sockaddr *remote)
{
    const union inet_sockaddr *known = local ? local : remote;
    int fd = socket(known->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    if ((local && bind(fd, &local->sa, inet_sockaddr_len(local)) < 0) ||
        (remote && connect(fd, &remote->sa, inet_sockaddr_len(remote)) < 0)) {
        const int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int sockets_name(int fd, union inet_sockaddr *out)
{
    socklen_t len = sizeof(*out);
    memset(out, 0, sizeof(*out));
    return getsockname(fd, &out->sa, &len) < 0 ? -errno : 0;
}

uint64_t sockets_missed(int fd)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof(info);
    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}

size_t sockets_receive(int fd, struct received *out)
{
    struct mmsghdr messages[SOCKETS_BATCH];
    struct iovec pieces[SOCKETS_BATCH];
    memset(messages, 0, sizeof(messages));
    for (size_t i = 0; i < SOCKETS_BATCH; i++) {
        pieces[i] = (struct iovec){.iov_base = out->data[i], .iov_len = SOCKETS_DATAGRAM_MAX};
        messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &pieces[i],
            .msg_iovlen = 1,
            .msg_name = &out->from[i],
            .msg_namelen = sizeof(out->from[i]),
        };
        memset(&out->from[i], 0, sizeof(out->from[i]));
    }
    const int count = recvmmsg(fd, messages, SOCKETS_BATCH, 0, NULL);
    if (count < 0) /* nothing there, or nobody listens on the other side */
        return 0;
    for (int i = 0; i < count; i++)
        out->lens[i] = messages[i].msg_len;
    return (size_t)count;
}

size_t sockets_send(int fd, const struct outgoing *datagrams, size_t count)
{
    struct mmsghdr messages[SOCKETS_BATCH];
    struct iovec pieces[SOCKETS_BATCH];
    size_t done = 0;
    size_t refused = 0;
    memset(messages, 0, sizeof(messages));
    for (size_t i = 0; i < count; i++) {
        const union inet_sockaddr *to = datagrams[i].to;
        pieces[i] = (struct iovec){
            .iov_base = (void *)datagrams[i].data, /* which sendmmsg() does not change */
            .iov_len = datagrams[i].len,
        };
        messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &pieces[i],
            .msg_iovlen = 1,
            .msg_name = (void *)to,
            .msg_namelen = to ? inet_sockaddr_len(to) : 0,
        };
    }
    while (done < count) {
        const int sent = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
        if (sent <= 0) {
            refused++;
            done++;
        } else {
            done += (size_t)sent;
        }
    }
    return count - refused;
}
