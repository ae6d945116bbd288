/*
 * private_file: written under another name, down to the disk, then renamed.
 */
#include "store/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A new file: nobody can have opened it, or have put a link in its place. */
static int write_new(const char *path, const void *data, size_t len)
{
    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rc = 0;
    ssize_t written = write(fd, data, len);
    if (written < 0 || fsync(fd) < 0)
        rc = -errno;
    else if ((size_t)written != len)
        rc = -ENOSPC;
    close(fd);
    if (rc < 0)
        unlink(path);
    return rc;
}

/* Makes what happened to a file's name last. 0 or -errno. */
static int sync_name(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    if (len >= sizeof(directory))
        return -ENAMETOOLONG;
    memcpy(directory, slash == NULL ? "." : path, len);
    directory[len] = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

int private_file_rename(const char *from, const char *to)
{
    return rename(from, to) < 0 ? -errno : sync_name(to);
}

int private_file_write(const char *path, const void *data, size_t len)
{
    char partial[PATH_MAX];
    if (snprintf(partial, sizeof(partial), "%s.partial", path) >= (int)sizeof(partial))
        return -ENAMETOOLONG;
    int rc = write_new(partial, data, len);
    return rc < 0 ? rc : private_file_rename(partial, path);
}
