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

/* How far this window may grow in all. */
static uint32_t growth_limit(const struct window *window, bool *limited)
{
    uint64_t share = (WINDOW_GROWTH_MAX - grown_total) / WINDOW_SHARE;

    if (share >= TCP_WND - WINDOW_INITIAL)
        return TCP_WND - WINDOW_INITIAL;
    *limited = true;
    return share > window->grown ? (uint32_t)share : window->grown;
}

size_t window_take(struct window *window, const struct tcp_pcb *pcb, size_t len, size_t pending,
                   bool *limited)
{
    size_t growth;
    uint32_t left;

    window->taken += len;
    if (pending > 0)
        return len;
    growth = window->taken;
    window->taken = 0;
    if ((pcb->flags & TF_WND_SCALE) == 0)
        return len;
    left = growth_limit(window, limited) - window->grown;
    if (growth > left)
        growth = left;
    window->grown += (uint32_t)growth;
    grown_total += growth;
    return len + growth;
}

void window_close(struct window *window)
{
    grown_total -= window->grown;
    window->grown = 0;
}
