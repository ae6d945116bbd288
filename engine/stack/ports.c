/*
 * ports: a random start and a random step, so that taken ports do not gather into runs that a walk
 * would have to pass.
 */
#include "engine/stack/ports.h"

#include <errno.h>

bool ports_has(const uint8_t *ports, uint16_t port)
{
    return (ports[port / 8] >> port % 8 & 1) != 0;
}

void ports_add(uint8_t *ports, uint16_t port)
{
    ports[port / 8] |= (uint8_t)(1U << port % 8);
}

int ports_pick(const struct conntable *table, const uint8_t *reserved, struct flow *flow)
{
    const uint32_t count = PORTS_LAST - PORTS_FIRST + 1;
    uint32_t at = randombytes_uniform(count);
    uint32_t step = 1 + randombytes_uniform(count - 1);

    for (int tries = 0; tries < PORTS_TRIES; tries++) {
        flow->local_port = (uint16_t)(PORTS_FIRST + at);
        if ((reserved == NULL || !ports_has(reserved, flow->local_port)) &&
            conntable_find(table, flow) == NULL)
            return 0;
        at = (at + step) % count;
    }
    flow->local_port = 0;
    return -EADDRNOTAVAIL;
}
