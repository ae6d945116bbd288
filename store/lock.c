/*
 * lock: taking the lock, and naming the process that has it.
 */
#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define PID_TEXT_MAX 16

static pid_t read_holder(int fd)
{
    char text[PID_TEXT_MAX];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    long pid = strtol(text, NULL, 10);
    return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

static int write_holder(int fd)
{
    char text[PID_TEXT_MAX];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0)
        return -errno;
    return pwrite(fd, text, (size_t)len, 0) == len ? 0 : -EIO;
}

int store_lock(const char *directory, pid_t *holder)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/lock", directory) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rc = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
        *holder = read_holder(fd);
    } else {
        rc = write_holder(fd);
    }
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}
