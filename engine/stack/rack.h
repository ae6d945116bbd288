/*
 * rack: which segments are lost, by the time at which they were sent (RACK, RFC 8985, section 6).
 *
 * A segment is lost when one that was sent later has arrived and it has had a round trip, and some
 * time for reordering, to do so too. Unlike counting duplicate acknowledgments this also finds lost
 * retransmissions, and does not take reordering for loss.
 */
#ifndef MANYTUN_ENGINE_STACK_RACK_H
#define MANYTUN_ENGINE_STACK_RACK_H

#include "engine/stack/flight.h"
#include "engine/stack/rtt.h"

#include <stdbool.h>
#include <stdint.h>

/* Embedded in a connection; all zero is valid. */
struct rack {
    bool oldest_only; /* the peer does not tell what is missing behind the oldest segment */
    bool known;       /* the four below say something */
    uint32_t sent_us; /* of the segment sent last among those that have arrived */
    uint32_t end;
    uint32_t rtt_us;
    bool reordering;  /* has been seen */
    uint8_t windows;  /* the reordering window, in quarters of the shortest round trip */
    uint8_t calm;     /* recoveries since the peer last got something twice */
    uint32_t lost_us; /* when what was lost last had been sent */
    uint32_t lost_end;
    bool lost_resent; /* and not for the first time */
};

/* What an acknowledgment brought; rtt has its sample already. */
void rack_update(struct rack *rack, const struct flight_sample *sample, const struct rtt *rtt,
                 uint32_t now_us);
/* A retransmission was needless: wait longer for reordered segments from now on. */
void rack_widen(struct rack *rack);
/* A recovery is over; after some without needless retransmissions the window is as at first. */
void rack_recovered(struct rack *rack);
/*
 * Marks what is lost by now, and returns how many bytes that are. *wait_us is how long until more
 * may be; 0 = there is nothing to wait for.
 */
uint32_t rack_detect(struct rack *rack, struct flight *flight, const struct rtt *rtt,
                     bool recovering, uint32_t now_us, uint32_t *wait_us);

#endif
