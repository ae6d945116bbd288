/*
 * resolver: looks host names up without blocking, as the system would: /etc/hosts, then the
 * servers of /etc/resolv.conf. A lookup that fails is tried again with back-off until it is freed.
 */
#ifndef MANYTUN_SERVER_RESOLVER_H
#define MANYTUN_SERVER_RESOLVER_H

#include "engine/inet.h"

#include <event2/event.h>
#include <stdbool.h>

#define RESOLVER_RETRY_MIN_SECONDS 1
#define RESOLVER_RETRY_MAX_SECONDS 60

struct resolver;
struct lookup;

/* 0 or -ENOMEM. No socket is opened before the first lookup. */
int resolver_new(struct event_base *base, struct resolver **out);
/* All lookups have been freed. NULL is allowed. */
/* All lookups must have been freed. Lets the loop turn once, unless it is turning now. */
void resolver_free(struct resolver *resolver);

/* The name's first address of a wanted family, with the port. Called once. */
typedef void lookup_done(void *ctx, const union inet_sockaddr *address);

struct lookup_request {
    const char *host; /* copied */
    uint16_t port;
    bool ipv4, ipv6; /* the families that can be used */
};

/* Starts a lookup; done may run before this returns. 0 or -ENOMEM. */
int lookup_new(struct resolver *resolver, const struct lookup_request *request, lookup_done *done,
               void *ctx, struct lookup **out);
/* Whether it has no answer yet, and at least one attempt failed. */
bool lookup_failed(const struct lookup *lookup);
/* Ends it: done is not called any more. NULL is allowed. */
void lookup_free(struct lookup *lookup);

#endif
