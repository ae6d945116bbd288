/*
 * pacing: next_ns moves on by the time that what was sent takes at the rate. It never lags behind
 * by more than PACING_CATCH_UP_NS, so that silence is not saved for a burst.
 */
#include "engine/stack/pacing.h"

#define NS_PER_S UINT64_C(1000000000)

/* One burst, whatever the rate. */
#define BURST_MAX (UINT32_C(256) * 1024)

static uint64_t earliest(uint64_t now)
{
    return now > PACING_CATCH_UP_NS ? now - PACING_CATCH_UP_NS : 0;
}

uint32_t pacing_allowance(const struct pacing *pacing, uint64_t rate, uint32_t mss, uint64_t now)
{
    uint64_t begin = pacing->next_ns, len;

    if (begin > now)
        return 0;
    if (begin < earliest(now))
        begin = earliest(now);
    /* Microseconds: rates of up to 2^44 bytes per second do not overflow. */
    len = rate * ((now - begin + PACING_QUANTUM_NS) / 1000) / 1000000;
    if (len < UINT64_C(2) * mss)
        len = UINT64_C(2) * mss;
    /* What is left for less than a segment is not sent, and next_ns would not be in the future. */
    len = (len + mss - 1) / mss * mss;
    return len < BURST_MAX ? (uint32_t)len : BURST_MAX;
}

void pacing_sent(struct pacing *pacing, uint64_t rate, uint32_t len, uint64_t now)
{
    if (pacing->next_ns < earliest(now))
        pacing->next_ns = earliest(now);
    pacing->next_ns += len * NS_PER_S / rate;
}
