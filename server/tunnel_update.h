/*
 * tunnel_update: what a worker is told of a changed tunnel: all but the peers that stay as they are
 * (messages.h, TUNNEL_UPDATE). Its size is that of the change.
 */
#ifndef MANYTUN_SERVER_TUNNEL_UPDATE_H
#define MANYTUN_SERVER_TUNNEL_UPDATE_H

#include "base/spec.h"

#include <stddef.h>
#include <stdint.h>

/* Zeroed = none. */
struct tunnel_update {
    void *head; /* struct message_tunnel_update, and the keys behind it */
    size_t head_len;
    cJSON *json;
};

/* From what the worker has to what it is to have. 0, or -ENOMEM: then it is none. */
int tunnel_update_make(struct tunnel_update *update, uint32_t slot,
                       const struct spec_tunnel *before, const struct spec_tunnel *after);
/* Leaves none. */
void tunnel_update_free(struct tunnel_update *update);

#endif
