/*
 * recorded: a device relives what was recorded with wireguard-go (tests/vectors/record.py).
 *
 * recorded.txt has recordings, each a sequence of lines of a word and its value, in hexadecimal
 * unless it says something else; a line that begins with blanks continues the one before:
 *
 *   recording NAME        begins one
 *   private KEY           ours; their_private theirs; preshared, if there is one
 *   ephemeral KEY         the private key that our side drew, for whatever it sent
 *   index NUMBER          the index that it drew
 *   wall SECONDS NANOS    the wall clock at the beginning, in decimal
 *   send PACKET           we are given an inner packet to be sent
 *   out DATAGRAM          we send exactly this; it was accepted
 *   in DATAGRAM           we receive this
 *   deliver PACKET        and so deliver exactly this
 *   advance NANOS         time passes, in decimal
 */
#include "tests/support/hex.h"

#include "engine/crypto/x25519.h"
#include "engine/wg/device.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_NAME    TEST_VECTORS "/recorded.txt"
#define LINE_MAX_LEN 4096
#define BYTES_MAX    1024
#define QUEUE_MAX    4
#define START        UINT64_C(1000000000000) /* of the monotonic clock */

struct bytes {
    size_t len;
    uint8_t data[BYTES_MAX];
};

/* What the device has handed over and no line has asked for yet. */
struct queue {
    size_t count;
    struct bytes entries[QUEUE_MAX];
};

struct replayed {
    struct wg_device *device;
    struct wg_peer *peer;
    uint8_t ephemeral[WG_KEY_LEN];
    uint8_t index[4];
    struct timespec wall;
    uint64_t now;
    struct queue out, delivered;
    unsigned sessions;
};

/* --- The device's surroundings -------------------------------------------------------------- */

static uint8_t *queue_push(struct queue *queue, size_t len)
{
    assert_true(queue->count < QUEUE_MAX && len <= BYTES_MAX);
    struct bytes *entry = &queue->entries[queue->count++];
    entry->len = len;
    return entry->data;
}

static uint8_t *reserve(void *ctx, const struct wg_endpoint *to, size_t len, uint8_t tos)
{
    struct replayed *r = ctx;
    (void)to;
    (void)tos;
    return queue_push(&r->out, len);
}

static void commit(void *ctx)
{
    (void)ctx;
}

static void deliver(void *ctx, struct wg_peer *peer, uint8_t *packet, size_t len)
{
    struct replayed *r = ctx;
    assert_ptr_equal(peer, r->peer);
    memcpy(queue_push(&r->delivered, len), packet, len);
}

static void event(void *ctx, struct wg_peer *peer, enum wg_event event)
{
    struct replayed *r = ctx;
    (void)peer;
    r->sessions += event == WG_EVENT_HANDSHAKE_DONE;
}

static uint64_t now(void *ctx)
{
    return ((struct replayed *)ctx)->now;
}

static void wall_clock(void *ctx, struct timespec *out)
{
    const struct replayed *r = ctx;
    const uint64_t nanos = (uint64_t)r->wall.tv_nsec + r->now - START;
    out->tv_sec = r->wall.tv_sec + (time_t)(nanos / 1000000000);
    out->tv_nsec = (long)(nanos % 1000000000);
}

/* Whatever is as long as a key or an index is the one that was drawn then. */
static void random_bytes(void *ctx, void *out, size_t len)
{
    const struct replayed *r = ctx;
    memset(out, 0, len);
    if (len == sizeof(r->ephemeral))
        memcpy(out, r->ephemeral, len);
    else if (len == sizeof(r->index))
        memcpy(out, r->index, len);
}

static void timestamp(void *ctx, uint64_t unix_ns)
{
    (void)ctx;
    (void)unix_ns; /* nobody with this key comes later */
}

static const struct wg_device_ops ops = {
    .reserve = reserve,
    .commit = commit,
    .deliver = deliver,
    .event = event,
    .now = now,
    .wall_clock = wall_clock,
    .timestamp = timestamp,
    .random = random_bytes,
};

/* --- What a line says ----------------------------------------------------------------------- */

static void read_key(uint8_t key[WG_KEY_LEN], const char *value)
{
    assert_int_equal(hex_read(key, WG_KEY_LEN, value), WG_KEY_LEN);
}

static void on_private(struct replayed *r, const char *value)
{
    uint8_t key[WG_KEY_LEN];
    read_key(key, value);
    wg_device_set_private_key(r->device, key);
}

static void on_their_private(struct replayed *r, const char *value)
{
    const struct inet_prefix anything = {.addr.family = AF_INET};
    const union inet_sockaddr somewhere = {.in = {.sin_family = AF_INET, .sin_port = 1}};
    uint8_t key[WG_KEY_LEN];
    uint8_t public_key[WG_KEY_LEN];

    read_key(key, value);
    x25519_public(public_key, key);
    assert_int_equal(wg_peer_add(r->device, public_key, NULL, &r->peer), 0);
    assert_int_equal(wg_peer_allow(r->peer, &anything), 0);
    wg_peer_set_endpoint(r->peer, &somewhere);
}

static void on_preshared(struct replayed *r, const char *value)
{
    uint8_t key[WG_KEY_LEN];
    read_key(key, value);
    wg_peer_set_preshared_key(r->peer, key);
}

static void on_ephemeral(struct replayed *r, const char *value)
{
    read_key(r->ephemeral, value);
}

static void on_index(struct replayed *r, const char *value)
{
    const uint32_t index = (uint32_t)strtoul(value, NULL, 16);
    memcpy(r->index, &index, sizeof(index));
}

static void on_wall(struct replayed *r, const char *value)
{
    char *rest;
    r->wall.tv_sec = strtol(value, &rest, 10);
    r->wall.tv_nsec = strtol(rest, NULL, 10);
}

static void on_send(struct replayed *r, const char *value)
{
    uint8_t packet[BYTES_MAX];
    const struct iovec piece = {.iov_base = packet,
                                .iov_len = hex_read(packet, sizeof(packet), value)};
    assert_int_equal(wg_device_send(r->device, &piece, 1, piece.iov_len), 0);
}

static void on_in(struct replayed *r, const char *value)
{
    struct wg_endpoint from = *wg_peer_endpoint(r->peer);
    uint8_t datagram[BYTES_MAX];
    const size_t len = hex_read(datagram, sizeof(datagram), value);
    wg_device_receive(r->device, &from, 0, datagram, len);
}

static void expect(struct queue *queue, const char *value)
{
    assert_true(queue->count > 0);
    assert_hex(queue->entries[0].data, queue->entries[0].len, value);
    memmove(queue->entries, queue->entries + 1, --queue->count * sizeof(queue->entries[0]));
}

static void on_out(struct replayed *r, const char *value)
{
    expect(&r->out, value);
}

static void on_deliver(struct replayed *r, const char *value)
{
    expect(&r->delivered, value);
}

static void on_advance(struct replayed *r, const char *value)
{
    r->now += strtoull(value, NULL, 10);
}

static const struct {
    const char *word;
    void (*act)(struct replayed *r, const char *value);
} words[] = {
    {"private", on_private},
    {"their_private", on_their_private},
    {"preshared", on_preshared},
    {"ephemeral", on_ephemeral},
    {"index", on_index},
    {"wall", on_wall},
    {"send", on_send},
    {"out", on_out},
    {"in", on_in},
    {"deliver", on_deliver},
    {"advance", on_advance},
};

/* --- A recording ---------------------------------------------------------------------------- */

static void begin(struct replayed *r)
{
    memset(r, 0, sizeof(*r));
    r->now = START;
    assert_int_equal(wg_device_new(&ops, r, &r->device), 0);
}

/* All that was recorded has happened, and nothing else. */
static void end(struct replayed *r)
{
    assert_int_equal(r->sessions, 1);
    assert_int_equal(r->out.count, 0);
    assert_int_equal(r->delivered.count, 0);
    for (enum wg_drop reason = 0; reason < WG_DROP_COUNT; reason++)
        assert_int_equal(wg_device_drops(r->device, reason), 0);
    wg_device_free(r->device);
}

static void act(struct replayed *r, const char *word, const char *value)
{
    size_t i = 0;
    while (i < sizeof(words) / sizeof(words[0]) && strcmp(words[i].word, word) != 0)
        i++;
    assert_true(i < sizeof(words) / sizeof(words[0]));
    words[i].act(r, value);
    while (wg_device_deadline(r->device) <= r->now)
        wg_device_expire(r->device);
}

/* Reads a line with those that continue it; the value follows the word. False at the end. */
static bool read_line(FILE *file, char line[LINE_MAX_LEN], char **value)
{
    size_t len = 0;
    int next;
    if (!fgets(line, LINE_MAX_LEN, file))
        return false;
    while ((next = getc(file)) == ' ') {
        len = strcspn(line, "\n");
        assert_non_null(fgets(line + len, (int)(LINE_MAX_LEN - len), file));
        memmove(line + len, line + len + strspn(line + len, " "),
                strlen(line + len + strspn(line + len, " ")) + 1);
    }
    ungetc(next, file);
    line[strcspn(line, "\n")] = '\0';
    *value = strchr(line, ' ');
    if (*value)
        *(*value)++ = '\0';
    return true;
}

static void recordings_are_relived(void **state)
{
    static struct replayed replayed;
    char line[LINE_MAX_LEN];
    char *value;
    unsigned count = 0;
    FILE *file = fopen(FILE_NAME, "r");

    (void)state;
    assert_non_null(file);
    while (read_line(file, line, &value)) {
        if (line[0] == '#' || line[0] == '\0')
            continue;
        if (strcmp(line, "recording") != 0) {
            act(&replayed, line, value);
            continue;
        }
        if (count++ > 0)
            end(&replayed);
        print_message("%s\n", value);
        begin(&replayed);
    }
    end(&replayed);
    fclose(file);
    assert_int_equal(count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recordings_are_relived),
    };
    return cmocka_run_group_tests_name("recorded", tests, NULL, NULL);
}
