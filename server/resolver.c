/*
 * resolver: owns libevent's DNS client, made with the first lookup. A lookup is asking (it has
 * questions), waiting to ask again (`retry` is pending), or at rest. It asks for both families, one
 * question each, also when one cannot be used: to tell why a name is of no use.
 *
 * A question outlives its lookup, which may be gone when the client comes back with it.
 *
 * libevent's client is told how to be more forgiving than it is by itself. Names are asked for in
 * lower case: it takes an answer in other letters than the question's for an answer to something
 * else, and some name servers only know lower case. Its sockets keep the source address that they
 * began with, which the host may lose: after a failure that no server answered for, they are made
 * anew.
 */
#include "server/resolver.h"

#include "base/log.h"
#include "server/hosts.h"
#include "server/monotonic.h"

#include <ctype.h>
#include <errno.h>
#include <event2/dns.h>
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
    struct hosts hosts;
    struct version resolv_conf_version, hosts_version; /* as they were read */
    uint64_t loaded_at;                                /* monotonic.h */
    bool no_server;                                    /* is named in resolv.conf */
    bool silent;                                       /* no server has answered an attempt since */
};

/* In the order of their addresses in an answer. */
enum { IPV6, IPV4, FAMILIES };

struct question {
    struct lookup *lookup; /* NULL = nobody waits for it any more */
    int family;
    struct evdns_request *request;
};

struct answer {
    enum lookup_error error;
    size_t count;
    struct inet_addr addresses[RESOLVER_ADDRESSES_MAX];
};

struct lookup {
    struct resolver *resolver;
    char host[INET_HOST_TEXT];
    bool zoned; /* the host is an address of one link, with the name of an interface */
    uint16_t port;
    bool usable[FAMILIES];
    lookup_done *done;
    void *ctx;
    struct question *questions[FAMILIES]; /* under way, or NULL */
    struct answer answers[FAMILIES];
    struct event *late; /* pending while only a part of the answer is there */
    struct event *retry;
    unsigned wait_seconds;
    enum lookup_error error; /* of the last attempt */
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

/* Reads resolv.conf. Questions that are under way go on, to the servers that there are now. */
static void load_resolv_conf(struct resolver *resolver)
{
    struct evdns_base *dns = resolver->dns;
    char value[12];
    resolver->resolv_conf_version = version_of(RESOLV_CONF);
    resolver->loaded_at = monotonic_ns();
    resolver->silent = false;

    evdns_base_clear_nameservers_and_suspend(dns);
    evdns_base_search_clear(dns);
    /* What the file does not set is as if it had never been set. */
    evdns_base_search_ndots_set(dns, 1);
    evdns_base_set_option(dns, "randomize-case:", "0");
    evdns_base_set_option(dns, "attempts:", "3");
    snprintf(value, sizeof(value), "%d", RESOLVER_TIMEOUT_SECONDS);
    evdns_base_set_option(dns, "timeout:", value);
    snprintf(value, sizeof(value), "%d", RESOLVER_QUESTIONS_MAX);
    evdns_base_set_option(dns, "max-inflight:", value);
    resolver->no_server = evdns_base_resolv_conf_parse(dns, DNS_OPTIONS_ALL & ~DNS_OPTION_HOSTSFILE,
                                                       RESOLV_CONF) != 0;
    if (resolver->no_server)
        log_warn("no name server in " RESOLV_CONF ": one on this host is asked");
    evdns_base_resume(dns);
}

/* Without memory the next lookup tries it again. */
static void load_hosts(struct resolver *resolver)
{
    const struct version version = version_of(HOSTS);
    if (hosts_load(&resolver->hosts, HOSTS) == 0)
        resolver->hosts_version = version;
}

/* Sees to it that the next question goes where the files say now. 0 or -ENOMEM. */
static int prepare(struct resolver *resolver)
{
    if (!resolver->dns) {
        resolver->dns = evdns_base_new(resolver->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
        if (!resolver->dns)
            return -ENOMEM;
        load_resolv_conf(resolver);
        load_hosts(resolver);
        return 0;
    }
    const struct version resolv_conf = version_of(RESOLV_CONF);
    const struct version hosts = version_of(HOSTS);
    bool changed = !same_version(&resolv_conf, &resolver->resolv_conf_version);
    bool renew = resolver->silent && monotonic_ns() - resolver->loaded_at >=
                                         RESOLVER_RENEW_SECONDS * MONOTONIC_NS_PER_S;
    if (changed)
        log_info(RESOLV_CONF " has changed, and is read again");
    if (changed || renew)
        load_resolv_conf(resolver);
    if (!same_version(&hosts, &resolver->hosts_version))
        load_hosts(resolver);
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

const char *resolved_print(const struct resolved *resolved, char text[RESOLVED_TEXT])
{
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < resolved->count; i++) {
        char address[INET_SOCKADDR_TEXT];
        len += (size_t)snprintf(text + len, RESOLVED_TEXT - len, "%s%s", i > 0 ? ", " : "",
                                inet_sockaddr_print(&resolved->addresses[i], address));
    }
    return text;
}

/* What of the answers can be used, the families by turns. */
static void collect(const struct lookup *lookup, struct resolved *out)
{
    out->count = 0;
    for (size_t i = 0; i < RESOLVER_ADDRESSES_MAX; i++) {
        for (int family = 0; family < FAMILIES; family++) {
            const struct answer *answer = &lookup->answers[family];
            union inet_sockaddr address;
            if (!lookup->usable[family] || i >= answer->count)
                continue;
            inet_sockaddr_make(&address, &answer->addresses[i], lookup->port);
            if (out->count < RESOLVER_ADDRESSES_MAX && !contains(out, &address))
                out->addresses[out->count++] = address;
        }
    }
}

/* Why there is nothing that can be used. */
static enum lookup_error judge(const struct lookup *lookup)
{
    enum lookup_error error = LOOKUP_NO_ADDRESSES;
    bool others = false;
    for (int family = 0; family < FAMILIES; family++) {
        const struct answer *answer = &lookup->answers[family];
        others = others || answer->count > 0;
        if (lookup->usable[family] && answer->error > error)
            error = answer->error;
    }
    if (error == LOOKUP_NO_ADDRESSES && others)
        return LOOKUP_OTHER_FAMILY;
    return error == LOOKUP_NO_ANSWER && lookup->resolver->no_server ? LOOKUP_NO_SERVER : error;
}

/* A wait of about so many seconds: many that failed together do not come back together. */
static struct timeval about(unsigned seconds)
{
    const uint32_t ms = seconds * 1000;
    const uint32_t wait = ms - ms / 4 + randombytes_uniform(ms / 2 + 1);
    return (struct timeval){.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000L};
}

static void attempt_failed(struct lookup *lookup, enum lookup_error error)
{
    if (lookup->error != error) /* else it was told */
        log_warn("cannot look up %s: %s", lookup->host, lookup_failure_find(error)->message);
    lookup->error = error;
    const struct timeval wait = about(lookup->wait_seconds);
    event_add(lookup->retry, &wait);
    lookup->wait_seconds *= 2;
    if (lookup->wait_seconds > RESOLVER_RETRY_MAX_SECONDS)
        lookup->wait_seconds = RESOLVER_RETRY_MAX_SECONDS;
}

static void attempt_succeeded(struct lookup *lookup, const struct resolved *resolved)
{
    lookup->error = LOOKUP_OK;
    lookup->wait_seconds = RESOLVER_RETRY_MIN_SECONDS;
    lookup->done(lookup->ctx, resolved);
}

/* The answers are as complete as they get. */
static void finish(struct lookup *lookup)
{
    struct resolved resolved;
    event_del(lookup->late);
    collect(lookup, &resolved);
    if (resolved.count == 0)
        attempt_failed(lookup, judge(lookup));
    else
        attempt_succeeded(lookup, &resolved);
}

/* --- Questions -------------------------------------------------------------------------------- */

static enum lookup_error error_of(int result)
{
    switch (result) {
    case DNS_ERR_NONE:
        return LOOKUP_OK;
    case DNS_ERR_NODATA:
        return LOOKUP_NO_ADDRESSES;
    case DNS_ERR_SERVERFAILED:
    case DNS_ERR_TIMEOUT: /* libevent asks again when a server has failed, until it is too late */
        return LOOKUP_NO_ANSWER;
    case DNS_ERR_REFUSED:
    case DNS_ERR_NOTIMPL:
        return LOOKUP_REFUSED;
    case DNS_ERR_TRUNCATED:
        return LOOKUP_TRUNCATED;
    case DNS_ERR_NOTEXIST:
        return LOOKUP_NOT_FOUND;
    default:
        return LOOKUP_BAD_ANSWER;
    }
}

/* Nobody waits for it any more: it is freed when the client comes back with it. */
static void give_up(struct question **question)
{
    if (!*question)
        return;
    struct resolver *resolver = (*question)->lookup->resolver;
    (*question)->lookup = NULL;
    evdns_cancel_request(resolver->dns, (*question)->request);
    *question = NULL;
}

/* What there is by now is enough, or is worth a wait for the rest. */
static void finish_or_wait(struct lookup *lookup)
{
    const struct timeval late = {.tv_sec = RESOLVER_LATE_SECONDS};
    bool waits = false; /* for what could be used */
    bool asking = false;
    bool found = false;
    for (int family = 0; family < FAMILIES; family++) {
        asking = asking || lookup->questions[family];
        waits = waits || (lookup->questions[family] && lookup->usable[family]);
        found = found || (lookup->usable[family] && lookup->answers[family].count > 0);
    }
    if (!asking || (found && !waits)) {
        give_up(&lookup->questions[IPV6]);
        give_up(&lookup->questions[IPV4]);
        finish(lookup);
    } else if (found) {
        event_add(lookup->late, &late);
    }
}

static void on_late(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct lookup *lookup = arg;
    give_up(&lookup->questions[IPV6]);
    give_up(&lookup->questions[IPV4]);
    finish(lookup);
}

static void on_answer(int result, char type, int count, int ttl, void *addresses, void *arg)
{
    (void)ttl;
    struct question *question = arg;
    struct lookup *lookup = question->lookup;
    const int family = question->family;
    free(question);
    if (!lookup)
        return;
    const size_t len = family == IPV6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
    struct answer *answer = &lookup->answers[family];
    lookup->questions[family] = NULL;
    answer->error = error_of(result);
    if (answer->error == LOOKUP_NO_ANSWER)
        lookup->resolver->silent = true;
    if (result == DNS_ERR_NONE && type == (family == IPV6 ? DNS_IPv6_AAAA : DNS_IPv4_A)) {
        for (int i = 0; i < count && answer->count < RESOLVER_ADDRESSES_MAX; i++) {
            struct inet_addr *address = &answer->addresses[answer->count++];
            address->family = family == IPV6 ? AF_INET6 : AF_INET;
            memcpy(address->bytes, (const uint8_t *)addresses + (size_t)i * len, len);
        }
    }
    finish_or_wait(lookup);
}

static void ask_for(struct lookup *lookup, int family)
{
    struct evdns_base *dns = lookup->resolver->dns;
    struct question *question = calloc(1, sizeof(*question));
    lookup->answers[family].error = LOOKUP_NOT_ASKED;
    if (!question)
        return;
    question->lookup = lookup;
    question->family = family;
    question->request = family == IPV6
                            ? evdns_base_resolve_ipv6(dns, lookup->host, 0, on_answer, question)
                            : evdns_base_resolve_ipv4(dns, lookup->host, 0, on_answer, question);
    if (question->request)
        lookup->questions[family] = question;
    else
        free(question);
}

/* --- Lookups ---------------------------------------------------------------------------------- */

/* What the hosts file says of the name. True when that can be used, and is all there is to it. */
static bool find_in_hosts(struct lookup *lookup)
{
    struct inet_addr found[RESOLVER_ADDRESSES_MAX];
    const size_t count =
        hosts_find(&lookup->resolver->hosts, lookup->host, found, RESOLVER_ADDRESSES_MAX);
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        const int family = found[i].family == AF_INET6 ? IPV6 : IPV4;
        struct answer *answer = &lookup->answers[family];
        answer->addresses[answer->count++] = found[i];
        any = any || lookup->usable[family];
    }
    return any;
}

/* An address of one link, whose interface may come later, and come back as another one. */
static void find_interface(struct lookup *lookup)
{
    struct resolved resolved = {.count = 1};
    if (!lookup->usable[IPV6])
        attempt_failed(lookup, LOOKUP_OTHER_FAMILY);
    else if (inet_sockaddr_make_zoned(&resolved.addresses[0], lookup->host, lookup->port) < 0)
        attempt_failed(lookup, LOOKUP_NO_INTERFACE);
    else
        attempt_succeeded(lookup, &resolved);
}

static void ask(struct lookup *lookup)
{
    if (lookup->zoned) {
        find_interface(lookup);
        return;
    }
    memset(lookup->answers, 0, sizeof(lookup->answers));
    if (prepare(lookup->resolver) < 0) {
        attempt_failed(lookup, LOOKUP_NOT_ASKED);
        return;
    }
    if (find_in_hosts(lookup)) {
        finish(lookup);
        return;
    }
    ask_for(lookup, IPV6);
    ask_for(lookup, IPV4);
    finish_or_wait(lookup);
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
    lookup->zoned = strchr(request->host, '%') != NULL;
    for (size_t i = 0; request->host[i] != '\0' && i + 1 < sizeof(lookup->host); i++)
        lookup->host[i] =
            lookup->zoned ? request->host[i] : (char)tolower((unsigned char)request->host[i]);
    lookup->port = request->port;
    lookup->usable[IPV4] = request->ipv4;
    lookup->usable[IPV6] = request->ipv6;
    lookup->done = done;
    lookup->ctx = ctx;
    lookup->wait_seconds = RESOLVER_RETRY_MIN_SECONDS;
    lookup->retry = evtimer_new(resolver->base, on_retry, lookup);
    lookup->late = evtimer_new(resolver->base, on_late, lookup);
    if (!lookup->retry || !lookup->late) {
        lookup_free(lookup);
        return -ENOMEM;
    }
    *out = lookup;
    ask(lookup);
    return 0;
}

static bool is_asking(const struct lookup *lookup)
{
    return lookup->questions[IPV4] || lookup->questions[IPV6];
}

void lookup_again(struct lookup *lookup)
{
    if (!is_asking(lookup) && !evtimer_pending(lookup->retry, NULL))
        ask(lookup);
}

enum lookup_error lookup_error(const struct lookup *lookup)
{
    return lookup->error;
}

bool lookup_next_at(const struct lookup *lookup, struct timespec *out)
{
    struct timeval at;
    if (!evtimer_pending(lookup->retry, &at))
        return false;
    *out = (struct timespec){.tv_sec = at.tv_sec, .tv_nsec = at.tv_usec * 1000L};
    return true;
}

void lookup_free(struct lookup *lookup)
{
    if (!lookup)
        return;
    give_up(&lookup->questions[IPV6]);
    give_up(&lookup->questions[IPV4]);
    if (lookup->retry)
        event_free(lookup->retry);
    if (lookup->late)
        event_free(lookup->late);
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
    hosts_fini(&resolver->hosts);
    free(resolver);
}
