/*
 * packet: stateless; every length is checked against what was received before it is used.
 */
#include "engine/stack/packet.h"

#include "engine/stack/checksum.h"

#include <netinet/in.h>
#include <string.h>

/* Offsets in the IPv4 header. */
#define IP4_TOTAL_LEN   2
#define IP4_FRAGMENT    6
#define IP4_PROTOCOL    9
#define IP4_SOURCE      12
#define IP4_DESTINATION 16
#define IP4_FRAGMENTED  0x3fff /* "more fragments", or an offset */

/* Offsets in the IPv6 header. */
#define IP6_PAYLOAD_LEN 4
#define IP6_NEXT_HEADER 6
#define IP6_SOURCE      8
#define IP6_DESTINATION 24

/* Offset in the routing header. */
#define ROUTING_SEGMENTS_LEFT 3

/* IPv6 options (RFC 8200, 4.2). */
#define OPTION6_PAD1      0
#define OPTION6_SKIP_MASK 0xc0 /* these bits are 0: who does not know the option goes on */

/* Offsets in the TCP header. */
#define TCP_SOURCE_PORT      0
#define TCP_DESTINATION_PORT 2
#define TCP_SEQ              4
#define TCP_ACK              8
#define TCP_DATA_OFFSET      12
#define TCP_FLAGS            13
#define TCP_WINDOW           14

/* TCP options (RFC 9293, 3.1; RFC 2018). */
#define OPTION_END       0
#define OPTION_NOP       1
#define OPTION_SACK      5
#define OPTION_LEN_MIN   2
#define SACK_BLOCK_BYTES 8

#define CHECKSUM_VALID 0xffff

uint16_t packet_load16(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

uint32_t packet_load32(const uint8_t *from)
{
    return (uint32_t)packet_load16(from) << 16 | packet_load16(from + 2);
}

void packet_store16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

void packet_store32(uint8_t *to, uint32_t value)
{
    packet_store16(to, (uint16_t)(value >> 16));
    packet_store16(to + 2, (uint16_t)value);
}

static bool parse_ip4(uint8_t *data, size_t len, struct packet *out)
{
    size_t header_len = (size_t)(data[0] & 0x0f) * 4;
    size_t total_len;

    if (len < PACKET_IP4_HEADER || header_len < PACKET_IP4_HEADER || header_len > len)
        return false;
    total_len = packet_load16(data + IP4_TOTAL_LEN);
    if (total_len < header_len || total_len > len)
        return false;
    if (checksum_fold(checksum_add(0, data, header_len)) != CHECKSUM_VALID)
        return false;
    out->is_fragment = (packet_load16(data + IP4_FRAGMENT) & IP4_FRAGMENTED) != 0;
    if (out->is_fragment)
        return false;

    out->flow.family = AF_INET;
    memcpy(out->flow.remote, data + IP4_SOURCE, 4);
    memcpy(out->flow.local, data + IP4_DESTINATION, 4);
    out->protocol = data[IP4_PROTOCOL];
    out->payload = data + header_len;
    out->payload_len = total_len - header_len;
    return true;
}

static bool is_extension(uint8_t protocol)
{
    return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
           protocol == IPPROTO_DSTOPTS;
}

/*
 * A routing header that has stops left is not for its last one (RFC 5095), and options for every
 * hop come first or not at all (RFC 8200, 4.1).
 */
static bool is_out_of_place(const struct packet *packet, int count)
{
    return (packet->protocol == IPPROTO_ROUTING && packet->payload[ROUTING_SEGMENTS_LEFT] != 0) ||
           (packet->protocol == IPPROTO_HOPOPTS && count > 1);
}

/* Whether a node that knows no option but padding may go on (RFC 8200, 4.2). */
static bool may_skip_options(const uint8_t *extension, size_t len)
{
    size_t at = 2;

    while (at < len) {
        if (extension[at] == OPTION6_PAD1) {
            at++;
            continue;
        }
        if ((extension[at] & OPTION6_SKIP_MASK) != 0 || len - at < 2 ||
            extension[at + 1] > len - at - 2)
            return false;
        at += 2u + extension[at + 1];
    }
    return true;
}

/*
 * Moves the payload past extension headers. False when they do not fit, are too many, or ask for
 * something that we do not know.
 */
static bool skip_extensions(struct packet *packet)
{
    int count = 0;

    while (is_extension(packet->protocol)) {
        size_t extension_len;

        if (++count > PACKET_IP6_EXTENSIONS_MAX || packet->payload_len < 8 ||
            is_out_of_place(packet, count))
            return false;
        extension_len = ((size_t)packet->payload[1] + 1) * 8;
        if (extension_len > packet->payload_len)
            return false;
        if (packet->protocol != IPPROTO_ROUTING &&
            !may_skip_options(packet->payload, extension_len))
            return false;
        packet->protocol = packet->payload[0];
        packet->payload += extension_len;
        packet->payload_len -= extension_len;
    }
    packet->is_fragment = packet->protocol == IPPROTO_FRAGMENT;
    return !packet->is_fragment;
}

static bool parse_ip6(uint8_t *data, size_t len, struct packet *out)
{
    size_t payload_len;

    if (len < PACKET_IP6_HEADER)
        return false;
    payload_len = packet_load16(data + IP6_PAYLOAD_LEN);
    if (payload_len > len - PACKET_IP6_HEADER)
        return false;

    out->flow.family = AF_INET6;
    memcpy(out->flow.remote, data + IP6_SOURCE, 16);
    memcpy(out->flow.local, data + IP6_DESTINATION, 16);
    out->protocol = data[IP6_NEXT_HEADER];
    out->payload = data + PACKET_IP6_HEADER;
    out->payload_len = payload_len;
    return skip_extensions(out);
}

bool packet_parse(uint8_t *data, size_t len, struct packet *out)
{
    memset(out, 0, sizeof(*out));
    if (len == 0)
        return false;
    out->ip = data;
    if (data[0] >> 4 == 4)
        return parse_ip4(data, len, out);
    if (data[0] >> 4 == 6)
        return parse_ip6(data, len, out);
    return false;
}

size_t packet_address_len(const struct flow *flow)
{
    return flow->family == AF_INET ? 4 : 16;
}

bool packet_checksum_valid(const struct packet *packet)
{
    const struct flow *flow = &packet->flow;
    uint64_t sum = checksum_pseudo(flow->remote, flow->local, packet_address_len(flow),
                                   packet->protocol, packet->payload_len);

    sum = checksum_add(sum, packet->payload, packet->payload_len);
    return checksum_fold(sum) == CHECKSUM_VALID;
}

bool packet_parse_tcp(struct packet *packet, struct segment *out)
{
    uint8_t *header = packet->payload;
    size_t header_len;

    if (packet->payload_len < PACKET_TCP_HEADER)
        return false;
    header_len = (size_t)(header[TCP_DATA_OFFSET] >> 4) * 4;
    if (header_len < PACKET_TCP_HEADER || header_len > packet->payload_len)
        return false;
    if (!packet_checksum_valid(packet))
        return false;

    packet->flow.remote_port = packet_load16(header + TCP_SOURCE_PORT);
    packet->flow.local_port = packet_load16(header + TCP_DESTINATION_PORT);
    *out = (struct segment){
        .header = header,
        .header_len = header_len,
        .data_len = packet->payload_len - header_len,
        .seq = packet_load32(header + TCP_SEQ),
        .ack = packet_load32(header + TCP_ACK),
        .window = packet_load16(header + TCP_WINDOW),
        .flags = header[TCP_FLAGS],
    };
    return true;
}

/* The option of this kind, with *len set to that of its value; NULL when there is none. */
static const uint8_t *find_option(const struct segment *segment, uint8_t kind, size_t *len)
{
    const uint8_t *at = segment->header + PACKET_TCP_HEADER;
    const uint8_t *end = segment->header + segment->header_len;

    while (at < end && *at != OPTION_END) {
        if (*at == OPTION_NOP) {
            at++;
            continue;
        }
        if (end - at < OPTION_LEN_MIN || at[1] < OPTION_LEN_MIN || at[1] > end - at)
            return NULL;
        if (*at == kind) {
            *len = (size_t)at[1] - OPTION_LEN_MIN;
            return at + OPTION_LEN_MIN;
        }
        at += at[1];
    }
    return NULL;
}

static void read_sack(struct segment *segment)
{
    size_t len = 0;
    const uint8_t *value = find_option(segment, OPTION_SACK, &len);

    segment->sack_count = 0;
    if (value == NULL)
        return;
    for (; len >= SACK_BLOCK_BYTES && segment->sack_count < PACKET_SACK_MAX;
         len -= SACK_BLOCK_BYTES) {
        segment->sack[segment->sack_count].left = packet_load32(value);
        segment->sack[segment->sack_count].right = packet_load32(value + 4);
        segment->sack_count++;
        value += SACK_BLOCK_BYTES;
    }
}

void segment_take_options(struct segment *segment)
{
    size_t options_len = segment->header_len - PACKET_TCP_HEADER;

    if (options_len == 0)
        return;
    read_sack(segment);
    memmove(segment->header + options_len, segment->header, PACKET_TCP_HEADER);
    segment->header += options_len;
    segment->header_len = PACKET_TCP_HEADER;
    segment->header[TCP_DATA_OFFSET] = PACKET_TCP_HEADER / 4 << 4;
}
