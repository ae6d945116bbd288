/*
 * channel: owns the socket, the queue of frames that it did not take yet, and the message that is
 * being put together.
 */
#include "base/channel.h"

#include "base/descriptor.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fcntl.h>

/* How many frames one readable event takes, so that a flood of them does not starve the loop. */
#define FRAMES_PER_TURN 64

struct frame_header {
    uint32_t message_len; /* of the whole message */
    uint32_t offset;      /* of this frame's bytes in it */
    uint16_t type;
    uint16_t fds; /* bit i: descriptor i of the message follows; only in the first frame */
};

struct outgoing {
    STAILQ_ENTRY(outgoing) link;
    size_t sent; /* bytes of body already in frames */
    size_t len;
    uint16_t type;
    bool lent;                /* fds are held, else they are duplicates of ours */
    bool bounded;             /* it is counted in queued */
    int fds[CHANNEL_FDS_MAX]; /* let go of when the first frame is out */
    uint8_t body[];
};

struct channel {
    int fd;
    const struct channel_ops *ops;
    void *ctx;
    struct event *readable;
    struct event *writable;
    STAILQ_HEAD(, outgoing) queue;
    size_t queued; /* bytes of those that count */
    bool bounded;  /* what is sent counts */

    /* The message that is arriving. */
    uint8_t *body;
    size_t received;
    size_t expected;
    bool arriving;
    struct channel_message message;
};

static void close_fds(int fds[CHANNEL_FDS_MAX])
{
    for (int i = 0; i < CHANNEL_FDS_MAX; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

static void let_go_of_fds(struct outgoing *out)
{
    for (int i = 0; i < CHANNEL_FDS_MAX && out->lent; i++) {
        if (out->fds[i] >= 0)
            descriptor_release(out->fds[i]);
        out->fds[i] = -1;
    }
    close_fds(out->fds);
}

static void outgoing_free(struct outgoing *out)
{
    let_go_of_fds(out);
    sodium_memzero(out->body, out->len);
    free(out);
}

static void arriving_reset(struct channel *channel)
{
    if (channel->body)
        sodium_memzero(channel->body, channel->expected);
    free(channel->body);
    channel->body = NULL;
    channel->arriving = false;
    channel->message.fds_lost = false;
    close_fds(channel->message.fds);
}

static void give_up(struct channel *channel, int error)
{
    event_del(channel->readable);
    event_del(channel->writable);
    channel->ops->closed(channel->ctx, error);
}

/* --- Sending -------------------------------------------------------------------------------- */

/* Sends the next frame of out. 0 or -errno. */
static int send_frame(struct channel *channel, struct outgoing *out)
{
    size_t len = out->len - out->sent;
    if (len > CHANNEL_FRAME_MAX)
        len = CHANNEL_FRAME_MAX;
    struct frame_header header = {
        .message_len = (uint32_t)out->len,
        .offset = (uint32_t)out->sent,
        .type = out->type,
    };
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct iovec pieces[2] = {
        {.iov_base = &header, .iov_len = sizeof(header)},
        {.iov_base = out->body + out->sent, .iov_len = len},
    };
    struct msghdr msg = {.msg_iov = pieces, .msg_iovlen = 2};

    int fds[CHANNEL_FDS_MAX];
    size_t count = 0;
    for (int i = 0; i < CHANNEL_FDS_MAX && out->sent == 0; i++) {
        if (out->fds[i] >= 0) {
            header.fds = (uint16_t)(header.fds | 1U << i);
            fds[count++] = out->fds[i];
        }
    }
    if (count > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * count);
    }
    if (sendmsg(channel->fd, &msg, MSG_NOSIGNAL) < 0)
        return -errno;
    out->sent += len;
    let_go_of_fds(out);
    return 0;
}

static void flush(struct channel *channel)
{
    struct outgoing *out;
    while ((out = STAILQ_FIRST(&channel->queue))) {
        int error = send_frame(channel, out);
        if (error == -EINTR)
            continue;
        if (error) {
            /*
             * -ETOOMANYREFS: too many descriptors in flight; the reader makes room. Any other
             * error is a dead peer, which the reading side reports.
             */
            if (error == -EAGAIN || error == -ETOOMANYREFS || error == -ENOBUFS || error == -ENOMEM)
                event_add(channel->writable, NULL);
            return;
        }
        if (out->sent == out->len) {
            STAILQ_REMOVE_HEAD(&channel->queue, link);
            channel->queued -= out->bounded ? out->len : 0;
            outgoing_free(out);
        }
    }
    event_del(channel->writable);
}

/* What the queue has of a descriptor, or -errno. */
static int take(int fd, bool lent)
{
    if (lent) {
        int error = descriptor_hold(fd);
        return error ? error : fd;
    }
    int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return duplicate < 0 ? -errno : duplicate;
}

static int enqueue(struct channel *channel, uint16_t type, const void *body, size_t len,
                   const int fds[CHANNEL_FDS_MAX], bool lent)
{
    if (len > CHANNEL_MESSAGE_MAX)
        return -EMSGSIZE;
    if (channel->bounded && channel->queued + len > CHANNEL_QUEUE_MAX)
        return -ENOBUFS;
    struct outgoing *out = malloc(sizeof(*out) + len);
    if (!out)
        return -ENOMEM;
    out->sent = 0;
    out->len = len;
    out->type = type;
    out->lent = lent;
    out->bounded = channel->bounded;
    if (len > 0)
        memcpy(out->body, body, len);
    int error = 0;
    for (int i = 0; i < CHANNEL_FDS_MAX; i++) {
        out->fds[i] = fds && fds[i] >= 0 ? take(fds[i], lent) : -1;
        if (fds && fds[i] >= 0 && out->fds[i] < 0)
            error = out->fds[i];
    }
    if (error) {
        outgoing_free(out);
        return error;
    }
    STAILQ_INSERT_TAIL(&channel->queue, out, link);
    channel->queued += out->bounded ? len : 0;
    if (STAILQ_FIRST(&channel->queue) == out)
        flush(channel);
    return 0;
}

int channel_send(struct channel *channel, uint16_t type, const void *body, size_t len,
                 const int fds[CHANNEL_FDS_MAX])
{
    return enqueue(channel, type, body, len, fds, false);
}

int channel_lend(struct channel *channel, uint16_t type, const void *body, size_t len,
                 const int fds[CHANNEL_FDS_MAX])
{
    return enqueue(channel, type, body, len, fds, true);
}

void channel_set_bounded(struct channel *channel, bool bounded)
{
    channel->bounded = bounded;
}

static void on_writable(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    flush(arg);
}

/* --- Receiving ------------------------------------------------------------------------------ */

/*
 * Moves the descriptors that came with a frame to the message; closes those nobody announced. What
 * is announced fits in, so that the kernel cuts it off only where this process has no room for all
 * of it; then the message has none.
 */
static int take_fds(struct channel *channel, struct msghdr *msg, uint16_t announced)
{
    int fds[CHANNEL_FDS_MAX];
    size_t count = 0;
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (count > CHANNEL_FDS_MAX) /* cannot be: the control buffer has no room for more */
            count = CHANNEL_FDS_MAX;
        memcpy(fds, CMSG_DATA(cmsg), sizeof(int) * count);
        break;
    }
    const bool lost = (msg->msg_flags & MSG_CTRUNC) != 0;
    size_t taken = 0;
    for (int i = 0; i < CHANNEL_FDS_MAX && !lost; i++) {
        if ((announced & 1U << i) && taken < count)
            channel->message.fds[i] = fds[taken++];
    }
    bool complete = taken == count && taken == (size_t)__builtin_popcount(announced);
    while (taken < count)
        close(fds[taken++]);
    if (lost && announced) {
        channel->message.fds_lost = true;
        return 0;
    }
    return complete && !lost ? 0 : -EPROTO;
}

static int begin_message(struct channel *channel, const struct frame_header *header)
{
    if (header->offset != 0 || header->message_len > CHANNEL_MESSAGE_MAX)
        return -EPROTO;
    channel->body = malloc(header->message_len ? header->message_len : 1);
    if (!channel->body)
        return -ENOMEM;
    channel->arriving = true;
    channel->received = 0;
    channel->expected = header->message_len;
    channel->message.type = header->type;
    return 0;
}

static int take_frame(struct channel *channel, const uint8_t *frame, size_t len, struct msghdr *msg)
{
    struct frame_header header = {0};
    if (len >= sizeof(header))
        memcpy(&header, frame, sizeof(header));
    int error = channel->arriving ? 0 : begin_message(channel, &header);
    int fds_error = take_fds(channel, msg, header.fds);
    if (len < sizeof(header) || (msg->msg_flags & MSG_TRUNC))
        return -EPROTO;
    if (error || fds_error)
        return error ? error : fds_error;
    size_t body_len = len - sizeof(header);
    if (header.offset != channel->received || header.message_len != channel->expected ||
        header.type != channel->message.type || body_len > channel->expected - channel->received)
        return -EPROTO;
    memcpy(channel->body + channel->received, frame + sizeof(header), body_len);
    channel->received += body_len;
    if (channel->received < channel->expected)
        return body_len > 0 ? 0 : -EPROTO;

    channel->message.body = channel->body;
    channel->message.len = channel->expected;
    error = channel->ops->message(channel->ctx, &channel->message);
    arriving_reset(channel);
    return error;
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
    (void)events;
    struct channel *channel = arg;
    uint8_t frame[sizeof(struct frame_header) + CHANNEL_FRAME_MAX];
    for (int i = 0; i < FRAMES_PER_TURN; i++) {
        union {
            char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
            struct cmsghdr align;
        } control;
        struct iovec piece = {.iov_base = frame, .iov_len = sizeof(frame)};
        struct msghdr msg = {
            .msg_iov = &piece,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof(control.bytes),
        };
        ssize_t len = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
        /* A reset (the peer has not read everything) is told before what it had sent until then. */
        if (len < 0 && (errno == EINTR || errno == ECONNRESET))
            continue;
        if (len < 0 && errno == EAGAIN)
            break;
        if (len <= 0) {
            give_up(channel, len == 0 ? 0 : -errno);
            return;
        }
        int error = take_frame(channel, frame, (size_t)len, &msg);
        sodium_memzero(frame, (size_t)len);
        if (error) {
            give_up(channel, error);
            return;
        }
    }
}

/* --- Life cycle ----------------------------------------------------------------------------- */

int channel_new(struct event_base *base, int fd, const struct channel_ops *ops, void *ctx,
                struct channel **out)
{
    struct channel *channel = calloc(1, sizeof(*channel));
    if (!channel)
        return -ENOMEM;
    channel->fd = -1;
    channel->bounded = true;
    channel->ops = ops;
    channel->ctx = ctx;
    STAILQ_INIT(&channel->queue);
    for (int i = 0; i < CHANNEL_FDS_MAX; i++)
        channel->message.fds[i] = -1;
    channel->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, channel);
    channel->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, channel);
    if (!channel->readable || !channel->writable || event_add(channel->readable, NULL) < 0) {
        channel_free(channel);
        return -ENOMEM;
    }
    channel->fd = fd;
    *out = channel;
    return 0;
}

int channel_fd(const struct channel *channel)
{
    return channel->fd;
}

void channel_free(struct channel *channel)
{
    if (!channel)
        return;
    if (channel->readable)
        event_free(channel->readable);
    if (channel->writable)
        event_free(channel->writable);
    struct outgoing *out;
    while ((out = STAILQ_FIRST(&channel->queue))) {
        STAILQ_REMOVE_HEAD(&channel->queue, link);
        outgoing_free(out);
    }
    arriving_reset(channel);
    if (channel->fd >= 0)
        close(channel->fd);
    free(channel);
}
