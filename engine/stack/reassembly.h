/*
 * reassembly: the data of a connection that has arrived behind a hole.
 *
 * It is kept in ranges without holes, in the order of sequence numbers. One more segment is found
 * its place by halving and put at an end of a range, so what that costs does not depend on how much
 * is kept; only a new hole in the middle moves ranges, of which there are few. And it is kept to
 * the end: what selective acknowledgments (RFC 2018) have reported is not dropped again, but with
 * the connection.
 *
 * Memory is bounded by the receive window, of which the owner tells, and by the number of ranges.
 * Sequence numbers are modulo 2^32: all that is kept lies within a window.
 */
#ifndef MANYTUN_ENGINE_STACK_REASSEMBLY_H
#define MANYTUN_ENGINE_STACK_REASSEMBLY_H

#include "engine/stack/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pbuf;

/* A segment that would make one hole more is dropped: the peer sends it again. */
#define REASSEMBLY_RANGES_MAX 2048
/* What a piece costs beside its bytes, so that tiny ones do not take more memory than is due. */
#define REASSEMBLY_PIECE_COST 128

struct reassembly_range {
    uint32_t left;
    uint32_t right;     /* one behind the range */
    struct pbuf *first; /* linked by next; tot_len means nothing */
    struct pbuf *last;
};

/* Embedded in a connection; all zero is valid and empty. */
struct reassembly {
    struct reassembly_range *ranges; /* in order, and none touches the next */
    uint32_t count;
    uint32_t capacity;
    size_t cost;                      /* bytes, and REASSEMBLY_PIECE_COST for each piece */
    uint32_t recent[PACKET_SACK_MAX]; /* in what was received last, each in another range */
    int recent_count;
    bool has_end;
    uint32_t end; /* of the stream */
};

static inline bool reassembly_is_empty(const struct reassembly *reassembly)
{
    return reassembly->count == 0 && !reassembly->has_end;
}

void reassembly_clear(struct reassembly *reassembly);
/*
 * Copies what is new of the segment, as long as the cost does not exceed cost_max. 0, or -ENOBUFS
 * or -ENOMEM: not all of it was kept.
 */
int reassembly_add(struct reassembly *reassembly, uint32_t seq, const uint8_t *data, size_t len,
                   size_t cost_max);
/* The stream ends there: that sequence number is the FIN's. */
void reassembly_add_end(struct reassembly *reassembly, uint32_t seq);
/*
 * Everything before next has been received by now. Returns what follows there: a chain of pbufs
 * with at most max bytes (at least a whole piece), which is the caller's; NULL: a hole.
 */
struct pbuf *reassembly_take(struct reassembly *reassembly, uint32_t next, size_t max);
/* The stream ends at next. */
bool reassembly_ends_at(const struct reassembly *reassembly, uint32_t next);
/* The ranges that were added to last, the latest first (RFC 2018, 4); returns how many. */
int reassembly_blocks(const struct reassembly *reassembly, struct sack_block *blocks, int max);

#endif
