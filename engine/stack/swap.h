/*
 * swap: the only door to lwIP, which makes one lwIP serve any number of independent stacks.
 *
 * lwIP keeps its connections in global lists and its interface in a global pointer. Every call
 * goes: load the globals with one connection's lists and its stack's interface, call, store them
 * back. Between calls lwIP's globals are empty, so a connection is never searched for, never mixed
 * with another stack's, and lwIP needs no change.
 *
 * The functions below are those of lwIP with the token in front that only swap_enter() makes. Raw
 * lwIP identifiers that touch the globals are poisoned after this header: calling lwIP outside a
 * swap does not compile. (pbuf_*() touch no globals and need no swap.)
 */
#ifndef MANYTUN_ENGINE_STACK_SWAP_H
#define MANYTUN_ENGINE_STACK_SWAP_H

#include "engine/stack/packet.h"

#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>
#include <stdbool.h>
#include <stdint.h>

/* lwIP's slow timer, the unit of its timestamps (pcb->tmr, keep-alive, TIME_WAIT). */
#define SWAP_TICK_NS (UINT64_C(1000000) * TCP_SLOW_INTERVAL)

/* What one connection has in lwIP's lists: at most one pcb, in at most one of them. */
struct swap_lists {
    struct tcp_pcb *active;
    struct tcp_pcb *time_wait;
};

struct isn;

/* What is loaded with every connection of one stack. */
struct swap_stack {
    struct netif netif;
    const struct isn *isn;
};

/* The token. Made on the caller's C stack by swap_enter(), void after swap_leave(). */
struct swap {
    struct swap_lists *lists;
    uint64_t now;
};

/* Once in a process, before anything else here. Safe to call again. */
void swap_init(void);
/*
 * Assertions of lwIP that failed since the start: each is a bug, here or there. *last is the text
 * of the latest one, or NULL.
 */
uint64_t swap_assertions(const char **last);

/* Fills in the interface. output is called from inside lwIP and must not enter a swap. */
void swap_stack_init(struct swap_stack *stack, uint16_t mtu, const struct isn *isn,
                     netif_output_fn output, netif_output_ip6_fn output_ip6, void *state);

/* lwIP's clock at a time: never 0, which lwIP takes for "not measuring". */
static inline uint32_t swap_ticks(uint64_t now)
{
    return (uint32_t)(now / SWAP_TICK_NS) + 1;
}

/* The pcb in the lists, or NULL: lwIP has freed it. Not during a swap: see swap_pcb(). */
static inline struct tcp_pcb *swap_lists_pcb(const struct swap_lists *lists)
{
    return lists->active != NULL ? lists->active : lists->time_wait;
}

/*
 * Enters lwIP with these lists. listener is looked up for packets that no pcb in the lists
 * matches; NULL for none. now is monotonic nanoseconds. Swaps do not nest.
 */
void swap_enter(struct swap *swap, struct swap_stack *stack, struct swap_lists *lists,
                struct tcp_pcb_listen *listener, uint64_t now);
/* Stores the lists back: pcbs that lwIP freed, moved or made during the swap show in them. */
void swap_leave(struct swap *swap);

/* During a swap: the pcb that is loaded now, or NULL when lwIP has freed it. */
struct tcp_pcb *swap_pcb(const struct swap *swap);

/*
 * A TCP segment: p begins with the TCP header, checked by packet.h; it is consumed. The flow is
 * its addresses.
 */
void swap_tcp_input(struct swap *swap, struct pbuf *p, const struct flow *flow);

/*
 * One run of lwIP's timers for the pcb in the lists: fast sends delayed ACKs and pending FINs,
 * slow retransmits, probes, keeps alive and times out.
 */
void swap_tcp_fasttmr(struct swap *swap);
void swap_tcp_slowtmr(struct swap *swap);

/* A new pcb, bound to the flow's local end and the stack's interface; NULL without memory. */
struct tcp_pcb *swap_tcp_new(struct swap *swap, const struct flow *flow);
/* The same, listening; the pcb stays with the caller, out of all lists. NULL without memory. */
struct tcp_pcb_listen *swap_tcp_listen(struct swap *swap, const struct flow *flow, uint8_t backlog);
void swap_tcp_close_listener(struct swap *swap, struct tcp_pcb_listen *listener);
err_t swap_tcp_connect(struct swap *swap, struct tcp_pcb *pcb, const struct flow *flow,
                       tcp_connected_fn connected);

/* As in lwip/tcp.h, on the pcb in the lists. */
err_t swap_tcp_write(struct swap *swap, const void *data, uint16_t len, uint8_t flags);
err_t swap_tcp_output(struct swap *swap);
/* Any length, and at most one acknowledgment for it. */
void swap_tcp_recved(struct swap *swap, uint32_t len);
err_t swap_tcp_close(struct swap *swap);
err_t swap_tcp_shutdown_tx(struct swap *swap);
/*
 * Cuts a segment of the pcb's queues, sent or not, so that its data has at most len bytes; what is
 * left follows as another. ERR_MEM: it is as it was. The pcb's unsent_oversize is void then.
 */
err_t swap_tcp_split(struct swap *swap, struct tcp_seg *segment, uint16_t len);
/*
 * tcp_output() by someone who knows the last segment of the pcb's `unacked`, to which everything
 * that is sent is new: lwIP would look for it from the first one on.
 */
err_t swap_tcp_output_behind(struct swap *swap, struct tcp_seg *last);
/*
 * Sends a segment of the pcb's `unacked` again, which stays where it is, if both windows have room
 * for it. ERR_MEM: it was not sent.
 */
err_t swap_tcp_resend(struct swap *swap, const struct tcp_seg *segment);
void swap_tcp_abort(struct swap *swap);
err_t swap_tcp_keepalive(struct swap *swap);
/* An acknowledgment without data, at once; when output refuses it, with lwIP's next timer. */
void swap_tcp_send_ack(struct swap *swap);

#ifndef SWAP_IMPLEMENTATION
#pragma GCC poison tcp_active_pcbs tcp_tw_pcbs tcp_bound_pcbs tcp_listen_pcbs tcp_ticks
#pragma GCC poison netif_default netif_add netif_remove netif_set_default ip_data lwip_init
#pragma GCC poison tcp_input tcp_fasttmr tcp_slowtmr tcp_tmr tcp_new tcp_new_ip_type tcp_alloc
#pragma GCC poison tcp_bind tcp_listen_with_backlog tcp_listen_with_backlog_and_err tcp_connect
#pragma GCC poison tcp_write tcp_output tcp_recved tcp_close tcp_shutdown tcp_abort tcp_abandon
#pragma GCC poison tcp_keepalive tcp_send_empty_ack tcp_rst tcp_rexmit_rto tcp_pcb_remove
#pragma GCC poison tcp_split_unsent_seg
#pragma GCC poison ip_input ip4_input ip6_input
#endif

#endif
