/*
 * The channel between control and a worker, as the other end could abuse it: frames made of the
 * input, with headers that are right as often as wrong. Messages come whole and within their
 * limits; closed() comes once, and nothing after it; message bodies are read as messages.
 */
#include "tests/fuzz/fuzz.h"

#include "base/json.h"
#include "base/messages.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAMES_MAX 64

struct end {
    bool closed;
    size_t messages;
};

static int on_message(void *ctx, struct channel_message *message)
{
    struct end *end = ctx;
    struct message_tunnel_add add;
    struct message_peer_endpoint endpoint;
    cJSON *json = NULL;

    fuzz_check(!end->closed);
    fuzz_check(message->len <= CHANNEL_MESSAGE_MAX);
    end->messages++;
    fuzz_check((message_read(message, &endpoint, sizeof(endpoint)) == 0) ==
               (message->len == sizeof(endpoint)));
    int rc = message_read_json(message, &add, sizeof(add), &json);
    bool is_bare = message->len == sizeof(add); /* the sender had no memory for the rest */
    fuzz_check((rc == -ENOMEM) == is_bare);
    fuzz_check(rc == 0 ? json != NULL : json == NULL && (is_bare || rc == -EPROTO));
    json_free(json);
    return message->type == UINT16_MAX ? -EPROTO : 0;
}

static void on_closed(void *ctx, int error)
{
    struct end *end = ctx;
    fuzz_check(!end->closed);
    fuzz_check(error <= 0);
    end->closed = true;
}

/* The header of a frame (channel.c), from the input. */
struct header {
    uint32_t message_len;
    uint32_t offset;
    uint16_t type;
    uint16_t fds;
};

static size_t make_frame(struct fuzz_input *input, uint8_t *out, size_t size, uint32_t *offset)
{
    unsigned shape = fuzz_byte(input);
    size_t len = fuzz_byte(input);
    if (shape & 8)
        len *= 64;
    if (len > size - sizeof(struct header))
        len = size - sizeof(struct header);
    len = fuzz_bytes(input, out + sizeof(struct header), len);
    struct header header = {
        .message_len = shape & 1 ? fuzz_u16(input) : *offset + (uint32_t)len,
        .offset = shape & 2 ? fuzz_u16(input) : *offset,
        .type = shape & 4 ? fuzz_u16(input) : MESSAGE_TUNNEL_ADD,
        .fds = (shape >> 4) & 1 ? fuzz_u16(input) : 0,
    };
    if ((shape >> 5) == 7)
        header.message_len <<= 12;
    memcpy(out, &header, sizeof(header));
    *offset =
        header.offset + (uint32_t)len < header.message_len ? header.offset + (uint32_t)len : 0;
    return shape == 0xff ? len : sizeof(header) + len; /* a frame may be short of its header */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct channel_ops ops = {.message = on_message, .closed = on_closed};
    static struct event_base *base;
    static uint8_t frame[CHANNEL_FRAME_MAX];
    struct fuzz_input input = {data, size};
    struct end end = {0};
    struct channel *channel;
    uint32_t offset = 0;
    int pair[2];

    if (!base)
        base = event_base_new();
    fuzz_check(base);
    fuzz_check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    fuzz_check(channel_new(base, pair[0], &ops, &end, &channel) == 0);
    for (int i = 0; i < FRAMES_MAX && input.left > 0 && !end.closed; i++) {
        size_t len = make_frame(&input, frame, sizeof(frame), &offset);
        if (send(pair[1], frame, len, MSG_NOSIGNAL) < 0)
            break;
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    close(pair[1]);
    event_base_loop(base, EVLOOP_NONBLOCK);
    event_base_loop(base, EVLOOP_NONBLOCK);
    fuzz_check(end.closed);
    channel_free(channel);
    return 0;
}
