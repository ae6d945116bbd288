/* path: owns the parcels on the way, in a heap by the time at which they leave. */
#include "tests/relay/path.h"

#include <stdlib.h>
#include <string.h>

#define SECOND 1e9

void path_init(struct path *path, uint64_t seed)
{
    memset(path, 0, sizeof(*path));
    path->chance.state = seed;
}

void path_fini(struct path *path)
{
    struct heap_node *first;
    while ((first = heap_first(&path->parcels))) {
        heap_remove(&path->parcels, first);
        free(first); /* the parcel's first member */
    }
    heap_fini(&path->parcels);
}

/*
 * Gilbert's model: in the bad state everything is lost. The chances of changing the state follow
 * from the mean length of a burst and from the share of datagrams that is to be lost.
 */
static bool is_lost(struct path *path)
{
    const struct path_settings *settings = &path->settings;
    if (settings->burst <= 1 || settings->loss <= 0 || settings->loss >= 1)
        return chance_happens(&path->chance, settings->loss);
    const double leave = 1 / settings->burst;
    const double enter = leave * settings->loss / (1 - settings->loss);
    if (chance_happens(&path->chance, path->losing ? leave : enter))
        path->losing = !path->losing;
    return path->losing;
}

/* Sends len bytes through the bottleneck: when their last bit leaves it; PATH_NEVER: dropped. */
static uint64_t bottleneck(struct path *path, uint64_t now, size_t len)
{
    const struct path_settings *settings = &path->settings;
    if (settings->rate <= 0)
        return now;
    const uint64_t start = path->bottleneck_free_at > now ? path->bottleneck_free_at : now;
    const double waiting = (double)(start - now) / SECOND * settings->rate / 8;
    if (waiting > 0 && waiting + (double)len > settings->queue)
        return PATH_NEVER;
    path->bottleneck_free_at = start + (uint64_t)((double)len * 8 / settings->rate * SECOND);
    return path->bottleneck_free_at;
}

/* Datagrams that are due at the same time leave in the order in which they came. */
static uint64_t after_its_equals(struct path *path, uint64_t due)
{
    path->last_due_count = due == path->last_due ? path->last_due_count + 1 : 0;
    path->last_due = due;
    return due + path->last_due_count;
}

static void maybe_damage(struct path *path, struct parcel *parcel)
{
    if (parcel->len > 0 && chance_happens(&path->chance, path->settings.corrupt)) {
        const uint64_t bit = chance_below(&path->chance, parcel->len * 8);
        parcel->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        path->counters[PATH_CORRUPTED]++;
    }
    if (parcel->len > 0 && chance_happens(&path->chance, path->settings.truncate)) {
        parcel->len = (size_t)chance_below(&path->chance, parcel->len);
        path->counters[PATH_TRUNCATED]++;
    }
}

/* Puts a copy of a datagram on its way, which it begins at `start`. */
static void dispatch(struct path *path, uint64_t start, unsigned flow, const uint8_t *data,
                     size_t len)
{
    const struct path_settings *settings = &path->settings;
    struct parcel *parcel = NULL;
    if (path->parcels.count < PATH_PARCELS_MAX && heap_reserve(&path->parcels, 1) == 0)
        parcel = malloc(sizeof(*parcel) + len);
    if (!parcel) {
        path->counters[PATH_OVERFLOWED]++;
        return;
    }
    memset(parcel, 0, sizeof(*parcel));
    parcel->flow = flow;
    parcel->len = len;
    memcpy(parcel->data, data, len);
    maybe_damage(path, parcel);

    uint64_t due = start + (uint64_t)(settings->delay * SECOND);
    if (settings->jitter > 0)
        due += chance_below(&path->chance, (uint64_t)(settings->jitter * SECOND) + 1);
    heap_set(&path->parcels, &parcel->node, after_its_equals(path, due));
}

/* Any captured datagram, of any kind that there is; one was just captured, or is too long. */
static const struct captured *older_datagram(struct path *path)
{
    const unsigned first = (unsigned)chance_below(&path->chance, CAPTURE_KINDS);
    for (unsigned i = 0; i < CAPTURE_KINDS; i++) {
        const unsigned kind = (first + i) % CAPTURE_KINDS;
        const size_t count = capture_count(&path->capture, kind);
        if (count > 0)
            return capture_at(&path->capture, kind, chance_below(&path->chance, count));
    }
    return NULL;
}

void path_offer(struct path *path, uint64_t now, unsigned flow, const uint8_t *data, size_t len)
{
    path->counters[PATH_RECEIVED]++;
    capture_add(&path->capture, data, len);
    if (is_lost(path)) {
        path->counters[PATH_LOST]++;
        return;
    }
    const uint64_t start = bottleneck(path, now, len);
    if (start == PATH_NEVER) {
        path->counters[PATH_OVERFLOWED]++;
        return;
    }
    dispatch(path, start, flow, data, len);
    if (chance_happens(&path->chance, path->settings.duplicate)) {
        path->counters[PATH_DUPLICATED]++;
        dispatch(path, start, flow, data, len);
    }
    if (chance_happens(&path->chance, path->settings.replay)) {
        const struct captured *older = older_datagram(path);
        if (older) {
            path->counters[PATH_REPLAYED]++;
            dispatch(path, start, flow, older->data, older->len);
        }
    }
}

uint64_t path_deadline(const struct path *path)
{
    const struct heap_node *first = heap_first(&path->parcels);
    return first && path->settings.hold <= 0 ? first->key : PATH_NEVER;
}

struct parcel *path_take(struct path *path, uint64_t now)
{
    if (path_deadline(path) > now)
        return NULL;
    struct parcel *parcel = (struct parcel *)(void *)heap_first(&path->parcels);
    heap_remove(&path->parcels, &parcel->node);
    path->counters[PATH_FORWARDED]++;
    return parcel;
}
