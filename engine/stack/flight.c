/*
 * flight: owns the ring of records.
 *
 *   (sent) ─▶ on the way ─▶ arrived ─▶ (acknowledged: the record is gone)
 *                │  ▲          ▲
 *                ▼  │ (sent)   │
 *               lost ──────────┘
 *
 * Segments are usually sent again as they were. Where lwIP has cut or extended one since, the
 * records that it touches stand for it: what that costs is a byte sent needlessly, never a byte
 * that is not sent.
 */
#include "engine/stack/flight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_MIN 16
/* An empty ring of more records than this is given back. */
#define RECORDS_KEEP 64

void flight_fini(struct flight *flight)
{
    free(flight->records);
    *flight = (struct flight){0};
}

/* --- The order of sending: of those that are neither arrived nor lost ------------------------ */

static bool is_on_the_way(const struct flight_record *record)
{
    return (record->marks & (FLIGHT_ARRIVED | FLIGHT_LOST)) == 0;
}

static uint32_t place_of(const struct flight *flight, const struct flight_record *record)
{
    return (uint32_t)(record - flight->records) + 1;
}

static void order_append(struct flight *flight, struct flight_record *record)
{
    uint32_t place = place_of(flight, record);

    record->older = flight->newest;
    record->newer = 0;
    if (flight->newest != 0)
        flight->records[flight->newest - 1].newer = place;
    else
        flight->oldest = place;
    flight->newest = place;
}

static void order_remove(struct flight *flight, struct flight_record *record)
{
    if (record->older != 0)
        flight->records[record->older - 1].newer = record->newer;
    else
        flight->oldest = record->newer;
    if (record->newer != 0)
        flight->records[record->newer - 1].older = record->older;
    else
        flight->newest = record->older;
    record->older = record->newer = 0;
}

/* Puts the record back to where it was sent; it is looked for from `near` on, if that is older. */
static void order_insert(struct flight *flight, struct flight_record *record,
                         struct flight_record *near)
{
    struct flight_record *newer = flight_oldest(flight);
    uint32_t place = place_of(flight, record);

    if (near != NULL && !flight_after(near->sent_us, record->sent_us))
        newer = near;
    while (newer != NULL && !flight_after(newer->sent_us, record->sent_us))
        newer = flight_newer(flight, newer);
    if (newer == NULL) {
        order_append(flight, record);
        return;
    }
    record->older = newer->older;
    record->newer = place_of(flight, newer);
    newer->older = place;
    if (record->older != 0)
        flight->records[record->older - 1].newer = place;
    else
        flight->oldest = place;
}

/* Where a place is when the oldest record has come to the first one. */
static uint32_t place_from_head(const struct flight *flight, uint32_t place)
{
    return place != 0 ? ((place - 1 - flight->head) & (flight->capacity - 1)) + 1 : 0;
}

/* --- Sending --------------------------------------------------------------------------------- */

int flight_reserve(struct flight *flight)
{
    uint32_t capacity = flight->capacity > 0 ? flight->capacity * 2 : RECORDS_MIN;
    struct flight_record *records;

    if (flight->count < flight->capacity)
        return 0;
    if (capacity > FLIGHT_RECORDS_MAX)
        return -ENOMEM;
    records = malloc(capacity * sizeof(*records));
    if (records == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < flight->count; i++) {
        records[i] = *flight_at(flight, i);
        records[i].older = place_from_head(flight, records[i].older);
        records[i].newer = place_from_head(flight, records[i].newer);
    }
    flight->oldest = place_from_head(flight, flight->oldest);
    flight->newest = place_from_head(flight, flight->newest);
    free(flight->records);
    flight->records = records;
    flight->capacity = capacity;
    flight->head = 0;
    return 0;
}

/* The first record that ends behind seq; count if there is none. */
static uint32_t find(const struct flight *flight, uint32_t seq)
{
    uint32_t low = 0, high = flight->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (flight_after(flight_end(flight_at(flight, middle)), seq))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void stamp(const struct flight *flight, struct flight_record *record, uint32_t now_us)
{
    record->sent_us = now_us;
    record->delivered = flight->delivered;
    record->delivered_us = flight->delivered_us;
    record->first_sent_us = flight->first_sent_us;
    record->marks = (uint8_t)(record->marks & ~FLIGHT_APP_LIMITED);
    if (flight->app_limited != 0)
        record->marks |= FLIGHT_APP_LIMITED;
}

static void resend(struct flight *flight, struct flight_record *record, uint32_t now_us)
{
    if ((record->marks & FLIGHT_ARRIVED) != 0)
        return;
    if ((record->marks & FLIGHT_LOST) != 0) {
        record->marks = (uint8_t)(record->marks & ~FLIGHT_LOST);
        flight->lost -= record->len;
        flight->pipe += record->len;
    } else {
        order_remove(flight, record);
    }
    order_append(flight, record);
    record->marks |= FLIGHT_RESENT;
    stamp(flight, record, now_us);
}

static void append(struct flight *flight, uint32_t seq, uint32_t len, uint32_t now_us)
{
    struct flight_record *record;

    if (flight->count == flight->capacity)
        return; /* flight_reserve() was not asked: nothing is known of this one */
    record = flight_at(flight, flight->count);
    *record = (struct flight_record){.seq = seq, .len = (uint16_t)len};
    stamp(flight, record, now_us);
    order_append(flight, record);
    flight->count++;
    flight->pipe += len;
}

bool flight_sent(struct flight *flight, uint32_t seq, uint32_t len, uint32_t now_us)
{
    uint32_t end = seq + len;
    uint32_t sent_end = flight->count > 0 ? flight_end(flight_at(flight, flight->count - 1)) : seq;
    bool again = flight->count > 0 && flight_after(sent_end, seq);

    if (flight->pipe == 0) {
        flight->first_sent_us = now_us;
        flight->delivered_us = now_us;
    }
    if (again) {
        for (uint32_t i = find(flight, seq); i < flight->count; i++) {
            if (!flight_after(end, flight_at(flight, i)->seq))
                break;
            resend(flight, flight_at(flight, i), now_us);
        }
    }
    if (!again)
        append(flight, seq, len, now_us);
    else if (flight_after(end, sent_end))
        append(flight, sent_end, end - sent_end, now_us);
    return again;
}

void flight_app_limited(struct flight *flight)
{
    flight->app_limited = flight->delivered + flight->pipe;
    if (flight->app_limited == 0)
        flight->app_limited = 1;
}

/* --- Arriving -------------------------------------------------------------------------------- */

/* len bytes of the record, which were not known to have arrived, have. */
static void deliver(struct flight *flight, const struct flight_record *record, uint32_t len,
                    uint32_t now_us, struct flight_sample *sample)
{
    uint32_t end = flight_end(record);
    bool first = sample->delivered == 0;

    if ((record->marks & FLIGHT_LOST) != 0)
        flight->lost -= len;
    else
        flight->pipe -= len;
    if ((record->marks & FLIGHT_COUNTED) == 0)
        flight->delivered += len;
    sample->delivered += len;
    if ((record->marks & FLIGHT_RESENT) == 0) {
        sample->once = true;
        sample->rtt_us = now_us != record->sent_us ? now_us - record->sent_us : 1;
        if (flight_after(flight->highest, end))
            sample->reordered = true;
    } else {
        sample->again = true;
        sample->needless += now_us - record->sent_us < flight->min_rtt_us;
    }
    if (first || flight_after(record->sent_us, sample->sent_us) ||
        (record->sent_us == sample->sent_us && flight_after(end, sample->end))) {
        uint32_t send_us = record->sent_us - record->first_sent_us;
        uint32_t ack_us = now_us - record->delivered_us;

        sample->sent_us = record->sent_us;
        sample->end = end;
        sample->resent = (record->marks & FLIGHT_RESENT) != 0;
        sample->prior_delivered = record->delivered;
        sample->interval_us = send_us > ack_us ? send_us : ack_us;
        sample->app_limited = (record->marks & FLIGHT_APP_LIMITED) != 0;
    }
}

/* Takes len bytes off the front of the oldest record. */
static void acknowledge(struct flight *flight, uint32_t len, uint32_t now_us,
                        struct flight_sample *sample)
{
    struct flight_record *record = flight_at(flight, 0);
    bool arrived = (record->marks & FLIGHT_ARRIVED) != 0;

    if (!arrived)
        deliver(flight, record, len, now_us, sample);
    else
        flight->arrived -= len;
    record->seq += len;
    record->len = (uint16_t)(record->len - len);
    if (record->len > 0)
        return;
    if (is_on_the_way(record))
        order_remove(flight, record);
    flight->arrived_count -= arrived;
    flight->head = (flight->head + 1) & (flight->capacity - 1);
    flight->count--;
}

static void acknowledge_to(struct flight *flight, uint32_t ack, uint32_t now_us,
                           struct flight_sample *sample)
{
    while (flight->count > 0 && flight_after(ack, flight_at(flight, 0)->seq)) {
        const struct flight_record *record = flight_at(flight, 0);
        uint32_t len = ack - record->seq;

        acknowledge(flight, len < record->len ? len : record->len, now_us, sample);
    }
}

static void mark_arrived(struct flight *flight, struct flight_record *record)
{
    if (is_on_the_way(record))
        order_remove(flight, record);
    record->marks = (uint8_t)((record->marks & ~FLIGHT_LOST) | FLIGHT_ARRIVED);
    flight->arrived += record->len;
    flight->arrived_count++;
}

void flight_arrived(struct flight *flight, struct flight_record *record)
{
    mark_arrived(flight, record);
    flight->pipe -= record->len;
}

/* Those before it that have arrived, too, have no longer arrived with all up to one behind it. */
static void part_run(struct flight *flight, const struct flight_record *record)
{
    uint32_t index = place_from_head(flight, place_of(flight, record)) - 1;

    while (index-- > 0 && (flight_at(flight, index)->marks & FLIGHT_ARRIVED) != 0)
        flight_at(flight, index)->newer = 0;
}

void flight_missing(struct flight *flight, struct flight_record *record)
{
    part_run(flight, record);
    record->marks = (uint8_t)(record->marks & ~FLIGHT_ARRIVED);
    flight->arrived -= record->len;
    flight->arrived_count--;
    flight->pipe += record->len;
    order_insert(flight, record, NULL);
}

static void arrive(struct flight *flight, struct flight_record *record, uint32_t now_us,
                   struct flight_sample *sample)
{
    if ((record->marks & FLIGHT_ARRIVED) != 0)
        return;
    deliver(flight, record, record->len, now_us, sample);
    mark_arrived(flight, record);
}

/* The index of the last that is known to have arrived with all from this one on, or of the next. */
static uint32_t further(const struct flight *flight, uint32_t index)
{
    const struct flight_record *record = flight_at(flight, index);

    if (record->newer != 0)
        return place_from_head(flight, record->newer) - 1;
    if (index + 1 < flight->count && (flight_at(flight, index + 1)->marks & FLIGHT_ARRIVED) != 0)
        return index + 1;
    return index;
}

/*
 * The index behind a run of those that have arrived. What is walked leads to its end from now on:
 * reports that tell the same again, in whatever order, are not walked through again.
 */
static uint32_t behind_run(const struct flight *flight, uint32_t index)
{
    uint32_t last = index, next;

    while ((next = further(flight, last)) != last)
        last = next;
    for (; index != last; index = next) {
        next = further(flight, index);
        flight_at(flight, index)->newer = place_of(flight, flight_at(flight, last));
    }
    return last + 1;
}

/*
 * A segment counts as arrived when all of it has. Peers report what they have with every segment,
 * however long it is by then: what is not new of it is passed over.
 */
static void report(struct flight *flight, const struct sack_block *block, uint32_t now_us,
                   struct flight_sample *sample)
{
    uint32_t i = find(flight, block->left);

    if (i < flight->count && flight_after(block->left, flight_at(flight, i)->seq))
        i++; /* has only part of it */
    while (i < flight->count) {
        struct flight_record *record = flight_at(flight, i);

        if (flight_after(flight_end(record), block->right))
            return;
        if ((record->marks & FLIGHT_ARRIVED) != 0) {
            i = behind_run(flight, i);
            continue;
        }
        arrive(flight, record, now_us, sample);
        i++;
    }
}

/* RFC 2883, 4: the first block is below the acknowledgment, or inside the second. */
static bool is_duplicate(uint32_t ack, const struct sack_block *blocks, int count)
{
    if (count == 0)
        return false;
    if (!flight_after(blocks[0].right, ack))
        return true;
    return count > 1 && !flight_after(blocks[1].left, blocks[0].left) &&
           !flight_after(blocks[0].right, blocks[1].right);
}

/* Blocks of what was never sent, or backwards, mean nothing. */
static bool is_sane(const struct flight *flight, const struct sack_block *block)
{
    return flight->count > 0 && flight_after(block->right, block->left) &&
           !flight_after(block->right, flight_end(flight_at(flight, flight->count - 1)));
}

static void report_all(struct flight *flight, const struct sack_block *blocks, int count,
                       uint32_t now_us, struct flight_sample *sample)
{
    for (int i = 0; i < count; i++) {
        if (is_sane(flight, &blocks[i]))
            report(flight, &blocks[i], now_us, sample);
    }
    for (int i = 0; i < count; i++) {
        if (is_sane(flight, &blocks[i]) && flight_after(blocks[i].right, flight->highest))
            flight->highest = blocks[i].right;
    }
}

void flight_acked(struct flight *flight, uint32_t ack, const struct sack_block *blocks, int count,
                  uint32_t now_us, struct flight_sample *sample)
{
    *sample = (struct flight_sample){.prior_pipe = flight->pipe};
    sample->duplicate = is_duplicate(ack, blocks, count);
    if (sample->duplicate)
        sample->twice = blocks[0].right;
    if (flight->count == 0)
        return;
    if (flight->delivered == 0 && flight->arrived_count == 0)
        flight->highest = flight_at(flight, 0)->seq;
    sample->advanced = flight_after(ack, flight_at(flight, 0)->seq);
    acknowledge_to(flight, ack, now_us, sample);
    report_all(flight, blocks, count, now_us, sample);
    if (flight_after(ack, flight->highest))
        flight->highest = ack;
    /*
     * What came back for a retransmission tells of all that has arrived behind the hole by then.
     * Where the reports of that were lost it has waited, and the time since it was sent is no round
     * trip (RFC 6298, 3).
     */
    if (sample->again)
        sample->rtt_us = 0;
    if (sample->delivered > 0) {
        flight->delivered_us = now_us;
        flight->first_sent_us = sample->sent_us;
    }
    if (flight->app_limited != 0 && flight_after(flight->delivered, flight->app_limited))
        flight->app_limited = 0;
    if (flight->count == 0 && flight->capacity > RECORDS_KEEP) {
        free(flight->records);
        flight->records = NULL;
        flight->capacity = flight->head = 0;
    }
}

/* --- Losing ---------------------------------------------------------------------------------- */

static void mark_lost(struct flight *flight, struct flight_record *record)
{
    record->marks |= FLIGHT_LOST;
    if (flight->lost == 0 || flight_after(flight->lost_from, record->seq))
        flight->lost_from = record->seq;
    flight->lost += record->len;
}

void flight_lose(struct flight *flight, struct flight_record *record)
{
    if (!is_on_the_way(record))
        return;
    order_remove(flight, record);
    flight->pipe -= record->len;
    mark_lost(flight, record);
}

struct flight_record *flight_first_lost(struct flight *flight, uint32_t *index)
{
    if (flight->lost == 0)
        return NULL;
    for (uint32_t i = find(flight, flight->lost_from); i < flight->count; i++) {
        struct flight_record *record = flight_at(flight, i);

        if ((record->marks & FLIGHT_LOST) == 0)
            continue;
        flight->lost_from = record->seq;
        *index = i;
        return record;
    }
    return NULL;
}

void flight_lose_all(struct flight *flight, bool forget, uint32_t now_us)
{
    for (uint32_t i = 0; i < flight->count; i++) {
        struct flight_record *record = flight_at(flight, i);

        if ((record->marks & FLIGHT_ARRIVED) == 0) {
            if ((record->marks & FLIGHT_RESENT) == 0 || record->sent_us != now_us)
                flight_lose(flight, record);
        } else if (forget) {
            record->marks = (uint8_t)((record->marks & ~FLIGHT_ARRIVED) | FLIGHT_COUNTED);
            record->newer = 0;
            flight->arrived -= record->len;
            flight->arrived_count--;
            mark_lost(flight, record);
        }
    }
}

/* Neighbours have mostly been sent one after the other: each is looked for from the last one on. */
void flight_found(struct flight *flight)
{
    struct flight_record *last = NULL;

    for (uint32_t i = 0; i < flight->count && flight->lost > 0; i++) {
        struct flight_record *record = flight_at(flight, i);

        if ((record->marks & FLIGHT_LOST) == 0)
            continue;
        record->marks = (uint8_t)(record->marks & ~FLIGHT_LOST);
        flight->lost -= record->len;
        flight->pipe += record->len;
        order_insert(flight, record, last);
        last = record;
    }
}

static uint32_t pieces_of(const struct flight_record *record, uint32_t len_max)
{
    return record->len > 0 ? (record->len + len_max - 1) / len_max : 1;
}

/* The records, cut, into room for all of them. */
static void cut_records(const struct flight *flight, struct flight_record *out, uint32_t len_max)
{
    for (uint32_t i = 0; i < flight->count; i++) {
        const struct flight_record *record = flight_at(flight, i);

        for (uint32_t at = 0, n = pieces_of(record, len_max); n > 0; n--) {
            *out = *record;
            out->segment = NULL;
            out->older = out->newer = 0;
            out->seq += at;
            out->len = (uint16_t)flight_piece(record->len - at, len_max);
            at += out->len;
            out++;
        }
    }
}

/*
 * Those that are not cut, and so still on the way, in the order of sending. Indices of the pieces
 * are kept meanwhile where the uncut records, which are not needed any longer, had their times.
 */
static void order_cut(const struct flight *flight, struct flight *cut, uint32_t len_max)
{
    uint32_t index = 0;

    cut->oldest = cut->newest = 0;
    for (uint32_t i = 0; i < flight->count; i++) {
        flight_at(flight, i)->sent_us = index;
        index += pieces_of(flight_at(flight, i), len_max);
    }
    for (const struct flight_record *record = flight_oldest(flight); record != NULL;
         record = flight_newer(flight, record))
        order_append(cut, &cut->records[record->sent_us]);
}

int flight_lose_long(struct flight *flight, uint32_t len_max)
{
    struct flight cut = *flight;

    cut.count = cut.arrived_count = cut.head = 0;
    for (uint32_t i = 0; i < flight->count; i++)
        cut.count += pieces_of(flight_at(flight, i), len_max);
    if (cut.count == flight->count)
        return 0;
    while (cut.capacity < cut.count)
        cut.capacity *= 2;
    if (cut.capacity > FLIGHT_RECORDS_MAX)
        return -ENOMEM;
    cut.records = calloc(cut.capacity, sizeof(*cut.records));
    if (cut.records == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < flight->count; i++) {
        if (flight_at(flight, i)->len > len_max)
            flight_lose(flight, flight_at(flight, i));
    }
    cut.pipe = flight->pipe;
    cut.lost = flight->lost;
    cut.lost_from = flight->lost_from;
    cut_records(flight, cut.records, len_max);
    order_cut(flight, &cut, len_max);
    for (uint32_t i = 0; i < cut.count; i++)
        cut.arrived_count += (cut.records[i].marks & FLIGHT_ARRIVED) != 0;
    free(flight->records);
    *flight = cut;
    return 0;
}
