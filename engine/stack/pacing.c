/*
 * pacing: next_ns moves on by the time that what was sent takes at the rate. It never lags behind
 * by more than catch_up(), so that silence is not saved for a burst.
 */
#include "engine/stack/pacing.h"

#define NS_PER_S UINT64_C(1000000000)

/* A quantum and what is made up for are together no more than this, or a quantum. */
#define BURST_MAX (UINT64_C(1024) * 1024)

/*
 * What a burst has no room for is not made up for: if it were owed, next_ns would be in the past
 * after the burst, and nobody wait for it.
 */
static uint64_t catch_up(uint64_t rate)
{
    uint64_t burst_ns = BURST_MAX * NS_PER_S / rate;

    if (burst_ns >= PACING_QUANTUM_NS + PACING_CATCH_UP_NS)
        return PACING_CATCH_UP_NS;
    return burst_ns > PACING_QUANTUM_NS ? burst_ns - PACING_QUANTUM_NS : 0;
}

static uint64_t earliest(uint64_t rate, uint64_t now)
{
    uint64_t late_ns = catch_up(rate);

    return now > late_ns ? now - late_ns : 0;
}

uint32_t pacing_allowance(const struct pacing *pacing, uint64_t rate, uint32_t mss, uint64_t now)
{
    uint64_t begin = pacing->next_ns, len;

    if (begin > now)
        return 0;
    if (begin < earliest(rate, now))
        begin = earliest(rate, now);
    /* Microseconds: rates of up to 2^44 bytes per second do not overflow. */
    len = rate * ((now - begin + PACING_QUANTUM_NS) / 1000) / 1000000;
    if (len < UINT64_C(2) * mss)
        len = UINT64_C(2) * mss;
    /* What is left for less than a segment is not sent, and next_ns would not be in the future. */
    len = (len + mss - 1) / mss * mss;
    return len < UINT32_MAX ? (uint32_t)len : UINT32_MAX;
}

void pacing_sent(struct pacing *pacing, uint64_t rate, uint32_t len, uint64_t now)
{
    if (pacing->next_ns < earliest(rate, now))
        pacing->next_ns = earliest(rate, now);
    pacing->next_ns += len * NS_PER_S / rate;
}
