/*
 * attacker: who watches the simulated network, keeps what passes, and hands in what it likes.
 */
#ifndef MANYTUN_TESTS_SIM_ATTACKER_H
#define MANYTUN_TESTS_SIM_ATTACKER_H

#include "tests/sim/network.h"

/* Keeps a copy of the last datagram whose type is *watch_ctx, and lets it pass. */
static inline enum fate keep(struct network *network, struct datagram *datagram)
{
    const uint8_t *type = network->watch_ctx;
    if (datagram->data[0] == *type)
        network->kept = *datagram;
    return FATE_PASS;
}

static inline enum fate keep_and_drop(struct network *network, struct datagram *datagram)
{
    const uint8_t *type = network->watch_ctx;
    if (datagram->data[0] != *type)
        return FATE_PASS;
    network->kept = *datagram;
    return FATE_DROP;
}

static inline void watch(struct network *network,
                         enum fate (*watcher)(struct network *network, struct datagram *datagram),
                         const uint8_t *type)
{
    network->watch = watcher;
    network->watch_ctx = (void *)type;
    network->kept.len = 0;
}

static const uint8_t initiation = MESSAGE_INITIATION;
static const uint8_t response = MESSAGE_RESPONSE;
static const uint8_t cookie_reply = MESSAGE_COOKIE_REPLY;
static const uint8_t data = MESSAGE_DATA;

/* Connects a to b; the initiation that did it. */
static inline struct datagram connect_and_keep(struct pair *pair)
{
    watch(pair->network, keep, &initiation);
    pair_connect(pair);
    return pair->network->kept;
}

/* Hands a datagram to a node at once, as if it came from this address. */
static inline void inject(struct node *node, const struct datagram *datagram,
                          const union inet_sockaddr *from)
{
    struct datagram copy = *datagram;
    copy.to = node->addr;
    copy.from.remote = *from;
    network_deliver(node->network, &copy);
}

/* Gives a handshake message a right mac1 again. */
static inline void fix_mac1(const struct node *to, struct datagram *datagram)
{
    struct cookie_maker maker = {0};
    cookie_maker_init(&maker, to->public_key);
    cookie_add_macs(&maker, datagram->data, datagram->len, 0);
}

static inline union inet_sockaddr stranger(void)
{
    union inet_sockaddr addr;
    sockaddr_of(&addr, "203.0.113.66", 666);
    return addr;
}

static inline bool endpoint_is(const struct wg_peer *peer, const struct node *node)
{
    return inet_sockaddr_equal(&wg_peer_endpoint(peer)->remote, &node->addr);
}

#endif
