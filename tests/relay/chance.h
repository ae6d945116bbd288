/*
 * chance: random numbers that a seed determines, so that a run can be repeated. Not for secrets.
 *
 * Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014
 * (SplitMix64).
 */
#ifndef MANYTUN_TESTS_RELAY_CHANCE_H
#define MANYTUN_TESTS_RELAY_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t state; /* the seed at first */
};

static inline uint64_t chance_next(struct chance *chance)
{
    uint64_t z = chance->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A number below limit, which is not 0. */
static inline uint64_t chance_below(struct chance *chance, uint64_t limit)
{
    return chance_next(chance) % limit;
}

/* Whether something of this probability (0 to 1) happens; draws nothing when it never can. */
static inline bool chance_happens(struct chance *chance, double probability)
{
    return probability > 0 && (double)(chance_next(chance) >> 11) * 0x1p-53 < probability;
}

#endif
