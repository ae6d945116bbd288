/*
 * cc: what lwIP asks of its platform: types come from stdint.h, checksums and assertions from us.
 */
#ifndef MANYTUN_ENGINE_STACK_PORT_CC_H
#define MANYTUN_ENGINE_STACK_PORT_CC_H

#include "../../checksum.h"

#include <endian.h>
#include <stddef.h>
#include <stdint.h>

/* Debug output is compiled out; nothing in lwIP may print. */
#define LWIP_PLATFORM_DIAG(x) ((void)0)

/*
 * An assertion of lwIP must not let a packet stop a process that serves others: it is counted
 * (swap_assertions()), the first one is logged, and the call goes on. What could make one fail is
 * kept from lwIP: see segment_take_options() and stack_conn_write().
 */
void swap_assertion_failed(const char *message);
#define LWIP_PLATFORM_ASSERT(message) swap_assertion_failed(message)

#define LWIP_CHKSUM(data, len)          checksum_lwip(data, len)
#define LWIP_CHKSUM_COPY(dst, src, len) checksum_lwip_copy(dst, src, len)

#endif
