/*
 * checksum: sums 32-bit words in 64-bit lanes, so that no carry is lost and vectors can be used;
 * folds once at the end.
 */
#include "engine/stack/checksum.h"

#include <arpa/inet.h>
#include <string.h>

/* As wide as the vector registers that every 64-bit machine of ours has. */
typedef uint64_t checksum_lanes __attribute__((vector_size(16)));

#define LANE_BYTES  sizeof(checksum_lanes)
#define LOW_32_BITS UINT64_C(0xffffffff)

static uint64_t sum_tail(uint64_t sum, const uint8_t *data, size_t len)
{
    uint32_t word = 0;

    for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        sum += word;
    }
    word = 0;
    memcpy(&word, data, len);
    return sum + word;
}

uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    checksum_lanes total = {0};
    checksum_lanes block;

    if (len == 0)
        return sum;
    for (; len >= LANE_BYTES; bytes += LANE_BYTES, len -= LANE_BYTES) {
        memcpy(&block, bytes, LANE_BYTES);
        total += (block & LOW_32_BITS) + (block >> 32);
    }
    return sum_tail(sum + total[0] + total[1], bytes, len);
}

uint64_t checksum_add_copy(uint64_t sum, void *dst, const void *src, size_t len)
{
    const uint8_t *from = src;
    uint8_t *to = dst;
    checksum_lanes total = {0};
    checksum_lanes block;

    if (len == 0)
        return sum;
    for (; len >= LANE_BYTES; from += LANE_BYTES, to += LANE_BYTES, len -= LANE_BYTES) {
        memcpy(&block, from, LANE_BYTES);
        memcpy(to, &block, LANE_BYTES);
        total += (block & LOW_32_BITS) + (block >> 32);
    }
    memcpy(to, from, len);
    return sum_tail(sum + total[0] + total[1], from, len);
}

uint16_t checksum_fold(uint64_t sum)
{
    sum = (sum & LOW_32_BITS) + (sum >> 32);
    sum = (sum & LOW_32_BITS) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint64_t checksum_pseudo(const uint8_t *src, const uint8_t *dst, size_t address_len,
                         uint8_t protocol, size_t len)
{
    uint64_t sum = checksum_add(0, src, address_len);

    sum = checksum_add(sum, dst, address_len);
    return sum + htonl((uint32_t)len) + htonl(protocol);
}

uint16_t checksum_lwip(const void *data, int len)
{
    return checksum_fold(checksum_add(0, data, (size_t)len));
}

uint16_t checksum_lwip_copy(void *dst, const void *src, uint16_t len)
{
    return checksum_fold(checksum_add_copy(0, dst, src, len));
}
