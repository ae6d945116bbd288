/*
 * endpoint: no state but what is passed in. The circle of addresses is what was looked up, in that
 * order, and the proven one behind it if it is none of these.
 */
#include "server/endpoint.h"

#include <stddef.h>

/* Unanswered initiations before the address that answered last is left. */
#define PROVEN_CHANCES 2

static bool is_known(const union inet_sockaddr *address)
{
    return address->sa.sa_family != AF_UNSPEC;
}

/* --- What to do ------------------------------------------------------------------------------- */

static void plan_lookup(struct endpoint *endpoint, uint64_t now_ms, uint32_t random)
{
    uint64_t interval = endpoint->lookup_interval_ms == 0 ? ENDPOINT_LOOKUP_MIN_MS
                                                          : endpoint->lookup_interval_ms * 2;
    if (interval > ENDPOINT_LOOKUP_MAX_MS)
        interval = ENDPOINT_LOOKUP_MAX_MS;
    endpoint->lookup_interval_ms = interval;
    endpoint->next_lookup_at = now_ms + interval - interval / 4 + random % (interval / 2 + 1);
}

/* The peer answers, or is not asked anything. */
static void answered(struct endpoint *endpoint, const struct endpoint_facts *facts)
{
    if (facts->handshakes != endpoint->handshakes && is_known(facts->used)) {
        endpoint->proven = *facts->used;
        endpoint->handshakes = facts->handshakes;
    }
    endpoint->unanswered = 0;
    endpoint->lookup_interval_ms = 0;
    endpoint->next_lookup_at = 0;
}

struct endpoint_advice endpoint_judge(struct endpoint *endpoint, const struct endpoint_facts *facts,
                                      uint64_t now_ms, uint32_t random)
{
    struct endpoint_advice advice = {0};
    if (facts->unanswered == 0) {
        answered(endpoint, facts);
        return advice;
    }
    if (facts->unanswered != endpoint->unanswered) {
        endpoint->unanswered = facts->unanswered;
        endpoint->unanswered_since = now_ms;
        endpoint->acted = false;
    }
    if (endpoint->acted || now_ms - endpoint->unanswered_since < ENDPOINT_PATIENCE_MS)
        return advice;
    endpoint->acted = true;
    bool proven = inet_sockaddr_equal(facts->used, &endpoint->proven);
    advice.move_on = !proven || facts->unanswered >= PROVEN_CHANCES;
    advice.look_up = now_ms >= endpoint->next_lookup_at;
    if (advice.look_up)
        plan_lookup(endpoint, now_ms, random);
    return advice;
}

/* --- Where to go ------------------------------------------------------------------------------ */

/* The address's place among what was looked up, or their number. */
static size_t place_of(const struct resolved *resolved, const union inet_sockaddr *address)
{
    size_t i = 0;
    while (i < resolved->count && !inet_sockaddr_equal(&resolved->addresses[i], address))
        i++;
    return i;
}

bool endpoint_resolved(struct endpoint *endpoint, const struct resolved *resolved,
                       const union inet_sockaddr *used)
{
    endpoint->resolved = *resolved;
    return place_of(resolved, used) == resolved->count;
}

/* One of the circle. */
static const union inet_sockaddr *at(const struct endpoint *endpoint, size_t place)
{
    return place < endpoint->resolved.count ? &endpoint->resolved.addresses[place]
                                            : &endpoint->proven;
}

const union inet_sockaddr *endpoint_next(const struct endpoint *endpoint,
                                         const union inet_sockaddr *used,
                                         bool (*reachable)(const union inet_sockaddr *address))
{
    const struct resolved *resolved = &endpoint->resolved;
    const union inet_sockaddr *fallback = NULL;
    size_t count = resolved->count;
    if (is_known(&endpoint->proven) && place_of(resolved, &endpoint->proven) == count)
        count++;
    size_t present = 0; /* where used is; count = it is none of them */
    while (present < count && !inet_sockaddr_equal(at(endpoint, present), used))
        present++;
    const bool outside = present == count;
    for (size_t i = outside ? 0 : 1; i < count; i++) {
        const union inet_sockaddr *address = at(endpoint, outside ? i : (present + i) % count);
        if (reachable(address))
            return address;
        if (fallback == NULL)
            fallback = address;
    }
    if (outside || !reachable(used))
        return fallback;
    return NULL;
}

const union inet_sockaddr *endpoint_first(const struct endpoint *endpoint,
                                          bool (*reachable)(const union inet_sockaddr *address))
{
    static const union inet_sockaddr nowhere;
    return is_known(&endpoint->proven) ? &endpoint->proven
                                       : endpoint_next(endpoint, &nowhere, reachable);
}
