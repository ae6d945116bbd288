/*
 * process_stats: reading /proc.
 */
#include "api/process_stats.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATH_TEXT 48

/* The name of a file of a process. */
static const char *path_of(int pid, const char *file, char buf[PATH_TEXT])
{
    if (pid == 0)
        snprintf(buf, PATH_TEXT, "/proc/self/%s", file);
    else
        snprintf(buf, PATH_TEXT, "/proc/%d/%s", pid, file);
    return buf;
}

int process_stats_open_fds(int pid, uint64_t *out)
{
    char path[PATH_TEXT];
    DIR *directory = opendir(path_of(pid, "fd", path));
    if (directory == NULL)
        return -errno;
    uint64_t count = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(directory);
    /* The directory's own descriptor is among ours. */
    *out = pid == 0 && count > 0 ? count - 1 : count;
    return 0;
}

int process_stats_max_fds(int pid, uint64_t *out)
{
    struct rlimit limit;
    if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit) < 0)
        return -errno;
    *out = limit.rlim_cur;
    return 0;
}

int process_stats_resident_bytes(int pid, uint64_t *out)
{
    char path[PATH_TEXT];
    FILE *file = fopen(path_of(pid, "statm", path), "re");
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
