/*
 * What the files of the supervisor share: who has which slot of which worker. supervisor.c owns all
 * of it.
 */
#ifndef MANYTUN_SERVER_SUPERVISOR_INTERNAL_H
#define MANYTUN_SERVER_SUPERVISOR_INTERNAL_H

#include "base/counters.h"
#include "server/peer_set.h"
#include "server/resolver.h"
#include "server/retelling.h"
#include "server/supervisor.h"
#include "server/tunnel_update.h"
#include "server/worker_link.h"

#include <sys/queue.h>

struct supervised_forward {
    TAILQ_ENTRY(supervised_forward) link;
    struct supervised_tunnel *tunnel;
    const struct spec_forward *spec;
    int listener;
    uint32_t slot;
    bool told; /* else the worker does not know of it */
    struct retelling_item retelling;
    struct {
        cJSON *json; /* what the worker is to be told, NULL = nothing */
        int listener;
    } prepared;
};

struct supervised_tunnel {
    TAILQ_ENTRY(supervised_tunnel) link;
    struct supervisor *supervisor;
    struct worker *worker;
    const struct spec_tunnel *spec;
    int sockets[2];
    uint32_t slot;
    uint64_t timestamps_after, timestamps_until; /* unix time in ns */
    struct peer_set *peers;
    bool told;   /* else the worker does not know of it */
    bool absent; /* its worker has said that it has nothing of it */
    struct retelling_item retelling;
    int bridge; /* the newer side's end, -1 = none */
    struct {
        cJSON *json; /* of a tunnel that no worker was told of, NULL = there is nothing to tell */
        struct tunnel_update update; /* of another */
        struct peer_set *peers;
        bool moved; /* an update has other sockets */
        int sockets[2];
    } prepared;
    TAILQ_HEAD(, supervised_forward) forwards;
};

struct worker {
    struct worker_link *link;
    struct supervised_tunnel *by_slot[COUNTERS_TUNNELS_MAX];
    struct supervised_forward *forward_by_slot[COUNTERS_FORWARDS_MAX];
    struct retelling retelling;
    unsigned tunnels_count;
    TAILQ_HEAD(, supervised_tunnel) tunnels;
};

struct supervisor {
    struct event_base *base;
    struct resolver *resolver;
    struct event *child_ended;
    const struct supervisor_watcher *watcher; /* NULL = nobody */
    struct {
        void (*done)(void *ctx); /* NULL = does not drain */
        void *ctx;
        unsigned left; /* workers that have connections, or have not answered */
    } drain;
    bool retiring;
    struct event *retire_late; /* pending while workers retire */
    unsigned workers_count;    /* of those that were started */
    struct worker workers[];
};

#endif
