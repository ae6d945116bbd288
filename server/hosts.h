/*
 * hosts: what the hosts file (hosts(5)) says: lines of an address and its names. Lines that cannot
 * be understood, as of addresses with a zone, are passed over, as the system does.
 */
#ifndef MANYTUN_SERVER_HOSTS_H
#define MANYTUN_SERVER_HOSTS_H

#include "base/inet.h"

#include <stddef.h>

/* What is kept of a file; lines beyond that are as if they were not there. */
#define HOSTS_BYTES_MAX (1 << 20)

/* Zeroed = an empty file. */
struct hosts {
    char *text; /* owned */
    size_t len;
};

/*
 * Reads the file in place of what was read before. Without a file there is localhost alone. 0 or
 * -ENOMEM; then hosts is as it was.
 */
int hosts_load(struct hosts *hosts, const char *path);
void hosts_fini(struct hosts *hosts);

/*
 * The addresses of a name, in whatever case and with or without a final dot, in the order of the
 * file: at most max of them are written to out. Returns how many were.
 */
size_t hosts_find(const struct hosts *hosts, const char *name, struct inet_addr out[], size_t max);

#endif
