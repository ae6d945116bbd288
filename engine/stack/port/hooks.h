/*
 * hooks: the places where lwIP asks us. Included by lwIP (LWIP_HOOK_FILENAME).
 */
#ifndef MANYTUN_ENGINE_STACK_PORT_HOOKS_H
#define MANYTUN_ENGINE_STACK_PORT_HOOKS_H

#include <lwip/ip_addr.h>

/* The initial sequence number of a connection; isn.h. */
u32_t swap_hook_isn(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote,
                    u16_t remote_port);
#define LWIP_HOOK_TCP_ISN swap_hook_isn

#endif
