/*
 * resolver: looks host names up without blocking, as the system would: /etc/hosts, then the
 * servers and search domains of /etc/resolv.conf. Both files are read again when they have changed
 * on disk, so that a service that runs for months follows its host. An attempt that fails is made
 * again with back-off and jitter until there is an answer.
 *
 * An address of one link, "fe80::1%eth0", is looked up in the same way: among the interfaces.
 *
 * Nothing is kept from one lookup to the next, so there are no times to live to look after: who
 * asks again gets what the name servers say then.
 */
#ifndef MANYTUN_SERVER_RESOLVER_H
#define MANYTUN_SERVER_RESOLVER_H

#include "base/inet.h"
#include "server/lookup_error.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* The wait after an attempt that failed: doubling, and up to a quarter more or less. */
#define RESOLVER_RETRY_MIN_SECONDS 1
#define RESOLVER_RETRY_MAX_SECONDS 60

/* Questions to name servers that are under way; more wait for their turn. */
#define RESOLVER_QUESTIONS_MAX 128
/* How long a name server may take to answer, in seconds, unless resolv.conf says otherwise. */
#define RESOLVER_TIMEOUT_SECONDS 2
/* Name servers that did not answer get new sockets, but not more often than this. */
#define RESOLVER_RENEW_SECONDS 10
/* After the answer for one family: how long that for the other is waited for, in seconds. */
#define RESOLVER_LATE_SECONDS 3

/* Addresses of an answer that are kept. */
#define RESOLVER_ADDRESSES_MAX 8

struct resolver;
struct lookup;

/* 0 or -ENOMEM. No file is read and no socket is opened before the first lookup. */
int resolver_new(struct event_base *base, struct resolver **out);
/*
 * All lookups must have been freed. Lets the loop turn once, unless it is turning now. NULL is
 * allowed.
 */
void resolver_free(struct resolver *resolver);

/* What a name stands for: at least one address, each once, with the port that was asked for. */
struct resolved {
    size_t count;
    union inet_sockaddr addresses[RESOLVER_ADDRESSES_MAX]; /* the families by turns, IPv6 first */
};

/* All of them, with commas between. */
#define RESOLVED_TEXT ((size_t)RESOLVER_ADDRESSES_MAX * (INET_SOCKADDR_TEXT + 2))
const char *resolved_print(const struct resolved *resolved, char text[RESOLVED_TEXT]);
/* In any order: name servers change it with every answer. */
bool resolved_equal(const struct resolved *a, const struct resolved *b);

/* An answer, once per lookup_new() and lookup_again(). */
typedef void lookup_done(void *ctx, const struct resolved *resolved);

struct lookup_request {
    const char *host; /* copied */
    uint16_t port;
    bool ipv4, ipv6; /* the families that can be used */
};

/* Starts a lookup; done may run before this returns. 0 or -ENOMEM. */
int lookup_new(struct resolver *resolver, const struct lookup_request *request, lookup_done *done,
               void *ctx, struct lookup **out);
/* Asks again, unless it is asking anyway. done may run before this returns. */
void lookup_again(struct lookup *lookup);
/* Why the last attempt failed; LOOKUP_OK = it did not, or there was none yet. */
enum lookup_error lookup_error(const struct lookup *lookup);
/* When the next attempt is made after one that failed: CLOCK_REALTIME. False = none is planned. */
bool lookup_next_at(const struct lookup *lookup, struct timespec *out);
/* Ends it: done is not called any more. NULL is allowed. */
void lookup_free(struct lookup *lookup);

#endif
