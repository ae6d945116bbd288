/*
 * dupack: owns no state. The records that are marked as arrived are those behind the oldest, in a
 * row, so that the next is found by their count.
 */
#include "engine/stack/dupack.h"

#include "engine/stack/swap.h"

#include <string.h>

/*
 * The record that another acknowledgment may be for; NULL = none. What was sent less than a round
 * trip ago cannot have arrived: the segment was duplicated on its way, or sent again needlessly.
 */
static struct flight_record *next(const struct flight *flight, uint32_t now_us)
{
    for (uint32_t i = 1 + flight->arrived_count; i < flight->count; i++) {
        struct flight_record *record = flight_at(flight, i);

        if ((record->marks & (FLIGHT_ARRIVED | FLIGHT_LOST)) == 0)
            return now_us - record->sent_us >= flight->min_rtt_us ? record : NULL;
    }
    return NULL;
}

bool dupack_is_one(const struct tcp_pcb *pcb, const struct pbuf *p)
{
    const unsigned mask = TCP_ACK | TCP_SYN | TCP_FIN | TCP_RST;
    struct tcp_hdr header;

    if (p->tot_len != PACKET_TCP_HEADER)
        return false;
    memcpy(&header, p->payload, sizeof(header));
    return (TCPH_FLAGS(&header) & mask) == TCP_ACK && lwip_ntohl(header.ackno) == pcb->lastack &&
           (u32_t)SND_WND_SCALE(pcb, lwip_ntohs(header.wnd)) == pcb->snd_wnd;
}

bool dupack_block(const struct flight *flight, uint32_t now_us, struct sack_block *block)
{
    const struct flight_record *record = next(flight, now_us);

    if (record == NULL)
        return false;
    *block = (struct sack_block){record->seq, flight_end(record)};
    return true;
}

void dupack_acked(struct flight *flight, uint32_t now_us)
{
    struct flight_record *oldest = flight->count > 0 ? flight_at(flight, 0) : NULL;
    struct flight_record *other;

    if (oldest == NULL || (oldest->marks & FLIGHT_ARRIVED) == 0)
        return;
    flight_missing(flight, oldest);
    other = next(flight, now_us);
    if (other != NULL)
        flight_arrived(flight, other);
}
