/*
 * counters: what a worker counts, in shared memory that control reads.
 *
 * One segment (memfd) per worker, made by control; it outlives the worker, so that totals go on
 * after a restart. Fixed slots, given out by control; one writer (the worker), any readers. Each
 * value is one aligned 64-bit word, read and written whole; values need not agree with each other.
 */
#ifndef MANYTUN_BASE_COUNTERS_H
#define MANYTUN_BASE_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

union inet_sockaddr;

#define COUNTERS_TUNNELS_MAX  4096  /* per worker */
#define COUNTERS_FORWARDS_MAX 16384 /* per worker */
#define COUNTERS_PEERS_MAX    32768 /* per worker; peers beyond that count for their tunnel only */

#define COUNTERS_DROP_REASONS  24
#define COUNTERS_STACK_REASONS 8
#define COUNTERS_STACK_LIMITS  16
#define COUNTERS_SEEN_WORDS    5

typedef _Atomic uint64_t counter;

struct counters_tunnel {
    counter rx_bytes, tx_bytes; /* outer UDP payload, all peers */
    counter rx_packets, tx_packets;
    counter handshakes;               /* sessions derived */
    counter last_handshake_unix_ns;   /* newest of all peers; 0 = never */
    counter latest_timestamp_unix_ns; /* of the initiations that were sent; 0 = there were none */
    counter dropped_in;               /* packets refused on the way in, all reasons */
    counter dropped_out;
    counter connections;       /* gauge: virtual TCP connections, TIME_WAIT included */
    counter staged_packets;    /* gauge: wait for a session */
    counter queued_handshakes; /* gauge: handshake messages that wait to be worked off */
};

struct counters_forward {
    counter connections_active; /* gauge */
    counter connections_total;  /* accepted */
    counter connect_failures;   /* dials through the tunnel that failed */
    counter bytes_in;           /* from the target to the client */
    counter bytes_out;          /* from the client to the target */
    counter last_error;         /* errno of the last failed dial; 0 = none */
    counter last_error_unix_ns;
    /* On the clock that never goes back (clock.h): the last dial that failed, that succeeded. */
    counter last_error_at;   /* 0 = none */
    counter last_connect_at; /* 0 = none */
};

struct counters_peer {
    counter rx_bytes, tx_bytes; /* outer UDP payload */
    counter handshakes;
    counter handshakes_given_up;    /* series of initiations without an answer */
    counter unanswered;             /* gauge: initiations since the last handshake */
    counter last_handshake_unix_ns; /* 0 = never */
    counter last_handshake_at;      /* the same on the clock that never goes back (clock.h) */
    /* Where the peer is, and the newest of its initiations: counters_set_endpoint(), …_timestamp().
     */
    counter seen_version;                 /* its lowest bit says which of the two is the present */
    counter seen[2][COUNTERS_SEEN_WORDS]; /* address; zone, family and port; timestamp */
};

struct counters_worker {
    counter accept_paused;  /* times a listener was paused for lack of descriptors or at a limit */
    counter udp_tx_blocked; /* times the outer socket's send buffer was full */
    counter udp_tx_errors;
    counter dropped[COUNTERS_DROP_REASONS]; /* packets of all tunnels, by enum wg_drop */
    counter
        stack_dropped[COUNTERS_STACK_REASONS];   /* inner ones of all stacks, by enum stack_drop */
    counter stack_limits[COUNTERS_STACK_LIMITS]; /* of all stacks, by enum stack_limit */
    counter stack_out_of_memory; /* times one operation of a stack failed for want of memory */
    counter captured;            /* inner packets that were copied for a capture */
    counter capture_dropped;     /* those that were not: the reader was too slow */
};

struct counters {
    struct counters_worker worker;
    struct counters_tunnel tunnels[COUNTERS_TUNNELS_MAX];
    struct counters_forward forwards[COUNTERS_FORWARDS_MAX];
    struct counters_peer peers[COUNTERS_PEERS_MAX];
};

static inline void counter_add(counter *c, uint64_t n)
{
    /* One writer: a plain load and store is enough, and cheaper than a locked add. */
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void counter_set(counter *c, uint64_t value)
{
    atomic_store_explicit(c, value, memory_order_relaxed);
}

static inline uint64_t counter_get(const counter *c)
{
    return atomic_load_explicit((counter *)c, memory_order_relaxed);
}

/* TAI64N, as peers send it. */
#define COUNTERS_TIMESTAMP_LEN 12

/*
 * The values of several words: written if they differ, each read as a whole, also after a writer
 * that died while it wrote: then what it had written before. Before the worker is told of a slot
 * they may be written here, for it to go on from.
 */
void counters_set_endpoint(struct counters_peer *peer, const union inet_sockaddr *endpoint);
void counters_set_timestamp(struct counters_peer *peer,
                            const uint8_t timestamp[COUNTERS_TIMESTAMP_LEN]);
/* False when it is unknown, or when the writer was quicker time and again. */
bool counters_get_endpoint(const struct counters_peer *peer, union inet_sockaddr *out);
bool counters_get_timestamp(const struct counters_peer *peer, uint8_t out[COUNTERS_TIMESTAMP_LEN]);

/* Makes a segment; returns its descriptor (close-on-exec) or -errno. */
int counters_create(void);
/* Maps a segment; NULL with errno set. counters_unmap() accepts NULL. */
struct counters *counters_map(int fd);
void counters_unmap(struct counters *counters);

#endif
