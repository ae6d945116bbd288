/*
 * table: chains in buckets; the array doubles as room is reserved and never shrinks.
 */
#include "engine/wg/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 8

static struct table_node **bucket_of(const struct table *table, uint32_t hash)
{
    return &table->buckets[hash & (table->buckets_count - 1)];
}

void table_fini(struct table *table)
{
    free(table->buckets);
    memset(table, 0, sizeof(*table));
}

int table_reserve(struct table *table, size_t count)
{
    size_t buckets_count = table->buckets_count ? table->buckets_count : BUCKETS_MIN;
    while (buckets_count < count)
        buckets_count *= 2;
    if (buckets_count == table->buckets_count)
        return 0;
    struct table old = *table;
    struct table_node **buckets = calloc(buckets_count, sizeof(struct table_node *));
    if (!buckets)
        return -ENOMEM;
    table->buckets = buckets;
    table->buckets_count = buckets_count;
    table->count = 0;
    for (size_t i = 0; i < old.buckets_count; i++) {
        struct table_node *next;
        for (struct table_node *node = old.buckets[i]; node; node = next) {
            next = node->next;
            table_insert(table, node, node->hash);
        }
    }
    free(old.buckets);
    return 0;
}

void table_insert(struct table *table, struct table_node *node, uint32_t hash)
{
    struct table_node **bucket = bucket_of(table, hash);
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    table->count++;
}

void table_remove(struct table *table, struct table_node *node)
{
    struct table_node **link = bucket_of(table, node->hash);
    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    table->count--;
}

/* The first node of this hash in the rest of a chain. */
static struct table_node *chain_find(struct table_node *node, uint32_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct table_node *table_first(const struct table *table, uint32_t hash)
{
    return table->buckets_count ? chain_find(*bucket_of(table, hash), hash) : NULL;
}

struct table_node *table_next(const struct table_node *node)
{
    return chain_find(node->next, node->hash);
}
