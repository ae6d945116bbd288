/*
 * conntable: chained buckets, doubled when there are more elements than buckets. The hash is kept
 * with the element, so that growing does not compute it again.
 */
#include "engine/stack/conntable.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 16

static uint64_t hash_flow(const struct conntable *table, const struct flow *flow)
{
    uint64_t hash;

    static_assert(sizeof(hash) == crypto_shorthash_BYTES, "a hash is 64 bits");
    static_assert(sizeof(struct flow) == 40, "a flow has no padding of its own");
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)flow, sizeof(*flow), table->key);
    return hash;
}

static struct conntable_bucket *find_bucket(const struct conntable *table, uint64_t hash)
{
    return &table->buckets[hash & (table->buckets_count - 1)];
}

int conntable_init(struct conntable *table)
{
    table->buckets = calloc(BUCKETS_MIN, sizeof(*table->buckets));
    if (table->buckets == NULL)
        return -ENOMEM;
    table->buckets_count = BUCKETS_MIN;
    table->count = 0;
    crypto_shorthash_keygen(table->key);
    return 0;
}

void conntable_fini(struct conntable *table)
{
    free(table->buckets);
    sodium_memzero(table, sizeof(*table));
}

struct conntable_node *conntable_find(const struct conntable *table, const struct flow *flow)
{
    uint64_t hash = hash_flow(table, flow);
    struct conntable_node *node = find_bucket(table, hash)->first;

    while (node != NULL && (node->hash != hash || memcmp(&node->flow, flow, sizeof(*flow)) != 0))
        node = node->next;
    return node;
}

static void link_node(struct conntable *table, struct conntable_node *node)
{
    struct conntable_bucket *bucket = find_bucket(table, node->hash);

    node->next = bucket->first;
    bucket->first = node;
}

static void grow(struct conntable *table)
{
    struct conntable_bucket *old = table->buckets;
    size_t old_count = table->buckets_count;
    struct conntable_bucket *buckets = calloc(old_count * 2, sizeof(*buckets));

    if (buckets == NULL)
        return;
    table->buckets = buckets;
    table->buckets_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        struct conntable_node *next;

        for (struct conntable_node *node = old[i].first; node != NULL; node = next) {
            next = node->next;
            link_node(table, node);
        }
    }
    free(old);
}

void conntable_insert(struct conntable *table, struct conntable_node *node)
{
    if (table->count >= table->buckets_count)
        grow(table);
    node->hash = hash_flow(table, &node->flow);
    link_node(table, node);
    table->count++;
}

void conntable_remove(struct conntable *table, struct conntable_node *node)
{
    struct conntable_node **link = &find_bucket(table, node->hash)->first;

    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    node->next = NULL;
    table->count--;
}
