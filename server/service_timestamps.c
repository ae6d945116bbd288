/*
 * service_timestamps: keeps the bounds of tunnels' timestamps on disk ahead of what is sent. What a
 * database that cannot be written costs is told where it happens: handshakes go on all the same.
 */
#include "base/log.h"
#include "server/service_internal.h"
#include "server/timestamps.h"
#include "store/store.h"

#include <errno.h>
#include <string.h>

/* Rows in one transaction. */
#define PORTION_MAX 512

static uint64_t unix_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec > 0 ? (uint64_t)now.tv_sec * TIMESTAMPS_NS_PER_S + (uint64_t)now.tv_nsec : 0;
}

static struct store_timestamps row_of(const struct service_tunnel *tunnel)
{
    return (struct store_timestamps){
        .tunnel = tunnel->spec.name,
        .after_ns = tunnel->timestamps.after_ns,
        .until_ns = tunnel->timestamps.until_ns,
    };
}

/* --- Beginning -------------------------------------------------------------------------------- */

void service_begin_timestamps(const struct service *service, struct service_tunnel *tunnel)
{
    tunnel->timestamps = (struct tunnel_timestamps){
        .until_ns = service->store != NULL ? timestamps_reserve(unix_ns(), 0) : UINT64_MAX,
    };
}

int service_write_timestamps(struct service *service, const struct service_tunnel *tunnel)
{
    const struct store_timestamps row = row_of(tunnel);
    return store_save_timestamps(service->store, &row, 1);
}

bool service_renew_timestamps(struct service *service)
{
    if (store_renew_timestamps(service->store, timestamps_reserve(unix_ns(), 0), TIMESTAMPS_STEP) ==
        0)
        return true;
    log_warn("the timestamps of handshakes could not be stored: %s; should the program crash and "
             "the clock be set back, peers do not answer until it is later again",
             store_error(service->store));
    return false;
}

void service_restore_timestamps(struct service *service, struct service_tunnel *tunnel,
                                bool renewed)
{
    struct store_timestamps row = {0};
    int rc = store_find_timestamps(service->store, tunnel->spec.name, &row);
    tunnel->timestamps = (struct tunnel_timestamps){row.after_ns, row.until_ns, 0};
    if (rc == 0 && renewed)
        return;
    tunnel->timestamps.after_ns = row.until_ns;
    tunnel->timestamps.until_ns = timestamps_reserve(unix_ns(), row.until_ns);
}

void service_tell_timestamps(const struct service_tunnel *tunnel)
{
    supervisor_limit_timestamps(tunnel->supervised, tunnel->timestamps.after_ns,
                                tunnel->timestamps.until_ns);
}

/* --- Going on --------------------------------------------------------------------------------- */

static uint64_t latest_of(const struct service_tunnel *tunnel)
{
    return counter_get(&supervisor_tunnel_counters(tunnel->supervised)->latest_timestamp_unix_ns);
}

/* Whether its reserve runs short, and it has made handshakes since or can make none any more. */
static bool needs_more(const struct service_tunnel *tunnel, uint64_t now_ns)
{
    if (tunnel->supervised == NULL)
        return false;
    const uint64_t latest = latest_of(tunnel);
    const uint64_t until = tunnel->timestamps.until_ns;
    return timestamps_are_used_up(latest, until) ||
           (latest != tunnel->timestamps.seen_ns && timestamps_are_short(now_ns, latest, until));
}

/*
 * Tries it once per handshake, so that a full disk is not asked each second; but when there is
 * nothing left, until it succeeds.
 */
static void extend(struct service *service, struct service_tunnel *const *tunnels, size_t count,
                   uint64_t now_ns)
{
    struct store_timestamps rows[PORTION_MAX];
    for (size_t i = 0; i < count; i++) {
        struct service_tunnel *tunnel = tunnels[i];
        tunnel->timestamps.seen_ns = latest_of(tunnel);
        rows[i] = row_of(tunnel);
        rows[i].until_ns = timestamps_reserve(now_ns, tunnel->timestamps.seen_ns);
    }
    const bool refused = store_save_timestamps(service->store, rows, count) < 0;
    if (refused && !service->timestamps_refused)
        log_warn("the timestamps of handshakes could not be stored: %s; it is tried again",
                 store_error(service->store));
    service->timestamps_refused = refused;
    if (refused)
        return;
    for (size_t i = 0; i < count; i++) {
        tunnels[i]->timestamps.until_ns = rows[i].until_ns;
        service_tell_timestamps(tunnels[i]);
    }
}

void service_extend_timestamps(struct service *service)
{
    struct service_tunnel *tunnels[PORTION_MAX];
    const uint64_t now_ns = unix_ns();
    size_t count = 0;
    if (service->store == NULL || !service->restored || service->frozen)
        return;
    for (size_t i = 0; i < service->tunnels.count && count < PORTION_MAX; i++) {
        struct service_tunnel *tunnel = service->tunnels.entries[i].object;
        if (needs_more(tunnel, now_ns))
            tunnels[count++] = tunnel;
    }
    if (count > 0)
        extend(service, tunnels, count, now_ns);
}
