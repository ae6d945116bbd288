/*
 * channel: the pipe between control and one worker: whole messages, in order, with descriptors.
 *
 * A SOCK_SEQPACKET socket pair carries frames; a message larger than a frame is cut and put
 * together again. Both ends use this. Sending never blocks: what the socket does not take is
 * queued, up to CHANNEL_QUEUE_MAX bytes, and the end that lets it grow further is given up. What a
 * new worker is told at first is not counted: it is bounded by the definitions there are.
 */
#ifndef MANYTUN_BASE_CHANNEL_H
#define MANYTUN_BASE_CHANNEL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANNEL_FDS_MAX     2          /* descriptors in one message */
#define CHANNEL_FRAME_MAX   32768      /* bytes of a message in one frame */
#define CHANNEL_MESSAGE_MAX (32 << 20) /* a tunnel with every limit of spec.h exhausted fits */
#define CHANNEL_QUEUE_MAX   (64 << 20)

struct channel;

struct channel_message {
    uint16_t type; /* enum message_type */
    const uint8_t *body;
    size_t len;
    int fds[CHANNEL_FDS_MAX]; /* -1 = none. A receiver that keeps one sets it to -1 here */
    bool fds_lost; /* there were some, and this process had no descriptor left for them */
};

struct channel_ops {
    /*
     * A whole message; body is valid during the call. 0, or -EPROTO to give the channel up
     * (closed() follows). The channel must not be freed here.
     */
    int (*message)(void *ctx, struct channel_message *message);
    /* The other end is gone (0) or broke the protocol (-errno). Called once; free it here or later.
     */
    void (*closed)(void *ctx, int error);
};

/* Takes over fd (a non-blocking SOCK_SEQPACKET socket) on success. 0 or -ENOMEM. */
int channel_new(struct event_base *base, int fd, const struct channel_ops *ops, void *ctx,
                struct channel **out);
/* Closes the socket; what is still queued is lost. No callback comes after. NULL is allowed. */
void channel_free(struct channel *channel);
/* Its socket, borrowed: to be shared with another process, and not to be read or written. */
int channel_fd(const struct channel *channel);

/*
 * Sends a message; fds are duplicated, -1 = none. 0, -ENOMEM, -EMSGSIZE, -EMFILE, or -ENOBUFS
 * (queue full: the other end does not read). Bodies may hold secrets: copies are wiped.
 */
int channel_send(struct channel *channel, uint16_t type, const void *body, size_t len,
                 const int fds[CHANNEL_FDS_MAX]);
/*
 * The same, but what waits in the queue takes no descriptor: fds are held (descriptor.h) until they
 * are sent, and their owner closes them with descriptor_close(), whenever that is. No -EMFILE.
 */
int channel_lend(struct channel *channel, uint16_t type, const void *body, size_t len,
                 const int fds[CHANNEL_FDS_MAX]);
/* Whether what is sent from now on counts for the queue's limit; as it does at first. */
void channel_set_bounded(struct channel *channel, bool bounded);

#endif
