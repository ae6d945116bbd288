/*
 * tap: owns one frame that is being filled, and the worker's end of the socket.
 *
 *   open ──reader is done, or max_bytes──▶ ending ──frame sent, or reader gone──▶ freed
 *
 * A frame that the socket does not take stays, and EV_WRITE is awaited. Freeing is put off to the
 * end of the turn, since packets come from inside the stack.
 */
#include "engine/tap.h"

#include "base/tap_frame.h"
#include "engine/clock.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct tap {
    LIST_ENTRY(tap) link;
    struct turn *turn;
    struct turn_item end_of_turn;
    struct counters_worker *counters;
    struct event readable; /* the reader is done, or gone */
    struct event writable; /* pending while the socket is full */
    int fd;
    uint64_t room; /* bytes that the capture file may still grow by */
    bool ending;   /* takes no packets any more */
    bool gone;     /* nobody reads */
    bool told;     /* ending: the last frame is sent */
    struct tap_totals totals;
    size_t len; /* of the records in the frame */
    uint8_t records[TAP_FRAME_MAX - sizeof(struct tap_totals)];
};

/* --- Sending ---------------------------------------------------------------------------------- */

/* Sends the frame; one that the socket has no room for stays. The last one has the last totals. */
static void flush(struct tap *tap)
{
    struct iovec pieces[] = {{.iov_base = &tap->totals, .iov_len = sizeof(tap->totals)},
                             {.iov_base = tap->records, .iov_len = tap->len}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    ssize_t sent;

    if (tap->gone || tap->told || (tap->len == 0 && !tap->ending))
        return;
    do
        sent = sendmsg(tap->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        tap->len = 0;
        tap->told = tap->ending;
    } else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
        event_add(&tap->writable, NULL);
    } else {
        tap->gone = true;
    }
}

static void tap_free(struct tap *tap)
{
    tap->ending = true;
    flush(tap);
    turn_cancel(&tap->end_of_turn);
    event_del(&tap->readable);
    event_del(&tap->writable);
    close(tap->fd);
    LIST_REMOVE(tap, link);
    free(tap);
}

static void on_end_of_turn(struct turn_item *item)
{
    struct tap *tap = (struct tap *)((char *)item - offsetof(struct tap, end_of_turn));

    flush(tap);
    if (tap->gone || tap->told)
        tap_free(tap);
}

static void on_writable(evutil_socket_t fd, short events, void *arg)
{
    struct tap *tap = arg;

    (void)fd;
    (void)events;
    turn_defer(tap->turn, &tap->end_of_turn);
}

/* The reader sends nothing but the end. */
static void on_readable(evutil_socket_t fd, short events, void *arg)
{
    struct tap *tap = arg;

    (void)fd;
    (void)events;
    event_del(&tap->readable);
    tap->ending = true;
    turn_defer(tap->turn, &tap->end_of_turn);
}

/* --- Packets ---------------------------------------------------------------------------------- */

/* Copies the first len bytes of the pieces. */
static void gather(uint8_t *out, const struct iovec *pieces, size_t len)
{
    while (len > 0) {
        size_t part = pieces->iov_len < len ? pieces->iov_len : len;

        memcpy(out, pieces->iov_base, part);
        out += part;
        len -= part;
        pieces++;
    }
}

static void append(struct tap *tap, const struct iovec *pieces, size_t len)
{
    size_t kept = len < PCAP_SNAPLEN ? len : PCAP_SNAPLEN;
    size_t record = PCAP_RECORD_HEADER + kept;

    if (tap->ending || tap->gone)
        return;
    if (record > tap->room) {
        tap->ending = true;
        return;
    }
    if (record > sizeof(tap->records) - tap->len)
        flush(tap);
    if (record > sizeof(tap->records) - tap->len) {
        tap->totals.dropped++;
        counter_add(&tap->counters->capture_dropped, 1);
        return;
    }
    pcap_record_header(tap->records + tap->len, clock_unix_ns(), kept, len);
    gather(tap->records + tap->len + PCAP_RECORD_HEADER, pieces, kept);
    tap->len += record;
    tap->room -= record;
    tap->totals.packets++;
    counter_add(&tap->counters->captured, 1);
}

void tap_packet(struct tap_list *taps, const struct iovec *pieces, size_t len)
{
    struct tap *tap;

    LIST_FOREACH(tap, taps, link)
    {
        append(tap, pieces, len);
        turn_defer(tap->turn, &tap->end_of_turn);
    }
}

/* --- Life cycle ------------------------------------------------------------------------------- */

/* What was asked for with the right to go beyond the system's limit, else up to it. */
static void set_buffer(int fd)
{
    int size = TAP_BUFFER;

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int tap_new(struct tap_list *taps, const struct tap_config *config)
{
    struct tap *tap = calloc(1, sizeof(*tap));

    if (!tap) {
        close(config->fd);
        return -ENOMEM;
    }
    tap->turn = config->turn;
    tap->end_of_turn.run = on_end_of_turn;
    tap->counters = config->counters;
    tap->fd = config->fd;
    tap->room = config->max_bytes > PCAP_FILE_HEADER ? config->max_bytes - PCAP_FILE_HEADER : 0;
    set_buffer(tap->fd);
    event_assign(&tap->readable, config->base, tap->fd, EV_READ | EV_PERSIST, on_readable, tap);
    event_assign(&tap->writable, config->base, tap->fd, EV_WRITE, on_writable, tap);
    LIST_INSERT_HEAD(taps, tap, link);
    if (event_add(&tap->readable, NULL) < 0) {
        tap_free(tap);
        return -ENOMEM;
    }
    return 0;
}

void tap_free_all(struct tap_list *taps)
{
    struct tap *tap, *next;

    for (tap = LIST_FIRST(taps); tap; tap = next) {
        next = LIST_NEXT(tap, link);
        tap_free(tap);
    }
}
