/*
 * hash: BLAKE2s (RFC 7693) and what WireGuard builds from it: keyed MACs, HMAC (RFC 2104) and the
 * key derivation (HKDF, RFC 5869, in the form of the Noise specification).
 */
#ifndef MANYTUN_ENGINE_CRYPTO_HASH_H
#define MANYTUN_ENGINE_CRYPTO_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_LEN     32
#define HASH_MAC_LEN 16

/* A hash that is being fed. Opaque; may hold secrets until hash_final(), which wipes it. */
struct hash {
    _Alignas(64) uint8_t opaque[256];
};

void hash_init(struct hash *hash);
/* A keyed hash with HASH_MAC_LEN bytes of output; key_len is 1–32. */
void hash_init_mac(struct hash *hash, const uint8_t *key, size_t key_len);
void hash_update(struct hash *hash, const void *data, size_t len);
/* Writes HASH_LEN or HASH_MAC_LEN bytes, as the hash was made for, and wipes it. */
void hash_final(struct hash *hash, uint8_t *out);

/* The hash of a‖b, where b may be empty. out may be a or b. */
void hash_two(uint8_t out[HASH_LEN], const void *a, size_t a_len, const void *b, size_t b_len);
/* The keyed MAC of data. */
void hash_mac(uint8_t out[HASH_MAC_LEN], const uint8_t *key, size_t key_len, const void *data,
              size_t len);
/* HMAC with a HASH_LEN key. out may be key. */
void hash_hmac(uint8_t out[HASH_LEN], const uint8_t key[HASH_LEN], const void *data, size_t len);

/*
 * KDF1, KDF2 and KDF3 (section 5.4): derives from a chaining key and input one to three keys.
 * second and third may be NULL when they are not wanted (no third without a second); first may be
 * chaining_key.
 */
void hash_kdf(const uint8_t chaining_key[HASH_LEN], const void *input, size_t len,
              uint8_t first[HASH_LEN], uint8_t *second, uint8_t *third);

#endif
