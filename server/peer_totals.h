/*
 * peer_totals: what the peers of a tunnel have counted before their present slots, in the order of
 * its definition. A peer is its public key: it keeps its totals when it is renamed or moved within
 * the definition, and begins anew when it was gone.
 */
#ifndef MANYTUN_SERVER_PEER_TOTALS_H
#define MANYTUN_SERVER_PEER_TOTALS_H

#include "base/spec.h"
#include "server/sighting.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer_totals {
    uint64_t rx_bytes, tx_bytes, handshakes;
};

struct peer_tally {
    struct peer_totals before; /* counted by earlier slots and earlier runs */
    struct peer_totals saved;  /* what the store has; zero = it has nothing */
    struct sighting sighting;  /* the same of where it was seen */
    bool leaves;               /* peer_tallies_move() found it in the next definition no more */
};

/* One for each peer, zeroed; never NULL for no peers. To be freed with free(). NULL = no memory. */
struct peer_tally *peer_tallies_new(const struct spec_tunnel *spec);
/* The same for what a tunnel becomes, with the tallies of peers that stay. */
struct peer_tally *peer_tallies_move(const struct spec_tunnel *spec, struct peer_tally *tallies,
                                     const struct spec_tunnel *next);

/* The places of a definition's peers, to be looked up by key. */
struct peer_order {
    const struct spec_tunnel *spec; /* borrowed */
    size_t *places;
};

/* 0 or -ENOMEM. */
int peer_order_init(struct peer_order *order, const struct spec_tunnel *spec);
void peer_order_fini(struct peer_order *order);
/* False: there is no such peer. */
bool peer_order_find(const struct peer_order *order, const uint8_t public_key[SPEC_KEY_LEN],
                     size_t *place);

#endif
