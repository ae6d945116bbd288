/* capture: owns the socket, and the frame that is being read. */
#include "server/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct capture {
    int fd;
    struct tap_totals totals;
    const uint8_t *next; /* of the file; in frame */
    size_t left;
    uint8_t frame[TAP_FRAME_MAX];
};

int capture_new(int fd, struct capture **out)
{
    struct capture *capture = calloc(1, sizeof(*capture));
    if (capture == NULL) {
        close(fd);
        return -ENOMEM;
    }
    capture->fd = fd;
    pcap_file_header(capture->frame);
    capture->next = capture->frame;
    capture->left = PCAP_FILE_HEADER;
    *out = capture;
    return 0;
}

void capture_free(struct capture *capture)
{
    if (capture == NULL)
        return;
    close(capture->fd);
    free(capture);
}

/* 1 = there is one, 0 = it was the last, -EAGAIN or -EPROTO. */
static int next_frame(struct capture *capture)
{
    ssize_t len;
    do
        len = recv(capture->fd, capture->frame, sizeof(capture->frame), MSG_DONTWAIT | MSG_TRUNC);
    while (len < 0 && errno == EINTR);
    if (len < 0 && errno == EAGAIN)
        return -EAGAIN;
    if (len <= 0) /* also ECONNRESET: the worker has died, or was never told */
        return 0;
    if ((size_t)len < sizeof(capture->totals) || (size_t)len > sizeof(capture->frame))
        return -EPROTO;
    memcpy(&capture->totals, capture->frame, sizeof(capture->totals));
    capture->next = capture->frame + sizeof(capture->totals);
    capture->left = (size_t)len - sizeof(capture->totals);
    return 1;
}

ssize_t capture_read(struct capture *capture, void *out, size_t max)
{
    while (capture->left == 0) { /* the last frame may have no records */
        int rc = next_frame(capture);
        if (rc <= 0)
            return rc;
    }
    size_t len = capture->left < max ? capture->left : max;
    memcpy(out, capture->next, len);
    capture->next += len;
    capture->left -= len;
    return (ssize_t)len;
}

int capture_fd(const struct capture *capture)
{
    return capture->fd;
}

void capture_stop(struct capture *capture)
{
    shutdown(capture->fd, SHUT_WR);
}

struct tap_totals capture_totals(const struct capture *capture)
{
    return capture->totals;
}
