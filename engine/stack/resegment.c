/* resegment: no state; works on lwIP's queues and the record of what is in flight. */
#include "engine/stack/resegment.h"

#include "engine/stack/sender.h"
#include "engine/stack/swap.h"

#include <errno.h>

/* Cuts the segments of a queue. 0 or -ENOMEM. */
static int cut(struct swap *swap, struct tcp_seg *segments, uint16_t mss)
{
    for (struct tcp_seg *segment = segments; segment != NULL; segment = segment->next) {
        if (segment->len <= mss)
            continue;
        if (swap_tcp_split(swap, segment, (uint16_t)flight_piece(segment->len, mss)) != ERR_OK)
            return -ENOMEM;
    }
    return 0;
}

int resegment(struct sender *sender, struct swap *swap, uint16_t mss)
{
    struct tcp_pcb *pcb = swap_pcb(swap);
    int err = cut(swap, pcb->unsent, mss);

    if (err == 0)
        err = cut(swap, pcb->unacked, mss);
    pcb->unsent_oversize = 0; /* was of longer segments */
    if (err != 0 || sender_resegment(sender, pcb, mss) != 0)
        return -ENOMEM;
    pcb->mss = mss;
    sender_output(sender, swap);
    return 0;
}
