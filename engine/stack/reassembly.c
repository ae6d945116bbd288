/*
 * reassembly: owns an array of ranges, and the pieces in them.
 */
#include "engine/stack/reassembly.h"

#include <errno.h>
#include <lwip/pbuf.h>
#include <stdlib.h>
#include <string.h>

#define RANGES_MIN 8

/* a is later than b. */
static bool after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

/* --- Pieces ---------------------------------------------------------------------------------- */

static void free_piece(struct reassembly *reassembly, struct pbuf *piece)
{
    reassembly->cost -= (size_t)piece->len + REASSEMBLY_PIECE_COST;
    piece->next = NULL;
    pbuf_free(piece);
}

static void free_pieces(struct reassembly *reassembly, struct pbuf *first)
{
    struct pbuf *next;

    for (struct pbuf *piece = first; piece != NULL; piece = next) {
        next = piece->next;
        free_piece(reassembly, piece);
    }
}

static int copy_piece(struct reassembly *reassembly, const uint8_t *data, size_t len,
                      size_t cost_max, struct pbuf **out)
{
    size_t cost = len + REASSEMBLY_PIECE_COST;
    struct pbuf *piece;

    if (reassembly->cost + cost > cost_max)
        return -ENOBUFS;
    piece = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
    if (piece == NULL)
        return -ENOMEM;
    memcpy(piece->payload, data, len);
    reassembly->cost += cost;
    *out = piece;
    return 0;
}

/* --- Ranges ---------------------------------------------------------------------------------- */

/* The first range that ends behind seq; count if there is none. */
static uint32_t find(const struct reassembly *reassembly, uint32_t seq)
{
    uint32_t low = 0, high = reassembly->count;

    /* Usually it is new: behind all others. */
    if (high > 0 && !after(reassembly->ranges[high - 1].right, seq))
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (after(reassembly->ranges[middle].right, seq))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static const struct reassembly_range *range_of(const struct reassembly *reassembly, uint32_t seq)
{
    uint32_t index = find(reassembly, seq);

    if (index == reassembly->count || after(reassembly->ranges[index].left, seq))
        return NULL;
    return &reassembly->ranges[index];
}

static int reserve_range(struct reassembly *reassembly)
{
    uint32_t capacity = reassembly->capacity > 0 ? reassembly->capacity * 2 : RANGES_MIN;
    struct reassembly_range *ranges;

    if (reassembly->count < reassembly->capacity)
        return 0;
    if (capacity > REASSEMBLY_RANGES_MAX)
        return -ENOBUFS;
    ranges = realloc(reassembly->ranges, capacity * sizeof(*ranges));
    if (ranges == NULL)
        return -ENOMEM;
    reassembly->ranges = ranges;
    reassembly->capacity = capacity;
    return 0;
}

static void insert_range(struct reassembly *reassembly, uint32_t index)
{
    struct reassembly_range *range = &reassembly->ranges[index];

    memmove(range + 1, range, (reassembly->count - index) * sizeof(*range));
    reassembly->count++;
}

static void remove_range(struct reassembly *reassembly, uint32_t index)
{
    struct reassembly_range *range = &reassembly->ranges[index];

    reassembly->count--;
    memmove(range, range + 1, (reassembly->count - index) * sizeof(*range));
}

void reassembly_clear(struct reassembly *reassembly)
{
    for (uint32_t i = 0; i < reassembly->count; i++)
        free_pieces(reassembly, reassembly->ranges[i].first);
    free(reassembly->ranges);
    *reassembly = (struct reassembly){0};
}

/* --- Adding ---------------------------------------------------------------------------------- */

/* Puts bytes that are in no range in front of the range at index, or behind the one before it. */
static int insert(struct reassembly *reassembly, uint32_t index, uint32_t left, const uint8_t *data,
                  size_t len, size_t cost_max)
{
    struct reassembly_range *ranges = reassembly->ranges;
    uint32_t right = left + (uint32_t)len;
    bool follows = index > 0 && ranges[index - 1].right == left;
    bool leads = index < reassembly->count && ranges[index].left == right;
    struct pbuf *piece;
    int error = follows || leads ? 0 : reserve_range(reassembly);

    if (error == 0)
        error = copy_piece(reassembly, data, len, cost_max, &piece);
    if (error != 0)
        return error;
    ranges = reassembly->ranges;
    if (follows) {
        ranges[index - 1].last->next = piece;
        ranges[index - 1].last = piece;
        ranges[index - 1].right = right;
    } else if (leads) {
        piece->next = ranges[index].first;
        ranges[index].first = piece;
        ranges[index].left = left;
    } else {
        insert_range(reassembly, index);
        ranges[index] = (struct reassembly_range){left, right, piece, piece};
    }
    if (follows && leads) {
        piece->next = ranges[index].first;
        ranges[index - 1].last = ranges[index].last;
        ranges[index - 1].right = ranges[index].right;
        remove_range(reassembly, index);
    }
    return 0;
}

/* The range with seq is the latest now; others that were joined with it are told of no more. */
static void note_recent(struct reassembly *reassembly, uint32_t seq)
{
    const struct reassembly_range *range = range_of(reassembly, seq);
    uint32_t recent[PACKET_SACK_MAX] = {seq};
    int count = 1;

    if (range == NULL)
        return;
    for (int i = 0; i < reassembly->recent_count && count < PACKET_SACK_MAX; i++) {
        const struct reassembly_range *other = range_of(reassembly, reassembly->recent[i]);

        if (other != NULL && other != range)
            recent[count++] = reassembly->recent[i];
    }
    memcpy(reassembly->recent, recent, sizeof(recent));
    reassembly->recent_count = count;
}

int reassembly_add(struct reassembly *reassembly, uint32_t seq, const uint8_t *data, size_t len,
                   size_t cost_max)
{
    uint32_t at = seq, end = seq + (uint32_t)len, stop;
    int error = 0;

    while (error == 0 && after(end, at)) {
        uint32_t index = find(reassembly, at);
        bool follows = index < reassembly->count; /* a range that is at this place, or behind it */

        if (follows && !after(reassembly->ranges[index].left, at)) {
            at = reassembly->ranges[index].right;
            continue;
        }
        stop = end;
        if (follows && after(end, reassembly->ranges[index].left))
            stop = reassembly->ranges[index].left;
        error = insert(reassembly, index, at, data + (at - seq), stop - at, cost_max);
        at = stop;
    }
    note_recent(reassembly, seq);
    return error;
}

void reassembly_add_end(struct reassembly *reassembly, uint32_t seq)
{
    reassembly->has_end = true;
    reassembly->end = seq;
}

/* --- Taking ---------------------------------------------------------------------------------- */

/* Drops what the first range has before next. */
static void trim(struct reassembly *reassembly, uint32_t next)
{
    struct reassembly_range *range = &reassembly->ranges[0];

    while (after(next, range->left)) {
        struct pbuf *piece = range->first;
        uint32_t surplus = next - range->left;

        if (surplus < piece->len) {
            piece->payload = (uint8_t *)piece->payload + surplus;
            piece->len = (u16_t)(piece->len - surplus);
            reassembly->cost -= surplus;
            range->left = next;
            return;
        }
        range->first = piece->next;
        range->left += piece->len;
        free_piece(reassembly, piece);
    }
}

static void drop_received(struct reassembly *reassembly, uint32_t next)
{
    uint32_t index = find(reassembly, next);

    for (uint32_t i = 0; i < index; i++)
        free_pieces(reassembly, reassembly->ranges[i].first);
    reassembly->count -= index;
    if (index > 0)
        memmove(reassembly->ranges, reassembly->ranges + index,
                reassembly->count * sizeof(*reassembly->ranges));
    if (reassembly->count > 0)
        trim(reassembly, next);
}

/* Up to max bytes off the front of the first range. */
static struct pbuf *take_pieces(struct reassembly *reassembly, size_t max)
{
    struct reassembly_range *range = &reassembly->ranges[0];
    struct pbuf *first = range->first, *last;
    size_t len = 0;

    do { /* no range is without a piece, and no piece without a byte */
        last = range->first;
        range->first = last->next;
        len += last->len;
        reassembly->cost -= (size_t)last->len + REASSEMBLY_PIECE_COST;
    } while (range->first != NULL && len + range->first->len <= max);
    last->next = NULL;
    range->left += (uint32_t)len;
    for (struct pbuf *piece = first; piece != NULL; piece = piece->next) {
        piece->tot_len = (u16_t)len;
        len -= piece->len;
    }
    return first;
}

struct pbuf *reassembly_take(struct reassembly *reassembly, uint32_t next, size_t max)
{
    struct pbuf *chain = NULL;

    drop_received(reassembly, next);
    if (reassembly->count > 0 && reassembly->ranges[0].left == next) {
        chain = take_pieces(reassembly, max);
        if (reassembly->ranges[0].first == NULL)
            remove_range(reassembly, 0);
    }
    if (reassembly->count == 0) {
        free(reassembly->ranges);
        reassembly->ranges = NULL;
        reassembly->capacity = 0;
        reassembly->recent_count = 0;
    }
    return chain;
}

bool reassembly_ends_at(const struct reassembly *reassembly, uint32_t next)
{
    return reassembly->has_end && reassembly->end == next;
}

/* --- Reporting ------------------------------------------------------------------------------- */

/* The FIN, which has a sequence number too, has come with the bytes before it. */
static uint32_t right_of(const struct reassembly *reassembly, const struct reassembly_range *range)
{
    return range->right + reassembly_ends_at(reassembly, range->right);
}

static bool is_told(const struct sack_block *blocks, int count, uint32_t left)
{
    for (int i = 0; i < count; i++) {
        if (blocks[i].left == left)
            return true;
    }
    return false;
}

int reassembly_blocks(const struct reassembly *reassembly, struct sack_block *blocks, int max)
{
    int count = 0;

    for (int i = 0; i < reassembly->recent_count && count < max; i++) {
        const struct reassembly_range *range = range_of(reassembly, reassembly->recent[i]);

        if (range != NULL && !is_told(blocks, count, range->left))
            blocks[count++] = (struct sack_block){range->left, right_of(reassembly, range)};
    }
    return count;
}
