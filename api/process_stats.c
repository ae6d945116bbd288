/*
 * process_stats: reading /proc/self.
 */
#include "api/process_stats.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

int process_stats_open_fds(uint64_t *out)
{
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return -errno;
    uint64_t count = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(directory);
    /* The directory's own descriptor was among them. */
    *out = count > 0 ? count - 1 : 0;
    return 0;
}

int process_stats_max_fds(uint64_t *out)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    *out = limit.rlim_cur;
    return 0;
}

int process_stats_resident_bytes(uint64_t *out)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return -errno;
    uint64_t pages;
    int read = fscanf(file, "%*s %" SCNu64, &pages);
    fclose(file);
    if (read != 1)
        return -EIO;
    *out = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}
