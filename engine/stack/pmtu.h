/*
 * pmtu: the destinations whose path takes less than the tunnel's MTU (RFC 1191, RFC 8201).
 *
 * A small table in which one destination may take another's place: what is forgotten is learnt
 * again. Nobody but a router on the path of a live connection can write to it (icmp.h).
 */
#ifndef MANYTUN_ENGINE_STACK_PMTU_H
#define MANYTUN_ENGINE_STACK_PMTU_H

#include "engine/stack/packet.h"

#include <stdint.h>

#define PMTU_ENTRIES 64
/* After that a path is tried anew (RFC 1191, 6.3). */
#define PMTU_AGE_NS (UINT64_C(600) * 1000 * 1000 * 1000)

struct pmtu_entry;

/* Embedded in a stack; all zero is empty, and costs no memory. */
struct pmtu {
    struct pmtu_entry *entries; /* NULL until something is learnt */
};

void pmtu_fini(struct pmtu *pmtu);
/* The path to the flow's remote address takes packets of mtu bytes. Not noted without memory. */
void pmtu_learn(struct pmtu *pmtu, const struct flow *flow, uint16_t mtu, uint64_t now);
/* What that path takes, and at most `otherwise`. */
uint16_t pmtu_find(const struct pmtu *pmtu, const struct flow *flow, uint16_t otherwise,
                   uint64_t now);

#endif
