/*
 * conntable: from a flow (addresses and ports) to what is known about it. O(1), grows with its
 * contents, keyed with a secret so that nobody can aim for one bucket.
 */
#ifndef MANYTUN_ENGINE_STACK_CONNTABLE_H
#define MANYTUN_ENGINE_STACK_CONNTABLE_H

#include "engine/stack/packet.h"

#include <sodium.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in the element; the caller sets flow before inserting. */
struct conntable_node {
    struct flow flow;
    uint64_t hash;
    struct conntable_node *next; /* in the bucket */
};

struct conntable_bucket {
    struct conntable_node *first;
};

struct conntable {
    struct conntable_bucket *buckets;
    size_t buckets_count; /* a power of two */
    size_t count;
    uint8_t key[crypto_shorthash_KEYBYTES];
};

/* 0 or -ENOMEM. */
int conntable_init(struct conntable *table);
/* The table must be empty: it does not own its elements. */
void conntable_fini(struct conntable *table);
struct conntable_node *conntable_find(const struct conntable *table, const struct flow *flow);
/* The flow must not be in the table yet. Never fails: without memory the buckets get longer. */
void conntable_insert(struct conntable *table, struct conntable_node *node);
void conntable_remove(struct conntable *table, struct conntable_node *node);

#endif
