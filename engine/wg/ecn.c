/*
 * ecn: no state. The header is changed where it lies.
 */
#include "engine/wg/ecn.h"

#include "engine/wg/messages.h"

#define IPV4_TOS      1
#define IPV4_CHECKSUM 10

#define IPV6_CLASS_LOW 1 /* the lower half of the traffic class is this byte's upper half */
#define IPV6_ECN_SHIFT 4

#define DROP UINT8_MAX

/* What a packet leaves the tunnel with, by what it went in with and what came in around it. */
static const uint8_t leaves_with[4][4] = {
    /* outer:       Not-ECT      ECT(1)       ECT(0)       CE */
    [ECN_NOT_ECT] = {ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, DROP},
    [ECN_ECT_1] = {ECN_ECT_1, ECN_ECT_1, ECN_ECT_1, ECN_CE},
    [ECN_ECT_0] = {ECN_ECT_0, ECN_ECT_1, ECN_ECT_0, ECN_CE},
    [ECN_CE] = {ECN_CE, ECN_CE, ECN_CE, ECN_CE},
};

/* The checksum is brought up to date by the difference of the word that changes (RFC 1624). */
static void set_ipv4(uint8_t *packet, uint8_t ecn)
{
    uint32_t sum = (uint16_t)~load_be16(packet + IPV4_CHECKSUM);
    sum += (uint16_t)~load_be16(packet);
    packet[IPV4_TOS] = (uint8_t)((packet[IPV4_TOS] & ~ECN_MASK) | ecn);
    sum += load_be16(packet);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    packet[IPV4_CHECKSUM] = (uint8_t)(~sum >> 8);
    packet[IPV4_CHECKSUM + 1] = (uint8_t)~sum;
}

static void set_ipv6(uint8_t *packet, uint8_t ecn)
{
    packet[IPV6_CLASS_LOW] =
        (uint8_t)((packet[IPV6_CLASS_LOW] & ~(ECN_MASK << IPV6_ECN_SHIFT)) | ecn << IPV6_ECN_SHIFT);
}

bool ecn_decapsulate(uint8_t *packet, uint8_t outer_tos)
{
    const bool ipv4 = packet[0] >> 4 == 4;
    const uint8_t before =
        ipv4 ? packet[IPV4_TOS] & ECN_MASK : packet[IPV6_CLASS_LOW] >> IPV6_ECN_SHIFT & ECN_MASK;
    const uint8_t after = leaves_with[before][outer_tos & ECN_MASK];

    if (after == DROP)
        return false;
    if (after == before)
        return true;
    if (ipv4)
        set_ipv4(packet, after);
    else
        set_ipv6(packet, after);
    return true;
}
