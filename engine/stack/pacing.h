/*
 * pacing: spreads what a connection sends over time, in bursts of about a millisecond's worth, so
 * that there is one timer per burst and none per packet.
 */
#ifndef MANYTUN_ENGINE_STACK_PACING_H
#define MANYTUN_ENGINE_STACK_PACING_H

#include <stdint.h>

/* What is sent at once is this long's worth, and at least two segments. */
#define PACING_QUANTUM_NS UINT64_C(1000000)
/* A timer that is late by up to this is made up for; by less above 200 MB/s. */
#define PACING_CATCH_UP_NS UINT64_C(4000000)

/* Embedded in a connection; all zero = may send. */
struct pacing {
    uint64_t next_ns; /* when the next burst may begin */
};

/*
 * Bytes that may be sent now at rate bytes per second (not 0), in whole segments; 0 = not before
 * pacing->next_ns, which is in the future when they have been sent.
 */
uint32_t pacing_allowance(const struct pacing *pacing, uint64_t rate, uint32_t mss, uint64_t now);
void pacing_sent(struct pacing *pacing, uint64_t rate, uint32_t len, uint64_t now);

#endif
