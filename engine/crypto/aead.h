/*
 * aead: ChaCha20-Poly1305 (RFC 8439) with WireGuard's nonce: four zero bytes and a 64-bit
 * little-endian counter.
 *
 * The key is a struct so that whoever computes it can keep prepared state beside the bytes.
 */
#ifndef MANYTUN_ENGINE_CRYPTO_AEAD_H
#define MANYTUN_ENGINE_CRYPTO_AEAD_H

#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY_LEN 32
#define AEAD_TAG_LEN 16

struct aead_key {
    uint8_t bytes[AEAD_KEY_LEN];
};

/* Associated data. NULL in place of a pointer to it means none. */
struct aead_ad {
    const uint8_t *data;
    size_t len;
};

void aead_key_init(struct aead_key *key, const uint8_t bytes[AEAD_KEY_LEN]);
/* Wipes the key and all that was prepared from it. */
void aead_key_fini(struct aead_key *key);

/*
 * Encrypts len bytes into out, which gets len + AEAD_TAG_LEN bytes. out may be in, or must not
 * overlap it. A (key, counter) pair is never used twice: the caller's promise.
 */
void aead_seal(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
               const uint8_t *in, size_t len, uint8_t *out);
/*
 * Decrypts len bytes, tag included, into out, which gets len - AEAD_TAG_LEN bytes. out may be in,
 * or must not overlap it. 0, or -EBADMSG: not authentic (or shorter than a tag), and then what out
 * holds is not to be used.
 */
int aead_open(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
              const uint8_t *in, size_t len, uint8_t *out);

#endif
