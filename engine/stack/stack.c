/*
 * stack: owns struct stack: its life, the way in and out of packets, and the turns in which owners
 * are told what happened.
 */
#include "engine/stack/stack.h"

#include "engine/stack/checksum.h"
#include "engine/stack/echo.h"
#include "engine/stack/icmp.h"
#include "engine/stack/input.h"
#include "engine/stack/internal.h"
#include "engine/stack/merge.h"
#include "engine/stack/ports.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* RSTs per second and stack, for segments that belong to nothing. */
#define RESET_RATE 1000

/* Offsets in the IPv4 header. */
#define IP4_ID       4
#define IP4_FRAGMENT 6
#define IP4_CHECKSUM 10

#define IP4_DONT_FRAGMENT 0x4000

/* A segment in more pieces (of many small writes) is sent from one buffer instead. */
#define OUTPUT_PIECES_MAX 32

/* --- Output ---------------------------------------------------------------------------------- */

static int gather(const struct pbuf *p, struct iovec *pieces)
{
    static uint8_t whole[UINT16_MAX];
    int count = 0;

    for (const struct pbuf *q = p; q != NULL; q = q->next) {
        if (q->len == 0)
            continue;
        if (count == OUTPUT_PIECES_MAX) {
            pieces[0].iov_base = whole;
            pieces[0].iov_len = pbuf_copy_partial(p, whole, p->tot_len, 0);
            return 1;
        }
        pieces[count].iov_base = q->payload;
        pieces[count].iov_len = q->len;
        count++;
    }
    return count;
}

/*
 * lwIP numbers IPv4 packets with one counter for all stacks, which would tell a peer in one tunnel
 * how busy the others are. And it lets routers cut packets; TCP is to learn instead what the path
 * takes (RFC 1191). Updates the header checksum as in RFC 1624.
 */
static void number_packet(struct stack *stack, uint8_t *header)
{
    uint16_t checksum, old_id;

    memcpy(&old_id, header + IP4_ID, sizeof(old_id));
    memcpy(&checksum, header + IP4_CHECKSUM, sizeof(checksum));
    checksum = (uint16_t)~checksum_fold((uint64_t)(uint16_t)~checksum + (uint16_t)~old_id +
                                        stack->ip_id + lwip_htons(IP4_DONT_FRAGMENT));
    packet_store16(header + IP4_FRAGMENT, IP4_DONT_FRAGMENT);
    memcpy(header + IP4_ID, &stack->ip_id, sizeof(stack->ip_id));
    memcpy(header + IP4_CHECKSUM, &checksum, sizeof(checksum));
    stack->ip_id++;
}

static err_t output(struct netif *netif, struct pbuf *p)
{
    struct stack *stack = netif->state;
    struct stack_conn *conn = stack->current;
    struct iovec pieces[OUTPUT_PIECES_MAX];
    int error;

    if (conn != NULL && !sender_may_send(&conn->sender)) {
        stack->stats.out_of_memory++;
        return ERR_MEM;
    }
    error = stack->ops.output(stack->ctx, pieces, gather(p, pieces), p->tot_len);
    if (error == 0)
        stack->stats.tx_packets++;
    if (error != -EAGAIN) { /* sent, or lost as any packet may be */
        if (conn != NULL)
            sender_sent(&conn->sender, conn->lists.active, p, conn->node.flow.family,
                        stack_now(stack));
        return ERR_OK;
    }
    if (conn != NULL && !conn->is_blocked) {
        conn->is_blocked = true;
        TAILQ_INSERT_TAIL(&stack->blocked, conn, blocked_link);
    }
    return ERR_MEM;
}

static err_t output_ip4(struct netif *netif, struct pbuf *p, const ip4_addr_t *address)
{
    (void)address;
    number_packet(netif->state, p->payload);
    return output(netif, p);
}

static err_t output_ip6(struct netif *netif, struct pbuf *p, const ip6_addr_t *address)
{
    (void)address;
    return output(netif, p);
}

void stack_hurry(struct stack *stack)
{
    struct stack_conn *conn;

    TAILQ_FOREACH(conn, &stack->timers.busy.conns, timer.link)
    conn_hurry(conn);
}

void stack_resume(struct stack *stack)
{
    struct stack_conn *last = TAILQ_LAST(&stack->blocked, conn_queue);
    struct stack_conn *conn;
    struct swap swap;
    bool done = last == NULL;

    while (!done) {
        conn = TAILQ_FIRST(&stack->blocked);
        done = conn == last;
        conn->is_blocked = false;
        TAILQ_REMOVE(&stack->blocked, conn, blocked_link);
        conn_enter(conn, &swap);
        sender_output(&conn->sender, &swap);
        done = done || conn->is_blocked;
        conn_leave(conn, &swap);
    }
}

/* --- Life ------------------------------------------------------------------------------------ */

int stack_new(const struct stack_config *config, const struct stack_ops *ops, void *ctx,
              struct stack **out)
{
    struct stack *stack;

    if (config->addresses_count == 0 || config->addresses_count > STACK_ADDRESSES_MAX ||
        config->mtu < STACK_MTU_MIN)
        return -EINVAL;
    stack = calloc(1, sizeof(*stack));
    if (stack == NULL)
        return -ENOMEM;
    if (conntable_init(&stack->table) != 0) {
        free(stack);
        return -ENOMEM;
    }
    stack->ops = *ops;
    stack->ctx = ctx;
    memcpy(stack->addresses, config->addresses,
           config->addresses_count * sizeof(*config->addresses));
    stack->addresses_count = config->addresses_count;
    stack->congestion = config->congestion;
    isn_init(&stack->isn);
    stack->ip_id = (uint16_t)randombytes_uniform(UINT16_MAX);
    swap_init();
    swap_stack_init(&stack->swap, config->mtu, &stack->isn, output_ip4, output_ip6, stack);
    LIST_INIT(&stack->all);
    LIST_INIT(&stack->dead);
    LIST_INIT(&stack->listeners);
    TAILQ_INIT(&stack->ready);
    TAILQ_INIT(&stack->blocked);
    TAILQ_INIT(&stack->merging);
    TAILQ_INIT(&stack->time_wait);
    timers_init(&stack->timers, stack_now(stack));
    rate_init(&stack->echo_rate, ECHO_RATE);
    rate_init(&stack->reset_rate, RESET_RATE);
    *out = stack;
    return 0;
}

void stack_free(struct stack *stack)
{
    struct stack_conn *conn;

    if (stack == NULL)
        return;
    stack->freeing = true;
    while (!LIST_EMPTY(&stack->listeners))
        stack_unlisten(LIST_FIRST(&stack->listeners));
    while ((conn = LIST_FIRST(&stack->all)) != NULL) {
        const struct stack_conn_ops *conn_ops = conn->ops;
        void *conn_ctx = conn->ctx;

        stack_conn_abort(conn);
        if (conn_ops != NULL)
            conn_ops->closed(conn_ctx, -ECONNABORTED);
    }
    conn_free_dead(stack);
    conntable_fini(&stack->table);
    timers_fini(&stack->timers);
    free(stack->reserved_ports);
    isn_fini(&stack->isn);
    pmtu_fini(&stack->pmtu);
    free(stack);
}

void stack_used_ports(const struct stack *stack, uint8_t ports[STACK_PORT_BYTES])
{
    const struct stack_conn *conn;

    if (stack->reserved_ports != NULL)
        memcpy(ports, stack->reserved_ports, STACK_PORT_BYTES);
    else
        memset(ports, 0, STACK_PORT_BYTES);
    LIST_FOREACH(conn, &stack->all, all_link)
    ports_add(ports, conn->node.flow.local_port);
}

int stack_reserve_ports(struct stack *stack, const uint8_t ports[STACK_PORT_BYTES])
{
    uint8_t *reserved = NULL;

    if (ports != NULL) {
        reserved = malloc(STACK_PORT_BYTES);
        if (reserved == NULL)
            return -ENOMEM;
        memcpy(reserved, ports, STACK_PORT_BYTES);
    }
    free(stack->reserved_ports);
    stack->reserved_ports = reserved;
    return 0;
}

bool stack_is_quiet(const struct stack *stack)
{
    const struct stack_conn *conn;

    LIST_FOREACH(conn, &stack->all, all_link)
    {
        if (!conn->is_time_wait)
            return false;
    }
    return true;
}

void stack_set_congestion(struct stack *stack, enum stack_congestion congestion)
{
    stack->congestion = congestion;
}

const struct stack_stats *stack_stats(const struct stack *stack)
{
    return &stack->stats;
}

/* --- Input ----------------------------------------------------------------------------------- */

bool stack_is_local(const struct stack *stack, const struct flow *flow)
{
    for (size_t i = 0; i < stack->addresses_count; i++) {
        const struct inet_addr *address = &stack->addresses[i];

        if (address->family == flow->family &&
            memcmp(address->bytes, flow->local, sizeof(flow->local)) == 0)
            return true;
    }
    return false;
}

void stack_receive(struct stack *stack, uint8_t *data, size_t len)
{
    struct packet packet;

    stack->stats.rx_packets++;
    if (!packet_parse(data, len, &packet)) {
        stack->stats.rx_dropped[packet.is_fragment ? STACK_DROP_FRAGMENT : STACK_DROP_MALFORMED]++;
        return;
    }
    if (!stack_is_local(stack, &packet.flow)) {
        stack->stats.rx_dropped[STACK_DROP_ADDRESS]++;
        return;
    }
    switch (packet.protocol) {
    case IPPROTO_TCP:
        input_tcp(stack, &packet);
        break;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        if (!icmp_input(stack, &packet))
            echo_input(stack, &packet);
        break;
    default:
        stack->stats.rx_dropped[STACK_DROP_PROTOCOL]++;
        break;
    }
}

/* --- Turns ----------------------------------------------------------------------------------- */

/* What becomes ready while owners are told is for the next turn, which is due at once. */
static void dispatch(struct stack *stack)
{
    struct stack_conn *conn;

    stack->turn++;
    stack->telling = true;
    while ((conn = TAILQ_FIRST(&stack->ready)) != NULL && conn->turn != stack->turn) {
        conn->is_ready = false;
        TAILQ_REMOVE(&stack->ready, conn, ready_link);
        conn_dispatch(conn);
    }
    stack->telling = false;
    conn_free_dead(stack);
}

void stack_flush(struct stack *stack)
{
    struct stack_conn *conn;

    while ((conn = TAILQ_FIRST(&stack->merging)) != NULL)
        merge_flush(conn);
    dispatch(stack);
}

uint64_t stack_deadline(const struct stack *stack)
{
    if (!TAILQ_EMPTY(&stack->ready))
        return 0;
    return timers_deadline(&stack->timers);
}

void stack_expire(struct stack *stack)
{
    timers_expire(&stack->timers, stack_now(stack));
    dispatch(stack);
}
