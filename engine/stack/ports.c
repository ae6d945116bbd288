/*
 * ports: a random start and a random step, so that taken ports do not gather into runs that a walk
 * would have to pass.
 */
#include "engine/stack/ports.h"

#include <errno.h>

int ports_pick(const struct conntable *table, struct flow *flow)
{
    const uint32_t count = PORTS_LAST - PORTS_FIRST + 1;
    uint32_t at = randombytes_uniform(count);
    uint32_t step = 1 + randombytes_uniform(count - 1);

    for (int tries = 0; tries < PORTS_TRIES; tries++) {
        flow->local_port = (uint16_t)(PORTS_FIRST + at);
        if (conntable_find(table, flow) == NULL)
            return 0;
        at = (at + step) % count;
    }
    flow->local_port = 0;
    return -EADDRNOTAVAIL;
}
