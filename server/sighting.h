/*
 * sighting: where and when a peer was seen last, and how new its newest initiation was: what a
 * worker has to know of a peer beside its definition. It is kept across a restart of the service:
 *
 *   - no initiation is taken that is not later than the newest one (section 5.1 of the protocol
 *     paper): a recorded one that is sent again makes no handshake, and does not move the peer;
 *   - a peer without an endpoint is called where it was last. One with an endpoint is, too, as long
 *     as there may be a session from before; later its definition is the better guess.
 *
 * They are stored with the totals, every SERVICE_TOTALS_MS: a crash of the service loses what is
 * newer, so that an initiation of that time could be sent again once. A timestamp that is far in
 * the future is not gone by: a peer whose clock was wrong is not locked out for ever. But it stays
 * stored until there is another, as it may be our clock that is wrong: before it is set after a
 * boot, all timestamps are of the future.
 *
 * Plain values, judged without clock and state.
 */
#ifndef MANYTUN_SERVER_SIGHTING_H
#define MANYTUN_SERVER_SIGHTING_H

#include "base/counters.h"
#include "base/inet.h"

#include <stdbool.h>
#include <stdint.h>

/* How old a handshake may be for a peer that has an endpoint to be looked for where it was. */
#define SIGHTING_FRESH_SECONDS 180
/* How far a timestamp may be ahead of our clock to be gone by. */
#define SIGHTING_AHEAD_SECONDS 3600

struct sighting {
    union inet_sockaddr endpoint;              /* AF_UNSPEC = nowhere */
    uint64_t heard_unix_ns;                    /* the last handshake; 0 = never */
    uint8_t timestamp[COUNTERS_TIMESTAMP_LEN]; /* TAI64N; zeros = none was taken */
};

/* What a worker has seen; counters may be NULL: nothing. */
void sighting_read(struct sighting *sighting, const struct counters_peer *counters);
/* Gives it the timestamp of the one before, if it has none: as long as no other was taken. */
void sighting_keep_timestamp(struct sighting *sighting, const struct sighting *before);
bool sighting_equal(const struct sighting *a, const struct sighting *b);
/* Whether there is nothing to keep. */
bool sighting_is_empty(const struct sighting *sighting);
/*
 * Takes out of a sighting of an earlier run what is not to be gone by: is_defined tells whether the
 * definition has an endpoint.
 */
void sighting_filter(struct sighting *sighting, bool is_defined, uint64_t now_unix_ns);

#endif
