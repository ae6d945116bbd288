/*
 * clock: the worker's time, read once per callback of the event loop and constant within it, so
 * that the packet path does not pay for a system call per packet.
 */
#ifndef MANYTUN_ENGINE_CLOCK_H
#define MANYTUN_ENGINE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_NS_PER_S  UINT64_C(1000000000)
#define CLOCK_NS_PER_MS UINT64_C(1000000)

/* Nanoseconds as of the last clock_refresh(): monotonic, on through a suspended machine. */
uint64_t clock_now(void);
/* Called at the start of every callback of the event loop. */
void clock_refresh(void);

/* The wall clock in nanoseconds since 1970, read now. */
int64_t clock_unix_ns(void);

#endif
