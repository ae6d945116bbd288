/*
 * ephemeral: which port to try where any will do.
 *
 * The kernel's own choice takes milliseconds as soon as a few thousand ports are taken: for a
 * socket with SO_REUSEADDR it walks through an eighth of its range one by one, and only then
 * through the rest. A port at random is free most of the time.
 */
#ifndef MANYTUN_SERVER_EPHEMERAL_H
#define MANYTUN_SERVER_EPHEMERAL_H

#include <stdint.h>

/*
 * A port at random that the kernel may choose for TCP (ip_local_port_range without
 * ip_local_reserved_ports). It may be taken. 0 = the kernel has to be asked. attempt counts from 0:
 * the first ones leave alone the half of the range that outgoing connections are given.
 */
uint16_t ephemeral_port(unsigned attempt);

/* --- For tests -------------------------------------------------------------------------------- */

#include <stdbool.h>

/* Whether a list as in ip_local_reserved_ports ("80,8000-8010") has the port. */
bool ephemeral_list_has(const char *list, uint16_t port);

#endif
