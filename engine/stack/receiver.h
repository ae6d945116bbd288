/*
 * receiver: what a connection receives out of order, beside lwIP.
 *
 * lwIP would keep such segments in one list, and walk it for each of them. Here their data goes to
 * a reassembly queue (reassembly.h) and lwIP gets the rest, the acknowledgment. When the hole is
 * filled lwIP gets what was behind it, in order and in large segments. What is acknowledged
 * selectively (RFC 2018) is said here too; without that option it is kept all the same, and the
 * peer learns of it when the hole is filled. So is what comes once more of what was in order
 * already (D-SACK, RFC 2883), which tells the peer that it was sent again needlessly.
 */
#ifndef MANYTUN_ENGINE_STACK_RECEIVER_H
#define MANYTUN_ENGINE_STACK_RECEIVER_H

#include "engine/stack/packet.h"
#include "engine/stack/reassembly.h"

#include <stdbool.h>
#include <stdint.h>

struct swap;
struct tcp_pcb;

/* Embedded in a connection; all zero is valid. */
struct receiver {
    struct reassembly queue;
    bool is_early; /* the segment that is being processed had data for the queue */
    bool is_old;   /* all of its data had been received before */
    struct sack_block old;
    bool is_delayed; /* an acknowledgment was owed before it */
    uint32_t next;   /* lwIP's rcv_nxt before it */
};

void receiver_clear(struct receiver *receiver);
/*
 * When the segment, which is acceptable (acceptance.h), is out of order: takes its data, and FIN,
 * out of it; when it is old: notes that. 0, or -ENOBUFS or -ENOMEM: some of it was dropped.
 */
int receiver_take_early(struct receiver *receiver, const struct tcp_pcb *pcb,
                        struct segment *segment);
/* Around each segment for lwIP, in one swap. -ENOMEM: what was kept had to be dropped. */
void receiver_before_input(struct receiver *receiver, struct swap *swap);
int receiver_after_input(struct receiver *receiver, struct swap *swap, const struct flow *flow);

#endif
