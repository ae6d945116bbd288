/*
 * retelling: what a worker could not do for want of memory or descriptors, to be told again: a few
 * objects at a time, so that neither it nor control is held up, and less and less often as long as
 * nothing comes of it. What it has not answered yet it is not told once more. One per worker.
 */
#ifndef MANYTUN_SERVER_RETELLING_H
#define MANYTUN_SERVER_RETELLING_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

/* Objects that are told in one go. */
#define RETELLING_PORTION 32
/* How long to wait before the next ones: doubling from the one to the other. */
#define RETELLING_MIN_MS 100
#define RETELLING_MAX_MS 30000

/* In every object. Zeroed, but for tell: the worker has all of it. */
struct retelling_item {
    TAILQ_ENTRY(retelling_item) link;
    int error;   /* errno: why it has not; 0 = it has */
    bool listed; /* to be told; one that was told is again when that has failed, too */
    /* Tells the worker of the whole object; retelling_failed() may come before it returns. */
    void (*tell)(struct retelling_item *item);
};

struct retelling {
    struct event *timer; /* always pending, so that it takes no memory to set it */
    TAILQ_HEAD(, retelling_item) items;
    size_t listed; /* in items */
    size_t count;  /* those, and whose answer is waited for */
    unsigned wait_ms;
};

/* 0 or -ENOMEM. */
int retelling_init(struct retelling *retelling, struct event_base *base);
/* Tells of nothing any more. Zeroed is allowed. */
void retelling_fini(struct retelling *retelling);

/* The worker has not all of the object, for this errno: it is told again until it has. */
void retelling_failed(struct retelling *retelling, struct retelling_item *item, int error);
/* It has: so there is room again, maybe for the next ones. */
void retelling_succeeded(struct retelling *retelling, struct retelling_item *item);
/* The object is no more, or is told to a worker that knows nothing. */
void retelling_forget(struct retelling *retelling, struct retelling_item *item);

#endif
