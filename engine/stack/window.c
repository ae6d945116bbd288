/*
 * window: owns the process-wide sum of what windows have grown.
 */
#include "engine/stack/window.h"

#include <lwip/tcp.h>

static uint64_t grown_total;

void window_open(struct tcp_pcb *pcb)
{
    if (pcb->rcv_wnd <= WINDOW_INITIAL)
        return;
    pcb->rcv_wnd = WINDOW_INITIAL;
    pcb->rcv_ann_wnd = WINDOW_INITIAL;
    pcb->rcv_ann_right_edge = pcb->rcv_nxt + WINDOW_INITIAL;
}

/* How far this window may grow in all; *is_share: less far than if it were alone. */
static uint32_t growth_limit(const struct window *window, bool *is_share)
{
    uint64_t share = (WINDOW_GROWTH_MAX - grown_total) / WINDOW_SHARE;

    *is_share = share < TCP_WND - WINDOW_INITIAL;
    if (!*is_share)
        return TCP_WND - WINDOW_INITIAL;
    return share > window->grown ? (uint32_t)share : window->grown;
}

/* By how much the window is too small for what was taken in this round trip. */
static size_t shortage(struct window *window, const struct window_read *read)
{
    uint64_t rtt_us = read->rtt_us != 0 ? read->rtt_us : WINDOW_RTT_DEFAULT_US;
    uint64_t wanted, size = (uint64_t)WINDOW_INITIAL + window->grown;

    if (rtt_us < WINDOW_RTT_MIN_US)
        rtt_us = WINDOW_RTT_MIN_US;
    if (read->now >= window->round_ends) {
        window->round_ends = read->now + rtt_us * 1000;
        window->taken = 0;
    }
    window->taken += read->taken;
    wanted = (uint64_t)window->taken * WINDOW_ROUNDS;
    return wanted > size ? wanted - size : 0;
}

size_t window_take(struct window *window, const struct tcp_pcb *pcb, const struct window_read *read,
                   bool *limited)
{
    size_t growth = shortage(window, read);
    bool is_share;
    uint32_t left;

    if (growth == 0 || read->pending > 0 || (pcb->flags & TF_WND_SCALE) == 0)
        return read->taken;
    left = growth_limit(window, &is_share) - window->grown;
    if (growth > left) {
        growth = left;
        *limited = *limited || is_share;
    }
    window->grown += (uint32_t)growth;
    grown_total += growth;
    return read->taken + growth;
}

void window_close(struct window *window)
{
    grown_total -= window->grown;
    window->grown = 0;
}
