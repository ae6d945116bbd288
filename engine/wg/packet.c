/*
 * packet: no state. The header is read where it lies.
 */
#include "engine/wg/packet.h"

#include "engine/wg/messages.h"

#include <errno.h>

#define IPV4_HEADER_MIN 20
#define IPV4_LENGTH     2
#define IPV4_SOURCE     12
#define IPV4_DEST       16

#define IPV6_HEADER 40
#define IPV6_LENGTH 4 /* of what follows the header */
#define IPV6_SOURCE 8
#define IPV6_DEST   24

static void addr_set(struct inet_addr *out, sa_family_t family, const uint8_t *bytes, size_t len)
{
    memset(out, 0, sizeof(*out));
    out->family = family;
    memcpy(out->bytes, bytes, len);
}

static int parse_ipv4(struct packet_info *out, const uint8_t *data, size_t len)
{
    if (len < IPV4_HEADER_MIN)
        return -EINVAL;
    size_t header_len = (size_t)(data[0] & 0x0f) * 4;
    size_t total_len = load_be16(data + IPV4_LENGTH);
    if (header_len < IPV4_HEADER_MIN || total_len < header_len)
        return -EINVAL;
    out->len = total_len;
    out->tos = data[1];
    addr_set(&out->source, AF_INET, data + IPV4_SOURCE, 4);
    addr_set(&out->destination, AF_INET, data + IPV4_DEST, 4);
    return 0;
}

static int parse_ipv6(struct packet_info *out, const uint8_t *data, size_t len)
{
    if (len < IPV6_HEADER)
        return -EINVAL;
    out->len = IPV6_HEADER + (size_t)load_be16(data + IPV6_LENGTH);
    out->tos = (uint8_t)(load_be16(data) >> 4 & 0xff);
    addr_set(&out->source, AF_INET6, data + IPV6_SOURCE, 16);
    addr_set(&out->destination, AF_INET6, data + IPV6_DEST, 16);
    return 0;
}

int packet_info_read(struct packet_info *out, const uint8_t *data, size_t len)
{
    if (len == 0)
        return -EINVAL;
    switch (data[0] >> 4) {
    case 4:
        return parse_ipv4(out, data, len);
    case 6:
        return parse_ipv6(out, data, len);
    default:
        return -EINVAL;
    }
}
