/*
 * lock: one process per data directory. An advisory lock on <directory>/lock, which the kernel
 * drops with the process; the file holds the process id, for people.
 */
#ifndef MANYTUN_STORE_LOCK_H
#define MANYTUN_STORE_LOCK_H

#include <sys/types.h>

/*
 * Returns a descriptor that holds the lock until it is closed, or -errno; -EBUSY when another
 * process has it and keeps it for half a second, then *holder is its id, or 0 when that cannot be
 * told.
 */
int store_lock(const char *directory, pid_t *holder);
/* Notes this process in a lock that another one took and passed on. 0 or -errno. */
int store_lock_adopt(int lock);

#endif
