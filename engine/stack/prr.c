/*
 * prr: RFC 9937: below the target it grows as slow start does while that repairs what
 * was lost, and else sends no more than what has arrived.
 */
#include "engine/stack/prr.h"

void prr_begin(struct prr *prr, uint32_t prior)
{
    *prr = (struct prr){.prior = prior > 0 ? prior : 1};
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint32_t prr_window(struct prr *prr, uint32_t delivered, uint32_t pipe, uint32_t target,
                    uint32_t mss, bool safe)
{
    uint64_t room;

    prr->delivered += delivered;
    if (pipe > target) {
        uint64_t share = (prr->delivered * target + prr->prior - 1) / prr->prior;

        room = share > prr->sent ? share - prr->sent : 0;
    } else {
        uint64_t owed = prr->delivered > prr->sent ? prr->delivered - prr->sent : 0;
        uint64_t limit = max_u64(owed, delivered) + (safe ? mss : 0);

        room = target - pipe < limit ? target - pipe : limit;
    }
    /* The first retransmission is not held back, nor one that nothing else would bring about. */
    if ((prr->sent == 0 || pipe == 0) && room < mss)
        room = mss;
    return pipe + (uint32_t)room;
}
