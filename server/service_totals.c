/*
 * service_totals: what an object has counted in all: its live counters, which begin at zero with
 * every slot, on top of what earlier slots and earlier runs of the service had counted.
 *
 * They are saved now and then, in portions, so that the loop is not held up by thousands of rows,
 * and when the service ends. A crash loses what was counted since.
 */
#include "base/log.h"
#include "server/retired_counts.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <string.h>

/* What is written in one transaction, and how long the next portion waits. */
#define PORTION_MAX     512
#define PORTION_WAIT_MS 100

/* --- Reading ---------------------------------------------------------------------------------- */

struct tunnel_totals service_tunnel_totals(const struct service_tunnel *tunnel)
{
    struct tunnel_totals totals = tunnel->counted_before;
    if (tunnel->supervised != NULL) {
        const struct counters_tunnel *live = supervisor_tunnel_counters(tunnel->supervised);
        totals.rx_bytes += counter_get(&live->rx_bytes);
        totals.tx_bytes += counter_get(&live->tx_bytes);
        totals.handshakes += counter_get(&live->handshakes);
    }
    return totals;
}

struct peer_totals service_peer_totals(const struct service_tunnel *tunnel, size_t place)
{
    struct peer_totals totals = tunnel->peers[place].before;
    struct supervised_peer live = {0};
    if (tunnel->supervised != NULL)
        supervisor_peer(tunnel->supervised, place, &live);
    if (live.counters != NULL) {
        totals.rx_bytes += counter_get(&live.counters->rx_bytes);
        totals.tx_bytes += counter_get(&live.counters->tx_bytes);
        totals.handshakes += counter_get(&live.counters->handshakes);
    }
    return totals;
}

struct forward_totals service_own_totals(const struct service_forward *forward)
{
    struct forward_totals totals = forward->counted_before;
    if (forward->supervised != NULL) {
        const struct counters_forward *live = supervisor_forward_counters(forward->supervised);
        totals.connections += counter_get(&live->connections_total);
        totals.connect_failures += counter_get(&live->connect_failures);
        totals.bytes_in += counter_get(&live->bytes_in);
        totals.bytes_out += counter_get(&live->bytes_out);
    }
    return totals;
}

struct forward_totals service_forward_totals(const struct service_forward *forward)
{
    struct forward_totals totals = service_own_totals(forward);
    retired_shares_add(forward, &totals);
    return totals;
}

/* --- Saving ----------------------------------------------------------------------------------- */

static bool same_tunnel_totals(const struct tunnel_totals *a, const struct tunnel_totals *b)
{
    return a->rx_bytes == b->rx_bytes && a->tx_bytes == b->tx_bytes &&
           a->handshakes == b->handshakes;
}

static bool same_forward_totals(const struct forward_totals *a, const struct forward_totals *b)
{
    return a->connections == b->connections && a->connect_failures == b->connect_failures &&
           a->bytes_in == b->bytes_in && a->bytes_out == b->bytes_out;
}

/* Saves a portion of tunnels from *next on, which it moves. 0 or what the store says. */
static int save_tunnels(struct service *service, size_t *next)
{
    struct store_tunnel_totals rows[PORTION_MAX];
    struct service_tunnel *tunnels[PORTION_MAX];
    size_t count = 0;
    for (; *next < service->tunnels.count && count < PORTION_MAX; (*next)++) {
        struct service_tunnel *tunnel = service->tunnels.entries[*next].object;
        const struct tunnel_totals now = service_tunnel_totals(tunnel);
        if (same_tunnel_totals(&now, &tunnel->saved))
            continue;
        tunnels[count] = tunnel;
        rows[count++] = (struct store_tunnel_totals){.tunnel = tunnel->spec.name,
                                                     .rx_bytes = now.rx_bytes,
                                                     .tx_bytes = now.tx_bytes,
                                                     .handshakes = now.handshakes};
    }
    int rc = count > 0 ? store_save_tunnel_totals(service->store, rows, count) : 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        tunnels[i]->saved =
            (struct tunnel_totals){rows[i].rx_bytes, rows[i].tx_bytes, rows[i].handshakes};
    return rc;
}

static bool same_peer_totals(const struct peer_totals *a, const struct peer_totals *b)
{
    return a->rx_bytes == b->rx_bytes && a->tx_bytes == b->tx_bytes &&
           a->handshakes == b->handshakes;
}

struct peer_portion {
    struct store_peer_totals rows[PORTION_MAX];
    struct peer_tally *tallies[PORTION_MAX];
    size_t count;
};

/* In the order of the table where it is known: a portion's rows are on few pages then. */
static size_t place_of(const struct service_tunnel *tunnel, size_t rank)
{
    return tunnel->supervised != NULL ? supervisor_peer_by_key(tunnel->supervised, rank) : rank;
}

/* Adds the tunnel's peers from *next on, which it moves, as far as there is room. */
static void collect_peers(struct peer_portion *portion, const struct service_tunnel *tunnel,
                          size_t *next)
{
    const struct spec_tunnel *spec = &tunnel->spec;
    for (; *next < spec->peers_count && portion->count < PORTION_MAX; (*next)++) {
        const size_t place = place_of(tunnel, *next);
        const struct peer_totals now = service_peer_totals(tunnel, place);
        if (same_peer_totals(&now, &tunnel->peers[place].saved))
            continue;
        portion->tallies[portion->count] = &tunnel->peers[place];
        portion->rows[portion->count++] =
            (struct store_peer_totals){.tunnel = spec->name,
                                       .public_key = spec->peers[place].public_key,
                                       .rx_bytes = now.rx_bytes,
                                       .tx_bytes = now.tx_bytes,
                                       .handshakes = now.handshakes};
    }
}

/* Of the peers of all tunnels, from the peer *peer of the tunnel *next on. */
static int save_peers(struct service *service, size_t *next, size_t *peer)
{
    struct peer_portion portion;
    portion.count = 0;
    while (*next < service->tunnels.count && portion.count < PORTION_MAX) {
        const struct service_tunnel *tunnel = service->tunnels.entries[*next].object;
        collect_peers(&portion, tunnel, peer);
        if (*peer < tunnel->spec.peers_count)
            break; /* there was no room */
        (*next)++;
        *peer = 0;
    }
    int rc =
        portion.count > 0 ? store_save_peer_totals(service->store, portion.rows, portion.count) : 0;
    for (size_t i = 0; i < portion.count && rc == 0; i++) {
        const struct store_peer_totals *row = &portion.rows[i];
        portion.tallies[i]->saved =
            (struct peer_totals){row->rx_bytes, row->tx_bytes, row->handshakes};
    }
    return rc;
}

static int save_forwards(struct service *service, size_t *next)
{
    struct store_forward_totals rows[PORTION_MAX];
    struct service_forward *forwards[PORTION_MAX];
    size_t count = 0;
    for (; *next < service->forwards.count && count < PORTION_MAX; (*next)++) {
        struct service_forward *forward = service->forwards.entries[*next].object;
        const struct forward_totals now = service_forward_totals(forward);
        if (same_forward_totals(&now, &forward->saved))
            continue;
        forwards[count] = forward;
        rows[count++] = (struct store_forward_totals){.forward = forward->spec.name,
                                                      .connections = now.connections,
                                                      .connect_failures = now.connect_failures,
                                                      .bytes_in = now.bytes_in,
                                                      .bytes_out = now.bytes_out};
    }
    int rc = count > 0 ? store_save_forward_totals(service->store, rows, count) : 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        forwards[i]->saved = (struct forward_totals){rows[i].connections, rows[i].connect_failures,
                                                     rows[i].bytes_in, rows[i].bytes_out};
    return rc;
}

/* A round of them all, or one without the peers. */
static void begin_round(struct service *service, bool with_peers)
{
    struct service_totals *totals = &service->totals;
    totals->next_tunnel = totals->next_forward = totals->next_peer = 0;
    totals->next_seen = totals->next_seen_peer = 0;
    totals->next_peers = with_peers ? 0 : SIZE_MAX;
    totals->rounds = with_peers ? 0 : totals->rounds + 1;
}

/* Saves the next portion of a round. True when the round goes on. */
static bool save_portion(struct service *service)
{
    struct service_totals *totals = &service->totals;
    int rc = save_tunnels(service, &totals->next_tunnel);
    if (rc == 0 && totals->next_tunnel >= service->tunnels.count)
        rc = save_forwards(service, &totals->next_forward);
    if (rc == 0 && totals->next_forward >= service->forwards.count)
        rc = service_save_sightings(service, &totals->next_seen, &totals->next_seen_peer);
    if (rc == 0 && totals->next_seen >= service->tunnels.count)
        rc = save_peers(service, &totals->next_peers, &totals->next_peer);
    if (rc < 0)
        log_warn("totals could not be stored: %s; it is tried again", store_error(service->store));
    if (rc == 0 &&
        (totals->next_tunnel < service->tunnels.count ||
         totals->next_forward < service->forwards.count ||
         totals->next_seen < service->tunnels.count || totals->next_peers < service->tunnels.count))
        return true;
    begin_round(service, totals->rounds + 1 >= SERVICE_PEER_ROUNDS);
    return false;
}

void service_save_totals(struct service *service)
{
    if (service->store == NULL || !service->restored)
        return;
    begin_round(service, true);
    while (save_portion(service))
        ;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static void save_later(struct service *service, unsigned wait_ms)
{
    const struct timeval wait = {.tv_sec = wait_ms / 1000,
                                 .tv_usec = (suseconds_t)(wait_ms % 1000) * 1000};
    event_add(service->totals.timer, &wait);
}

static void on_save(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct service *service = ctx;
    bool more = service->restored && !service->frozen && save_portion(service);
    save_later(service, more ? PORTION_WAIT_MS : SERVICE_TOTALS_MS);
}

int service_totals_start(struct service *service)
{
    if (service->store == NULL)
        return 0;
    begin_round(service, false);
    service->totals.timer = evtimer_new(service->base, on_save, service);
    if (service->totals.timer == NULL)
        return -ENOMEM;
    save_later(service, SERVICE_TOTALS_MS);
    return 0;
}

void service_totals_stop(struct service *service)
{
    if (service->totals.timer != NULL)
        event_free(service->totals.timer);
}

static void restore_tunnel(void *ctx, const struct store_tunnel_totals *row)
{
    struct service *service = ctx;
    struct service_tunnel *tunnel = service_index_find(&service->tunnels, row->tunnel);
    if (tunnel != NULL)
        tunnel->counted_before = tunnel->saved =
            (struct tunnel_totals){row->rx_bytes, row->tx_bytes, row->handshakes};
}

static void restore_forward(void *ctx, const struct store_forward_totals *row)
{
    struct service *service = ctx;
    struct service_forward *forward = service_index_find(&service->forwards, row->forward);
    const struct forward_totals totals = {row->connections, row->connect_failures, row->bytes_in,
                                          row->bytes_out};
    if (forward != NULL)
        forward->counted_before = forward->saved = totals;
    else
        service_note_waiting_totals(service, row->forward, &totals);
}

/* A tunnel's rows come together: its peers are put into order once. */
struct peers_restoring {
    struct service *service;
    struct service_tunnel *tunnel; /* of the row before, or NULL */
    struct peer_order order;
    bool no_memory;
};

static void restore_peer(void *ctx, const struct store_peer_totals *row)
{
    struct peers_restoring *restoring = ctx;
    struct service_tunnel *tunnel = restoring->tunnel;
    size_t place;
    if (tunnel == NULL || strcmp(tunnel->spec.name, row->tunnel) != 0) {
        peer_order_fini(&restoring->order);
        tunnel = service_index_find(&restoring->service->tunnels, row->tunnel);
        if (tunnel != NULL && peer_order_init(&restoring->order, &tunnel->spec) < 0) {
            restoring->no_memory = true;
            tunnel = NULL;
        }
        restoring->tunnel = tunnel;
    }
    if (tunnel != NULL && peer_order_find(&restoring->order, row->public_key, &place))
        tunnel->peers[place].before = tunnel->peers[place].saved =
            (struct peer_totals){row->rx_bytes, row->tx_bytes, row->handshakes};
}

static int restore_peers(struct service *service)
{
    struct peers_restoring restoring = {.service = service};
    int rc = store_load_peer_totals(service->store, restore_peer, &restoring);
    peer_order_fini(&restoring.order);
    return rc == 0 && restoring.no_memory ? -ENOMEM : rc;
}

int service_restore_totals(struct service *service)
{
    int rc = store_load_tunnel_totals(service->store, restore_tunnel, service);
    if (rc == 0)
        rc = restore_peers(service);
    return rc < 0 ? rc : store_load_forward_totals(service->store, restore_forward, service);
}
