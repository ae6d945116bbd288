/* resegment: no state; works on lwIP's queues and the record of what is in flight. */
#include "engine/stack/resegment.h"

#include "engine/stack/sender.h"
#include "engine/stack/swap.h"

#include <errno.h>

/* Cuts the segments of a queue. How many were too long, or -ENOMEM. */
static int cut(struct swap *swap, struct tcp_seg *segments, uint16_t mss)
{
    int count = 0;

    for (struct tcp_seg *segment = segments; segment != NULL; segment = segment->next) {
        if (segment->len <= mss)
            continue;
        if (swap_tcp_split(swap, segment, (uint16_t)flight_piece(segment->len, mss)) != ERR_OK)
            return -ENOMEM;
        count++;
    }
    return count;
}

/* lwIP counts this as a timeout, of which some in a row end a connection. It was none. */
static void send_all_again(struct swap *swap, struct tcp_pcb *pcb)
{
    uint8_t timeouts = pcb->nrtx;

    swap_tcp_rexmit(swap);
    pcb->nrtx = timeouts;
}

int resegment(struct sender *sender, struct swap *swap, uint16_t mss)
{
    struct tcp_pcb *pcb = swap_pcb(swap);
    int queued = cut(swap, pcb->unsent, mss);
    int sent = queued >= 0 ? cut(swap, pcb->unacked, mss) : queued;

    pcb->unsent_oversize = 0; /* was of longer segments */
    if (sent < 0 || sender_resegment(sender, pcb, mss) != 0)
        return -ENOMEM;
    pcb->mss = mss;
    if (sender->active)
        sender_output(sender, swap);
    else if (sent > 0)
        send_all_again(swap, pcb);
    return 0;
}
