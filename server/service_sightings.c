/*
 * service_sightings: keeps on disk where peers were seen (sighting.h). Read when a tunnel is
 * started; written in portions, in the rounds of the totals, and in the order of the table, so that
 * the rows of a portion are on few pages of the database.
 */
#include "base/log.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* What is written in one transaction. */
#define PORTION_MAX 128

#define NS_PER_S UINT64_C(1000000000)

_Static_assert(STORE_TIMESTAMP_LEN == COUNTERS_TIMESTAMP_LEN, "rows have the whole timestamp");

/* The endpoint of the definition as text, "" = none. */
static const char *print_defined(const struct spec_peer *peer, char text[INET_HOST_PORT_TEXT])
{
    text[0] = '\0';
    return peer->endpoint_host[0] == '\0'
               ? text
               : inet_host_port_print(peer->endpoint_host, peer->endpoint_port, text);
}

/* --- Restoring -------------------------------------------------------------------------------- */

struct restoring {
    struct service_tunnel *tunnel;
    struct peer_order order;
    uint64_t now_unix_ns;
};

/* A damaged one, or one on a link that is gone, is nowhere. */
static void parse_endpoint(const char *text, union inet_sockaddr *out)
{
    char host[INET_HOST_TEXT];
    struct inet_addr address;
    uint16_t port;
    if (inet_host_port_parse(text, host, &port) < 0)
        return;
    if (inet_addr_parse(host, &address) == 0)
        inet_sockaddr_make(out, &address, port);
    else
        inet_sockaddr_make_zoned(out, host, port);
}

static void restore_peer(void *ctx, const struct store_sighting *row)
{
    const struct restoring *restoring = ctx;
    struct service_tunnel *tunnel = restoring->tunnel;
    size_t place;
    if (!peer_order_find(&restoring->order, row->public_key, &place))
        return;
    const struct spec_peer *peer = &tunnel->spec.peers[place];
    char defined[INET_HOST_PORT_TEXT];
    struct sighting sighting = {.heard_unix_ns = row->heard_unix_ns};
    memcpy(sighting.timestamp, row->timestamp, sizeof(sighting.timestamp));
    parse_endpoint(row->endpoint, &sighting.endpoint);
    tunnel->peers[place].sighting = sighting;
    if (strcmp(row->defined, print_defined(peer, defined)) != 0) /* it was told to be elsewhere */
        sighting.endpoint.sa.sa_family = AF_UNSPEC;
    sighting_filter(&sighting, peer->endpoint_host[0] != '\0', restoring->now_unix_ns);
    supervisor_restore_peer(tunnel->supervised, place, &sighting);
}

void service_restore_sightings(struct service *service, struct service_tunnel *tunnel)
{
    struct timespec now;
    if (service->store == NULL)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    struct restoring restoring = {
        .tunnel = tunnel,
        .now_unix_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec,
    };
    int rc = peer_order_init(&restoring.order, &tunnel->spec);
    if (rc == 0)
        rc = store_load_sightings(service->store, tunnel->spec.name, restore_peer, &restoring);
    peer_order_fini(&restoring.order);
    if (rc < 0)
        log_about(LOG_LEVEL_WARN, LOG_TUNNEL, tunnel->spec.name,
                  "where its peers were seen last cannot be read: they are looked for as defined");
}

/* --- Saving ----------------------------------------------------------------------------------- */

struct portion {
    struct store_sighting rows[PORTION_MAX];
    struct {
        char endpoint[INET_SOCKADDR_TEXT];
        char defined[INET_HOST_PORT_TEXT];
        struct sighting sighting;
        struct peer_tally *tally;
    } items[PORTION_MAX];
    size_t count;
};

/* What is seen of a peer now, on top of what was before. */
static void look(const struct service_tunnel *tunnel, size_t place, struct sighting *out)
{
    const struct sighting *before = &tunnel->peers[place].sighting;
    struct supervised_peer peer = {0};
    supervisor_peer(tunnel->supervised, place, &peer);
    *out = *before;
    if (peer.counters == NULL)
        return;
    sighting_read(out, peer.counters);
    sighting_keep_timestamp(out, before);
    if (out->heard_unix_ns == 0) /* by this run of the service */
        out->heard_unix_ns = before->heard_unix_ns;
}

static void add_peer(struct portion *portion, const struct service_tunnel *tunnel, size_t place)
{
    struct sighting now;
    struct peer_tally *tally = &tunnel->peers[place];
    const struct spec_peer *peer = &tunnel->spec.peers[place];
    look(tunnel, place, &now);
    if (sighting_is_empty(&now) || sighting_equal(&now, &tally->sighting))
        return;
    const size_t i = portion->count++;
    portion->items[i].sighting = now;
    portion->items[i].tally = tally;
    portion->items[i].endpoint[0] = '\0';
    if (now.endpoint.sa.sa_family != AF_UNSPEC)
        inet_sockaddr_print(&now.endpoint, portion->items[i].endpoint);
    portion->rows[i] = (struct store_sighting){
        .tunnel = tunnel->spec.name,
        .public_key = peer->public_key,
        .endpoint = portion->items[i].endpoint,
        .defined = print_defined(peer, portion->items[i].defined),
        .heard_unix_ns = now.heard_unix_ns,
        .timestamp = portion->items[i].sighting.timestamp,
    };
}

int service_save_sightings(struct service *service, size_t *next, size_t *peer)
{
    struct portion portion;
    portion.count = 0;
    for (; *next < service->tunnels.count; (*next)++, *peer = 0) {
        const struct service_tunnel *tunnel = service->tunnels.entries[*next].object;
        const size_t count = tunnel->supervised != NULL ? tunnel->spec.peers_count : 0;
        for (; *peer < count && portion.count < PORTION_MAX; (*peer)++)
            add_peer(&portion, tunnel, supervisor_peer_by_key(tunnel->supervised, *peer));
        if (*peer < count)
            break; /* there was no room */
    }
    int rc =
        portion.count > 0 ? store_save_sightings(service->store, portion.rows, portion.count) : 0;
    for (size_t i = 0; i < portion.count && rc == 0; i++)
        portion.items[i].tally->sighting = portion.items[i].sighting;
    return rc;
}
