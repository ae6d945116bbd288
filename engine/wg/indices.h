/*
 * indices: the 32-bit numbers by which a remote peer addresses a handshake or a session of ours
 * (section 5.4). They are random, so that they tell nothing and cannot be guessed.
 */
#ifndef MANYTUN_ENGINE_WG_INDICES_H
#define MANYTUN_ENGINE_WG_INDICES_H

#include "engine/wg/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wg_peer;

/* What an index stands for; says what the entry is embedded in. */
enum index_kind {
    INDEX_NONE, /* in no table */
    INDEX_HANDSHAKE,
    INDEX_KEYPAIR,
};

/* Embedded in a handshake or a keypair. Zero-initialised = has no index. */
struct index_entry {
    struct table_node node; /* its hash is the index */
    enum index_kind kind;
    struct wg_peer *peer;
};

struct indices {
    struct table table;
    void (*random)(void *ctx, void *out, size_t len);
    void *random_ctx;
};

void indices_init(struct indices *indices, void (*random)(void *ctx, void *out, size_t len),
                  void *random_ctx);
void indices_fini(struct indices *indices);
/* Makes room for count entries in all. 0 or -ENOMEM. */
int indices_reserve(struct indices *indices, size_t count);
/* Gives an entry (that has none) a fresh random index, for room that was reserved. */
void indices_insert(struct indices *indices, struct index_entry *entry, enum index_kind kind,
                    struct wg_peer *peer);
/* Hands the index of a handshake to the keypair that it led to. */
void indices_inherit(struct indices *indices, struct index_entry *from, struct index_entry *to);
/* Gives up an entry's index; does nothing when it has none. */
void indices_remove(struct indices *indices, struct index_entry *entry);
/* The entry with this index, or NULL. */
struct index_entry *indices_find(const struct indices *indices, uint32_t value);

static inline uint32_t index_value(const struct index_entry *entry)
{
    return entry->node.hash;
}

#endif
