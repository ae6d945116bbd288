/*
 * retired_counts: what the workers of a program that was taken over from still count for forwards,
 * in the shared memory that they had from the start. The older program says, for each forward of a
 * worker, where its counters are in that memory and what of them is in the store already; the newer
 * one adds what has come since.
 *
 * Only forwards: a tunnel's traffic goes through the newer worker, which counts it.
 */
#ifndef MANYTUN_SERVER_RETIRED_COUNTS_H
#define MANYTUN_SERVER_RETIRED_COUNTS_H

#include "base/counters.h"
#include "base/spec.h"
#include "server/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* The order of struct forward_totals. */
enum { RETIRED_VALUES = 4 };

/* How a file of them looks, which goes from one version to another: it stays as it is. */
struct retired_record {
    char forward[SPEC_NAME_MAX + 1];
    uint64_t offsets[RETIRED_VALUES]; /* of 64-bit words in the shared memory */
    uint64_t counted[RETIRED_VALUES]; /* what they were when they were stored; modulo 2^64 */
};

/* The part of one forward. */
struct retired_share {
    SLIST_ENTRY(retired_share) link; /* of the forward's */
    struct service_forward *forward; /* NULL = there is none any more */
    struct retired_record record;
};

struct retired_counts;

/*
 * Reads and checks what was offered; both descriptors stay the caller's. 0, -EPROTO (not of that
 * form), -ENOMEM or -errno.
 */
int retired_counts_new(int records, int segment, struct retired_counts **out);
/* Adds what they count to what their forwards have counted before. NULL is allowed. */
void retired_counts_free(struct retired_counts *counts);

size_t retired_counts_size(const struct retired_counts *counts);
struct retired_share *retired_counts_at(struct retired_counts *counts, size_t index);
/* The shared memory, to be offered on; borrowed. */
int retired_counts_segment(const struct retired_counts *counts);

/* Adds what a forward's shares have counted beyond what was stored. */
void retired_shares_add(const struct service_forward *forward, struct forward_totals *totals);
/* Makes what they have counted so far a part of what the forward had counted before. */
void retired_shares_settle(struct service_forward *forward);
/* The forward is about to be freed. */
void retired_shares_forget(struct service_forward *forward);

/* A file of records; a descriptor, or -errno. */
int retired_records_write(const struct retired_record *records, size_t count);

#endif
