/*
 * allowedips: a binary trie per family in which paths without branches are one node. A node stands
 * for a prefix; it has an owner, or two children, or both. The nodes of one owner form a list, so
 * that removing them does not search.
 */
#include "engine/wg/allowedips.h"

#include "engine/wg/messages.h"

#include <errno.h>
#include <stdlib.h>

/* An address as two integers, its first bit on top; an IPv4 address is the upper half of high. */
struct key {
    uint64_t high;
    uint64_t low;
};

struct allowedips_node {
    struct allowedips_node *parent; /* NULL at the root */
    struct allowedips_node *child[2];
    struct key key;
    unsigned bits;
    struct allowedips_owner *owner; /* NULL: only a branch */
    struct allowedips_node *owner_next;
    struct allowedips_node *owner_prev; /* NULL: the owner's first */
};

/* --- Keys ----------------------------------------------------------------------------------- */

static struct key key_make(const struct inet_addr *addr)
{
    if (addr->family == AF_INET)
        return (struct key){.high = (uint64_t)load_be32(addr->bytes) << 32};
    return (struct key){.high = load_be64(addr->bytes), .low = load_be64(addr->bytes + 8)};
}

/* The upper bits of one 64-bit half: 0–64. */
static uint64_t half_mask(unsigned bits)
{
    return bits == 0 ? 0 : ~UINT64_C(0) << (64 - bits);
}

static struct key key_mask(struct key key, unsigned bits)
{
    key.high &= half_mask(bits < 64 ? bits : 64);
    key.low &= half_mask(bits > 64 ? bits - 64 : 0);
    return key;
}

/* Bit number i, 0 or 1, counted from the first; i < 128. */
static unsigned key_bit(const struct key *key, unsigned i)
{
    uint64_t half = i < 64 ? key->high : key->low;
    return (unsigned)(half >> (63 - i % 64)) & 1;
}

/* How many first bits are the same: 0–128. */
static unsigned key_common(const struct key *a, const struct key *b)
{
    if (a->high != b->high)
        return (unsigned)__builtin_clzll(a->high ^ b->high);
    if (a->low != b->low)
        return 64 + (unsigned)__builtin_clzll(a->low ^ b->low);
    return 128;
}

/* --- Nodes ---------------------------------------------------------------------------------- */

static bool node_covers(const struct allowedips_node *node, const struct key *key)
{
    return key_common(&node->key, key) >= node->bits;
}

static struct allowedips_node *node_new(struct key key, unsigned bits)
{
    struct allowedips_node *node = calloc(1, sizeof(*node));
    if (node) {
        node->key = key_mask(key, bits);
        node->bits = bits;
    }
    return node;
}

static void node_disown(struct allowedips_node *node)
{
    if (!node->owner)
        return;
    if (node->owner_prev)
        node->owner_prev->owner_next = node->owner_next;
    else
        node->owner->first = node->owner_next;
    if (node->owner_next)
        node->owner_next->owner_prev = node->owner_prev;
    node->owner = NULL;
}

static void node_own(struct allowedips_node *node, struct allowedips_owner *owner)
{
    node_disown(node);
    node->owner = owner;
    node->owner_prev = NULL;
    node->owner_next = owner->first;
    if (owner->first)
        owner->first->owner_prev = node;
    owner->first = node;
}

/* Makes child the child of parent, on the side that its key says. */
static void node_attach(struct allowedips_node *parent, struct allowedips_node *child)
{
    parent->child[key_bit(&child->key, parent->bits)] = child;
    child->parent = parent;
}

static struct allowedips_node **root_of(struct allowedips *allowed, sa_family_t family)
{
    return family == AF_INET ? &allowed->root4 : &allowed->root6;
}

/* Puts replacement (or NULL) where node hangs. */
static void node_replace(struct allowedips_node **root, const struct allowedips_node *node,
                         struct allowedips_node *replacement)
{
    struct allowedips_node *parent = node->parent;
    if (!parent)
        *root = replacement;
    else
        parent->child[parent->child[1] == node] = replacement;
    if (replacement)
        replacement->parent = parent;
}

/* --- The trie ------------------------------------------------------------------------------- */

/* Hangs a new node into the place of sibling, whose prefix does not contain the new one's. */
static int insert_beside(struct allowedips_node **root, struct allowedips_node *sibling,
                         struct allowedips_node *node)
{
    unsigned common = key_common(&sibling->key, &node->key);
    if (common >= node->bits) {
        node_replace(root, sibling, node);
        node_attach(node, sibling);
        return 0;
    }
    struct allowedips_node *branch = node_new(node->key, common);
    if (!branch)
        return -ENOMEM;
    node_replace(root, sibling, branch);
    node_attach(branch, sibling);
    node_attach(branch, node);
    return 0;
}

int allowedips_insert(struct allowedips *allowed, const struct inet_prefix *prefix,
                      struct allowedips_owner *owner)
{
    if ((prefix->addr.family != AF_INET && prefix->addr.family != AF_INET6) ||
        prefix->bits > inet_addr_len(prefix->addr.family) * 8)
        return -EINVAL;
    struct allowedips_node **root = root_of(allowed, prefix->addr.family);
    const struct key key = key_mask(key_make(&prefix->addr), prefix->bits);
    struct allowedips_node *parent = NULL;
    struct allowedips_node *node = *root;

    while (node && node->bits <= prefix->bits && node_covers(node, &key)) {
        if (node->bits == prefix->bits) {
            node_own(node, owner);
            return 0;
        }
        parent = node;
        node = node->child[key_bit(&key, node->bits)];
    }
    struct allowedips_node *added = node_new(key, prefix->bits);
    if (!added)
        return -ENOMEM;
    if (node) {
        int error = insert_beside(root, node, added);
        if (error) {
            free(added);
            return error;
        }
    } else if (parent) {
        node_attach(parent, added);
    } else {
        *root = added;
    }
    node_own(added, owner);
    return 0;
}

/* Frees a node that has no owner and fewer than two children, and then its parent if that is so. */
static void node_prune(struct allowedips_node **root, struct allowedips_node *node)
{
    while (node && !node->owner && !(node->child[0] && node->child[1])) {
        struct allowedips_node *parent = node->parent;
        node_replace(root, node, node->child[0] ? node->child[0] : node->child[1]);
        free(node);
        node = parent;
    }
}

/* The root of the trie that a node is in. */
static struct allowedips_node **node_root(struct allowedips *allowed,
                                          const struct allowedips_node *node)
{
    while (node->parent)
        node = node->parent;
    return node == allowed->root4 ? &allowed->root4 : &allowed->root6;
}

void allowedips_remove_owner(struct allowedips *allowed, struct allowedips_owner *owner)
{
    struct allowedips_node *node;
    while ((node = owner->first)) {
        owner->first = node->owner_next;
        if (node->owner_next)
            node->owner_next->owner_prev = NULL;
        node->owner = NULL;
        node_prune(node_root(allowed, node), node);
    }
}

struct allowedips_owner *allowedips_find(const struct allowedips *allowed,
                                         const struct inet_addr *addr)
{
    const unsigned bits = (unsigned)inet_addr_len(addr->family) * 8;
    const struct key key = key_make(addr);
    const struct allowedips_node *node = addr->family == AF_INET ? allowed->root4 : allowed->root6;
    struct allowedips_owner *best = NULL;

    while (node && node_covers(node, &key)) {
        if (node->owner)
            best = node->owner;
        if (node->bits == bits)
            break;
        node = node->child[key_bit(&key, node->bits)];
    }
    return best;
}

/* Frees a trie without recursion: down to a leaf, free it, up again. */
static void trie_free(struct allowedips_node *node)
{
    while (node) {
        struct allowedips_node *child = node->child[0] ? node->child[0] : node->child[1];
        if (child) {
            node = child;
            continue;
        }
        struct allowedips_node *parent = node->parent;
        if (parent)
            parent->child[parent->child[1] == node] = NULL;
        free(node);
        node = parent;
    }
}

void allowedips_fini(struct allowedips *allowed)
{
    trie_free(allowed->root4);
    trie_free(allowed->root6);
    *allowed = (struct allowedips){0};
}
