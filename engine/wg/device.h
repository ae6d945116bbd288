/*
 * device: one WireGuard interface: a private key, its peers, and their sessions.
 *
 * Sans-I/O: it is fed datagrams, inner packets and time, and hands back datagrams, inner packets
 * and a deadline through struct wg_device_ops. It knows no sockets, no event loop and no TCP/IP
 * stack. Nothing here blocks. Nothing is allocated per packet, with two bounded exceptions: packets
 * that wait for a session (128 per peer, 64 MiB in the process) and handshake messages that wait to
 * be worked off (512).
 *
 * Every call may bring the deadline forward: look at wg_device_deadline() after a batch of them.
 *
 * Source: J. Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel" (the paper); section
 * numbers in this folder are the paper's.
 */
#ifndef MANYTUN_ENGINE_WG_DEVICE_H
#define MANYTUN_ENGINE_WG_DEVICE_H

#include "base/inet.h"
#include "engine/wg/tai64n.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <time.h>

#define WG_KEY_LEN 32

/* The deadline of a device with nothing to wait for. */
#define WG_NEVER UINT64_MAX

/* The largest inner packet that can be sent: a UDP payload less header, padding and tag. */
#define WG_PACKET_MAX (65507 - 16 - 16 - 15)

struct wg_device;
struct wg_peer;

/* Where a peer is, and the local address it talked to (sticky source; AF_UNSPEC = any). */
struct wg_endpoint {
    union inet_sockaddr remote; /* sa.sa_family == AF_UNSPEC: unknown */
    struct inet_addr local;
    uint32_t local_ifindex;
};

enum wg_event {
    WG_EVENT_HANDSHAKE_DONE,    /* a session was derived and may carry data */
    WG_EVENT_HANDSHAKE_GAVE_UP, /* REKEY_ATTEMPT_TIME passed without an answer */
    WG_EVENT_ENDPOINT_CHANGED,  /* the peer roamed */
    /* After HANDSHAKE_DONE, when data had not been answered before: what was sent since is lost. */
    WG_EVENT_HEARD_AGAIN,
};

struct wg_device_ops {
    /*
     * Reserves room for one datagram of exactly len bytes to an endpoint with this outer TOS byte,
     * to be filled and committed before the next call. Returns NULL when the sending side is full;
     * the caller then fails with -EAGAIN. The room may be unaligned.
     */
    uint8_t *(*reserve)(void *ctx, const struct wg_endpoint *to, size_t len, uint8_t tos);
    /* Hands over the datagram that was reserved last. */
    void (*commit)(void *ctx);
    /*
     * An authenticated inner packet from peer, whose source the peer may use, trimmed to the
     * length in its IP header. It lies in the datagram that was passed to wg_device_receive() and
     * is valid as long as that is.
     */
    void (*deliver)(void *ctx, struct wg_peer *peer, uint8_t *packet, size_t len);
    /* A fact worth telling; may fire inside any call below. The peer must not be removed here. */
    void (*event)(void *ctx, struct wg_peer *peer, enum wg_event event);
    /* Monotonic nanoseconds. Constant within one call into the device is fine. */
    uint64_t (*now)(void *ctx);
    /* Wall-clock time, for TAI64N only. */
    void (*wall_clock)(void *ctx, struct timespec *out);
    /*
     * An initiation with this timestamp (nanoseconds since 1970) is about to be sent. Whoever makes
     * a device with the same private key later, after a crash too, sets a bound after it
     * (wg_device_limit_timestamps).
     */
    void (*timestamp)(void *ctx, uint64_t unix_ns);
    /* Cryptographically secure random bytes. */
    void (*random)(void *ctx, void *out, size_t len);
};

/* Counters of one peer, read at any time. */
struct wg_peer_stats {
    uint64_t rx_bytes, tx_bytes; /* whole UDP payloads, authenticated ones only */
    uint64_t rx_packets, tx_packets;
    uint64_t handshakes;            /* sessions derived */
    uint64_t handshakes_given_up;   /* series of initiations that nobody answered in time */
    uint64_t unanswered;            /* initiations since the last session, sent or wanted in vain */
    int64_t last_handshake_unix_ns; /* 0 = never */
    uint64_t last_handshake_at;     /* the same in ops->now() time */
};

/* Why packets were dropped, device-wide. */
enum wg_drop {
    WG_DROP_MALFORMED, /* too short, unknown type, reserved bits */
    WG_DROP_BAD_MAC1,
    WG_DROP_COOKIE_NEEDED, /* under load, answered with a cookie if there is time for that */
    WG_DROP_HANDSHAKE,     /* a handshake message that did not verify */
    WG_DROP_REPLAYED_HANDSHAKE,
    WG_DROP_RATE_LIMITED,
    WG_DROP_UNKNOWN_INDEX,
    WG_DROP_EXPIRED_KEY,
    WG_DROP_BAD_TAG,
    WG_DROP_REPLAYED,
    WG_DROP_BAD_PACKET,      /* inner IP version or length */
    WG_DROP_BAD_SOURCE,      /* inner source not allowed for this peer */
    WG_DROP_CONGESTED,       /* marked on the way, and nobody inside would hear of it (RFC 6040) */
    WG_DROP_NO_ROUTE,        /* sending: no peer has this destination */
    WG_DROP_NO_ENDPOINT,     /* sending: the peer's address is unknown */
    WG_DROP_STAGED_OVERFLOW, /* sending: waited for a session that did not come, or too many */
    WG_DROP_COUNT
};

/*
 * Makes a device without a private key. ops and ctx must outlive it. 0 or -ENOMEM.
 * wg_device_free() removes the peers and wipes all keys; NULL is allowed.
 */
int wg_device_new(const struct wg_device_ops *ops, void *ctx, struct wg_device **out);
void wg_device_free(struct wg_device *device);

/*
 * Sets or changes the private key; live sessions stop sending and are renewed. A peer that has
 * this key's public key is removed.
 */
void wg_device_set_private_key(struct wg_device *device, const uint8_t key[WG_KEY_LEN]);
/* Addresses of our own inside the tunnel: packets that claim to come from them are dropped. */
int wg_device_set_addresses(struct wg_device *device, const struct inet_addr *addresses,
                            size_t count);
/*
 * The outer sockets are others: forgets the local addresses that peers were talked to from, and
 * sends a keepalive to each peer that there is a session with, at the next wg_device_expire(): what
 * comes from there until then goes to where we are not any more.
 */
void wg_device_sockets_moved(struct wg_device *device);
/*
 * What the timestamps of initiations may be, in nanoseconds since 1970: all are later than `after`,
 * the latest that was ever sent with this private key as far as the user knows, and none is later
 * than `until` (UINT64_MAX = no bound), which the user keeps where a crash does not reach it. When
 * the wall clock is outside, each timestamp is a small step (17 ms) after the one before; what
 * would be beyond the bound is not sent.
 */
void wg_device_limit_timestamps(struct wg_device *device, uint64_t after_unix_ns,
                                uint64_t until_unix_ns);
/* The mtu of the tunnel: padding stops there. */
void wg_device_set_mtu(struct wg_device *device, uint16_t mtu);

/*
 * Adds a peer. -EEXIST if there is one with this key, -EINVAL if the key is our own, -ENOMEM.
 * ctx is what wg_peer_ctx() returns.
 */
int wg_peer_add(struct wg_device *device, const uint8_t public_key[WG_KEY_LEN], void *ctx,
                struct wg_peer **out);
void wg_peer_remove(struct wg_peer *peer);
void *wg_peer_ctx(const struct wg_peer *peer);
const uint8_t *wg_peer_public_key(const struct wg_peer *peer);
struct wg_peer *wg_peer_find(struct wg_device *device, const uint8_t public_key[WG_KEY_LEN]);

/* Takes effect with the next handshake; NULL = none. */
void wg_peer_set_preshared_key(struct wg_peer *peer, const uint8_t key[WG_KEY_LEN]);
/* Configured or looked up; packets staged for want of an endpoint are sent. */
void wg_peer_set_endpoint(struct wg_peer *peer, const union inet_sockaddr *remote);
/*
 * The same for an address that was looked up and may be out of date: refused (false) while the peer
 * is heard, because where it sends from is better known. It counts as heard for the 15 s after
 * which silence starts a handshake.
 */
bool wg_peer_offer_endpoint(struct wg_peer *peer, const union inet_sockaddr *remote);
const struct wg_endpoint *wg_peer_endpoint(const struct wg_peer *peer);
/* The greatest timestamp (TAI64N) of the initiations that were taken from it; zeros = none. */
const uint8_t *wg_peer_received_timestamp(const struct wg_peer *peer);
/*
 * An earlier device has taken initiations up to this timestamp: none that is not later is taken
 * here. What was taken here already stays so.
 */
void wg_peer_refuse_until(struct wg_peer *peer, const uint8_t timestamp[TAI64N_LEN]);
/*
 * 0 = off. Turning it on sends one (or starts a handshake) at the next wg_device_expire(), which is
 * then due.
 */
void wg_peer_set_keepalive(struct wg_peer *peer, uint16_t seconds);
/* Sends a keepalive (or starts a handshake) at the next wg_device_expire(), which is then due. */
void wg_peer_send_keepalive(struct wg_peer *peer);
/* Allows a prefix, moving it away from the peer that had it. Host bits are masked. 0 or -ENOMEM. */
int wg_peer_allow(struct wg_peer *peer, const struct inet_prefix *prefix);
void wg_peer_disallow_all(struct wg_peer *peer);
const struct wg_peer_stats *wg_peer_stats(const struct wg_peer *peer);
/*
 * A peer whose counters or endpoint have changed since it was last returned here, or NULL: whoever
 * shows them to others need not look at all peers.
 */
struct wg_peer *wg_device_next_changed(struct wg_device *device);
/* The same of all peers that there are and ever were; the newest handshake; unanswered is 0. */
const struct wg_peer_stats *wg_device_stats(const struct wg_device *device);

/*
 * A datagram of any length from the network. Data is decrypted in place and delivered before the
 * call returns. Handshake messages are queued, so that they never come before data; they are worked
 * off by wg_device_expire(), for which the deadline is then past. from is copied where needed. tos
 * is the TOS byte or traffic class of the datagram's IP header, for the ECN of what is inside.
 */
void wg_device_receive(struct wg_device *device, const struct wg_endpoint *from, uint8_t tos,
                       uint8_t *datagram, size_t len);

/*
 * Sends one inner IP packet, given in pieces (total length len, the IP header whole in the first
 * piece), to the peer that its destination belongs to; encrypted straight into the room that
 * ops->reserve gives. The outer ECN bits are copied from the packet's TOS / traffic class.
 * 0 = sent, or staged until a session exists;
 * -EAGAIN = the sending side is full: try again;
 * -EHOSTUNREACH (no peer for the destination), -EMSGSIZE, -EINVAL (not IP): dropped.
 */
int wg_device_send(struct wg_device *device, const struct iovec *pieces, int count, size_t len);
/* Whether there is a peer for the destination now: it is among somebody's allowed IPs. */
bool wg_device_has_route(const struct wg_device *device, const struct inet_addr *destination);

/*
 * The time at which wg_device_expire() has something to do, in ops->now() time; WG_NEVER = nothing.
 * It may turn out to have been a little early; it is never late.
 */
uint64_t wg_device_deadline(const struct wg_device *device);
/*
 * Does what is due: handshakes, timers. One call does a bounded amount of work (a few handshakes,
 * the timers of some peers); what is left keeps the deadline in the past, so that the caller can
 * look after its sockets in between.
 */
void wg_device_expire(struct wg_device *device);

/* Packets that wait for a session with a peer, and handshake messages that wait for the device. */
size_t wg_device_staged(const struct wg_device *device);
size_t wg_device_queued_handshakes(const struct wg_device *device);
uint64_t wg_device_drops(const struct wg_device *device, enum wg_drop reason);

#endif
