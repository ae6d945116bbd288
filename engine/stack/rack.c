/*
 * rack: the steps of RFC 8985, 6.2. The records are looked at in the order of transmission, up to
 * the one that was sent last among those that have arrived: these are the missing ones.
 */
#include "engine/stack/rack.h"

/* With so many segments behind it arrived, a missing one is lost at once (DupThresh). */
#define ARRIVED_ENOUGH 3
/* The widest window, in quarters of the round trip, and how long it stays wide (6.2, step 4). */
#define WINDOWS_MAX  16
#define WINDOWS_KEPT 16

void rack_update(struct rack *rack, const struct flight_sample *sample, const struct rtt *rtt,
                 uint32_t now_us)
{
    uint32_t rtt_us = now_us - sample->sent_us;

    if (sample->delivered == 0)
        return;
    if (sample->reordered)
        rack->reordering = true;
    /* Faster than any round trip: the acknowledgment was for an earlier transmission. */
    if (sample->resent && rtt_us < rtt->min_us)
        return;
    rack->rtt_us = rtt_us;
    if (rack->known && !flight_after(sample->sent_us, rack->sent_us) &&
        !(sample->sent_us == rack->sent_us && flight_after(sample->end, rack->end)))
        return;
    rack->known = true;
    rack->sent_us = sample->sent_us;
    rack->end = sample->end;
}

void rack_widen(struct rack *rack)
{
    rack->reordering = true;
    rack->calm = 0;
    if (rack->windows < WINDOWS_MAX)
        rack->windows++;
}

void rack_recovered(struct rack *rack)
{
    if (rack->windows > 0 && ++rack->calm >= WINDOWS_KEPT)
        rack->windows = 0;
}

static uint32_t reordering_window(const struct rack *rack, const struct flight *flight,
                                  const struct rtt *rtt, bool recovering)
{
    uint32_t window = rtt->min_us / 4 * (1u + rack->windows);

    if (!rack->reordering && (recovering || flight->arrived_count >= ARRIVED_ENOUGH))
        return 0;
    return window < rtt->smoothed_us ? window : rtt->smoothed_us;
}

static bool sent_before(const struct flight_record *record, const struct rack *rack)
{
    if (record->sent_us == rack->sent_us)
        return flight_after(rack->end, flight_end(record));
    return flight_after(rack->sent_us, record->sent_us);
}

/* The first record to look at, if it is on the way. */
static struct flight_record *first(const struct rack *rack, const struct flight *flight)
{
    struct flight_record *record;

    if (!rack->oldest_only)
        return flight_oldest(flight);
    record = flight->count > 0 ? flight_at(flight, 0) : NULL;
    return record != NULL && (record->marks & (FLIGHT_ARRIVED | FLIGHT_LOST)) == 0 ? record : NULL;
}

uint32_t rack_detect(struct rack *rack, struct flight *flight, const struct rtt *rtt,
                     bool recovering, uint32_t now_us, uint32_t *wait_us)
{
    uint32_t limit = rack->rtt_us + reordering_window(rack, flight, rtt, recovering);
    struct flight_record *record, *next;
    uint32_t lost = flight->lost;

    *wait_us = 0;
    if (!rack->known || (!recovering && flight->arrived_count == 0))
        return 0;
    for (record = first(rack, flight); record != NULL; record = next) {
        uint32_t age = now_us - record->sent_us;

        next = rack->oldest_only ? NULL : flight_newer(flight, record);
        /* Those behind it were sent later: who reports little does not have us walk past them. */
        if (!sent_before(record, rack))
            break;
        if (age < limit) {
            *wait_us = limit - age;
            break;
        }
        rack->lost_us = record->sent_us;
        rack->lost_end = flight_end(record);
        rack->lost_resent = (record->marks & FLIGHT_RESENT) != 0;
        flight_lose(flight, record);
    }
    return flight->lost - lost;
}
