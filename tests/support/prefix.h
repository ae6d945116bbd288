/*
 * prefix: whether a prefix contains an address, by the definition: what tests compare a trie with.
 */
#ifndef MANYTUN_TESTS_PREFIX_H
#define MANYTUN_TESTS_PREFIX_H

#include "base/inet.h"

static inline bool prefix_contains(const struct inet_prefix *prefix, const struct inet_addr *addr)
{
    struct inet_prefix wanted = *prefix;
    struct inet_prefix actual = {.addr = *addr, .bits = prefix->bits};
    if (prefix->addr.family != addr->family)
        return false;
    inet_prefix_mask(&wanted);
    inet_prefix_mask(&actual);
    return inet_addr_equal(&wanted.addr, &actual.addr);
}

#endif
