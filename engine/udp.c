/*
 * udp: owns a tunnel's outer sockets and its outgoing batch. The receive buffers and a few spare
 * batches are the worker's, shared by all tunnels, because only one callback runs at a time.
 *
 * A batch is empty (no memory), filling, or blocked (the kernel said EAGAIN; EV_WRITE is awaited).
 */
#include "engine/udp.h"

#include "base/log.h"
#include "engine/clock.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define DATAGRAM_MAX 65536
/* What the kernel takes in one UDP_SEGMENT send: segments (UDP_MAX_SEGMENTS) and bytes in all. */
#define SEGMENTS_MAX  64
#define SEGMENTED_MAX 65000
/* How long datagrams go out one by one after the kernel has refused a run of them. */
#define SEGMENTATION_RETRY (10 * CLOCK_NS_PER_S)
#define CONTROL_MESSAGES   3 /* packet info, segment size, TOS */

enum { IPV4, IPV6, FAMILIES };

/* One sendmsg(): a run of datagrams of equal size (the last may be shorter) to one endpoint. */
struct send {
    struct wg_endpoint to;
    uint32_t offset; /* in the batch */
    uint32_t len;
    uint16_t segment; /* size of each datagram but the last */
    uint16_t count;
    uint8_t tos;
    bool closed; /* a shorter datagram ended it */
};

struct batch {
    struct batch *next_free;
    uint32_t used;
    uint32_t first; /* sends before this one are done */
    uint32_t count;
    struct send sends[UDP_TX_BATCH_SENDS];
    uint8_t bytes[UDP_TX_BATCH_BYTES];
};

struct udp {
    const struct udp_ops *ops;
    void *ctx;
    struct counters_worker *counters;
    int sockets[FAMILIES];
    struct event *readable[FAMILIES];
    struct event *writable[FAMILIES];
    struct batch *batch;   /* NULL = empty */
    uint32_t reserved;     /* bytes of the datagram that is being written */
    bool blocked;          /* the kernel's buffer is full */
    bool starved;          /* udp_reserve() has returned NULL since */
    uint64_t singly_until; /* no UDP_SEGMENT before; 0 = the kernel never refused it */
};

union control {
    char bytes[CONTROL_MESSAGES * CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct cmsghdr align;
};

/* --- Shared by all tunnels of the worker ------------------------------------------------------ */

struct rx_buffers {
    struct mmsghdr messages[UDP_RX_BATCH];
    struct iovec pieces[UDP_RX_BATCH];
    union inet_sockaddr from[UDP_RX_BATCH];
    union control control[UDP_RX_BATCH];
    uint8_t data[UDP_RX_BATCH][DATAGRAM_MAX];
};

static struct rx_buffers *rx;
static uint8_t lost[DATAGRAM_MAX]; /* takes a datagram for which there is no batch */
static struct batch *free_batches;
static unsigned free_batches_count;

static struct batch *batch_get(void)
{
    struct batch *batch = free_batches;
    if (batch) {
        free_batches = batch->next_free;
        free_batches_count--;
    } else {
        batch = malloc(sizeof(*batch));
        if (!batch)
            return NULL;
    }
    batch->used = 0;
    batch->first = 0;
    batch->count = 0;
    return batch;
}

static void batch_put(struct batch *batch)
{
    if (free_batches_count >= UDP_TX_POOL_MAX) {
        free(batch);
        return;
    }
    batch->next_free = free_batches;
    free_batches = batch;
    free_batches_count++;
}

void udp_pools_free(void)
{
    while (free_batches) {
        struct batch *next = free_batches->next_free;
        free(free_batches);
        free_batches = next;
    }
    free_batches_count = 0;
    free(rx);
    rx = NULL;
}

/* --- Receiving ------------------------------------------------------------------------------ */

static void rx_prepare(struct mmsghdr *message, size_t i)
{
    rx->pieces[i] = (struct iovec){.iov_base = rx->data[i], .iov_len = DATAGRAM_MAX};
    message->msg_hdr = (struct msghdr){
        .msg_name = &rx->from[i],
        .msg_namelen = sizeof(rx->from[i]),
        .msg_iov = &rx->pieces[i],
        .msg_iovlen = 1,
        .msg_control = rx->control[i].bytes,
        .msg_controllen = sizeof(rx->control[i].bytes),
    };
}

/* What the kernel says about a buffer of one datagram or of several that it merged. */
struct arrival {
    struct wg_endpoint from; /* with the address of ours that it was sent to */
    size_t segment;          /* size of each datagram but the last */
    uint8_t tos;             /* of all: the kernel merges none that differ in it */
};

static void rx_control(struct msghdr *msg, struct arrival *arrival)
{
    struct wg_endpoint *from = &arrival->from;
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level == SOL_UDP && cmsg->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(cmsg), sizeof(size));
            if (size > 0)
                arrival->segment = (size_t)size;
        } else if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(cmsg), sizeof(info));
            from->local.family = AF_INET;
            memcpy(from->local.bytes, &info.ipi_spec_dst, 4);
            from->local_ifindex = (uint32_t)info.ipi_ifindex;
        } else if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(cmsg), sizeof(info));
            from->local.family = AF_INET6;
            memcpy(from->local.bytes, &info.ipi6_addr, 16);
            from->local_ifindex = info.ipi6_ifindex;
        } else if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_TOS) {
            arrival->tos = *CMSG_DATA(cmsg);
        } else if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_TCLASS) {
            int tclass;
            memcpy(&tclass, CMSG_DATA(cmsg), sizeof(tclass));
            arrival->tos = (uint8_t)tclass;
        }
    }
}

static void rx_deliver(struct udp *udp, struct mmsghdr *message, size_t i)
{
    size_t len = message->msg_len;
    size_t offset = 0;
    if (message->msg_hdr.msg_flags & MSG_TRUNC)
        return;
    struct arrival arrival = {.from.remote = rx->from[i], .segment = len};
    rx_control(&message->msg_hdr, &arrival);
    do { /* an empty datagram is handed over, too: it is counted with the malformed ones */
        size_t size = len - offset < arrival.segment ? len - offset : arrival.segment;
        udp->ops->datagram(udp->ctx, &arrival.from, arrival.tos, rx->data[i] + offset, size);
        offset += arrival.segment;
    } while (offset < len);
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
    (void)events;
    struct udp *udp = arg;
    clock_refresh();
    for (int round = 0; round < UDP_RX_ROUNDS; round++) {
        for (size_t i = 0; i < UDP_RX_BATCH; i++)
            rx_prepare(&rx->messages[i], i);
        int count = recvmmsg(fd, rx->messages, UDP_RX_BATCH, 0, NULL);
        /* An error is an ICMP answer to something sent; the handshake timers deal with that. */
        if (count <= 0)
            return;
        for (int i = 0; i < count; i++)
            rx_deliver(udp, &rx->messages[i], (size_t)i);
        udp->ops->received(udp->ctx);
        if (count < UDP_RX_BATCH)
            return;
    }
}

/* --- Sending -------------------------------------------------------------------------------- */

static int family_of(const struct wg_endpoint *to)
{
    return to->remote.sa.sa_family == AF_INET6 ? IPV6 : IPV4;
}

static bool endpoint_equal(const struct wg_endpoint *a, const struct wg_endpoint *b)
{
    return inet_sockaddr_equal(&a->remote, &b->remote) && inet_addr_equal(&a->local, &b->local) &&
           a->local_ifindex == b->local_ifindex;
}

/* True when a datagram of len bytes can be one more segment of send. */
static bool send_takes(const struct udp *udp, const struct send *send, const struct wg_endpoint *to,
                       size_t len, uint8_t tos)
{
    return clock_now() >= udp->singly_until && !send->closed && send->count < SEGMENTS_MAX &&
           len <= send->segment && send->len + len <= SEGMENTED_MAX && send->tos == tos &&
           endpoint_equal(&send->to, to);
}

/* Room that was reserved for a new send but never committed. */
static void drop_uncommitted(struct batch *batch)
{
    if (batch->count > batch->first && batch->sends[batch->count - 1].count == 0)
        batch->count--;
}

uint8_t *udp_reserve(struct udp *udp, const struct wg_endpoint *to, size_t len, uint8_t tos)
{
    if (len > DATAGRAM_MAX)
        return NULL;
    if (!udp->batch && !(udp->batch = batch_get()))
        return lost; /* to wait for room would be in vain: nothing tells when there is memory */
    struct batch *batch = udp->batch;
    drop_uncommitted(batch);
    struct send *last = batch->count > batch->first ? &batch->sends[batch->count - 1] : NULL;
    bool joins = last && send_takes(udp, last, to, len, tos);
    if (batch->used + len > UDP_TX_BATCH_BYTES || (!joins && batch->count == UDP_TX_BATCH_SENDS)) {
        if (!udp->blocked)
            udp_flush(udp);
        if (udp->batch) { /* the kernel did not take all of it */
            udp->starved = true;
            return NULL;
        }
        return udp_reserve(udp, to, len, tos);
    }
    if (!joins) {
        batch->sends[batch->count++] =
            (struct send){.to = *to, .offset = batch->used, .segment = (uint16_t)len, .tos = tos};
    }
    udp->reserved = (uint32_t)len;
    return batch->bytes + batch->used;
}

void udp_commit(struct udp *udp)
{
    struct batch *batch = udp->batch;
    if (!batch) {
        counter_add(&udp->counters->udp_tx_errors, 1);
        return;
    }
    struct send *send = &batch->sends[batch->count - 1];
    send->closed = udp->reserved < send->segment;
    send->len += udp->reserved;
    send->count++;
    batch->used += udp->reserved;
    udp->reserved = 0;
}

static void control_add(struct msghdr *msg, union control *control, int level, int type,
                        const void *data, size_t len)
{
    struct cmsghdr *cmsg = (struct cmsghdr *)(void *)(control->bytes + msg->msg_controllen);
    cmsg->cmsg_level = level;
    cmsg->cmsg_type = type;
    cmsg->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(cmsg), data, len);
    msg->msg_controllen += CMSG_SPACE(len);
}

/* Fills msg to send len bytes of send's, from offset on. */
static void send_prepare(const struct send *send, struct batch *batch, struct msghdr *msg,
                         struct iovec *piece, union control *control)
{
    bool ipv6 = family_of(&send->to) == IPV6;
    *piece = (struct iovec){.iov_base = batch->bytes + send->offset, .iov_len = send->len};
    *msg = (struct msghdr){
        .msg_name = (void *)&send->to.remote,
        .msg_namelen = inet_sockaddr_len(&send->to.remote),
        .msg_iov = piece,
        .msg_iovlen = 1,
    };
    memset(control, 0, sizeof(*control));
    if (send->to.local.family == AF_INET && !ipv6) {
        /* Not the interface: to IPv4 that would be an order, and where it has no route to the
         * remote side, everything would be asked for on that link, in vain. */
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, send->to.local.bytes, 4);
        control_add(msg, control, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    } else if (send->to.local.family == AF_INET6 && ipv6) {
        struct in6_pktinfo info = {.ipi6_ifindex = send->to.local_ifindex};
        memcpy(&info.ipi6_addr, send->to.local.bytes, 16);
        control_add(msg, control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
    if (send->tos != 0) {
        int tos = send->tos;
        control_add(msg, control, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ipv6 ? IPV6_TCLASS : IP_TOS,
                    &tos, sizeof(tos));
    }
    if (send->count > 1)
        control_add(msg, control, SOL_UDP, UDP_SEGMENT, &send->segment, sizeof(send->segment));
    if (msg->msg_controllen > 0)
        msg->msg_control = control->bytes;
}

/* What kernels say to a source address or interface that is no longer ours. */
static bool source_is_gone(const struct send *send, int error)
{
    return send->to.local.family != AF_UNSPEC &&
           (error == EINVAL || error == ENETUNREACH || error == EADDRNOTAVAIL || error == ENODEV);
}

/* The address that the peer once reached us at: from now on the kernel chooses. */
static void forget_source(struct send *send)
{
    send->to.local.family = AF_UNSPEC;
}

/* EIO: the device has no checksum offload. EINVAL, EMSGSIZE: the segments exceed its MTU. Another
 * route, or an ICMP message that has run out, may make it good again. */
static bool is_about_segments(const struct send *send, int error)
{
    return send->count > 1 && (error == EINVAL || error == EIO || error == EMSGSIZE);
}

/* What the kernel refused as a run went out singly. */
static void give_up_segmentation(struct udp *udp, int error)
{
    if (udp->singly_until == 0)
        log_debug("outer socket: sending without segmentation offload: %s", strerror(error));
    udp->singly_until = clock_now() + SEGMENTATION_RETRY;
}

/*
 * Sends the segments of a send one by one, eating it up, after the kernel has refused them together
 * with error. 0, or -EAGAIN to go on later. The segments are to blame only if one of them goes out
 * as it is: where anybody can have answers sent, the kernel may refuse whatever is for there.
 */
static int send_singly(struct udp *udp, struct send *send, int error)
{
    bool is_mended = false;
    while (send->count > 0) {
        struct send one = *send;
        one.count = 1;
        one.len = send->len < send->segment ? send->len : send->segment;
        struct msghdr msg;
        struct iovec piece;
        union control control;
        send_prepare(&one, udp->batch, &msg, &piece, &control);
        if (sendmsg(udp->sockets[family_of(&one.to)], &msg, MSG_NOSIGNAL) >= 0) {
            if (!is_mended)
                give_up_segmentation(udp, error);
        } else if (errno == EAGAIN) {
            return -EAGAIN;
        } else if (source_is_gone(send, errno)) {
            is_mended = true;
            forget_source(send);
            continue;
        } else {
            counter_add(&udp->counters->udp_tx_errors, 1);
        }
        send->offset += one.len;
        send->len -= one.len;
        send->count--;
    }
    return 0;
}

/*
 * What to do about the send at the head of the batch that the kernel refused with error: mend it,
 * or drop it. True when the batch goes on, false when it must wait.
 */
static bool send_refused(struct udp *udp, struct send *send, int error)
{
    if (error == EINTR)
        return true;
    if (error == EAGAIN)
        return false;
    if (is_about_segments(send, error)) {
        if (send_singly(udp, send, error) == -EAGAIN)
            return false;
    } else if (source_is_gone(send, error)) {
        forget_source(send);
        return true;
    } else {
        counter_add(&udp->counters->udp_tx_errors, send->count);
    }
    udp->batch->first++;
    return true;
}

/* Sends the run of sends at the head of the batch that share a socket. True = go on. */
static bool flush_run(struct udp *udp)
{
    enum { RUN_MAX = 16 };
    struct batch *batch = udp->batch;
    struct mmsghdr messages[RUN_MAX];
    struct iovec pieces[RUN_MAX];
    union control controls[RUN_MAX];
    int family = family_of(&batch->sends[batch->first].to);
    unsigned run = 0;
    while (run < RUN_MAX && batch->first + run < batch->count &&
           family_of(&batch->sends[batch->first + run].to) == family) {
        send_prepare(&batch->sends[batch->first + run], batch, &messages[run].msg_hdr, &pieces[run],
                     &controls[run]);
        run++;
    }
    int sent = sendmmsg(udp->sockets[family], messages, run, MSG_NOSIGNAL);
    if (sent > 0) {
        batch->first += (uint32_t)sent;
        return true;
    }
    return send_refused(udp, &batch->sends[batch->first], errno);
}

void udp_flush(struct udp *udp)
{
    struct batch *batch = udp->batch;
    if (!batch || udp->blocked)
        return;
    drop_uncommitted(batch);
    while (batch->first < batch->count) {
        if (!flush_run(udp)) {
            udp->blocked = true;
            counter_add(&udp->counters->udp_tx_blocked, 1);
            event_add(udp->writable[family_of(&batch->sends[batch->first].to)], NULL);
            return;
        }
    }
    udp->batch = NULL;
    batch_put(batch);
}

static void on_writable(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct udp *udp = arg;
    clock_refresh();
    udp->blocked = false;
    udp_flush(udp);
    if (!udp->blocked && udp->starved) {
        udp->starved = false;
        udp->ops->writable(udp->ctx);
    }
}

/* --- Life cycle ----------------------------------------------------------------------------- */

int udp_new(struct event_base *base, const int sockets[2], const struct udp_ops *ops, void *ctx,
            struct counters_worker *counters, struct udp **out)
{
    if (!rx && !(rx = malloc(sizeof(*rx))))
        return -ENOMEM;
    struct udp *udp = calloc(1, sizeof(*udp));
    if (!udp)
        return -ENOMEM;
    udp->ops = ops;
    udp->ctx = ctx;
    udp->counters = counters;
    for (int i = 0; i < FAMILIES; i++)
        udp->sockets[i] = -1;
    for (int i = 0; i < FAMILIES; i++) {
        if (sockets[i] < 0)
            continue;
        udp->readable[i] = event_new(base, sockets[i], EV_READ | EV_PERSIST, on_readable, udp);
        udp->writable[i] = event_new(base, sockets[i], EV_WRITE, on_writable, udp);
        if (!udp->readable[i] || !udp->writable[i] || event_add(udp->readable[i], NULL) < 0) {
            udp_free(udp);
            return -ENOMEM;
        }
    }
    for (int i = 0; i < FAMILIES; i++)
        udp->sockets[i] = sockets[i];
    *out = udp;
    return 0;
}

void udp_free(struct udp *udp)
{
    if (!udp)
        return;
    udp_flush(udp);
    if (udp->batch)
        batch_put(udp->batch);
    for (int i = 0; i < FAMILIES; i++) {
        if (udp->readable[i])
            event_free(udp->readable[i]);
        if (udp->writable[i])
            event_free(udp->writable[i]);
        if (udp->sockets[i] >= 0)
            close(udp->sockets[i]);
    }
    free(udp);
}
