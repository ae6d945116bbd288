/* counters: owns nothing but the mapping; see counters.h for who writes what. */
#include "engine/counters.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int counters_create(void)
{
    int fd = memfd_create("manytun-counters", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, sizeof(struct counters)) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

struct counters *counters_map(int fd)
{
    void *memory = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void counters_unmap(struct counters *counters)
{
    if (counters)
        munmap(counters, sizeof(*counters));
}
