/* icmp: no state; what is believed is told to the connection (conn_limit_mtu(), conn_kill()). */
#include "engine/stack/icmp.h"

#include "engine/stack/checksum.h"
#include "engine/stack/input.h"
#include "engine/stack/internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define ICMP_HEADER 8
#define ICMP_CODE   1
#define ICMP_MTU4   6 /* 16 bits */
#define ICMP_MTU6   4 /* 32 bits */

#define ICMP4_UNREACHABLE 3
#define ICMP4_FRAGMENT    4 /* its code */
#define ICMP6_UNREACHABLE 1
#define ICMP6_TOO_BIG     2
#define TRANSPORT_QUOTED  8 /* at least: ports and sequence number */
#define CHECKSUM_VALID    0xffff
#define QUOTED_FRAGMENT4  0x1fff /* offset */

/* What was said, about which segment. */
struct report {
    struct flow flow; /* of the quoted segment, seen from us */
    uint32_t seq;
    size_t len;   /* of the quoted packet */
    uint32_t mtu; /* 0 = it is not about that */
    int error;    /* for a connection that is not established; 0 = none */
};

/* By code; 0 = says nothing about the destination. */
static const int errors4[] = {ENETUNREACH, EHOSTUNREACH, ECONNREFUSED, ECONNREFUSED, 0,
                              ENETUNREACH, ENETUNREACH,  EHOSTUNREACH, EHOSTUNREACH, EACCES,
                              EACCES,      ENETUNREACH,  EHOSTUNREACH, EACCES};
static const int errors6[] = {ENETUNREACH,  EACCES, ENETUNREACH, EHOSTUNREACH,
                              ECONNREFUSED, EACCES, ENETUNREACH};

static int error_of(const int *errors, size_t count, uint8_t code)
{
    return code < count ? errors[code] : 0;
}

/* --- Reading --------------------------------------------------------------------------------- */

static bool read_transport(const uint8_t *transport, struct report *out)
{
    out->flow.local_port = packet_load16(transport);
    out->flow.remote_port = packet_load16(transport + 2);
    out->seq = packet_load32(transport + 4);
    return true;
}

static bool read_quoted4(const uint8_t *ip, size_t len, struct report *out)
{
    size_t header_len;

    if (len < PACKET_IP4_HEADER || ip[0] >> 4 != 4)
        return false;
    header_len = (size_t)(ip[0] & 0x0f) * 4;
    if (header_len < PACKET_IP4_HEADER || len < header_len + TRANSPORT_QUOTED ||
        ip[9] != IPPROTO_TCP || (packet_load16(ip + 6) & QUOTED_FRAGMENT4) != 0)
        return false;
    out->flow.family = AF_INET;
    out->len = packet_load16(ip + 2);
    memcpy(out->flow.local, ip + 12, 4);
    memcpy(out->flow.remote, ip + 16, 4);
    return read_transport(ip + header_len, out);
}

static bool read_quoted6(const uint8_t *ip, size_t len, struct report *out)
{
    if (len < PACKET_IP6_HEADER + TRANSPORT_QUOTED || ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP)
        return false;
    out->flow.family = AF_INET6;
    out->len = PACKET_IP6_HEADER + (size_t)packet_load16(ip + 4);
    memcpy(out->flow.local, ip + 8, 16);
    memcpy(out->flow.remote, ip + 24, 16);
    return read_transport(ip + PACKET_IP6_HEADER, out);
}

/* RFC 792; an old router tells no MTU (RFC 1191, 5): then as little as every path takes. */
static bool read_icmp4(const struct packet *packet, struct report *out)
{
    const uint8_t *icmp = packet->payload;
    uint8_t code = icmp[ICMP_CODE];

    if (packet->flow.family != AF_INET || icmp[0] != ICMP4_UNREACHABLE ||
        checksum_fold(checksum_add(0, icmp, packet->payload_len)) != CHECKSUM_VALID)
        return false;
    if (code == ICMP4_FRAGMENT) {
        out->mtu = packet_load16(icmp + ICMP_MTU4);
        if (out->mtu < ICMP_MTU_MIN_IP4)
            out->mtu = ICMP_MTU_MIN_IP4;
    }
    out->error = error_of(errors4, sizeof(errors4) / sizeof(errors4[0]), code);
    return read_quoted4(icmp + ICMP_HEADER, packet->payload_len - ICMP_HEADER, out);
}

/* RFC 4443. Too small an MTU is not one (RFC 8201, 4). */
static bool read_icmp6(const struct packet *packet, struct report *out)
{
    const uint8_t *icmp = packet->payload;

    if (packet->flow.family != AF_INET6 || !packet_checksum_valid(packet))
        return false;
    if (icmp[0] == ICMP6_TOO_BIG)
        out->mtu = packet_load32(icmp + ICMP_MTU6);
    else if (icmp[0] != ICMP6_UNREACHABLE)
        return false;
    else
        out->error = error_of(errors6, sizeof(errors6) / sizeof(errors6[0]), icmp[ICMP_CODE]);
    if (icmp[0] == ICMP6_TOO_BIG && out->mtu < ICMP_MTU_MIN_IP6)
        return false;
    return read_quoted6(icmp + ICMP_HEADER, packet->payload_len - ICMP_HEADER, out);
}

/* --- Believing ------------------------------------------------------------------------------- */

static bool is_in_flight(const struct stack_conn *conn, uint32_t seq)
{
    const struct tcp_pcb *pcb = conn->lists.active;

    return pcb != NULL && TCP_SEQ_GEQ(seq, pcb->lastack) && TCP_SEQ_LT(seq, pcb->snd_nxt);
}

static void believe(struct stack *stack, struct stack_conn *conn, const struct report *report)
{
    stack->stats.rx_icmp_errors++;
    if (report->mtu != 0 && report->mtu < report->len && report->mtu < stack->swap.netif.mtu) {
        pmtu_learn(&stack->pmtu, &report->flow, (uint16_t)report->mtu, stack_now(stack));
        conn_limit_mtu(conn, (uint16_t)report->mtu);
    } else if (report->error != 0 && conn->lists.active->state == SYN_SENT) {
        conn_kill(conn, -report->error);
    }
}

bool icmp_input(struct stack *stack, const struct packet *packet)
{
    struct report report = {0};
    struct conntable_node *node;

    if (packet->payload_len < ICMP_HEADER)
        return false;
    if (!(packet->protocol == IPPROTO_ICMP ? read_icmp4 : read_icmp6)(packet, &report))
        return false;
    node = conntable_find(&stack->table, &report.flow);
    if (node == NULL)
        return input_is_taken_elsewhere(stack, packet);
    if (!is_in_flight(conn_from_node(node), report.seq))
        return false;
    believe(stack, conn_from_node(node), &report);
    return true;
}
