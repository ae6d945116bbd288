/*
 * handshake_queue: owns copies of messages, in a singly linked list; an idle device holds none.
 * And the count of those in all queues.
 */
#include "engine/wg/handshake_queue.h"

#include <errno.h>
#include <stdlib.h>

static size_t total;

int handshake_queue_push(struct handshake_queue *queue, const struct wg_endpoint *from,
                         const uint8_t *message, size_t len)
{
    if (queue->count == WG_HANDSHAKE_QUEUE_MAX)
        return -ENOBUFS;
    struct queued_handshake *entry = malloc(sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    entry->next = NULL;
    entry->from = *from;
    entry->len = len;
    memcpy(entry->message, message, len);
    if (queue->last)
        queue->last->next = entry;
    else
        queue->first = entry;
    queue->last = entry;
    queue->count++;
    total++;
    return 0;
}

struct queued_handshake *handshake_queue_pop(struct handshake_queue *queue)
{
    struct queued_handshake *entry = queue->first;
    if (!entry)
        return NULL;
    queue->first = entry->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    total--;
    return entry;
}

void handshake_queue_fini(struct handshake_queue *queue)
{
    struct queued_handshake *entry;
    while ((entry = handshake_queue_pop(queue)))
        free(entry);
}

size_t handshake_queue_total(void)
{
    return total;
}
