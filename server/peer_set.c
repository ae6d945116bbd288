/*
 * peer_set: owns the look-ups of its peers, and their slots, but for those that a set which is to
 * take its place has taken over.
 */
#include "server/peer_set.h"

#include "base/inet.h"
#include "base/log.h"
#include "base/messages.h"
#include "base/spec_diff.h"
#include "server/endpoint.h"
#include "server/monotonic.h"
#include "server/sockets.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_SLOT UINT32_MAX

struct item {
    struct peer_set *set;
    const struct spec_peer *spec;
    struct lookup *lookup;    /* NULL = the endpoint is no name, or its address was known */
    struct endpoint endpoint; /* of a name */
    uint64_t since_ns;        /* 0 = the worker does not know it */
    uint32_t slot;            /* NO_SLOT = there was none left */
    bool named;               /* its endpoint is a name */
    bool no_socket;           /* … an address of a family for which there is none */
    bool moved;               /* … another one than before: where the peer was does not matter */
    bool tried;               /* a worker has had it, and may since have seen the peer elsewhere */
    bool inherited;           /* the slot is that of the set before */
    enum peer_news last;      /* that there was; PEER_NO_NEWS = none */
    union inet_sockaddr left; /* where it was when its definition moved it; AF_UNSPEC = nowhere */
};

struct peer_set {
    struct peer_set_owner owner;
    struct event *look; /* NULL = no endpoint is a name */
    bool ipv4, ipv6;    /* the families of the outer sockets */
    bool told;          /* the worker knows these peers */
    struct item **by_key;
    size_t count;
    struct item items[]; /* in the order of the definition */
};

static bool is_known(const struct item *item)
{
    return item->endpoint.resolved.count > 0;
}

/* --- Telling the worker ----------------------------------------------------------------------- */

static void push_endpoint(struct item *item, const union inet_sockaddr *address)
{
    const struct peer_set_owner *owner = &item->set->owner;
    struct message_peer_endpoint message = {
        .tunnel_slot = owner->tunnel_slot,
        .offered = !item->moved,
        .remote = *address,
    };
    item->moved = false;
    memcpy(message.public_key, item->spec->public_key, SPEC_KEY_LEN);
    worker_link_send(owner->link, MESSAGE_PEER_ENDPOINT, &message, sizeof(message), NULL, NULL);
}

static void push_first(struct item *item)
{
    const union inet_sockaddr *first = endpoint_first(&item->endpoint, sockets_has_route);
    if (first != NULL)
        push_endpoint(item, first);
}

static void push_next(struct item *item, const union inet_sockaddr *used)
{
    const union inet_sockaddr *next = endpoint_next(&item->endpoint, used, sockets_has_route);
    if (next != NULL)
        push_endpoint(item, next);
}

static void push_slot(const struct item *item)
{
    const struct peer_set_owner *owner = &item->set->owner;
    struct message_peer_counters message = {.tunnel_slot = owner->tunnel_slot, .slot = item->slot};
    if (item->slot == NO_SLOT)
        return;
    memcpy(message.public_key, item->spec->public_key, SPEC_KEY_LEN);
    worker_link_send(owner->link, MESSAGE_PEER_COUNTERS, &message, sizeof(message), NULL, NULL);
}

/* --- Finding ---------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
    const struct item *const *left = a;
    const struct item *const *right = b;
    return memcmp((*left)->spec->public_key, (*right)->spec->public_key, SPEC_KEY_LEN);
}

static int compare_key(const void *key, const void *element)
{
    const struct item *const *item = element;
    return memcmp(key, (*item)->spec->public_key, SPEC_KEY_LEN);
}

/* The item of the peer with this key, or NULL. */
static struct item *find(const struct peer_set *set, const uint8_t public_key[SPEC_KEY_LEN])
{
    if (set == NULL || set->count == 0)
        return NULL;
    struct item **found =
        bsearch(public_key, set->by_key, set->count, sizeof(set->by_key[0]), compare_key);
    return found != NULL ? *found : NULL;
}

static bool has_socket(const struct peer_set *set, sa_family_t family)
{
    return (family == AF_INET && set->ipv4) || (family == AF_INET6 && set->ipv6);
}

static void classify_endpoint(struct item *item)
{
    struct inet_addr addr;
    const char *host = item->spec->endpoint_host;
    if (host[0] == '\0')
        return;
    if (inet_addr_parse(host, &addr) != 0)
        item->named = true;
    else
        item->no_socket = !has_socket(item->set, addr.family);
}

/* --- Names ------------------------------------------------------------------------------------ */

/* Where packets to the peer go now, as far as the worker has said. */
static union inet_sockaddr used_by(const struct item *item)
{
    union inet_sockaddr used = {0};
    if (item->slot != NO_SLOT)
        counters_get_endpoint(&worker_link_counters(item->set->owner.link)->peers[item->slot],
                              &used);
    return used;
}

static void tell_resolved(const struct item *item, bool again)
{
    char text[RESOLVED_TEXT];
    const struct peer_set_owner *owner = &item->set->owner;
    const struct resolved *resolved = &item->endpoint.resolved;
    log_info("%s is %s", item->spec->endpoint_host, resolved_print(resolved, text));
    if (again)
        owner->readdressed(owner->ctx, item->spec, resolved);
}

static void on_looked_up(void *ctx, const struct resolved *resolved)
{
    struct item *item = ctx;
    const union inet_sockaddr used = used_by(item);
    const bool again = is_known(item);
    const bool news = !resolved_equal(resolved, &item->endpoint.resolved);
    const bool elsewhere = endpoint_resolved(&item->endpoint, resolved, &used);
    if (news)
        tell_resolved(item, again);
    if (!item->set->told)
        return;
    if (item->moved)
        push_first(item);
    else if (elsewhere)
        push_next(item, &used);
}

static int look_up(struct item *item)
{
    const struct lookup_request request = {
        .host = item->spec->endpoint_host,
        .port = item->spec->endpoint_port,
        .ipv4 = item->set->ipv4,
        .ipv6 = item->set->ipv6,
    };
    return lookup_new(item->set->owner.resolver, &request, on_looked_up, item, &item->lookup);
}

static void look_up_again(struct item *item)
{
    if (item->lookup != NULL)
        lookup_again(item->lookup);
    else
        look_up(item); /* memory that runs out: at the next time */
}

static void look_at(struct item *item, uint64_t now_ms)
{
    const struct counters_peer *counters =
        &worker_link_counters(item->set->owner.link)->peers[item->slot];
    struct endpoint_facts facts = {
        .handshakes = counter_get(&counters->handshakes),
        .unanswered = counter_get(&counters->unanswered),
    };
    const union inet_sockaddr used = used_by(item); /* not older than the counts */
    facts.used = &used;
    const struct endpoint_advice advice =
        endpoint_judge(&item->endpoint, &facts, now_ms, randombytes_random());
    if (advice.move_on)
        push_next(item, &used);
    if (advice.look_up)
        look_up_again(item);
}

static void on_look(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct peer_set *set = arg;
    const uint64_t now_ms = monotonic_ns() / MONOTONIC_NS_PER_MS;
    for (size_t i = 0; set->told && i < set->count; i++) {
        struct item *item = &set->items[i];
        if (item->named && is_known(item) && item->slot != NO_SLOT)
            look_at(item, now_ms);
    }
}

/* --- Making ----------------------------------------------------------------------------------- */

static void take_slot(struct item *item, const struct item *before)
{
    struct worker_link *link = item->set->owner.link;
    item->slot = NO_SLOT;
    if (before != NULL && before->slot != NO_SLOT) {
        item->slot = before->slot;
        item->inherited = true;
    } else if (worker_link_slot_get(link, WORKER_SLOT_PEER, &item->slot) < 0) {
        item->slot = NO_SLOT;
    }
    item->since_ns = before != NULL ? before->since_ns : 0;
}

static int watch_names(struct peer_set *set)
{
    const struct timeval interval = {.tv_sec = PEER_SET_LOOK_MS / 1000,
                                     .tv_usec = PEER_SET_LOOK_MS % 1000 * 1000L};
    if (set->look != NULL)
        return 0;
    set->look = event_new(set->owner.base, -1, EV_PERSIST, on_look, set);
    return set->look != NULL && event_add(set->look, &interval) == 0 ? 0 : -ENOMEM;
}

/* A name: what is known of it from before, and if that is not enough a lookup. */
static int begin_name(struct item *item, const struct item *before, bool look_up_all)
{
    bool same = before != NULL && spec_peer_same_endpoint(before->spec, item->spec);
    int error = watch_names(item->set);
    item->moved = before != NULL && !same;
    if (same && is_known(before) && !look_up_all) {
        item->endpoint = before->endpoint;
        item->moved = before->moved;
        return error;
    }
    if (same) { /* other sockets: the peer stays where it is if they reach it */
        const union inet_sockaddr used = used_by(before);
        item->moved = before->moved || !has_socket(item->set, used.sa.sa_family);
        if (has_socket(item->set, before->endpoint.proven.sa.sa_family))
            item->endpoint.proven = before->endpoint.proven;
    }
    return error ? error : look_up(item);
}

/* What is known of the same peer from before, as far as its endpoint is still the same. */
static void follow(struct item *item, const struct item *before)
{
    if (spec_peer_same_endpoint(before->spec, item->spec)) {
        item->tried = before->tried;
        item->last = before->last;
        item->left = before->left;
    } else if (item->spec->endpoint_host[0] != '\0') {
        item->left = used_by(before);
    }
}

static int fill(struct peer_set *set, const struct spec_tunnel *spec, const struct peer_set *before,
                bool look_up_all)
{
    int error = 0;
    while (set->count < spec->peers_count && !error) {
        struct item *item = &set->items[set->count];
        item->set = set;
        item->spec = &spec->peers[set->count];
        classify_endpoint(item);
        const struct item *same = find(before, item->spec->public_key);
        take_slot(item, same);
        if (same != NULL)
            follow(item, same);
        set->by_key[set->count++] = item;
        if (item->named)
            error = begin_name(item, same, look_up_all);
    }
    return error;
}

int peer_set_new(const struct peer_set_owner *owner, const struct spec_tunnel *spec,
                 const int sockets[2], const struct peer_set *before, bool look_up_all,
                 struct peer_set **out)
{
    struct peer_set *set = calloc(1, sizeof(*set) + spec->peers_count * sizeof(set->items[0]));
    if (set == NULL)
        return -ENOMEM;
    set->owner = *owner;
    set->by_key = calloc(spec->peers_count + 1, sizeof(struct item *)); /* never of nothing */
    set->ipv4 = sockets[0] >= 0;
    set->ipv6 = sockets[1] >= 0;
    int error = set->by_key != NULL ? fill(set, spec, before, look_up_all) : -ENOMEM;
    if (error) {
        peer_set_discard(set);
        return error;
    }
    qsort(set->by_key, set->count, sizeof(struct item *), compare_keys);
    *out = set;
    return 0;
}

static void free_set(struct peer_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        lookup_free(set->items[i].lookup);
    if (set->look != NULL)
        event_free(set->look);
    free(set->by_key);
    free(set);
}

void peer_set_discard(struct peer_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->count; i++) {
        const struct item *item = &set->items[i];
        if (item->slot != NO_SLOT && !item->inherited)
            worker_link_slot_put(set->owner.link, WORKER_SLOT_PEER, item->slot);
    }
    free_set(set);
}

/* --- Use -------------------------------------------------------------------------------------- */

/*
 * Where the worker that has died saw the peer: there it still is, wherever the definition says that
 * it was at first. False when it was nowhere that a socket reaches, or when the definition has
 * changed since; so it has, too, when that is where the peer was before the change, of which the
 * worker may have had no time to write.
 */
static bool push_last_seen(struct item *item)
{
    const union inet_sockaddr seen = used_by(item);
    if (!item->tried || !has_socket(item->set, seen.sa.sa_family) ||
        inet_sockaddr_equal(&seen, &item->left))
        return false;
    push_endpoint(item, &seen);
    return true;
}

void peer_set_tell(struct peer_set *set)
{
    const uint64_t now = monotonic_ns();
    set->told = true;
    for (size_t i = 0; i < set->count; i++) {
        struct item *item = &set->items[i];
        item->since_ns = now;
        /* Before the slot, to which the worker writes where it believes that the peer is. */
        if (!push_last_seen(item) && is_known(item))
            push_first(item);
        item->tried = true;
        push_slot(item);
    }
}

void peer_set_replace(struct peer_set *before, struct peer_set *set)
{
    const uint64_t now = monotonic_ns();
    for (size_t i = 0; before != NULL && i < before->count; i++) {
        const struct item *item = &before->items[i];
        if (item->slot != NO_SLOT && find(set, item->spec->public_key) == NULL)
            worker_link_slot_remove(set->owner.link, WORKER_SLOT_PEER, item->slot);
    }
    set->told = true;
    for (size_t i = 0; i < set->count; i++) {
        struct item *item = &set->items[i];
        if (item->since_ns == 0)
            item->since_ns = now;
        item->tried = item->tried || worker_link_is_up(set->owner.link);
        if (!item->inherited)
            push_slot(item);
        item->inherited = false;
        if (item->lookup != NULL && is_known(item))
            push_first(item);
    }
    if (before != NULL)
        free_set(before);
}

void peer_set_remove(struct peer_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->items[i].slot != NO_SLOT)
            worker_link_slot_remove(set->owner.link, WORKER_SLOT_PEER, set->items[i].slot);
    }
    free_set(set);
}

void peer_set_restore(struct peer_set *set, size_t index, const struct sighting *sighting)
{
    struct item *item = &set->items[index];
    if (item->slot == NO_SLOT)
        return;
    struct counters_peer *counters = worker_link_fresh_peer(set->owner.link, item->slot);
    counters_set_timestamp(counters, sighting->timestamp);
    if (!has_socket(item->set, sighting->endpoint.sa.sa_family))
        return;
    counters_set_endpoint(counters, &sighting->endpoint);
    item->endpoint.proven = sighting->endpoint; /* in the circle, if there is a name */
    item->tried = true;
}

enum peer_news peer_set_note_handshake(struct peer_set *set, const uint8_t public_key[SPEC_KEY_LEN],
                                       bool answered)
{
    struct item *item = find(set, public_key);
    if (item == NULL)
        return PEER_NO_NEWS;
    const bool was_silent = item->last == PEER_SILENT;
    if (item->last != PEER_NO_NEWS && answered == !was_silent)
        return PEER_NO_NEWS;
    if (answered)
        item->last = was_silent ? PEER_ANSWERS_AGAIN : PEER_ANSWERS;
    else
        item->last = PEER_SILENT;
    return item->last;
}

size_t peer_set_count(const struct peer_set *set)
{
    return set->count;
}

static void describe(const struct item *item, struct supervised_peer *out)
{
    *out = (struct supervised_peer){
        .spec = item->spec,
        .looked_up = item->named ? is_known(item) : !item->no_socket,
        .lookup_error = item->no_socket ? LOOKUP_OTHER_FAMILY : LOOKUP_OK,
        .resolved = is_known(item) ? &item->endpoint.resolved : NULL,
        .since_ns = item->since_ns,
    };
    if (item->lookup != NULL) {
        out->lookup_error = lookup_error(item->lookup);
        lookup_next_at(item->lookup, &out->next_lookup_at);
    }
    if (item->slot != NO_SLOT)
        out->counters = &worker_link_counters(item->set->owner.link)->peers[item->slot];
}

void peer_set_get(const struct peer_set *set, size_t index, struct supervised_peer *out)
{
    describe(&set->items[index], out);
}

size_t peer_set_by_key(const struct peer_set *set, size_t rank)
{
    return (size_t)(set->by_key[rank] - set->items);
}

bool peer_set_find(const struct peer_set *set, const uint8_t public_key[SPEC_KEY_LEN],
                   struct supervised_peer *out)
{
    const struct item *item = find(set, public_key);
    if (item != NULL)
        describe(item, out);
    return item != NULL;
}
