/*
 * tunnel: a WireGuard device, its virtual TCP/IP stack and its outer sockets, wired together.
 *
 *   outer sockets (udp) ⇄ device (wg) ⇄ stack ⇄ forwards
 *
 * In a takeover a tunnel has one or two bridges. Handed over to a newer worker, it has no device
 * and no sockets any more, and its stack lives on behind the bridge to that worker; adopted from an
 * older one, what its own stack does not know goes over the bridge to that one. Both at once make a
 * chain.
 *
 * What its parts send in one turn of the event loop leaves in one batch at the end of it.
 */
#ifndef MANYTUN_ENGINE_TUNNEL_H
#define MANYTUN_ENGINE_TUNNEL_H

#include "base/counters.h"
#include "base/spec.h"
#include "engine/turn.h"
#include "engine/wg/device.h"

#include <event2/event.h>
#include <stdbool.h>

struct stack;
struct tunnel;

struct tunnel_ops {
    /* A fact about a peer, for people to read. */
    void (*event)(void *ctx, const uint8_t public_key[WG_KEY_LEN], enum wg_event event);
    /* In or after tunnel_hand_over(): the newer worker is gone, and no packet leaves any more. */
    void (*severed)(void *ctx);
    /* After tunnel_hand_over(): the newer worker's forward of this name is gone. */
    void (*gone)(void *ctx, const char *name);
};

struct tunnel_config {
    struct event_base *base;
    struct turn *turn;
    const struct spec_tunnel *spec;              /* read during tunnel_new() only */
    int sockets[2];                              /* outer UDP: IPv4, IPv6; -1 = none */
    uint64_t timestamps_after, timestamps_until; /* wg_device_limit_timestamps() */
    struct counters_tunnel *counters;
    struct counters_worker *worker_counters;
    const struct tunnel_ops *ops;
    void *ctx;
};

/* Takes over the sockets, also when it fails. 0, -ENOMEM, or what stack_new() and wg_peer_add()
 * say. */
int tunnel_new(const struct tunnel_config *config, struct tunnel **out);

struct tunnel_change {
    const struct spec_tunnel *spec; /* of its peers those that are new or differ; others may be */
    const uint8_t (*gone)[WG_KEY_LEN]; /* the peers that are no more */
    size_t gone_count;
    int sockets[2]; /* others than before, else -1 */
};

/*
 * Changes the definition, touching only what differs; it is copied. The sockets, unless both are
 * -1, take the place of the present ones, and are taken over, also when this fails.
 *
 * Sessions go on: with peers that stay, and, when the private key changes, until they are renewed.
 * Other addresses or another MTU mean another stack: the connections of the present one, and of
 * older workers, are aborted. An endpoint that is taken from a peer stays in use until the peer
 * calls from elsewhere.
 *
 * 0, -ENOMEM, or what stack_new() and wg_peer_add() say; then what could be changed was.
 */
int tunnel_update(struct tunnel *tunnel, const struct tunnel_change *change);
/* Removes those of the peers that there are; once it is handed over there are none. */
void tunnel_forget_peers(struct tunnel *tunnel, const uint8_t (*public_keys)[WG_KEY_LEN],
                         size_t count);
/* Aborts the connections of the stack, then sends what is batched. NULL is allowed. */
void tunnel_free(struct tunnel *tunnel);

/*
 * Gives peers and sockets up to the newer worker at the other end of bridge, a SOCK_SEQPACKET
 * socket that is taken over, also when this fails. Keys are wiped. Open connections go on through
 * it. -1 = there is none: then nothing goes on, and severed() is called. 0, -ENOMEM or -ENOTCONN.
 *
 * Once more with another bridge: the newer worker was lost, and there is one in its place, which is
 * told the same of the peers. When nothing went on before, nothing does.
 */
int tunnel_hand_over(struct tunnel *tunnel, int bridge);
/*
 * The other end: takes where the peers are, and the older worker's packets. The bridge is taken
 * over, also when this fails. 0 or -ENOMEM.
 */
int tunnel_adopt(struct tunnel *tunnel, int bridge);
/* A forward is gone: ends the connections through it that older workers have. */
void tunnel_forward_gone(struct tunnel *tunnel, const char *name);
/* Whether nothing is under way: its own connections are over, and those of older workers. */
bool tunnel_is_quiet(const struct tunnel *tunnel);

struct stack *tunnel_stack(struct tunnel *tunnel);
/* Whether some peer's allowed IPs contain the address; true when the tunnel was handed over. */
bool tunnel_has_route(const struct tunnel *tunnel, const struct inet_addr *address);
/*
 * To be called by whoever used the stack in a callback of the event loop: at the end of the turn
 * the batch is sent and the timer is set to the new deadline.
 */
void tunnel_touch(struct tunnel *tunnel);

/*
 * Copies every inner packet from here on, once each, to the reader at the other end of fd (tap.h),
 * which is taken over, also when this fails. max_bytes bounds the capture file. It ends with the
 * tunnel, and when the tunnel is handed over. 0, -ENOTCONN (it was handed over) or -ENOMEM.
 */
int tunnel_capture(struct tunnel *tunnel, int fd, uint64_t max_bytes);

/* wg_device_limit_timestamps(); of no account once it is handed over. */
void tunnel_limit_timestamps(struct tunnel *tunnel, uint64_t after_unix_ns, uint64_t until_unix_ns);

/*
 * From now on the peer is counted there too, on top of what is there; of its initiations none is
 * taken that is not later than the timestamp there. Nothing happens when it is counted there
 * already. -ENOENT: no such peer.
 */
int tunnel_count_peer(struct tunnel *tunnel, const uint8_t public_key[WG_KEY_LEN],
                      struct counters_peer *counters);

/* Brings the shared counters up to date, which by themselves may be a fifth of a second behind. */
void tunnel_publish(struct tunnel *tunnel);

/*
 * Sets where a peer is; when it is only offered, unless the peer is heard from elsewhere
 * (wg_peer_offer_endpoint). 0, or -ENOENT (no such peer).
 */
int tunnel_set_endpoint(struct tunnel *tunnel, const uint8_t public_key[WG_KEY_LEN],
                        const union inet_sockaddr *remote, bool offered);

#endif
