/*
 * staged: owns the copies, in a singly linked list, and the process-wide sum of their bytes.
 */
#include "engine/wg/staged.h"

#include "engine/wg/messages.h"

#include <stdlib.h>

static size_t bytes_total;

static size_t packet_bytes(size_t len)
{
    return sizeof(struct staged_packet) + len;
}

void staged_init(struct staged *staged, size_t *total)
{
    *staged = (struct staged){.total = total};
}

/* How many bytes this queue may have: a share of what is left, or as many as it has already. */
static size_t bytes_allowed(const struct staged *staged)
{
    size_t share = (WG_STAGED_BYTES_MAX - bytes_total) / WG_STAGED_SHARE;
    return share > staged->bytes ? share : staged->bytes;
}

size_t staged_push(struct staged *staged, const struct iovec *pieces, int count, size_t len)
{
    const size_t bytes = packet_bytes(len);
    const size_t allowed = bytes_allowed(staged);
    struct staged_packet *packet = bytes <= allowed ? malloc(bytes) : NULL;
    if (!packet)
        return 1;
    packet->next = NULL;
    packet->len = 0;
    for (int i = 0; i < count; i++) {
        memcpy(packet->data + packet->len, pieces[i].iov_base, pieces[i].iov_len);
        packet->len += pieces[i].iov_len;
    }
    size_t lost = 0;
    while (staged->count == WG_STAGED_MAX || staged->bytes + bytes > allowed) {
        staged_pop(staged);
        lost++;
    }
    if (staged->last)
        staged->last->next = packet;
    else
        staged->first = packet;
    staged->last = packet;
    staged->count++;
    staged->bytes += bytes;
    bytes_total += bytes;
    (*staged->total)++;
    return lost;
}

void staged_pop(struct staged *staged)
{
    struct staged_packet *packet = staged->first;
    staged->first = packet->next;
    if (!staged->first)
        staged->last = NULL;
    staged->count--;
    staged->bytes -= packet_bytes(packet->len);
    bytes_total -= packet_bytes(packet->len);
    (*staged->total)--;
    free(packet);
}

size_t staged_clear(struct staged *staged)
{
    size_t count = staged->count;
    while (staged->first)
        staged_pop(staged);
    return count;
}
