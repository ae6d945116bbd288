/*
 * swap: owns lwIP's globals. They are empty except between swap_enter() and swap_leave().
 */
#define SWAP_IMPLEMENTATION
#include "engine/stack/swap.h"

#include "base/log.h"
#include "engine/stack/isn.h"

#include <assert.h>
#include <hooks.h>
#include <lwip/init.h>
#include <lwip/ip.h>
#include <string.h>

static struct {
    bool initialised;
    bool inside;         /* between enter and leave */
    uint8_t timer_calls; /* mirrors lwIP's tcp_timer_ctr, see prepare_timer() */
    uint64_t assertions;
    const char *last_assertion;
    const struct isn *isn; /* of the stack that is inside */
    uint64_t now;
} state;

void swap_assertion_failed(const char *message)
{
    if (state.assertions++ == 0)
        log_error("stack: assertion of lwIP failed: %s", message);
    state.last_assertion = message;
}

uint64_t swap_assertions(const char **last)
{
    *last = state.last_assertion;
    return state.assertions;
}

void swap_init(void)
{
    if (state.initialised)
        return;
    lwip_init();
    state.initialised = true;
}

/* The flow's address as lwIP's type. */
static void make_address(ip_addr_t *out, const uint8_t *bytes, uint16_t family)
{
    memset(out, 0, sizeof(*out));
    if (family == AF_INET) {
        memcpy(&ip_2_ip4(out)->addr, bytes, 4);
        IP_SET_TYPE_VAL(*out, IPADDR_TYPE_V4);
    } else {
        memcpy(ip_2_ip6(out)->addr, bytes, 16);
        IP_SET_TYPE_VAL(*out, IPADDR_TYPE_V6);
    }
}

static void copy_address(uint8_t *out, const ip_addr_t *address)
{
    if (IP_IS_V6(address))
        memcpy(out, ip_2_ip6(address)->addr, 16);
    else
        memcpy(out, &ip_2_ip4(address)->addr, 4);
}

u32_t swap_hook_isn(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote,
                    u16_t remote_port)
{
    struct flow flow = {
        .local_port = local_port,
        .remote_port = remote_port,
        .family = IP_IS_V6(local) ? AF_INET6 : AF_INET,
    };

    copy_address(flow.local, local);
    copy_address(flow.remote, remote);
    return isn_make(state.isn, &flow, state.now);
}

static err_t init_netif(struct netif *netif)
{
    netif->flags = NETIF_FLAG_UP | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

void swap_stack_init(struct swap_stack *stack, uint16_t mtu, const struct isn *isn,
                     netif_output_fn output, netif_output_ip6_fn output_ip6, void *context)
{
    /*
     * lwIP calls IPv4 routable only when the interface has an address. Nothing else looks at it:
     * our addresses are checked before lwIP and every pcb is bound to one of them.
     */
    ip4_addr_t placeholder = {.addr = PP_HTONL(IPADDR_LOOPBACK)};

    memset(stack, 0, sizeof(*stack));
    stack->isn = isn;
    netif_default = NULL;
    netif_add(&stack->netif, &placeholder, NULL, NULL, context, init_netif, NULL);
    stack->netif.mtu = mtu;
    stack->netif.output = output;
    stack->netif.output_ip6 = output_ip6;
}

/* --- Enter, leave ---------------------------------------------------------------------------- */

void swap_enter(struct swap *swap, struct swap_stack *stack, struct swap_lists *lists,
                struct tcp_pcb_listen *listener, uint64_t now)
{
    assert(!state.inside);
    state.inside = true;
    state.isn = stack->isn;
    state.now = now;
    swap->lists = lists;
    swap->now = now;
    netif_default = &stack->netif;
    tcp_active_pcbs = lists->active;
    tcp_tw_pcbs = lists->time_wait;
    tcp_bound_pcbs = NULL;
    tcp_listen_pcbs.listen_pcbs = listener;
    tcp_ticks = swap_ticks(now);
}

void swap_leave(struct swap *swap)
{
    assert(state.inside);
    swap->lists->active = tcp_active_pcbs;
    swap->lists->time_wait = tcp_tw_pcbs;
    tcp_active_pcbs = NULL;
    tcp_tw_pcbs = NULL;
    tcp_bound_pcbs = NULL;
    tcp_listen_pcbs.listen_pcbs = NULL;
    netif_default = NULL;
    state.isn = NULL;
    state.inside = false;
    swap->lists = NULL;
}

/* The token proves it; this catches one that was kept after swap_leave(). */
static void check(const struct swap *swap)
{
    (void)swap;
    assert(state.inside && swap->lists != NULL);
}

struct tcp_pcb *swap_pcb(const struct swap *swap)
{
    check(swap);
    return tcp_active_pcbs != NULL ? tcp_active_pcbs : tcp_tw_pcbs;
}

/* --- Input and timers ------------------------------------------------------------------------ */

void swap_tcp_input(struct swap *swap, struct pbuf *p, const struct flow *flow)
{
    check(swap);
    ip_data.current_netif = netif_default;
    ip_data.current_input_netif = netif_default;
    make_address(&ip_data.current_iphdr_src, flow->remote, flow->family);
    make_address(&ip_data.current_iphdr_dest, flow->local, flow->family);
    tcp_input(p, netif_default);
    ip_data.current_netif = NULL;
    ip_data.current_input_netif = NULL;
}

/*
 * lwIP counts its timer runs in a static 8-bit counter and passes over a pcb whose last_timer is
 * the present count, which with runs for one pcb each happens once in 256. The mirror makes it the
 * previous count.
 */
static void prepare_timer(const struct swap *swap)
{
    struct tcp_pcb *pcb = swap_pcb(swap);

    if (pcb != NULL)
        pcb->last_timer = state.timer_calls;
    state.timer_calls++;
}

void swap_tcp_fasttmr(struct swap *swap)
{
    prepare_timer(swap);
    tcp_fasttmr();
}

/*
 * The persist timer cuts the first of `unsent` to the peer's window, as if all of it were behind
 * what is acknowledged: what is not could leave a piece that lwIP neither sends nor frees.
 */
static err_t drop_acknowledged(struct swap *swap, struct tcp_pcb *pcb)
{
    struct tcp_seg *first;

    while ((first = pcb->unsent) != NULL &&
           TCP_SEQ_GT(pcb->lastack, lwip_ntohl(first->tcphdr->seqno))) {
        uint32_t len = pcb->lastack - lwip_ntohl(first->tcphdr->seqno);

        if (len < TCP_TCPLEN(first) && len >= first->len)
            return ERR_OK; /* all but the FIN */
        if (len < first->len && swap_tcp_split(swap, first, (u16_t)len) != ERR_OK)
            return ERR_MEM;
        pcb->unsent = first->next;
        pcb->snd_queuelen = (u16_t)(pcb->snd_queuelen - pbuf_clen(first->p));
        pcb->snd_buf += first->len;
        tcp_seg_free(first);
    }
    return ERR_OK;
}

/*
 * The persist timer cuts what it sends to the peer's window, with the flaw that swap_tcp_split()
 * repairs. So a FIN is cut off, with the last byte, before it can get there.
 */
static err_t part_from_fin(struct swap *swap, const struct tcp_pcb *pcb)
{
    if (pcb->unsent == NULL || pcb->unsent->len < 2 ||
        (TCPH_FLAGS(pcb->unsent->tcphdr) & TCP_FIN) == 0)
        return ERR_OK;
    return swap_tcp_split(swap, pcb->unsent, (u16_t)(pcb->unsent->len - 1));
}

static err_t prepare_persist(struct swap *swap)
{
    struct tcp_pcb *pcb = swap_pcb(swap);

    if (pcb == NULL || pcb->persist_backoff == 0)
        return ERR_OK;
    if (pcb->snd_wnd > 0 && drop_acknowledged(swap, pcb) != ERR_OK)
        return ERR_MEM;
    return part_from_fin(swap, pcb);
}

void swap_tcp_slowtmr(struct swap *swap)
{
    if (prepare_persist(swap) != ERR_OK)
        return; /* no memory: the next tick tries again */
    prepare_timer(swap);
    tcp_ticks--; /* lwIP counts it up again */
    tcp_slowtmr();
}

/* --- New pcbs -------------------------------------------------------------------------------- */

struct tcp_pcb *swap_tcp_new(struct swap *swap, const struct flow *flow)
{
    struct tcp_pcb *pcb;
    ip_addr_t local;

    check(swap);
    pcb = tcp_new_ip_type(flow->family == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6);
    if (pcb == NULL)
        return NULL;
    make_address(&local, flow->local, flow->family);
    tcp_bind(pcb, &local, flow->local_port); /* cannot fail: the lists are empty */
    tcp_bind_netif(pcb, netif_default);
    return pcb;
}

struct tcp_pcb_listen *swap_tcp_listen(struct swap *swap, const struct flow *flow, uint8_t backlog)
{
    struct tcp_pcb *pcb = swap_tcp_new(swap, flow);
    struct tcp_pcb *listener;

    if (pcb == NULL)
        return NULL;
    listener = tcp_listen_with_backlog(pcb, backlog);
    if (listener == NULL)
        tcp_abort(pcb);
    return (struct tcp_pcb_listen *)listener;
}

void swap_tcp_close_listener(struct swap *swap, struct tcp_pcb_listen *listener)
{
    check(swap);
    assert(tcp_listen_pcbs.listen_pcbs == listener);
    tcp_close((struct tcp_pcb *)listener);
}

err_t swap_tcp_connect(struct swap *swap, struct tcp_pcb *pcb, const struct flow *flow,
                       tcp_connected_fn connected)
{
    ip_addr_t remote;
    err_t err;

    check(swap);
    make_address(&remote, flow->remote, flow->family);
    err = tcp_connect(pcb, &remote, flow->remote_port, connected);
    if (err != ERR_OK)
        tcp_abort(pcb);
    return err;
}

/* --- Calls on the loaded pcb ----------------------------------------------------------------- */

err_t swap_tcp_write(struct swap *swap, const void *data, uint16_t len, uint8_t flags)
{
    return tcp_write(swap_pcb(swap), data, len, flags);
}

err_t swap_tcp_output(struct swap *swap)
{
    return tcp_output(swap_pcb(swap));
}

/* lwIP takes 16 bits, and may answer each time. It also checks that the window is not too large. */
void swap_tcp_recved(struct swap *swap, uint32_t len)
{
    uint16_t last = len < UINT16_MAX ? (uint16_t)len : UINT16_MAX;

    swap_pcb(swap)->rcv_wnd += len - last;
    tcp_recved(swap_pcb(swap), last);
}

err_t swap_tcp_close(struct swap *swap)
{
    return tcp_close(swap_pcb(swap));
}

err_t swap_tcp_shutdown_tx(struct swap *swap)
{
    return tcp_shutdown(swap_pcb(swap), 0, 1);
}

/*
 * lwIP cuts the first of `unsent`, whatever that is. It gives FIN and PSH to the rest, and leaves
 * them on the head, too: a FIN there would end the stream before the rest.
 */
err_t swap_tcp_split(struct swap *swap, struct tcp_seg *segment, uint16_t len)
{
    struct tcp_pcb *pcb = swap_pcb(swap);
    struct tcp_seg *unsent = pcb->unsent;
    bool is_cut = segment->len > len;
    err_t err;

    pcb->unsent = segment;
    err = tcp_split_unsent_seg(pcb, len);
    pcb->unsent = unsent;
    if (is_cut && err == ERR_OK)
        TCPH_UNSET_FLAG(segment->tcphdr, TCP_FIN | TCP_PSH);
    return err;
}

err_t swap_tcp_output_behind(struct swap *swap, struct tcp_seg *last)
{
    struct tcp_pcb *pcb = swap_pcb(swap);
    struct tcp_seg *unacked = pcb->unacked;
    err_t err;

    pcb->unacked = last;
    err = tcp_output(pcb);
    pcb->unacked = unacked;
    return err;
}

/*
 * For lwIP it is the only segment that waits, behind one that is as good as any to be sorted
 * against. What it changes on the way is the packet, which the copy shares.
 */
err_t swap_tcp_resend(struct swap *swap, const struct tcp_seg *segment)
{
    struct tcp_pcb *pcb = swap_pcb(swap);
    struct tcp_seg *unacked = pcb->unacked, *unsent = pcb->unsent;
    uint16_t oversize = pcb->unsent_oversize;
    struct tcp_seg copy = *segment, before = *segment;
    bool is_sent;

    copy.next = before.next = NULL;
    pcb->unacked = &before;
    pcb->unsent = &copy;
    tcp_output(pcb);
    is_sent = pcb->unsent == NULL;
    pcb->unacked = unacked;
    pcb->unsent = unsent;
    pcb->unsent_oversize = oversize;
    return is_sent ? ERR_OK : ERR_MEM;
}

void swap_tcp_abort(struct swap *swap)
{
    tcp_abort(swap_pcb(swap));
}

void swap_tcp_send_ack(struct swap *swap)
{
    tcp_send_empty_ack(swap_pcb(swap));
}

err_t swap_tcp_keepalive(struct swap *swap)
{
    return tcp_keepalive(swap_pcb(swap));
}
