/*
 * dupack: what the acknowledgments of a peer without SACK tell the scoreboard.
 *
 * A duplicate acknowledgment (RFC 5681, 2) says that one more segment has arrived behind the one
 * that is missing, and not which. Here the oldest that may be it is taken for it, so that the
 * number of those that have arrived is right, and with it all that is counted in bytes: NewReno's
 * inflation of the window, and its deflation by a partial acknowledgment (RFC 6582, 3.2). Of what
 * is missing only the oldest segment is known, so that only this is ever sent again (struct rack,
 * oldest_only).
 */
#ifndef MANYTUN_ENGINE_STACK_DUPACK_H
#define MANYTUN_ENGINE_STACK_DUPACK_H

#include "engine/stack/flight.h"

#include <stdbool.h>
#include <stdint.h>

struct pbuf;
struct tcp_pcb;

/*
 * Whether a segment for this pcb, whose header p begins with, is one: nothing but the number that
 * was acknowledged last, and the same window.
 */
bool dupack_is_one(const struct tcp_pcb *pcb, const struct pbuf *p);
/* The segment that it is taken to report, as a SACK block. False: there is none that it may be. */
bool dupack_block(const struct flight *flight, uint32_t now_us, struct sack_block *block);
/*
 * After a cumulative acknowledgment: what is the oldest now has not arrived. If it was taken to
 * have, another has.
 */
void dupack_acked(struct flight *flight, uint32_t now_us);

#endif
