/*
 * flight: what a connection has sent and its peer has not acknowledged yet: the sender's scoreboard
 * (RFC 6675) and the stamps of delivery-rate estimation
 * (draft-cheng-iccrg-delivery-rate-estimation, section 3).
 *
 * It has one record per segment, in the order of sequence numbers, in a ring that grows with the
 * window; those on the way are also linked in the order in which they were sent. What is done per
 * acknowledgment is proportional to what that tells of news, and not to what is in flight.
 *
 * It knows nothing of lwIP: it is told what was sent and what the peer reports, and tells what that
 * means. Times are microseconds and counts of bytes are modulo 2^32: both are only compared within
 * a window.
 */
#ifndef MANYTUN_ENGINE_STACK_FLIGHT_H
#define MANYTUN_ENGINE_STACK_FLIGHT_H

#include "engine/stack/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * More records than the longest queue (TCP_SND_BUF) makes pieces (flight_piece()) at the smallest
 * MTU: a bound, not a limit that is met.
 */
#define FLIGHT_RECORDS_MAX 65536

enum flight_marks {
    FLIGHT_ARRIVED = 1 << 0, /* reported by SACK */
    FLIGHT_LOST = 1 << 1,    /* to be sent again */
    FLIGHT_RESENT = 1 << 2,  /* sent more than once */
    FLIGHT_APP_LIMITED = 1 << 3,
    FLIGHT_COUNTED = 1 << 4, /* in struct flight's delivered, by a report that is not believed */
};

struct flight_record {
    void *segment; /* the owner's */
    uint32_t seq;
    uint16_t len;          /* SYN and FIN count */
    uint8_t marks;         /* enum flight_marks */
    uint32_t older;        /* those sent before and after it, while it is on the way: places in */
    uint32_t newer;        /* the ring, from 1; 0 = none. Arrived: newer is one behind it that has
                              arrived with all between them */
    uint32_t sent_us;      /* the last time */
    uint32_t delivered;    /* struct flight's, when it was sent */
    uint32_t delivered_us; /* likewise */
    uint32_t first_sent_us;
};

/* Embedded in a connection; all zero is valid and empty. */
struct flight {
    struct flight_record *records;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t head;     /* index of the oldest */
    uint32_t count;
    uint32_t oldest; /* on the way, as flight_record.older */
    uint32_t newest;

    uint32_t pipe;    /* bytes believed to be on the way: neither arrived nor lost */
    uint32_t arrived; /* bytes reported by SACK */
    uint32_t lost;    /* bytes to be sent again */
    uint32_t arrived_count;
    uint32_t highest;   /* one behind the last byte that is known to have arrived */
    uint32_t lost_from; /* nothing before this is lost */

    uint32_t delivered;     /* bytes that have arrived, ever */
    uint32_t delivered_us;  /* when that last grew */
    uint32_t first_sent_us; /* when the segment that was delivered last had been sent */
    uint32_t min_rtt_us;    /* the shortest round trip, which the owner sets; 0 = unknown */
    uint32_t app_limited;   /* until so many are delivered rates tell of the writer; 0 = not */
};

/* What one acknowledgment brought. */
struct flight_sample {
    uint32_t delivered;  /* bytes that are now known to have arrived */
    uint32_t prior_pipe; /* before */
    uint32_t rtt_us;     /* of the newest segment that was sent only once; 0 = none that tells */
    bool once;           /* a segment that was sent only once has arrived */
    bool again;          /* and one that was sent more often */
    uint32_t needless;   /* retransmissions that cannot have been what arrived: it was too soon */
    bool advanced;       /* more is acknowledged cumulatively */
    bool reordered;      /* a segment that was sent once arrived behind later ones */
    bool duplicate;      /* the peer got something twice (D-SACK, RFC 2883) */
    uint32_t twice;      /* up to there */

    /* The newest segment of them all, if any was delivered. */
    uint32_t sent_us;
    uint32_t end;
    bool resent;
    /* The bytes between prior_delivered and now were delivered in interval_us. */
    uint32_t prior_delivered;
    uint32_t interval_us;
    bool app_limited;
};

void flight_fini(struct flight *flight);

/* Makes room for one more segment. 0 or -ENOMEM. */
int flight_reserve(struct flight *flight);
/*
 * A segment was sent, for the first time or again. Needs the room that flight_reserve() makes.
 * Returns true when it had been sent before.
 */
bool flight_sent(struct flight *flight, uint32_t seq, uint32_t len, uint32_t now_us);
/* Everything before ack and inside the blocks has arrived. */
void flight_acked(struct flight *flight, uint32_t ack, const struct sack_block *blocks, int count,
                  uint32_t now_us, struct flight_sample *sample);
/* The record, which was on the way, has arrived; no rate or round trip is learnt from that. */
void flight_arrived(struct flight *flight, struct flight_record *record);
/* What the peer has reported of the record is not believed: it is on the way again. */
void flight_missing(struct flight *flight, struct flight_record *record);
/* What was taken for lost is on the way after all. */
void flight_found(struct flight *flight);
/* The record is to be sent again. */
void flight_lose(struct flight *flight, struct flight_record *record);
/* The first record that is to be sent again, and its index; NULL = none. */
struct flight_record *flight_first_lost(struct flight *flight, uint32_t *index);
/*
 * The retransmission timer ran out: all that has not arrived is lost, but what was sent again just
 * now. forget: what the peer has reported is not believed any longer (RFC 2018, 8).
 */
void flight_lose_all(struct flight *flight, bool forget, uint32_t now_us);
/*
 * What is longer than len_max is lost, and is sent again in pieces (flight_piece()). 0, or -ENOMEM
 * and nothing has changed.
 */
int flight_lose_long(struct flight *flight, uint32_t len_max);
/* The writer leaves the path unused: rates until here tell of the writer. */
void flight_app_limited(struct flight *flight);

static inline struct flight_record *flight_at(const struct flight *flight, uint32_t index)
{
    return &flight->records[(flight->head + index) & (flight->capacity - 1)];
}

/* The record on the way that was sent first, and the one sent after record; NULL = none. */
static inline struct flight_record *flight_oldest(const struct flight *flight)
{
    return flight->oldest != 0 ? &flight->records[flight->oldest - 1] : NULL;
}

static inline struct flight_record *flight_newer(const struct flight *flight,
                                                 const struct flight_record *record)
{
    return record->newer != 0 ? &flight->records[record->newer - 1] : NULL;
}

static inline uint32_t flight_end(const struct flight_record *record)
{
    return record->seq + record->len;
}

/*
 * The length of the first of as few pieces as len bytes make of len_max: even ones. A limit that
 * goes down step by step then leaves no crumbs, and however low it ends there are never more than
 * twice as many pieces as it asks for.
 */
static inline uint32_t flight_piece(uint32_t len, uint32_t len_max)
{
    uint32_t count = len > len_max ? (len + len_max - 1) / len_max : 1;

    return (len + count - 1) / count;
}

/* a is later than b, or beyond it; modulo 2^32. */
static inline bool flight_after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

#endif
