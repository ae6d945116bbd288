/*
 * recovery: retransmission by selective acknowledgment (RFC 2018, RFC 6675), beside lwIP.
 *
 * lwIP reports what it has received out of order, but as a sender it knows only cumulative
 * acknowledgments: of several losses in one window it repairs one per round trip, or waits for its
 * timer. This reads the peer's SACK options, remembers on lwIP's segments what has arrived, and
 * sends again what is missing, as fast as the (halved) congestion window allows. How recovery
 * begins (three duplicate acknowledgments) and the retransmission timer stay lwIP's.
 */
#ifndef MANYTUN_ENGINE_STACK_RECOVERY_H
#define MANYTUN_ENGINE_STACK_RECOVERY_H

#include "engine/stack/packet.h"

#include <stdbool.h>
#include <stdint.h>

struct swap;

/* Embedded in a connection; all zero is valid. */
struct recovery {
    struct sack_block blocks[PACKET_SACK_MAX]; /* of the segment that is being processed */
    int blocks_count;
    bool active;
    uint32_t point; /* recovery ends when this is acknowledged */
};

/* Notes the SACK option of a segment; call it before lwIP has the segment. */
void recovery_note(struct recovery *recovery, const struct segment *segment);
/* After lwIP has processed that segment, in the same swap: retransmits what is to be. */
void recovery_run(struct recovery *recovery, struct swap *swap);
/*
 * After lwIP's slow timer, in the same swap: when that has timed out and is about to send
 * everything again, what has arrived is taken out of it.
 */
void recovery_timeout(struct recovery *recovery, struct swap *swap);

#endif
