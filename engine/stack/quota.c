/* quota: owns the sums of the process. */
#include "engine/stack/quota.h"

#include "engine/stack/stack.h"

struct stack_quotas stack_quotas = {
    .connections.limit = STACK_CONNECTIONS_PROCESS_MAX,
    .half_open.limit = STACK_HALF_OPEN_PROCESS_MAX,
};

bool quota_has_room(const struct quota *quota, uint32_t own)
{
    return quota->used < quota->limit && own < quota->limit - quota->used;
}

void quota_take(struct quota *quota, uint32_t *own)
{
    quota->used++;
    (*own)++;
}

void quota_put(struct quota *quota, uint32_t *own)
{
    quota->used--;
    (*own)--;
}
