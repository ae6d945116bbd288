/*
 * pcap_file: owns the file, and the capture of the worker that runs now.
 *
 *   no capture ─ a worker is up ─▶ capturing ─ the worker has ended ─▶ no capture
 *                                      └─ the file cannot be written ─▶ failed
 */
#include "cli/pcap_file.h"

#include "base/log.h"
#include "server/capture.h"
#include "server/service.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long the end waits for what the worker still has. */
#define LAST_MS 1000

/* How much is read in one turn, before others get theirs. */
#define TURN_BYTES (1 << 20)

struct pcap_file {
    struct event_base *base;
    struct service *service;
    const char *tunnel;
    const char *path;
    int fd;
    bool begun;              /* the file header is written */
    bool failed;             /* nothing more can be written */
    struct capture *capture; /* NULL = none */
    struct event *readable;
};

static void end_capture(struct pcap_file *file)
{
    if (file->readable != NULL)
        event_free(file->readable);
    file->readable = NULL;
    if (file->capture != NULL)
        service_capture_end(file->service, file->tunnel, file->capture);
    file->capture = NULL;
}

/* 0 or -errno. */
static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, data, len);
        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            data += written;
            len -= (size_t)written;
        }
    }
    return 0;
}

/* Moves what there is into the file. False when the capture is over, or the file cannot grow. */
static bool move(struct pcap_file *file)
{
    static uint8_t buffer[TAP_FRAME_MAX];
    for (size_t moved = 0; moved < TURN_BYTES;) {
        ssize_t len = capture_read(file->capture, buffer, sizeof(buffer));
        if (len <= 0)
            return len == -EAGAIN;
        int rc = write_all(file->fd, buffer, (size_t)len);
        if (rc < 0) {
            log_error("%s cannot be written, packets are not captured any more: %s", file->path,
                      strerror(-rc));
            file->failed = true;
            return false;
        }
        moved += (size_t)len;
    }
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct pcap_file *file = ctx;
    if (!move(file))
        end_capture(file);
}

/* A file has one header; that of a later capture is read away. */
static int begin_file(struct pcap_file *file)
{
    uint8_t header[PCAP_FILE_HEADER];
    ssize_t len = capture_read(file->capture, header, sizeof(header));
    int rc = file->begun ? 0 : write_all(file->fd, header, (size_t)len);
    file->begun = rc == 0;
    return rc;
}

static void on_worker_up(void *ctx)
{
    struct pcap_file *file = ctx;
    struct problem problem = {0};
    if (file->failed)
        return;
    end_capture(file); /* of a worker whose end was not read yet */
    if (service_capture(file->service, file->tunnel, UINT64_MAX, &file->capture, &problem) < 0) {
        log_error("packets cannot be captured: %s", problem.detail);
        return;
    }
    file->readable =
        event_new(file->base, capture_fd(file->capture), EV_READ | EV_PERSIST, on_readable, file);
    if (file->readable == NULL || event_add(file->readable, NULL) < 0 || begin_file(file) < 0) {
        log_error("packets cannot be captured: out of memory, or %s cannot be written", file->path);
        end_capture(file);
    }
}

int pcap_file_new(struct event_base *base, struct service *service, const char *tunnel,
                  const char *path, struct pcap_file **out)
{
    struct pcap_file *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return -ENOMEM;
    file->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        int error = -errno;
        free(file);
        return error;
    }
    file->base = base;
    file->service = service;
    file->tunnel = tunnel;
    file->path = path;
    service_on_worker_up(service, on_worker_up, file);
    *out = file;
    return 0;
}

/* Reads to the end of the capture, for as long as that may take. */
static void finish(struct pcap_file *file)
{
    struct pollfd readable = {.fd = capture_fd(file->capture), .events = POLLIN};
    capture_stop(file->capture);
    while (poll(&readable, 1, LAST_MS) > 0 && move(file))
        ;
}

void pcap_file_free(struct pcap_file *file)
{
    if (file == NULL)
        return;
    service_on_worker_up(file->service, NULL, NULL);
    if (file->capture != NULL)
        finish(file);
    end_capture(file);
    close(file->fd);
    free(file);
}
