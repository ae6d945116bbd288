/*
 * isn: initial sequence numbers (RFC 6528, 3): a clock of 4 µs plus a keyed hash of the flow, so
 * that nobody outside can guess them and a reused flow never goes back.
 */
#ifndef MANYTUN_ENGINE_STACK_ISN_H
#define MANYTUN_ENGINE_STACK_ISN_H

#include "engine/stack/packet.h"

#include <sodium.h>
#include <stdint.h>

/* Embedded; the secret of one stack. */
struct isn {
    uint8_t key[crypto_shorthash_KEYBYTES];
};

void isn_init(struct isn *isn);
/* Wipes the secret. */
void isn_fini(struct isn *isn);
uint32_t isn_make(const struct isn *isn, const struct flow *flow, uint64_t now);

#endif
