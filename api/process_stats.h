/*
 * process_stats: what the kernel says of a process (proc(5), prlimit(2)).
 */
#ifndef MANYTUN_API_PROCESS_STATS_H
#define MANYTUN_API_PROCESS_STATS_H

#include <stdint.h>

/*
 * pid 0 = this process. Each returns 0 with *out filled, or -errno, also where /proc is not
 * mounted.
 */
int process_stats_open_fds(int pid, uint64_t *out);
int process_stats_max_fds(int pid, uint64_t *out);
int process_stats_resident_bytes(int pid, uint64_t *out);

#endif
