/*
 * path: one direction of a bad network. It takes datagrams and gives them back later, in another
 * order, changed, more often, or not at all.
 *
 * Sans-I/O and deterministic: the same settings, seed, times and datagrams give the same result.
 * Times are monotonic nanoseconds.
 */
#ifndef MANYTUN_TESTS_RELAY_PATH_H
#define MANYTUN_TESTS_RELAY_PATH_H

#include "base/heap.h"
#include "tests/relay/capture.h"
#include "tests/relay/chance.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_NEVER       UINT64_MAX
#define PATH_PARCELS_MAX 65536 /* datagrams that are on the way; more are dropped */

/* What the path does. All zero: it hands on every datagram at once. Probabilities are 0 to 1. */
struct path_settings {
    double delay;  /* seconds */
    double jitter; /* seconds, at most, on top of the delay: reorders */
    double loss;
    double burst; /* mean length of a run of losses, in datagrams; up to 1: each by itself */
    double duplicate;
    double corrupt;  /* one bit is flipped */
    double truncate; /* to any shorter length */
    double replay;   /* with a datagram, an older one that was captured comes again */
    double rate;     /* of a bottleneck, bits of UDP payload per second; 0: none */
    double queue;    /* bytes that may wait for the bottleneck, which drops what comes then */
    double hold;     /* not 0: nothing leaves until it is 0 again */
};

enum path_counter {
    PATH_RECEIVED,
    PATH_FORWARDED, /* given back, with duplicates and replays */
    PATH_LOST,
    PATH_OVERFLOWED, /* the bottleneck's queue was full, or too many were on the way */
    PATH_DUPLICATED,
    PATH_CORRUPTED,
    PATH_TRUNCATED,
    PATH_REPLAYED,
    PATH_COUNTERS
};

/* A datagram on its way. */
struct parcel {
    struct heap_node node; /* key: when it leaves */
    unsigned flow;         /* whose it is: the caller's */
    size_t len;
    uint8_t data[];
};

struct path {
    struct path_settings settings; /* may be changed at any time; holds for what comes then */
    uint64_t counters[PATH_COUNTERS];
    struct capture capture; /* as they came in */
    struct chance chance;
    struct heap parcels;
    uint64_t bottleneck_free_at;
    uint64_t last_due; /* that was asked for, and how many parcels were due just then */
    uint64_t last_due_count;
    bool losing; /* in a burst */
};

/* A zeroed struct path is valid after this. path_fini() frees what is on the way. */
void path_init(struct path *path, uint64_t seed);
void path_fini(struct path *path);
/* A datagram comes in. */
void path_offer(struct path *path, uint64_t now, unsigned flow, const uint8_t *data, size_t len);
/* When path_take() has something; PATH_NEVER: nothing is on the way, or all of it is held. */
uint64_t path_deadline(const struct path *path);
/* The next datagram that has arrived by now, the caller's to free(); or NULL. */
struct parcel *path_take(struct path *path, uint64_t now);

#endif
