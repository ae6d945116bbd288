/*
 * resolver: owns libevent's DNS client, made with the first lookup. A lookup is waiting for an
 * answer, waiting to try again, or done.
 */
#include "server/resolver.h"

#include "engine/log.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resolver {
    struct event_base *base;
    struct evdns_base *dns;
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
    bool failed; /* the last attempt */
};

/* The first address of a family that can be used. 0 or -ENOENT. */
static int choose(const struct lookup *lookup, const struct evutil_addrinfo *list,
                  union inet_sockaddr *out)
{
    for (; list; list = list->ai_next) {
        if (list->ai_addrlen > sizeof(*out) || (list->ai_family == AF_INET && !lookup->ipv4) ||
            (list->ai_family == AF_INET6 && !lookup->ipv6))
            continue;
        memset(out, 0, sizeof(*out));
        memcpy(out, list->ai_addr, list->ai_addrlen);
        return 0;
    }
    return -ENOENT;
}

static void on_answer(int result, struct evutil_addrinfo *list, void *arg)
{
    if (result == EVUTIL_EAI_CANCEL) /* lookup_free(): the lookup is gone */
        return;
    struct lookup *lookup = arg;
    lookup->pending = NULL;
    union inet_sockaddr address;
    const char *why = result ? evutil_gai_strerror(result) : "no address of a usable family";
    int error = result ? -ENOENT : choose(lookup, list, &address);
    if (list)
        evutil_freeaddrinfo(list);
    lookup->failed = error != 0;
    if (!error) {
        char text[INET_SOCKADDR_TEXT];
        log_info("%s is %s", lookup->host, inet_sockaddr_print(&address, text));
        lookup->done(lookup->ctx, &address);
        return;
    }
    log_warn("cannot look up %s: %s; next try in %u s", lookup->host, why, lookup->wait_seconds);
    struct timeval wait = {.tv_sec = lookup->wait_seconds};
    event_add(lookup->retry, &wait);
    lookup->wait_seconds *= 2;
    if (lookup->wait_seconds > RESOLVER_RETRY_MAX_SECONDS)
        lookup->wait_seconds = RESOLVER_RETRY_MAX_SECONDS;
}

static void start(struct lookup *lookup)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", lookup->port);
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    /* NULL means that it was answered already, from the hosts file. */
    struct evdns_getaddrinfo_request *pending =
        evdns_getaddrinfo(lookup->resolver->dns, lookup->host, port, &hints, on_answer, lookup);
    if (pending)
        lookup->pending = pending;
}

static void on_retry(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    start(arg);
}

static int open_dns(struct resolver *resolver)
{
    if (resolver->dns)
        return 0;
    resolver->dns = evdns_base_new(resolver->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!resolver->dns)
        return -ENOMEM;
    if (evdns_base_resolv_conf_parse(resolver->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf"))
        log_warn("no name server in /etc/resolv.conf: only names in /etc/hosts can be looked up");
    return 0;
}

int lookup_new(struct resolver *resolver, const struct lookup_request *request, lookup_done *done,
               void *ctx, struct lookup **out)
{
    int error = open_dns(resolver);
    if (error)
        return error;
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return -ENOMEM;
    lookup->resolver = resolver;
    snprintf(lookup->host, sizeof(lookup->host), "%s", request->host);
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
    start(lookup);
    return 0;
}

bool lookup_failed(const struct lookup *lookup)
{
    return lookup->failed;
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
