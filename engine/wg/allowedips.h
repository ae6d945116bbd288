/*
 * allowedips: which peer an inner address belongs to: the longest prefix wins (section 2,
 * cryptokey routing). A look-up costs at most one step per bit, whatever the number of prefixes.
 */
#ifndef MANYTUN_ENGINE_WG_ALLOWEDIPS_H
#define MANYTUN_ENGINE_WG_ALLOWEDIPS_H

#include "base/inet.h"

#include <stdint.h>

struct allowedips_node;

/* Zero-initialised = empty. */
struct allowedips {
    struct allowedips_node *root4;
    struct allowedips_node *root6;
};

/* Whom prefixes belong to; embedded in the peer. Zero-initialised = has none. */
struct allowedips_owner {
    struct allowedips_node *first;
};

/*
 * Gives a prefix to an owner, taking it from another if need be. Host bits are ignored.
 * 0, -EINVAL (no IP prefix) or -ENOMEM.
 */
int allowedips_insert(struct allowedips *allowed, const struct inet_prefix *prefix,
                      struct allowedips_owner *owner);
/* Takes all prefixes from an owner. */
void allowedips_remove_owner(struct allowedips *allowed, struct allowedips_owner *owner);
/* The owner of the longest prefix that contains addr, or NULL. */
struct allowedips_owner *allowedips_find(const struct allowedips *allowed,
                                         const struct inet_addr *addr);
/* Frees everything; owners are not touched. */
void allowedips_fini(struct allowedips *allowed);

#endif
