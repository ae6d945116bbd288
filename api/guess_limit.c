/*
 * guess_limit: two tables of sets. What counts is one time per place, at which its guesses are all
 * back; a wrong token moves it into the future (a generic cell rate algorithm).
 */
#include "api/guess_limit.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(((struct guess_limit *)0)->hash_key) == crypto_shorthash_KEYBYTES, "");

/* With more of it ahead than this, there is no guess left. */
#define AHEAD_MAX ((uint64_t)(GUESS_LIMIT_BURST - 1) * GUESS_LIMIT_SECONDS)

void guess_limit_init(struct guess_limit *limit)
{
    *limit = (struct guess_limit){0};
    randombytes_buf(limit->hash_key, sizeof(limit->hash_key));
}

/* --- Places ----------------------------------------------------------------------------------- */

struct network {
    uint8_t bytes[sizeof(((struct guess_place *)0)->network)];
    uint64_t hash;
};

/* An IPv4 address in IPv6's clothes is the IPv4 address. */
static struct network network_of(const struct guess_limit *limit, const struct inet_addr *from)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct network network = {0};
    if (from->family == AF_INET6 && memcmp(from->bytes, mapped, sizeof(mapped)) != 0) {
        network.bytes[0] = 6;
        memcpy(network.bytes + 1, from->bytes, 8);
    } else {
        network.bytes[0] = 4;
        memcpy(network.bytes + 1,
               from->family == AF_INET6 ? from->bytes + sizeof(mapped) : from->bytes, 4);
    }
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, network.bytes, sizeof(network.bytes), limit->hash_key);
    memcpy(&network.hash, hash, sizeof(network.hash));
    return network;
}

static struct guess_place *find(struct guess_place set[GUESS_LIMIT_WAYS],
                                const struct network *network)
{
    for (size_t i = 0; i < GUESS_LIMIT_WAYS; i++) {
        if (memcmp(set[i].network, network->bytes, sizeof(set[i].network)) == 0)
            return &set[i];
    }
    return NULL;
}

/* A place that has all its guesses back, as one that was never used. */
static struct guess_place *find_full(struct guess_place set[GUESS_LIMIT_WAYS], uint64_t now)
{
    for (size_t i = 0; i < GUESS_LIMIT_WAYS; i++) {
        if (set[i].full_at <= now)
            return &set[i];
    }
    return NULL;
}

/* The time that counts for a network; claim = keep a place for it. */
static uint64_t *find_time(struct guess_limit *limit, const struct network *network, uint64_t now,
                           bool claim)
{
    size_t set = network->hash % GUESS_LIMIT_SETS;
    struct guess_place *place = find(limit->known[network->hash % GUESS_LIMIT_KNOWN_SETS], network);
    if (place == NULL)
        place = find(limit->places[set], network);
    if (place != NULL)
        return &place->full_at;
    place = find_full(limit->places[set], now);
    if (place == NULL)
        return &limit->shared[set];
    if (claim)
        memcpy(place->network, network->bytes, sizeof(place->network));
    return &place->full_at;
}

/* --- What happens ----------------------------------------------------------------------------- */

unsigned guess_limit_wait(struct guess_limit *limit, const struct inet_addr *from, uint64_t now)
{
    struct network network = network_of(limit, from);
    uint64_t full_at = *find_time(limit, &network, now, false);
    if (full_at <= now + AHEAD_MAX)
        return 0;
    limit->refused++;
    return (unsigned)(full_at - now - AHEAD_MAX);
}

void guess_limit_failed(struct guess_limit *limit, const struct inet_addr *from, uint64_t now)
{
    struct network network = network_of(limit, from);
    uint64_t *full_at = find_time(limit, &network, now, true);
    *full_at = (*full_at > now ? *full_at : now) + GUESS_LIMIT_SECONDS;
    limit->failed++;
}

void guess_limit_succeeded(struct guess_limit *limit, const struct inet_addr *from, uint64_t now)
{
    struct network network = network_of(limit, from);
    struct guess_place *set = limit->known[network.hash % GUESS_LIMIT_KNOWN_SETS];
    struct guess_place *place = find(set, &network);
    if (place == NULL) {
        place = &set[0];
        for (size_t i = 1; i < GUESS_LIMIT_WAYS; i++) {
            if (set[i].seen_at < place->seen_at)
                place = &set[i];
        }
        /* What it has guessed so far goes on counting. */
        uint64_t full_at = *find_time(limit, &network, now, false);
        *place = (struct guess_place){.full_at = full_at};
        memcpy(place->network, network.bytes, sizeof(place->network));
    }
    place->seen_at = now;
}
