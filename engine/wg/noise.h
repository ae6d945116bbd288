/*
 * noise: the handshake Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, from both sides.
 *
 *     <- s
 *     ...
 *     -> e, es, s, ss, payload
 *     <- e, ee, se, psk, payload
 *
 * Pure computation on structs that the caller owns: it knows no peers, indices, clocks or message
 * headers, and uses no randomness (the caller makes the ephemeral key). A failed call leaves the
 * struct noise unfit for going on: work on a copy and keep it only when all is verified.
 *
 * Source: The Noise Protocol Framework, revision 34; section 5.4 of the WireGuard paper.
 */
#ifndef MANYTUN_ENGINE_WG_NOISE_H
#define MANYTUN_ENGINE_WG_NOISE_H

#include "engine/crypto/aead.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/x25519.h"

#include <stddef.h>
#include <stdint.h>

#define NOISE_KEY_LEN 32
#define NOISE_TAG_LEN AEAD_TAG_LEN

/* What a Noise message adds to its payload. */
#define NOISE_INITIATION_OVERHEAD (X25519_LEN + X25519_LEN + NOISE_TAG_LEN + NOISE_TAG_LEN)
#define NOISE_RESPONSE_OVERHEAD   (X25519_LEN + NOISE_TAG_LEN)

/* Longest payload of a handshake message. */
#define NOISE_PAYLOAD_MAX 128

/* A static or ephemeral key pair. */
struct noise_keys {
    uint8_t private_key[X25519_LEN];
    uint8_t public_key[X25519_LEN];
};

/* The state of one handshake: Noise's symmetric state. Secret. */
struct noise {
    uint8_t chaining_key[HASH_LEN];
    uint8_t hash[HASH_LEN];
};

/* Fills in the public key of a private key. */
void noise_keys_init(struct noise_keys *keys, const uint8_t private_key[X25519_LEN]);

/* Begins a handshake in which the responder's static public key is known. */
void noise_begin(struct noise *noise, const void *prologue, size_t prologue_len,
                 const uint8_t responder_static[X25519_LEN]);

/* --- Initiator ------------------------------------------------------------------------------ */

/* What the initiator puts into the first message. */
struct noise_initiation {
    const struct noise_keys *ephemeral;
    const struct noise_keys *local_static;
    const uint8_t *remote_static; /* X25519_LEN bytes */
    const uint8_t *static_static; /* the shared secret of the two static keys, X25519_LEN bytes */
    const uint8_t *payload;
    size_t payload_len; /* at most NOISE_PAYLOAD_MAX */
};

/* Writes payload_len + NOISE_INITIATION_OVERHEAD bytes. 0 or -EBADMSG (low-order public key). */
int noise_write_initiation(struct noise *noise, const struct noise_initiation *in, uint8_t *out);

/* The keys with which the initiator reads the second message. */
struct noise_response_reader {
    const struct noise_keys *ephemeral;
    const struct noise_keys *local_static;
    const uint8_t *preshared_key; /* NOISE_KEY_LEN bytes; all zero = none */
};

/*
 * Reads a message of len bytes; the payload gets len - NOISE_RESPONSE_OVERHEAD bytes.
 * 0 or -EBADMSG.
 */
int noise_read_response(struct noise *noise, const struct noise_response_reader *keys,
                        const uint8_t *in, size_t len, uint8_t *payload);

/* --- Responder ------------------------------------------------------------------------------ */

/*
 * Reads the first message up to the initiator's static key, by which the caller finds the peer.
 * len is that of the whole Noise message. 0 or -EBADMSG.
 */
int noise_read_initiation_static(struct noise *noise, const struct noise_keys *local_static,
                                 const uint8_t *in, size_t len,
                                 uint8_t remote_ephemeral[X25519_LEN],
                                 uint8_t remote_static[X25519_LEN]);
/*
 * Reads the rest of the same message; the payload gets len - NOISE_INITIATION_OVERHEAD bytes.
 * 0 or -EBADMSG.
 */
int noise_read_initiation_payload(struct noise *noise, const uint8_t static_static[X25519_LEN],
                                  const uint8_t *in, size_t len, uint8_t *payload);

/* What the responder puts into the second message. */
struct noise_response {
    const struct noise_keys *ephemeral;
    const uint8_t *remote_ephemeral; /* X25519_LEN bytes each */
    const uint8_t *remote_static;
    const uint8_t *preshared_key; /* NOISE_KEY_LEN bytes; all zero = none */
    const uint8_t *payload;
    size_t payload_len; /* at most NOISE_PAYLOAD_MAX */
};

/* Writes payload_len + NOISE_RESPONSE_OVERHEAD bytes. 0 or -EBADMSG (low-order public key). */
int noise_write_response(struct noise *noise, const struct noise_response *in, uint8_t *out);

/* --- Both ----------------------------------------------------------------------------------- */

/* The transport keys: the initiator sends with the first, the responder with the second. */
void noise_split(const struct noise *noise, uint8_t first[NOISE_KEY_LEN],
                 uint8_t second[NOISE_KEY_LEN]);

#endif
