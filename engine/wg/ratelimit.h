/*
 * ratelimit: token buckets for handshake messages under load, one per IPv4 address or IPv6 /64:
 * 20 messages a second, bursts of 5. The table is bounded; the source that was quiet longest makes
 * room for a new one.
 */
#ifndef MANYTUN_ENGINE_WG_RATELIMIT_H
#define MANYTUN_ENGINE_WG_RATELIMIT_H

#include "base/inet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RATELIMIT_KEY_LEN 16 /* of the secret that spreads sources over the table */

struct ratelimit_bucket;

/* Zero-initialised = nothing seen; the table is made at the first use. */
struct ratelimit {
    struct ratelimit_bucket *buckets;
    uint8_t key[RATELIMIT_KEY_LEN];
};

void ratelimit_init(struct ratelimit *limit, const uint8_t key[RATELIMIT_KEY_LEN]);
void ratelimit_fini(struct ratelimit *limit);
/* Whether one more message of this source may pass now; then it is counted. */
bool ratelimit_allow(struct ratelimit *limit, const struct inet_addr *source, uint64_t now);

#endif
