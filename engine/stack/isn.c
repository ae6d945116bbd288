/*
 * isn: SipHash of the flow under a key made at start-up, plus the clock.
 */
#include "engine/stack/isn.h"

#define CLOCK_STEP_NS 4000

void isn_init(struct isn *isn)
{
    crypto_shorthash_keygen(isn->key);
}

void isn_fini(struct isn *isn)
{
    sodium_memzero(isn, sizeof(*isn));
}

uint32_t isn_make(const struct isn *isn, const struct flow *flow, uint64_t now)
{
    uint64_t hash;

    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)flow, sizeof(*flow), isn->key);
    return (uint32_t)hash + (uint32_t)(now / CLOCK_STEP_NS);
}
