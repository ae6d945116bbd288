/*
 * private_file: small files that only their owner may read, which are there as a whole or not at
 * all, also after a crash.
 */
#ifndef MANYTUN_STORE_PRIVATE_FILE_H
#define MANYTUN_STORE_PRIVATE_FILE_H

#include <stddef.h>

/*
 * Makes or replaces the file (0600). When this returns 0 its contents and its name are on disk;
 * else the name is what it was. <path>.partial is used on the way. 0 or -errno.
 */
int private_file_write(const char *path, const void *data, size_t len);

/* Gives a file another name, which it takes from whatever had it, on disk too. 0 or -errno. */
int private_file_rename(const char *from, const char *to);

#endif
