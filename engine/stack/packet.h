/*
 * packet: checks an inner IP packet and finds its transport header (RFC 791, RFC 8200).
 *
 * Nothing that fails here reaches lwIP, which is compiled without checks of its own. Fragments are
 * refused: reassembly costs memory that a stranger would control, and TCP does not need it.
 */
#ifndef MANYTUN_ENGINE_STACK_PACKET_H
#define MANYTUN_ENGINE_STACK_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PACKET_IP4_HEADER  20
#define PACKET_IP6_HEADER  40
#define PACKET_TCP_HEADER  20
#define PACKET_ADDRESS_MAX 16

/* Extension headers that are walked in one IPv6 packet; more is taken for an attack. */
#define PACKET_IP6_EXTENSIONS_MAX 8

/* The two ends of a packet or connection, seen from us; addresses are zero-padded to 16 bytes. */
struct flow {
    uint8_t local[PACKET_ADDRESS_MAX];
    uint8_t remote[PACKET_ADDRESS_MAX];
    uint16_t local_port;
    uint16_t remote_port;
    uint16_t family; /* AF_INET or AF_INET6 */
    uint16_t zero;   /* padding, so that a flow can be hashed and compared as bytes */
};

struct packet {
    struct flow flow; /* ports are 0 until packet_parse_tcp() */
    uint8_t *ip;      /* the IP header */
    uint8_t *payload; /* the transport header */
    size_t payload_len;
    uint8_t protocol; /* IPPROTO_* */
    bool is_fragment; /* why packet_parse() refused it */
};

enum packet_flags {
    PACKET_FIN = 0x01,
    PACKET_SYN = 0x02,
    PACKET_RST = 0x04,
    PACKET_PSH = 0x08,
    PACKET_ACK = 0x10,
};

/* Blocks in one SACK option (RFC 2018, 3). */
#define PACKET_SACK_MAX 4

struct sack_block {
    uint32_t left;
    uint32_t right; /* one behind the block */
};

struct segment {
    uint8_t *header; /* header_len bytes, then data_len bytes of data */
    size_t header_len;
    size_t data_len;
    uint32_t seq;
    uint32_t ack;
    uint16_t window; /* not scaled */
    uint8_t flags;   /* enum packet_flags, and URG and the rest as they came */
    int sack_count;  /* of the blocks, after segment_take_options() */
    struct sack_block sack[PACKET_SACK_MAX];
};

/*
 * Checks version, lengths and the IPv4 header checksum, and skips IPv6 extension headers. False:
 * malformed, or a fragment. Bytes after the length that the IP header gives are ignored.
 */
bool packet_parse(uint8_t *data, size_t len, struct packet *out);

/*
 * Checks lengths and the checksum of the TCP header in packet and sets the flow's ports.
 * False: malformed.
 */
bool packet_parse_tcp(struct packet *packet, struct segment *out);

/* The length of one address of the packet: 4 or 16. */
size_t packet_address_len(const struct flow *flow);
/* True when the checksum over the transport header and data, with a pseudo header, is right. */
bool packet_checksum_valid(const struct packet *packet);

/*
 * Reads the SACK option, and removes all options by moving the header towards the data. Outside a
 * SYN no other option is of use to this stack, and lwIP would obey an MSS option in any segment.
 */
void segment_take_options(struct segment *segment);

/* Bounded loads and stores in network byte order. */
uint16_t packet_load16(const uint8_t *from);
uint32_t packet_load32(const uint8_t *from);
void packet_store16(uint8_t *to, uint16_t value);
void packet_store32(uint8_t *to, uint32_t value);

#endif
