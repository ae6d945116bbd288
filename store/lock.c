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
#include <time.h>
#include <unistd.h>

#define PID_TEXT_MAX 16

/*
 * How often, and how long apart, a held lock is tried: a process that was killed may have left one
 * that is not a worker yet, and holds what it was forked with for another moment.
 */
#define ATTEMPTS   20
#define ATTEMPT_NS 25000000L

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

/* 0, or -EBUSY when somebody else keeps it. */
static int take(int fd)
{
    for (int attempt = 1; flock(fd, LOCK_EX | LOCK_NB) < 0; attempt++) {
        if (errno != EWOULDBLOCK)
            return -errno;
        if (attempt == ATTEMPTS)
            return -EBUSY;
        nanosleep(&(struct timespec){.tv_nsec = ATTEMPT_NS}, NULL);
    }
    return 0;
}

int store_lock(const char *directory, pid_t *holder)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/lock", directory) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rc = take(fd);
    if (rc == 0)
        rc = write_holder(fd);
    else
        *holder = read_holder(fd);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

int store_lock_adopt(int lock)
{
    return write_holder(lock);
}
