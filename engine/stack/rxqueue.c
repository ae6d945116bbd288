/*
 * rxqueue: a list through pbuf->next. A piece behind `kept` may be borrowed or small; keep() packs
 * those into chunks. Every pbuf here stands alone: next is the list's, tot_len equals len.
 */
#include "engine/stack/rxqueue.h"

#include <errno.h>
#include <lwip/pbuf.h>
#include <stdbool.h>
#include <string.h>

/* A chunk is as large as what has to be kept, within these. */
#define CHUNK_MIN 2048
#define CHUNK_MAX 32768

/* A piece of our own with fewer bytes is packed, or its overhead would outweigh it. */
#define COMPACT_BELOW 1024

static void free_piece(struct pbuf *piece)
{
    piece->next = NULL;
    pbuf_free(piece);
}

static void drop_bytes(struct pbuf *piece, size_t len)
{
    piece->payload = (uint8_t *)piece->payload + len;
    piece->len = (u16_t)(piece->len - len);
    piece->tot_len = piece->len;
}

static void push(struct rxqueue *queue, struct pbuf *piece)
{
    piece->next = NULL;
    piece->tot_len = piece->len;
    if (queue->last != NULL)
        queue->last->next = piece;
    else
        queue->first = piece;
    queue->last = piece;
}

void rxqueue_clear(struct rxqueue *queue)
{
    struct pbuf *next;

    for (struct pbuf *piece = queue->first; piece != NULL; piece = next) {
        next = piece->next;
        free_piece(piece);
    }
    *queue = (struct rxqueue){0};
}

void rxqueue_append(struct rxqueue *queue, struct pbuf *chain)
{
    struct pbuf *next;

    for (struct pbuf *piece = chain; piece != NULL; piece = next) {
        next = piece->next;
        if (piece->len == 0) {
            free_piece(piece);
            continue;
        }
        push(queue, piece);
        queue->len += piece->len;
    }
}

int rxqueue_peek(const struct rxqueue *queue, struct iovec *pieces, int max)
{
    int count = 0;

    for (const struct pbuf *piece = queue->first; piece != NULL && count < max;
         piece = piece->next) {
        pieces[count].iov_base = piece->payload;
        pieces[count].iov_len = piece->len;
        count++;
    }
    return count;
}

static void pop(struct rxqueue *queue)
{
    struct pbuf *piece = queue->first;

    queue->first = piece->next;
    if (queue->first == NULL)
        queue->last = NULL;
    if (queue->kept == piece) {
        queue->kept = NULL;
        queue->room = 0;
    }
    free_piece(piece);
}

void rxqueue_consume(struct rxqueue *queue, size_t len)
{
    queue->len -= len;
    while (len > 0) {
        struct pbuf *piece = queue->first;

        if (len < piece->len) {
            drop_bytes(piece, len);
            return;
        }
        len -= piece->len;
        pop(queue);
    }
}

static bool must_copy(const struct pbuf *piece)
{
    return (piece->type_internal & PBUF_TYPE_FLAG_DATA_VOLATILE) != 0 || piece->len < COMPACT_BELOW;
}

/* Appends an empty chunk for up to len bytes and makes it the kept piece. */
static int add_chunk(struct rxqueue *queue, size_t len)
{
    size_t size = len < CHUNK_MIN ? CHUNK_MIN : len > CHUNK_MAX ? CHUNK_MAX : len;
    struct pbuf *chunk = pbuf_alloc(PBUF_RAW, (u16_t)size, PBUF_RAM);

    if (chunk == NULL)
        return -ENOMEM;
    chunk->len = 0;
    push(queue, chunk);
    queue->kept = chunk;
    queue->room = size;
    return 0;
}

/* Copies piece behind the kept one; pending is what is still to be kept, piece included. */
static int pack(struct rxqueue *queue, struct pbuf *piece, size_t pending)
{
    while (piece->len > 0) {
        size_t part;

        if ((queue->kept == NULL || queue->room == 0) && add_chunk(queue, pending) != 0)
            return -ENOMEM;
        part = piece->len < queue->room ? piece->len : queue->room;
        memcpy((uint8_t *)queue->kept->payload + queue->kept->len, piece->payload, part);
        queue->kept->len = (u16_t)(queue->kept->len + part);
        queue->kept->tot_len = queue->kept->len;
        queue->room -= part;
        pending -= part;
        drop_bytes(piece, part);
    }
    return 0;
}

int rxqueue_keep(struct rxqueue *queue)
{
    struct pbuf *piece = queue->kept != NULL ? queue->kept->next : queue->first;
    size_t pending = 0;
    struct pbuf *next;
    int error = 0;

    if (piece == NULL)
        return 0;
    for (const struct pbuf *p = piece; p != NULL; p = p->next)
        pending += p->len;

    /* Cut the tail off, and put it back packed. */
    queue->last = queue->kept;
    if (queue->kept != NULL)
        queue->kept->next = NULL;
    else
        queue->first = NULL;
    for (; piece != NULL; piece = next) {
        size_t len = piece->len;

        next = piece->next;
        if (error == 0 && must_copy(piece))
            error = pack(queue, piece, pending);
        pending -= len;
        if (piece->len == 0) {
            free_piece(piece);
            continue;
        }
        push(queue, piece);
        queue->kept = piece;
        queue->room = 0;
    }
    return error;
}
