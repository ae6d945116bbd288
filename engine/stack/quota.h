/*
 * quota: how many of something all stacks of the process may have together, and each of them.
 *
 * No stack takes more than what is left for all others: one that takes without end gets a half, two
 * get a third each, and one that has little always finds room. What it costs is that the limit
 * itself is never reached.
 */
#ifndef MANYTUN_ENGINE_STACK_QUOTA_H
#define MANYTUN_ENGINE_STACK_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

struct quota {
    uint32_t limit; /* of all together */
    uint32_t used;
};

/* What the stacks of the process share. */
struct stack_quotas {
    struct quota connections; /* STACK_CONNECTIONS_PROCESS_MAX */
    struct quota half_open;   /* STACK_HALF_OPEN_PROCESS_MAX */
};
extern struct stack_quotas stack_quotas;

/* Whether a stack that has `own` of them may take one more. */
bool quota_has_room(const struct quota *quota, uint32_t own);
/* Takes one, and counts it in *own too; quota_put() gives it back. */
void quota_take(struct quota *quota, uint32_t *own);
void quota_put(struct quota *quota, uint32_t *own);

#endif
