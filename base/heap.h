/*
 * heap: a binary min-heap of deadlines, with the position kept in the element, so that moving or
 * removing a known element is O(log n). The elements are the caller's; the heap owns its array.
 */
#ifndef MANYTUN_BASE_HEAP_H
#define MANYTUN_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in the caller's object. Zero-initialised = in no heap. */
struct heap_node {
    uint64_t key;    /* the deadline; smallest first */
    size_t position; /* 1-based index in the array, 0 = not in a heap */
};

struct heap {
    struct heap_node **nodes;
    size_t count;
    size_t capacity;
};

/* A zeroed struct heap is valid and empty. Frees the array, not the elements. */
void heap_fini(struct heap *heap);
/*
 * Makes room for count elements more than the heap holds now, so that inserting them cannot fail.
 * 0 or -ENOMEM.
 */
int heap_reserve(struct heap *heap, size_t count);
/*
 * Inserts node with key, or moves it there. Inserting needs room that was reserved; moving needs
 * none.
 */
void heap_set(struct heap *heap, struct heap_node *node, uint64_t key);
/* Takes node out; does nothing when it is in no heap. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* The element with the smallest key, or NULL. */
struct heap_node *heap_first(const struct heap *heap);

#endif
