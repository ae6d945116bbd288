/*
 * peer_totals: owns nothing. A definition may have many peers: they are matched by sorting.
 */
#include "server/peer_totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Order ------------------------------------------------------------------------------------ */

static int compare_places(const void *a, const void *b, void *ctx)
{
    const struct spec_tunnel *spec = ctx;
    return memcmp(spec->peers[*(const size_t *)a].public_key,
                  spec->peers[*(const size_t *)b].public_key, SPEC_KEY_LEN);
}

int peer_order_init(struct peer_order *order, const struct spec_tunnel *spec)
{
    order->spec = spec;
    order->places = calloc(spec->peers_count + 1, sizeof(*order->places));
    if (order->places == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < spec->peers_count; i++)
        order->places[i] = i;
    qsort_r(order->places, spec->peers_count, sizeof(*order->places), compare_places, (void *)spec);
    return 0;
}

void peer_order_fini(struct peer_order *order)
{
    free(order->places);
    order->places = NULL;
}

bool peer_order_find(const struct peer_order *order, const uint8_t public_key[SPEC_KEY_LEN],
                     size_t *place)
{
    size_t low = 0;
    size_t high = order->spec->peers_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        size_t candidate = order->places[middle];
        int sign = memcmp(order->spec->peers[candidate].public_key, public_key, SPEC_KEY_LEN);
        if (sign == 0) {
            *place = candidate;
            return true;
        }
        if (sign < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* --- Tallies ---------------------------------------------------------------------------------- */

struct peer_tally *peer_tallies_new(const struct spec_tunnel *spec)
{
    return calloc(spec->peers_count + 1, sizeof(struct peer_tally));
}

struct peer_tally *peer_tallies_move(const struct spec_tunnel *spec, struct peer_tally *tallies,
                                     const struct spec_tunnel *next)
{
    struct peer_order order;
    struct peer_tally *moved = peer_tallies_new(next);
    if (moved == NULL || peer_order_init(&order, spec) < 0) {
        free(moved);
        return NULL;
    }
    for (size_t i = 0; i < spec->peers_count; i++)
        tallies[i].leaves = true;
    for (size_t i = 0; i < next->peers_count; i++) {
        size_t place;
        if (!peer_order_find(&order, next->peers[i].public_key, &place))
            continue;
        tallies[place].leaves = false;
        moved[i] = tallies[place];
    }
    peer_order_fini(&order);
    return moved;
}
