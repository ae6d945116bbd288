/*
 * prr: proportional rate reduction (RFC 9937): during a recovery the window goes down to its new
 * value in step with what arrives, not at once, so that acknowledgments keep being answered.
 */
#ifndef MANYTUN_ENGINE_STACK_PRR_H
#define MANYTUN_ENGINE_STACK_PRR_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes. */
struct prr {
    uint32_t prior;     /* on the way when recovery began */
    uint64_t delivered; /* since */
    uint64_t sent;      /* since */
};

void prr_begin(struct prr *prr, uint32_t prior);
/*
 * The window after delivered more bytes have arrived, with pipe on the way, on the way to target.
 * safe: the cumulative acknowledgment has moved on, and nothing more is lost.
 */
uint32_t prr_window(struct prr *prr, uint32_t delivered, uint32_t pipe, uint32_t target,
                    uint32_t mss, bool safe);

/* Bytes were sent, for the first time or again. */
static inline void prr_sent(struct prr *prr, uint32_t len)
{
    prr->sent += len;
}

#endif
