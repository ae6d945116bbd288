/*
 * resegment: smaller segments on a connection that has some already, because its path takes less
 * than was thought.
 */
#ifndef MANYTUN_ENGINE_STACK_RESEGMENT_H
#define MANYTUN_ENGINE_STACK_RESEGMENT_H

#include <stdint.h>

struct sender;
struct swap;

/*
 * Cuts everything that is queued or in flight into segments of at most mss bytes (flight_piece()),
 * which is less than before, and sends again, at once, what was longer: the path has dropped it.
 * That is no sign of congestion (RFC 1191, 6.5). For an established connection, during a swap.
 *
 * 0; -ENOMEM: the segments are still of the former size, though some may have been cut.
 */
int resegment(struct sender *sender, struct swap *swap, uint16_t mss);

#endif
