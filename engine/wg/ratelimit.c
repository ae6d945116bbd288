/*
 * ratelimit: a table of SETS sets of WAYS buckets; a source may be in any bucket of its set.
 */
#include "engine/wg/ratelimit.h"

#include "engine/wg/messages.h"

#include <sodium.h>
#include <stdlib.h>

#define SETS 256
#define WAYS 8

#define TOKEN_COST (WG_SECOND / 20)
#define TOKENS_MAX (5 * TOKEN_COST)

struct ratelimit_bucket {
    uint8_t source[9]; /* family (4 or 6), then 4 or 8 bytes of address; all zero = free */
    uint64_t tokens;   /* in nanoseconds */
    uint64_t updated_at;
};

_Static_assert(RATELIMIT_KEY_LEN == crypto_shorthash_KEYBYTES, "SipHash");

void ratelimit_init(struct ratelimit *limit, const uint8_t key[RATELIMIT_KEY_LEN])
{
    limit->buckets = NULL;
    memcpy(limit->key, key, RATELIMIT_KEY_LEN);
}

void ratelimit_fini(struct ratelimit *limit)
{
    free(limit->buckets);
    limit->buckets = NULL;
    sodium_memzero(limit->key, sizeof(limit->key));
}

static void source_make(uint8_t out[9], const struct inet_addr *addr)
{
    memset(out, 0, 9);
    out[0] = addr->family == AF_INET ? 4 : 6;
    memcpy(out + 1, addr->bytes, addr->family == AF_INET ? 4 : 8);
}

/* The bucket of a source: its own, a free one, or the one that was quiet longest, emptied. */
static struct ratelimit_bucket *bucket_find(struct ratelimit *limit, const uint8_t source[9],
                                            uint64_t now)
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, source, 9, limit->key);
    struct ratelimit_bucket *set = limit->buckets + (load_le32(hash) % SETS) * (size_t)WAYS;
    struct ratelimit_bucket *victim = set;

    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(set[i].source, source, 9) == 0)
            return &set[i];
        if (set[i].updated_at < victim->updated_at)
            victim = &set[i];
    }
    memcpy(victim->source, source, 9);
    victim->tokens = TOKENS_MAX;
    victim->updated_at = now;
    return victim;
}

bool ratelimit_allow(struct ratelimit *limit, const struct inet_addr *source, uint64_t now)
{
    uint8_t key[9];

    if (!limit->buckets)
        limit->buckets = calloc((size_t)SETS * WAYS, sizeof(*limit->buckets));
    if (!limit->buckets)
        return false;
    source_make(key, source);
    struct ratelimit_bucket *bucket = bucket_find(limit, key, now);
    if (now > bucket->updated_at) {
        uint64_t tokens = bucket->tokens + (now - bucket->updated_at);
        bucket->tokens = tokens < TOKENS_MAX ? tokens : TOKENS_MAX;
        bucket->updated_at = now;
    }
    if (bucket->tokens < TOKEN_COST)
        return false;
    bucket->tokens -= TOKEN_COST;
    return true;
}
