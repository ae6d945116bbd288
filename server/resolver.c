/*
 * resolver: owns libevent's DNS client, made with the first lookup. A lookup is asking (`pending`),
 * waiting to ask again (`retry` is pending), or at rest.
 *
 * libevent's client is told how to be more forgiving than it is by itself. Names are asked for in
 * lower case: it takes an answer in other letters than the question's for an answer to something
 * else, and some name servers only know lower case. Its sockets keep the source address that they
 * began with, which the host may lose: after a failure that no server answered for, they are made
 * anew.
 */
#include "server/resolver.h"

#include "engine/log.h"
#include "server/monotonic.h"

#include <ctype.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define HOSTS       "/etc/hosts"

/* What tells one state of a file from another; all zero = there is none. */
struct version {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

struct resolver {
    struct event_base *base;
    struct evdns_base *dns;
    struct version resolv_conf, hosts; /* as they were read */
    uint64_t loaded_at;                /* monotonic.h */
    bool silent;                       /* no server has answered an attempt since */
};

struct lookup {
    struct resolver *resolver;
    char host[INET_HOST_TEXT];
    uint16_t port;
    bool ipv4, ipv6;
    lookup_done *done;
    void *ctx;
    struct evdns_getaddrinfo_request *pending;
    struct event *retry;
    unsigned wait_seconds;
    const char *failure; /* of the last attempt, NULL = none */
};

/* --- Files ------------------------------------------------------------------------------------ */

static struct version version_of(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return (struct version){0};
    return (struct version){
        .device = status.st_dev,
        .inode = status.st_ino,
        .size = status.st_size,
        .modified = status.st_mtim,
    };
}

static bool same_version(const struct version *a, const struct version *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

/* Reads both files. Questions that are under way go on, to the servers that there are now. */
static void load(struct resolver *resolver)
{
    struct evdns_base *dns = resolver->dns;
    char value[12];
    resolver->resolv_conf = version_of(RESOLV_CONF);
    resolver->hosts = version_of(HOSTS);
    resolver->loaded_at = monotonic_ns();
    resolver->silent = false;

    evdns_base_clear_nameservers_and_suspend(dns);
    evdns_base_search_clear(dns);
    evdns_base_clear_host_addresses(dns);
    /* What the file does not set is as if it had never been set. */
    evdns_base_search_ndots_set(dns, 1);
    evdns_base_set_option(dns, "randomize-case:", "0");
    evdns_base_set_option(dns, "attempts:", "3");
    snprintf(value, sizeof(value), "%d", RESOLVER_TIMEOUT_SECONDS);
    evdns_base_set_option(dns, "timeout:", value);
    snprintf(value, sizeof(value), "%d", RESOLVER_QUESTIONS_MAX);
    evdns_base_set_option(dns, "max-inflight:", value);
    if (evdns_base_resolv_conf_parse(dns, DNS_OPTIONS_ALL, RESOLV_CONF))
        log_warn("no name server in " RESOLV_CONF ": one on this host is asked");
    evdns_base_resume(dns);
}

/* Sees to it that the next question goes where the files say now. 0 or -ENOMEM. */
static int prepare(struct resolver *resolver)
{
    if (!resolver->dns) {
        resolver->dns = evdns_base_new(resolver->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
        if (!resolver->dns)
            return -ENOMEM;
        load(resolver);
        return 0;
    }
    const struct version resolv_conf = version_of(RESOLV_CONF);
    const struct version hosts = version_of(HOSTS);
    bool changed = !same_version(&resolv_conf, &resolver->resolv_conf) ||
                   !same_version(&hosts, &resolver->hosts);
    bool renew = resolver->silent && monotonic_ns() - resolver->loaded_at >=
                                         RESOLVER_RENEW_SECONDS * MONOTONIC_NS_PER_S;
    if (changed)
        log_info(RESOLV_CONF " or " HOSTS " has changed, and is read again");
    if (changed || renew)
        load(resolver);
    return 0;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static bool contains(const struct resolved *resolved, const union inet_sockaddr *address)
{
    for (size_t i = 0; i < resolved->count; i++) {
        if (inet_sockaddr_equal(&resolved->addresses[i], address))
            return true;
    }
    return false;
}

bool resolved_equal(const struct resolved *a, const struct resolved *b)
{
    size_t i = 0;
    while (i < a->count && contains(b, &a->addresses[i]))
        i++;
    return i == a->count && a->count == b->count;
}

/* The next address of this family, which *list is moved beyond. False when there is none. */
static bool next_of(const struct evutil_addrinfo **list, int family, union inet_sockaddr *out)
{
    for (const struct evutil_addrinfo *item = *list; item; item = item->ai_next) {
        if (item->ai_family != family || item->ai_addrlen > sizeof(*out))
            continue;
        memset(out, 0, sizeof(*out));
        memcpy(out, item->ai_addr, item->ai_addrlen);
        *list = item->ai_next;
        return true;
    }
    *list = NULL;
    return false;
}

/* What of an answer can be used, the families by turns. */
static void collect(const struct lookup *lookup, const struct evutil_addrinfo *list,
                    struct resolved *out)
{
    const int families[] = {AF_INET6, AF_INET};
    const struct evutil_addrinfo *rest[] = {lookup->ipv6 ? list : NULL, lookup->ipv4 ? list : NULL};
    out->count = 0;
    while (rest[0] || rest[1]) {
        for (size_t i = 0; i < 2; i++) {
            union inet_sockaddr address;
            if (next_of(&rest[i], families[i], &address) && out->count < RESOLVER_ADDRESSES_MAX &&
                !contains(out, &address))
                out->addresses[out->count++] = address;
        }
    }
}

/* A wait of about so many seconds: many that failed together do not come back together. */
static struct timeval about(unsigned seconds)
{
    const uint32_t ms = seconds * 1000;
    const uint32_t wait = ms - ms / 4 + randombytes_uniform(ms / 2 + 1);
    return (struct timeval){.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000L};
}

static void attempt_failed(struct lookup *lookup, const char *why)
{
    if (!lookup->failure) /* else it was told */
        log_warn("cannot look up %s: %s; it is tried again", lookup->host, why);
    lookup->failure = why;
    const struct timeval wait = about(lookup->wait_seconds);
    event_add(lookup->retry, &wait);
    lookup->wait_seconds *= 2;
    if (lookup->wait_seconds > RESOLVER_RETRY_MAX_SECONDS)
        lookup->wait_seconds = RESOLVER_RETRY_MAX_SECONDS;
}

static void on_answer(int result, struct evutil_addrinfo *list, void *arg)
{
    if (result == EVUTIL_EAI_CANCEL) /* lookup_free(): the lookup is gone */
        return;
    struct lookup *lookup = arg;
    struct resolved resolved = {0};
    lookup->pending = NULL;
    collect(lookup, list, &resolved);
    if (list)
        evutil_freeaddrinfo(list);
    if (result == EVUTIL_EAI_AGAIN || result == EVUTIL_EAI_FAIL)
        lookup->resolver->silent = true;
    if (resolved.count == 0) {
        attempt_failed(lookup,
                       result ? evutil_gai_strerror(result) : "no address of a usable family");
        return;
    }
    lookup->failure = NULL;
    lookup->wait_seconds = RESOLVER_RETRY_MIN_SECONDS;
    lookup->done(lookup->ctx, &resolved);
}

/* --- Lookups ---------------------------------------------------------------------------------- */

static void ask(struct lookup *lookup)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", lookup->port);
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    if (prepare(lookup->resolver) < 0) {
        attempt_failed(lookup, strerror(ENOMEM));
        return;
    }
    /* NULL means that it was answered already, from the hosts file or because it cannot be asked.
     */
    struct evdns_getaddrinfo_request *pending =
        evdns_getaddrinfo(lookup->resolver->dns, lookup->host, port, &hints, on_answer, lookup);
    if (pending)
        lookup->pending = pending;
}

static void on_retry(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    ask(arg);
}

int lookup_new(struct resolver *resolver, const struct lookup_request *request, lookup_done *done,
               void *ctx, struct lookup **out)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return -ENOMEM;
    lookup->resolver = resolver;
    for (size_t i = 0; request->host[i] != '\0' && i + 1 < sizeof(lookup->host); i++)
        lookup->host[i] = (char)tolower((unsigned char)request->host[i]);
    lookup->port = request->port;
    lookup->ipv4 = request->ipv4;
    lookup->ipv6 = request->ipv6;
    lookup->done = done;
    lookup->ctx = ctx;
    lookup->wait_seconds = RESOLVER_RETRY_MIN_SECONDS;
    lookup->retry = evtimer_new(resolver->base, on_retry, lookup);
    if (!lookup->retry) {
        free(lookup);
        return -ENOMEM;
    }
    *out = lookup;
    ask(lookup);
    return 0;
}

void lookup_again(struct lookup *lookup)
{
    if (!lookup->pending && !evtimer_pending(lookup->retry, NULL))
        ask(lookup);
}

const char *lookup_failure(const struct lookup *lookup)
{
    return lookup->failure;
}

void lookup_free(struct lookup *lookup)
{
    if (!lookup)
        return;
    if (lookup->pending)
        evdns_getaddrinfo_cancel(lookup->pending);
    event_free(lookup->retry);
    free(lookup);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

int resolver_new(struct event_base *base, struct resolver **out)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (!resolver)
        return -ENOMEM;
    resolver->base = base;
    *out = resolver;
    return 0;
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    if (resolver->dns) {
        /* A lookup that was cancelled ends in a turn of the loop; before, it is not freed. */
        event_base_loop(resolver->base, EVLOOP_NONBLOCK);
        evdns_base_free(resolver->dns, 0);
    }
    free(resolver);
}
