/*
 * spec_diff: comparing definitions. Secrets are compared in constant time.
 */
#include "base/spec_diff.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* --- Peers ------------------------------------------------------------------------------------ */

static bool same_prefixes(const struct inet_prefix *a, size_t a_count, const struct inet_prefix *b,
                          size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++) {
        if (a[i].bits != b[i].bits || !inet_addr_equal(&a[i].addr, &b[i].addr))
            return false;
    }
    return true;
}

bool spec_peer_same_endpoint(const struct spec_peer *a, const struct spec_peer *b)
{
    return a->endpoint_port == b->endpoint_port && strcmp(a->endpoint_host, b->endpoint_host) == 0;
}

bool spec_peer_same_allowed_ips(const struct spec_peer *a, const struct spec_peer *b)
{
    return same_prefixes(a->allowed_ips, a->allowed_ips_count, b->allowed_ips,
                         b->allowed_ips_count);
}

static bool same_preshared_key(const struct spec_peer *a, const struct spec_peer *b)
{
    return a->has_preshared_key == b->has_preshared_key &&
           (!a->has_preshared_key ||
            sodium_memcmp(a->preshared_key, b->preshared_key, SPEC_KEY_LEN) == 0);
}

bool spec_peer_equal(const struct spec_peer *a, const struct spec_peer *b)
{
    return strcmp(a->name, b->name) == 0 &&
           memcmp(a->public_key, b->public_key, SPEC_KEY_LEN) == 0 && same_preshared_key(a, b) &&
           spec_peer_same_endpoint(a, b) && spec_peer_same_allowed_ips(a, b) &&
           a->keepalive_seconds == b->keepalive_seconds;
}

static bool same_peers(const struct spec_tunnel *a, const struct spec_tunnel *b)
{
    if (a->peers_count != b->peers_count)
        return false;
    for (size_t i = 0; i < a->peers_count; i++) {
        if (!spec_peer_equal(&a->peers[i], &b->peers[i]))
            return false;
    }
    return true;
}

/* --- Whole definitions ------------------------------------------------------------------------ */

unsigned spec_tunnel_diff(const struct spec_tunnel *before, const struct spec_tunnel *after)
{
    unsigned changes = 0;
    if (sodium_memcmp(before->private_key, after->private_key, SPEC_KEY_LEN) != 0)
        changes |= SPEC_TUNNEL_KEY;
    if (before->mtu != after->mtu || !same_prefixes(before->addresses, before->addresses_count,
                                                    after->addresses, after->addresses_count))
        changes |= SPEC_TUNNEL_STACK;
    if (before->listen_port != after->listen_port ||
        !inet_addr_equal(&before->listen_address, &after->listen_address))
        changes |= SPEC_TUNNEL_LISTEN;
    if (!same_peers(before, after))
        changes |= SPEC_TUNNEL_PEERS;
    if (before->required != after->required)
        changes |= SPEC_TUNNEL_REQUIRED;
    if (before->congestion_control != after->congestion_control)
        changes |= SPEC_TUNNEL_CONGESTION;
    return changes;
}

bool spec_forward_equal(const struct spec_forward *a, const struct spec_forward *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->tunnel, b->tunnel) == 0 &&
           a->direction == b->direction && a->protocol == b->protocol &&
           inet_addr_equal(&a->listen_address, &b->listen_address) &&
           a->listen_port == b->listen_port &&
           inet_addr_equal(&a->target_address, &b->target_address) &&
           a->target_port == b->target_port && a->enabled == b->enabled &&
           a->connect_timeout_seconds == b->connect_timeout_seconds &&
           a->idle_timeout_seconds == b->idle_timeout_seconds;
}

/* --- The index -------------------------------------------------------------------------------- */

static int compare_peers(const void *a, const void *b)
{
    const struct spec_peer *const *left = a;
    const struct spec_peer *const *right = b;
    return memcmp((*left)->public_key, (*right)->public_key, SPEC_KEY_LEN);
}

int spec_peer_index_init(struct spec_peer_index *index, const struct spec_tunnel *tunnel)
{
    *index = (struct spec_peer_index){0};
    if (tunnel->peers_count == 0)
        return 0;
    index->peers = calloc(tunnel->peers_count, sizeof(const struct spec_peer *));
    if (index->peers == NULL)
        return -ENOMEM;
    index->count = tunnel->peers_count;
    for (size_t i = 0; i < index->count; i++)
        index->peers[i] = &tunnel->peers[i];
    qsort(index->peers, index->count, sizeof(const struct spec_peer *), compare_peers);
    return 0;
}

void spec_peer_index_fini(struct spec_peer_index *index)
{
    free(index->peers);
    *index = (struct spec_peer_index){0};
}

const struct spec_peer *spec_peer_index_find(const struct spec_peer_index *index,
                                             const uint8_t public_key[SPEC_KEY_LEN])
{
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(public_key, index->peers[middle]->public_key, SPEC_KEY_LEN);
        if (order == 0)
            return index->peers[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
