/*
 * ports: picks the local port of a new connection: at random, and free for this destination
 * (RFC 6056, 3.3.2, "another simple port randomization algorithm", per 4-tuple).
 */
#ifndef MANYTUN_ENGINE_STACK_PORTS_H
#define MANYTUN_ENGINE_STACK_PORTS_H

#include "engine/stack/conntable.h"

/*
 * The range that is drawn from (RFC 6056, 3.2: as large as possible, no well-known ports). Their
 * number is a prime, 64499, so that steps of any size come by all of them.
 */
#define PORTS_FIRST 1037
#define PORTS_LAST  65535

/* Ports that are tried: bounds the time when nearly all are taken, and finds one in 200 free. */
#define PORTS_TRIES 1024

/* A set of ports: one bit each. */
bool ports_has(const uint8_t *ports, uint16_t port);
void ports_add(uint8_t *ports, uint16_t port);

/*
 * Sets flow->local_port so that the flow is not in the table, and the port not in the set reserved
 * (NULL = none is). 0 or -EADDRNOTAVAIL.
 */
int ports_pick(const struct conntable *table, const uint8_t *reserved, struct flow *flow);

#endif
