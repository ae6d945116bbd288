/*
 * handshake: the handshake of one peer: the Noise messages with WireGuard's identifier, payloads
 * and rules about replay (sections 5.4.2, 5.4.3 and 5.4.5).
 *
 * It knows no headers, indices or MACs: what surrounds the Noise messages is exchange.c's.
 */
#ifndef MANYTUN_ENGINE_WG_HANDSHAKE_H
#define MANYTUN_ENGINE_WG_HANDSHAKE_H

#include "engine/wg/noise.h"
#include "engine/wg/tai64n.h"

#include <stdbool.h>
#include <stdint.h>

/* Lengths of the Noise messages. */
#define HANDSHAKE_INITIATION_LEN (NOISE_INITIATION_OVERHEAD + TAI64N_LEN)
#define HANDSHAKE_RESPONSE_LEN   NOISE_RESPONSE_OVERHEAD

enum handshake_state {
    HANDSHAKE_NONE,
    HANDSHAKE_CREATED_INITIATION,
    HANDSHAKE_CONSUMED_INITIATION,
    HANDSHAKE_CREATED_RESPONSE,
    HANDSHAKE_CONSUMED_RESPONSE,
};

struct handshake {
    enum handshake_state state;

    /* Of the handshake that is going on; wiped with it. */
    struct noise noise;
    struct noise_keys ephemeral;
    uint8_t remote_ephemeral[X25519_LEN];

    /* Of the peer. */
    uint8_t remote_static[X25519_LEN];
    uint8_t static_static[X25519_LEN]; /* the shared secret, once static_static_known */
    bool static_static_known;
    uint8_t preshared_key[NOISE_KEY_LEN]; /* all zero = none */

    uint8_t received_timestamp[TAI64N_LEN]; /* the greatest that was consumed */
    uint8_t sent_timestamp[TAI64N_LEN];
    uint64_t consumed_at; /* when the last initiation was consumed; 0 = never */
};

/* What an initiation tells before its sender is known to be a peer. Secret. */
struct handshake_opening {
    struct noise noise;
    uint8_t remote_ephemeral[X25519_LEN];
    uint8_t remote_static[X25519_LEN];
};

void handshake_init(struct handshake *handshake, const uint8_t remote_static[X25519_LEN]);
/* Wipes everything. */
void handshake_fini(struct handshake *handshake);
/* Drops the handshake that is going on, and its secrets. */
void handshake_forget(struct handshake *handshake);
/* To be called when our private key has changed: also drops what was derived from it. */
void handshake_key_changed(struct handshake *handshake);

/*
 * Writes the Noise message of an initiation (HANDSHAKE_INITIATION_LEN bytes), with sent_timestamp,
 * which the caller has moved on (timestamps_next).
 * 0, or -EBADMSG (the peer's key is a low-order point); then no handshake is going on.
 */
int handshake_create_initiation(struct handshake *handshake, const struct noise_keys *local_static,
                                const uint8_t ephemeral[X25519_LEN], uint8_t *out);

/* Reads an initiation up to its sender's static key. 0 or -EBADMSG. */
int handshake_open_initiation(struct handshake_opening *opening,
                              const struct noise_keys *local_static, const uint8_t *in);
/*
 * Verifies the rest of that message for the peer whose key it has. 0; -EBADMSG: not authentic;
 * -EALREADY: a replay, or too soon after the last one. A failure changes nothing.
 */
int handshake_consume_initiation(struct handshake *handshake, const struct noise_keys *local_static,
                                 const struct handshake_opening *opening, const uint8_t *in,
                                 uint64_t now);

/*
 * Writes the Noise message of the response (HANDSHAKE_RESPONSE_LEN bytes) to the initiation that
 * was just consumed. 0 or -EBADMSG; then no handshake is going on.
 */
int handshake_create_response(struct handshake *handshake, const uint8_t ephemeral[X25519_LEN],
                              uint8_t *out);
/*
 * Verifies a response to our initiation. 0, or -EBADMSG (or none was asked for); a failure changes
 * nothing.
 */
int handshake_consume_response(struct handshake *handshake, const struct noise_keys *local_static,
                               const uint8_t *in);

/*
 * Ends a handshake whose response was created or consumed: derives the session's keys and wipes
 * the rest. Returns whether we were the initiator.
 */
bool handshake_derive(struct handshake *handshake, struct aead_key *send, struct aead_key *receive);

#endif
