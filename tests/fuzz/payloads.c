/*
 * What an authenticated peer may put into its data messages: anything. Each is delivered, dropped
 * as no IP packet or for its source, or is a keepalive; what is delivered is trimmed to the length
 * in its header, and its source is one that this peer has and no other.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/sim/network.h"

#include "engine/wg/packet.h"

#define PAYLOADS_MAX 64

static struct pair pair;
static uint8_t payload[256];
static size_t payload_len;
static unsigned deliveries;

static void on_deliver(void *ctx, struct wg_peer *peer, uint8_t *packet, size_t len)
{
    const struct wg_device *device = ((struct node *)ctx)->device;
    struct packet_info info;
    deliveries++;
    fuzz_check(peer == pair.b_to_a);
    fuzz_check(len <= payload_len && memcmp(packet, payload, len) == 0);
    fuzz_check(packet_info_read(&info, packet, len) == 0 && info.len == len);
    fuzz_check(allowedips_find(&device->allowed, &info.source) == &peer->allowed);
    fuzz_check(!inet_addr_is_loopback(&info.source) && !inet_addr_is_multicast(&info.source));
    for (size_t i = 0; i < device->addresses_count; i++)
        fuzz_check(!inet_addr_equal(&info.source, &device->addresses[i]));
}

/* Seals the payload as a would, whatever it is, and hands it to b. */
static void send_payload(void)
{
    struct datagram datagram = {.to = pair.b->addr, .len = DATA_OVERHEAD + payload_len};
    struct keypair *keypair = pair.a_to_b->keypairs.current;
    uint64_t counter = keypair->send_counter++;
    datagram.from.remote = pair.a->addr;
    store_le32(datagram.data, MESSAGE_DATA);
    store_le32(datagram.data + DATA_RECEIVER, keypair->remote_index);
    store_le64(datagram.data + DATA_COUNTER, counter);
    aead_seal(&keypair->send, counter, NULL, payload, payload_len, datagram.data + DATA_CIPHERTEXT);
    network_deliver(pair.network, &datagram);
}

static uint64_t refused(void)
{
    return node_drops(pair.b, WG_DROP_BAD_PACKET) + node_drops(pair.b, WG_DROP_BAD_SOURCE);
}

static void allow(struct wg_peer *peer, const char *text)
{
    struct inet_prefix prefix;
    fuzz_check(inet_prefix_parse(text, &prefix) == 0);
    fuzz_check(wg_peer_allow(peer, &prefix) == 0);
}

/* b has another peer, with a part of what a may use, and addresses of its own in that. */
static void configure(void)
{
    const uint8_t other_key[WG_KEY_LEN] = {9};
    struct inet_addr addresses[2];
    struct wg_peer *other;
    fuzz_check(wg_peer_add(pair.b->device, other_key, NULL, &other) == 0);
    allow(pair.b_to_a, "0.0.0.0/0");
    allow(pair.b_to_a, "::/0");
    allow(other, "10.1.0.0/16");
    allow(other, "fd00:1::/32");
    fuzz_check(inet_addr_parse(INNER_B, &addresses[0]) == 0);
    fuzz_check(inet_addr_parse("fd00::2", &addresses[1]) == 0);
    fuzz_check(wg_device_set_addresses(pair.b->device, addresses, 2) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct wg_device_ops ops = node_ops;
    ops.deliver = on_deliver;

    pair.network = network_new_seeded(1);
    pair.a = node_add(pair.network, "192.0.2.1");
    pair.b = node_add(pair.network, "192.0.2.2");
    pair.a_to_b = node_peer(pair.a, pair.b, INNER_B "/32");
    pair.b_to_a = node_peer(pair.b, pair.a, INNER_A "/32");
    pair_connect(&pair);
    configure();
    pair.b->device->ops = &ops;
    for (int i = 0; i < PAYLOADS_MAX && input.left > 0; i++) {
        uint64_t before = refused() + deliveries;
        payload_len = fuzz_bytes(&input, payload, fuzz_byte(&input));
        send_payload();
        fuzz_check(refused() + deliveries - before == (payload_len > 0 ? 1 : 0));
    }
    pair.b->device->ops = &node_ops;
    network_free(pair.network);
    return 0;
}
