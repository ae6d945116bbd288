/*
 * echo: the reply is the request with its addresses swapped, made in place.
 */
#include "engine/stack/echo.h"

#include "engine/stack/checksum.h"
#include "engine/stack/internal.h"

#include <netinet/in.h>
#include <string.h>

#define ICMP_HEADER        8
#define ICMP_TYPE          0
#define ICMP_CODE          1
#define ICMP_CHECKSUM      2
#define ICMP4_ECHO_REPLY   0
#define ICMP4_ECHO_REQUEST 8
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY   129

#define REPLY_TTL 64

#define IP4_TTL      8
#define IP4_CHECKSUM 10
#define IP4_ADDRESS  12
#define IP6_HOPS     7
#define IP6_ADDRESS  8

static bool is_request(const struct packet *packet)
{
    const uint8_t *icmp = packet->payload;
    uint64_t sum;

    if (packet->payload_len < ICMP_HEADER || icmp[ICMP_CODE] != 0)
        return false;
    if (packet->protocol == IPPROTO_ICMPV6)
        return packet->flow.family == AF_INET6 && icmp[ICMP_TYPE] == ICMP6_ECHO_REQUEST &&
               packet_checksum_valid(packet);
    sum = checksum_add(0, icmp, packet->payload_len);
    return packet->flow.family == AF_INET && icmp[ICMP_TYPE] == ICMP4_ECHO_REQUEST &&
           checksum_fold(sum) == 0xffff;
}

static void store_checksum(uint8_t *to, uint64_t sum)
{
    uint16_t checksum = (uint16_t)~checksum_fold(sum);

    memcpy(to, &checksum, sizeof(checksum));
}

/* Makes packet the reply; a source address that is now ours goes where it came from. */
static void make_reply(struct packet *packet)
{
    const struct flow *flow = &packet->flow;
    size_t address_len = packet_address_len(flow);
    uint8_t *addresses = packet->ip + (address_len == 4 ? IP4_ADDRESS : IP6_ADDRESS);
    uint8_t *icmp = packet->payload;
    uint64_t sum = 0;

    memcpy(addresses, flow->local, address_len);
    memcpy(addresses + address_len, flow->remote, address_len);
    memset(icmp + ICMP_CHECKSUM, 0, 2);
    if (flow->family == AF_INET) {
        icmp[ICMP_TYPE] = ICMP4_ECHO_REPLY;
        packet->ip[IP4_TTL] = REPLY_TTL;
        memset(packet->ip + IP4_CHECKSUM, 0, 2);
        store_checksum(packet->ip + IP4_CHECKSUM,
                       checksum_add(0, packet->ip, (size_t)(icmp - packet->ip)));
    } else {
        icmp[ICMP_TYPE] = ICMP6_ECHO_REPLY;
        packet->ip[IP6_HOPS] = REPLY_TTL;
        sum = checksum_pseudo(flow->local, flow->remote, address_len, packet->protocol,
                              packet->payload_len);
    }
    store_checksum(icmp + ICMP_CHECKSUM, checksum_add(sum, icmp, packet->payload_len));
}

void echo_input(struct stack *stack, struct packet *packet)
{
    size_t len = (size_t)(packet->payload - packet->ip) + packet->payload_len;
    struct iovec piece = {.iov_base = packet->ip, .iov_len = len};

    if (!is_request(packet) || len > stack->swap.netif.mtu) {
        stack->stats.rx_dropped[STACK_DROP_PROTOCOL]++;
        return;
    }
    if (!rate_take(&stack->echo_rate, stack_now(stack))) {
        stack->stats.limits[STACK_LIMIT_ECHO_REPLIES]++;
        return;
    }
    make_reply(packet);
    if (stack->ops.output(stack->ctx, &piece, 1, len) == 0) {
        stack->stats.tx_packets++;
        stack->stats.rx_echo_replies++;
    }
}
