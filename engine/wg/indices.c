/*
 * indices: a table keyed by the index itself, which is uniformly random.
 */
#include "engine/wg/indices.h"

#include "engine/wg/container.h"

void indices_init(struct indices *indices, void (*random)(void *ctx, void *out, size_t len),
                  void *random_ctx)
{
    *indices = (struct indices){.random = random, .random_ctx = random_ctx};
}

void indices_fini(struct indices *indices)
{
    table_fini(&indices->table);
}

int indices_reserve(struct indices *indices, size_t count)
{
    return table_reserve(&indices->table, count);
}

void indices_insert(struct indices *indices, struct index_entry *entry, enum index_kind kind,
                    struct wg_peer *peer)
{
    uint32_t value;
    do
        indices->random(indices->random_ctx, &value, sizeof(value));
    while (indices_find(indices, value));
    entry->kind = kind;
    entry->peer = peer;
    table_insert(&indices->table, &entry->node, value);
}

void indices_inherit(struct indices *indices, struct index_entry *from, struct index_entry *to)
{
    uint32_t value = index_value(from);
    indices_remove(indices, from);
    to->kind = INDEX_KEYPAIR;
    to->peer = from->peer;
    table_insert(&indices->table, &to->node, value);
}

void indices_remove(struct indices *indices, struct index_entry *entry)
{
    if (entry->kind == INDEX_NONE)
        return;
    table_remove(&indices->table, &entry->node);
    entry->kind = INDEX_NONE;
}

struct index_entry *indices_find(const struct indices *indices, uint32_t value)
{
    struct table_node *node = table_first(&indices->table, value);
    return node ? container_of(node, struct index_entry, node) : NULL;
}
