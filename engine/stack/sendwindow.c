/*
 * sendwindow: owns no state. For the one segment, lwIP is made to believe in numbers of the last
 * window update (snd_wl1, snd_wl2) with which its own rule says what is wanted.
 */
#include "engine/stack/sendwindow.h"

#include "engine/stack/packet.h"
#include "engine/stack/swap.h"

#include <stdbool.h>

#define HEADER_SEQ   4
#define HEADER_ACK   8
#define HEADER_FLAGS 13

void sendwindow_input(struct swap *swap, struct pbuf *p, const struct flow *flow)
{
    const uint8_t *header = p->payload;
    const uint32_t seq = packet_load32(header + HEADER_SEQ);
    const uint32_t ack = packet_load32(header + HEADER_ACK);
    struct tcp_pcb *pcb = swap_pcb(swap);
    bool overtaken = false, again = false;
    uint32_t wl1 = 0, wl2 = 0;

    if (pcb != NULL && pcb->state >= ESTABLISHED && (header[HEADER_FLAGS] & PACKET_ACK) != 0) {
        overtaken = TCP_SEQ_LT(ack, pcb->lastack);
        again = TCP_SEQ_GT(ack, pcb->lastack) && TCP_SEQ_LT(seq, pcb->snd_wl1);
        wl1 = pcb->snd_wl1;
        wl2 = pcb->snd_wl2;
    }
    if (overtaken) {
        pcb->snd_wl1 = seq;
        pcb->snd_wl2 = ack + 1;
    } else if (again) {
        pcb->snd_wl1 = seq - 1;
    }
    swap_tcp_input(swap, p, flow);
    pcb = swap_pcb(swap);
    if (pcb == NULL || !(overtaken || again))
        return;
    pcb->snd_wl1 = wl1;
    if (overtaken)
        pcb->snd_wl2 = wl2;
}
