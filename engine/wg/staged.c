/*
 * staged: owns the copies, in a singly linked list.
 */
#include "engine/wg/staged.h"

#include "engine/wg/messages.h"

#include <stdlib.h>

size_t staged_push(struct staged *staged, const struct iovec *pieces, int count, size_t len)
{
    struct staged_packet *packet = malloc(sizeof(*packet) + len);
    if (!packet)
        return 1;
    packet->next = NULL;
    packet->len = 0;
    for (int i = 0; i < count; i++) {
        memcpy(packet->data + packet->len, pieces[i].iov_base, pieces[i].iov_len);
        packet->len += pieces[i].iov_len;
    }
    size_t lost = 0;
    if (staged->count == WG_STAGED_MAX) {
        staged_pop(staged);
        lost = 1;
    }
    if (staged->last)
        staged->last->next = packet;
    else
        staged->first = packet;
    staged->last = packet;
    staged->count++;
    return lost;
}

void staged_pop(struct staged *staged)
{
    struct staged_packet *packet = staged->first;
    staged->first = packet->next;
    if (!staged->first)
        staged->last = NULL;
    staged->count--;
    free(packet);
}

size_t staged_clear(struct staged *staged)
{
    size_t count = staged->count;
    while (staged->first)
        staged_pop(staged);
    return count;
}
