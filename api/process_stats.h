/*
 * process_stats: what the kernel says of this process (proc(5), getrlimit(2)).
 */
#ifndef MANYTUN_API_PROCESS_STATS_H
#define MANYTUN_API_PROCESS_STATS_H

#include <stdint.h>

/* Each returns 0 with *out filled, or -errno, also where /proc is not mounted. */
int process_stats_open_fds(uint64_t *out);
int process_stats_max_fds(uint64_t *out);
int process_stats_resident_bytes(uint64_t *out);

#endif
