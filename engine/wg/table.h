/*
 * table: an intrusive hash table: the caller embeds a node, hashes, and compares; the table owns
 * its array of buckets. Room is made beforehand, so that inserting cannot fail.
 */
#ifndef MANYTUN_ENGINE_WG_TABLE_H
#define MANYTUN_ENGINE_WG_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_node {
    struct table_node *next; /* in the bucket */
    uint32_t hash;
};

/* Zero-initialised = empty, without room. */
struct table {
    struct table_node **buckets;
    size_t buckets_count; /* a power of two, or 0 */
    size_t count;
};

/* Frees the buckets, not the elements. */
void table_fini(struct table *table);
/* Makes room for count elements in all, with short chains. 0 or -ENOMEM. */
int table_reserve(struct table *table, size_t count);
/* Inserts a node that is in no table. Some room must have been reserved. */
void table_insert(struct table *table, struct table_node *node, uint32_t hash);
/* Takes out a node that is in the table. */
void table_remove(struct table *table, struct table_node *node);
/* The elements with this hash: the first, or NULL, and the one after node, or NULL. */
struct table_node *table_first(const struct table *table, uint32_t hash);
struct table_node *table_next(const struct table_node *node);

#endif
