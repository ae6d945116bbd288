/* bridge: owns one end of the socket pair and its events. Closed: no event is pending. */
#include "engine/bridge.h"

#include "base/spec.h"
#include "engine/clock.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The largest IP packet, and its type. */
#define FRAME_MAX 65536
/* Peers in one frame. */
#define PEERS_MAX 256
/* Pieces of a packet. */
#define PIECES_MAX 63

enum frame_type { FRAME_HELLO = 1, FRAME_PEERS, FRAME_PORTS, FRAME_PACKET, FRAME_GONE };

struct bridge {
    int fd;
    const struct bridge_ops *ops;
    void *ctx;
    struct event readable;
    struct event writable; /* pending after a frame did not fit */
    bool closed;
    struct bridge_peer *peers; /* that are to be introduced, NULL = none are left */
    size_t peers_count, peers_sent;
};

/* Shared by all bridges of the worker: a batch is over before the next one begins. */
static uint8_t frames[BRIDGE_RX_BATCH][FRAME_MAX];

/* --- Sending ---------------------------------------------------------------------------------- */

static int send_frame(struct bridge *bridge, enum frame_type type, const struct iovec *pieces,
                      int count)
{
    struct iovec all[PIECES_MAX + 1];
    uint8_t first = (uint8_t)type;
    if (bridge->closed)
        return -EPIPE;
    if (count > PIECES_MAX)
        return -EMSGSIZE;
    all[0] = (struct iovec){.iov_base = &first, .iov_len = 1};
    if (count > 0)
        memcpy(&all[1], pieces, (size_t)count * sizeof(*pieces));
    struct msghdr message = {.msg_iov = all, .msg_iovlen = (size_t)count + 1};
    ssize_t sent;
    do
        sent = sendmsg(bridge->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

int bridge_send(struct bridge *bridge, const struct iovec *pieces, int count)
{
    int error = send_frame(bridge, FRAME_PACKET, pieces, count);
    if (error == -EAGAIN)
        event_add(&bridge->writable, NULL);
    return error;
}

static int send_bytes(struct bridge *bridge, enum frame_type type, const void *bytes, size_t len)
{
    struct iovec piece = {.iov_base = (void *)bytes, .iov_len = len};
    return send_frame(bridge, type, &piece, 1);
}

static void forget_peers(struct bridge *bridge)
{
    free(bridge->peers);
    bridge->peers = NULL;
}

/* As many as there is room for. */
static void send_peers(struct bridge *bridge)
{
    int error = 0;
    while (bridge->peers && !error) {
        const size_t left = bridge->peers_count - bridge->peers_sent;
        const size_t some = left < PEERS_MAX ? left : PEERS_MAX;
        if (some > 0)
            error = send_bytes(bridge, FRAME_PEERS, &bridge->peers[bridge->peers_sent],
                               some * sizeof(*bridge->peers));
        if (error == -EAGAIN) {
            event_add(&bridge->writable, NULL);
        } else {
            bridge->peers_sent += some;
            if (error || some == left)
                forget_peers(bridge);
        }
    }
}

int bridge_introduce(struct bridge *bridge, struct bridge_peer *peers, size_t count,
                     const uint8_t ports[BRIDGE_PORT_BYTES])
{
    static const uint32_t version = BRIDGE_VERSION;
    bridge->peers = peers;
    bridge->peers_count = count;
    int error = send_bytes(bridge, FRAME_HELLO, &version, sizeof(version));
    if (!error)
        error = send_bytes(bridge, FRAME_PORTS, ports, BRIDGE_PORT_BYTES);
    if (error)
        forget_peers(bridge);
    else
        send_peers(bridge);
    return error;
}

bool bridge_is_introducing(const struct bridge *bridge)
{
    return bridge->peers != NULL;
}

int bridge_send_gone(struct bridge *bridge, const char *name)
{
    return send_bytes(bridge, FRAME_GONE, name, strlen(name));
}

static void on_writable(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct bridge *bridge = arg;
    clock_refresh();
    send_peers(bridge);
    bridge->ops->writable(bridge->ctx);
}

/* --- Receiving -------------------------------------------------------------------------------- */

static void end(struct bridge *bridge, int error)
{
    if (bridge->closed)
        return;
    bridge->closed = true;
    forget_peers(bridge);
    event_del(&bridge->readable);
    event_del(&bridge->writable);
    bridge->ops->closed(bridge->ctx, error);
}

static int take_peers(struct bridge *bridge, const uint8_t *body, size_t len)
{
    struct bridge_peer peer;
    if (len % sizeof(peer) != 0 || !bridge->ops->peer)
        return -EPROTO;
    for (size_t at = 0; at < len; at += sizeof(peer)) {
        memcpy(&peer, body + at, sizeof(peer));
        bridge->ops->peer(bridge->ctx, &peer);
    }
    return 0;
}

static int take_gone(struct bridge *bridge, const uint8_t *body, size_t len)
{
    char name[SPEC_NAME_MAX + 1] = "";
    if (len == 0 || len > SPEC_NAME_MAX || !bridge->ops->gone)
        return -EPROTO;
    memcpy(name, body, len);
    bridge->ops->gone(bridge->ctx, name);
    return 0;
}

static int take_frame(struct bridge *bridge, uint8_t *frame, size_t len)
{
    uint32_t version;
    uint8_t *body = frame + 1;
    size_t body_len = len - 1;
    switch (frame[0]) {
    case FRAME_PACKET:
        bridge->ops->packet(bridge->ctx, body, body_len);
        return 0;
    case FRAME_HELLO:
        if (body_len != sizeof(version))
            return -EPROTO;
        memcpy(&version, body, sizeof(version));
        return version == BRIDGE_VERSION ? 0 : -EPROTO;
    case FRAME_PORTS:
        if (body_len != BRIDGE_PORT_BYTES || !bridge->ops->ports)
            return -EPROTO;
        bridge->ops->ports(bridge->ctx, body);
        return 0;
    case FRAME_PEERS:
        return take_peers(bridge, body, body_len);
    case FRAME_GONE:
        return take_gone(bridge, body, body_len);
    default:
        return -EPROTO;
    }
}

/* 1 = a frame was taken, 0 = there is none, -EPIPE = the other end is gone, -EPROTO. */
static int receive_one(struct bridge *bridge, uint8_t frame[FRAME_MAX])
{
    ssize_t len = recv(bridge->fd, frame, FRAME_MAX, MSG_DONTWAIT | MSG_TRUNC);
    if (len < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (len == 0)
        return -EPIPE;
    if (len > FRAME_MAX)
        return -EPROTO;
    int error = take_frame(bridge, frame, (size_t)len);
    return error ? error : 1;
}

void bridge_receive(struct bridge *bridge)
{
    int result = 1;
    for (int i = 0; i < BRIDGE_RX_BATCH && result > 0; i++)
        result = receive_one(bridge, frames[i]);
    bridge->ops->received(bridge->ctx);
    if (result < 0)
        end(bridge, result == -EPIPE ? 0 : result);
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    clock_refresh();
    bridge_receive(arg);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

/* What was asked for with the right to go beyond the system's limit, else up to it. */
static void set_buffer(int fd)
{
    int size = BRIDGE_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int bridge_new(struct event_base *base, int fd, const struct bridge_ops *ops, void *ctx,
               struct bridge **out)
{
    struct bridge *bridge = calloc(1, sizeof(*bridge));
    if (!bridge) {
        close(fd);
        return -ENOMEM;
    }
    bridge->fd = fd;
    bridge->ops = ops;
    bridge->ctx = ctx;
    set_buffer(fd);
    event_assign(&bridge->readable, base, fd, EV_READ | EV_PERSIST, on_readable, bridge);
    event_assign(&bridge->writable, base, fd, EV_WRITE, on_writable, bridge);
    if (event_add(&bridge->readable, NULL) < 0) {
        bridge_free(bridge);
        return -ENOMEM;
    }
    *out = bridge;
    return 0;
}

void bridge_free(struct bridge *bridge)
{
    if (!bridge)
        return;
    event_del(&bridge->readable);
    event_del(&bridge->writable);
    close(bridge->fd);
    forget_peers(bridge);
    free(bridge);
}
