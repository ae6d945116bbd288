/*
 * Datagrams of an attacker into a device with a live session, which knows all that was on the wire
 * but no key: raw ones, handshake messages with the right mac1, data for the right index, and what
 * it recorded, changed or as it was, with time passing. Nothing is delivered, no session is made,
 * no counter or endpoint moves, every bound holds, and at the end the session still works.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/sim/network.h"

#define ACTIONS_MAX  64
#define RECORDED_MAX 8

static struct pair pair;
static struct datagram recorded[RECORDED_MAX];
static size_t recorded_count;

static enum fate record(struct network *network, struct datagram *datagram)
{
    (void)network;
    if (recorded_count < RECORDED_MAX)
        recorded[recorded_count++] = *datagram;
    return FATE_PASS;
}

/* --- What the attacker does ------------------------------------------------------------------ */

static void receive(struct datagram *datagram, struct fuzz_input *input)
{
    char address[INET_ADDR_TEXT];
    snprintf(address, sizeof(address), "203.0.113.%u", fuzz_byte(input) % 4u);
    sockaddr_of(&datagram->from.remote, address, PORT);
    datagram->to = pair.b->addr;
    network_deliver(pair.network, datagram);
}

static void send_raw(struct fuzz_input *input)
{
    struct datagram datagram = {0};
    datagram.len = fuzz_bytes(input, datagram.data, fuzz_byte(input));
    receive(&datagram, input);
}

/* A handshake message that looks like one up to its mac1. */
static void send_handshake(struct fuzz_input *input)
{
    struct datagram datagram = {0};
    struct cookie_maker macs;
    bool is_initiation = fuzz_byte(input) & 1;
    datagram.len = is_initiation ? INITIATION_LEN : RESPONSE_LEN;
    fuzz_bytes(input, datagram.data, datagram.len);
    store_le32(datagram.data, is_initiation ? MESSAGE_INITIATION : MESSAGE_RESPONSE);
    cookie_maker_init(&macs, pair.b->public_key);
    cookie_add_macs(&macs, datagram.data, datagram.len, pair.network->now);
    receive(&datagram, input);
}

/* A message for an index that the device has. */
static void send_indexed(struct fuzz_input *input)
{
    struct datagram datagram = {0};
    const struct keypair *keypair = pair.b_to_a->keypairs.current;
    unsigned type = MESSAGE_RESPONSE + fuzz_byte(input) % 3u;
    datagram.len = type == MESSAGE_RESPONSE       ? RESPONSE_LEN
                   : type == MESSAGE_COOKIE_REPLY ? COOKIE_REPLY_LEN
                                                  : (size_t)DATA_OVERHEAD + fuzz_byte(input);
    fuzz_bytes(input, datagram.data, datagram.len);
    store_le32(datagram.data, type);
    if (keypair)
        store_le32(datagram.data + (type == MESSAGE_RESPONSE ? RESPONSE_RECEIVER : DATA_RECEIVER),
                   index_value(&keypair->entry));
    receive(&datagram, input);
}

static void replay(struct fuzz_input *input)
{
    struct datagram datagram = recorded[fuzz_byte(input) % recorded_count];
    unsigned changes = fuzz_byte(input) % 4u;
    for (unsigned i = 0; i < changes; i++)
        datagram.data[fuzz_byte(input) % datagram.len] ^= fuzz_byte(input);
    if (changes == 3)
        datagram.len = fuzz_byte(input) % datagram.len;
    receive(&datagram, input);
}

/* So many that the device is under load and asks for cookies. */
static void flood(struct fuzz_input *input)
{
    for (int i = fuzz_byte(input); i > 0; i--)
        send_handshake(&(struct fuzz_input){input->data, input->left});
}

static void pass_time(struct fuzz_input *input)
{
    network_run(pair.network, MS(fuzz_byte(input) * 4u));
}

static void (*const actions[])(struct fuzz_input *input) = {
    send_raw, send_handshake, send_indexed, send_indexed, replay, replay, flood, pass_time,
};

/* --- What must hold -------------------------------------------------------------------------- */

static void check_bounds(void)
{
    const struct wg_device *device = pair.b->device;
    fuzz_check(device->handshakes.count <= WG_HANDSHAKE_QUEUE_MAX);
    fuzz_check(device->indices.table.count <= device->peers_count * 4);
    fuzz_check(device->deadlines.count <= device->peers_count);
    fuzz_check(pair.b_to_a->staged.count <= WG_STAGED_MAX);
}

static void check_untouched(unsigned delivered, const struct wg_peer_stats *before)
{
    const struct wg_peer_stats *after = wg_peer_stats(pair.b_to_a);
    fuzz_check(pair.b->delivered == delivered);
    fuzz_check(after->handshakes == before->handshakes);
    fuzz_check(pair.b->events[WG_EVENT_ENDPOINT_CHANGED] == 0);
    fuzz_check(inet_sockaddr_equal(&wg_peer_endpoint(pair.b_to_a)->remote, &pair.a->addr));
    fuzz_check(wg_device_drops(pair.b->device, WG_DROP_BAD_SOURCE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};

    pair.network = network_new_seeded(1);
    pair.a = node_add(pair.network, "192.0.2.1");
    pair.b = node_add(pair.network, "192.0.2.2");
    pair.a_to_b = node_peer(pair.a, pair.b, INNER_B "/32");
    pair.b_to_a = node_peer(pair.b, pair.a, INNER_A "/32");
    recorded_count = 0;
    pair.network->watch = record;
    pair_connect(&pair);
    pair.network->watch = NULL;

    const struct wg_peer_stats before = *wg_peer_stats(pair.b_to_a);
    unsigned delivered = pair.b->delivered;
    for (int i = 0; i < ACTIONS_MAX && input.left > 0; i++) {
        actions[fuzz_byte(&input) % (sizeof(actions) / sizeof(actions[0]))](&input);
        check_bounds();
        check_untouched(delivered, &before);
    }
    a_sends(&pair, 1);
    network_run(pair.network, S(1));
    fuzz_check(pair.b->got[1] == 1);
    network_free(pair.network);
    return 0;
}
