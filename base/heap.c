/*
 * heap: owns the array of pointers to the elements and keeps each element's position in it.
 *
 * Position p (1-based) has its parent at p / 2 and its children at 2p and 2p + 1; no element has a
 * smaller key than its parent.
 */
#include "base/heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEAP_CAPACITY_MIN 16

static struct heap_node *node_at(const struct heap *heap, size_t position)
{
    return heap->nodes[position - 1];
}

static void node_place(struct heap *heap, struct heap_node *node, size_t position)
{
    heap->nodes[position - 1] = node;
    node->position = position;
}

/* Moves node up from position until its parent is not larger. */
static void sift_up(struct heap *heap, struct heap_node *node, size_t position)
{
    while (position > 1 && node_at(heap, position / 2)->key > node->key) {
        node_place(heap, node_at(heap, position / 2), position);
        position /= 2;
    }
    node_place(heap, node, position);
}

/* Moves node down from position until no child is smaller. */
static void sift_down(struct heap *heap, struct heap_node *node, size_t position)
{
    for (;;) {
        size_t child = position * 2;
        if (child > heap->count)
            break;
        if (child < heap->count && node_at(heap, child + 1)->key < node_at(heap, child)->key)
            child++;
        if (node_at(heap, child)->key >= node->key)
            break;
        node_place(heap, node_at(heap, child), position);
        position = child;
    }
    node_place(heap, node, position);
}

/* Puts node at position, or where its key belongs from there. */
static void sift(struct heap *heap, struct heap_node *node, size_t position)
{
    if (position > 1 && node_at(heap, position / 2)->key > node->key)
        sift_up(heap, node, position);
    else
        sift_down(heap, node, position);
}

void heap_fini(struct heap *heap)
{
    for (size_t i = 0; i < heap->count; i++)
        heap->nodes[i]->position = 0;
    free(heap->nodes);
    memset(heap, 0, sizeof(*heap));
}

int heap_reserve(struct heap *heap, size_t count)
{
    if (count > SIZE_MAX / 2 / sizeof(struct heap_node *) - heap->count)
        return -ENOMEM;
    size_t need = heap->count + count;
    if (need <= heap->capacity)
        return 0;
    size_t capacity = heap->capacity ? heap->capacity : HEAP_CAPACITY_MIN;
    while (capacity < need)
        capacity *= 2;
    struct heap_node **nodes = realloc(heap->nodes, capacity * sizeof(struct heap_node *));
    if (!nodes)
        return -ENOMEM;
    heap->nodes = nodes;
    heap->capacity = capacity;
    return 0;
}

void heap_set(struct heap *heap, struct heap_node *node, uint64_t key)
{
    node->key = key;
    if (node->position) {
        sift(heap, node, node->position);
        return;
    }
    assert(heap->count < heap->capacity);
    heap->count++;
    sift_up(heap, node, heap->count);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (!node->position)
        return;
    size_t hole = node->position;
    node->position = 0;
    struct heap_node *last = node_at(heap, heap->count);
    heap->count--;
    if (last != node)
        sift(heap, last, hole);
}

struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count ? heap->nodes[0] : NULL;
}
