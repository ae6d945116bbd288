/*
 * peer_set: owns the look-ups of its peers, and their slots, but for those that a set which is to
 * take its place has taken over.
 */
#include "server/peer_set.h"

#include "engine/inet.h"
#include "engine/messages.h"
#include "engine/spec_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NO_SLOT UINT32_MAX

struct item {
    struct peer_set *set;
    const struct spec_peer *spec;
    struct lookup *lookup;       /* NULL when there is no name, or its address was known */
    union inet_sockaddr address; /* of a name; AF_UNSPEC until it is known */
    uint64_t since_ns;           /* 0 = the worker does not know it */
    uint32_t slot;               /* NO_SLOT = there was none left */
    bool named;                  /* its endpoint is a name */
    bool inherited;              /* the slot is that of the set before */
};

struct peer_set {
    struct peer_set_owner owner;
    bool told; /* the worker knows these peers */
    struct item **by_key;
    size_t count;
    struct item items[]; /* in the order of the definition */
};

static uint64_t unix_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool is_known(const struct item *item)
{
    return item->address.sa.sa_family != AF_UNSPEC;
}

/* --- Telling the worker ----------------------------------------------------------------------- */

static void push_endpoint(const struct item *item)
{
    const struct peer_set_owner *owner = &item->set->owner;
    struct message_peer_endpoint message = {
        .tunnel_slot = owner->tunnel_slot,
        .remote = item->address,
    };
    memcpy(message.public_key, item->spec->public_key, SPEC_KEY_LEN);
    worker_link_send(owner->link, MESSAGE_PEER_ENDPOINT, &message, sizeof(message), NULL, NULL);
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

/* The item of the same peer in another set, or NULL. */
static struct item *find_same(const struct peer_set *set, const struct item *item)
{
    if (set == NULL || set->count == 0)
        return NULL;
    struct item **found = bsearch(&item, set->by_key, set->count, sizeof(item), compare_keys);
    return found != NULL ? *found : NULL;
}

static bool is_named(const struct spec_peer *peer)
{
    struct inet_addr addr;
    return peer->endpoint_host[0] != '\0' && inet_addr_parse(peer->endpoint_host, &addr) != 0;
}

/* --- Making ----------------------------------------------------------------------------------- */

static void on_looked_up(void *ctx, const union inet_sockaddr *address)
{
    struct item *item = ctx;
    item->address = *address;
    if (item->set->told)
        push_endpoint(item);
}

static int look_up(struct item *item, const int sockets[2])
{
    const struct lookup_request request = {
        .host = item->spec->endpoint_host,
        .port = item->spec->endpoint_port,
        .ipv4 = sockets[0] >= 0,
        .ipv6 = sockets[1] >= 0,
    };
    return lookup_new(item->set->owner.resolver, &request, on_looked_up, item, &item->lookup);
}

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

static int fill(struct peer_set *set, const struct spec_tunnel *spec, const int sockets[2],
                const struct peer_set *before, bool look_up_all)
{
    int error = 0;
    while (set->count < spec->peers_count && !error) {
        struct item *item = &set->items[set->count];
        item->set = set;
        item->spec = &spec->peers[set->count];
        item->named = is_named(item->spec);
        const struct item *same = find_same(before, item);
        take_slot(item, same);
        set->by_key[set->count++] = item;
        if (same != NULL && !look_up_all && is_known(same) &&
            spec_peer_same_endpoint(same->spec, item->spec))
            item->address = same->address;
        else if (item->named)
            error = look_up(item, sockets);
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
    int error = set->by_key != NULL ? fill(set, spec, sockets, before, look_up_all) : -ENOMEM;
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

void peer_set_tell(struct peer_set *set)
{
    const uint64_t now = unix_ns();
    set->told = true;
    for (size_t i = 0; i < set->count; i++) {
        struct item *item = &set->items[i];
        item->since_ns = now;
        push_slot(item);
        if (is_known(item))
            push_endpoint(item);
    }
}

void peer_set_replace(struct peer_set *before, struct peer_set *set)
{
    const uint64_t now = unix_ns();
    for (size_t i = 0; before != NULL && i < before->count; i++) {
        const struct item *item = &before->items[i];
        if (item->slot != NO_SLOT && find_same(set, item) == NULL)
            worker_link_slot_remove(set->owner.link, WORKER_SLOT_PEER, item->slot);
    }
    set->told = true;
    for (size_t i = 0; i < set->count; i++) {
        struct item *item = &set->items[i];
        if (item->since_ns == 0)
            item->since_ns = now;
        if (!item->inherited)
            push_slot(item);
        item->inherited = false;
        if (item->lookup != NULL && is_known(item))
            push_endpoint(item);
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

size_t peer_set_count(const struct peer_set *set)
{
    return set->count;
}

void peer_set_get(const struct peer_set *set, size_t index, struct supervised_peer *out)
{
    const struct item *item = &set->items[index];
    *out = (struct supervised_peer){
        .spec = item->spec,
        .looked_up = !item->named || is_known(item),
        .lookup_failed = item->lookup != NULL && lookup_failed(item->lookup),
        .since_ns = item->since_ns,
    };
    if (item->slot != NO_SLOT)
        out->counters = &worker_link_counters(set->owner.link)->peers[item->slot];
}
