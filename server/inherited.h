/*
 * inherited: the descriptors that a process got from the one that it takes over from, each by what
 * it is and its name, until somebody takes it.
 */
#ifndef MANYTUN_SERVER_INHERITED_H
#define MANYTUN_SERVER_INHERITED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INHERITED_FDS_MAX  2
#define INHERITED_NAME_MAX 255

/* What it is. The numbers are those of the protocol (handoff.h), and stay. */
enum inherited_kind {
    INHERITED_LOCK = 1,    /* of the data directory */
    INHERITED_API = 2,     /* a listener of the API; its name is its door and address */
    INHERITED_TUNNEL = 3,  /* outer sockets, IPv4 and IPv6 */
    INHERITED_FORWARD = 4, /* its listener */
    INHERITED_BRIDGE = 5,  /* a tunnel's, to the older worker */
    INHERITED_WORKER = 6,  /* one that has retired: its channel, its process */
    INHERITED_COUNTS = 7,  /* what one still counts: records, its counters (retired_counts.h) */
};

/*
 * Whether there may be thousands of that kind. Who offers one keeps it open, so that nobody needs a
 * duplicate meanwhile.
 */
bool inherited_is_numerous(enum inherited_kind kind);

struct inherited_item {
    uint8_t kind;
    char name[INHERITED_NAME_MAX + 1];
    int fds[INHERITED_FDS_MAX]; /* -1 = none */
};

struct inherited;

/* 0 or -ENOMEM. */
int inherited_new(struct inherited **out);
/* Closes what nobody has taken. NULL is allowed. */
void inherited_free(struct inherited *inherited);

/* Takes the descriptors over, and sets them to -1; the name must be new. 0 or -ENOMEM. */
int inherited_add(struct inherited *inherited, struct inherited_item *item);
/* Whether there is an item of that name to be taken. */
bool inherited_has(struct inherited *inherited, enum inherited_kind kind, const char *name);
/*
 * For this process after execve(): writes all that there is into a file without a name, whose
 * descriptor is returned, and lets it and what it names stay open. Or -errno.
 */
int inherited_keep(const struct inherited *inherited);
/* The other side of it: fd is closed. 0, -EPROTO (it is no such file) or -ENOMEM. */
int inherited_find_kept(int fd, struct inherited **out);

/*
 * Takes an item out; its descriptors are the caller's then. name NULL = any. False: there is none,
 * and fds are -1. inherited NULL = there is nothing.
 */
bool inherited_take(struct inherited *inherited, enum inherited_kind kind, const char *name,
                    int fds[INHERITED_FDS_MAX]);

#endif
