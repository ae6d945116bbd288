/*
 * xchacha: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), for messages with a random nonce.
 */
#ifndef MANYTUN_ENGINE_CRYPTO_XCHACHA_H
#define MANYTUN_ENGINE_CRYPTO_XCHACHA_H

#include "engine/crypto/aead.h"

#include <stddef.h>
#include <stdint.h>

#define XCHACHA_KEY_LEN   32
#define XCHACHA_NONCE_LEN 24
#define XCHACHA_TAG_LEN   16

/* Encrypts len bytes into out, which gets len + XCHACHA_TAG_LEN bytes. ad may be NULL. */
void xchacha_seal(const uint8_t key[XCHACHA_KEY_LEN], const uint8_t nonce[XCHACHA_NONCE_LEN],
                  const struct aead_ad *ad, const uint8_t *in, size_t len, uint8_t *out);
/* Decrypts len bytes, tag included, into out. 0 or -EBADMSG (not authentic). ad may be NULL. */
int xchacha_open(const uint8_t key[XCHACHA_KEY_LEN], const uint8_t nonce[XCHACHA_NONCE_LEN],
                 const struct aead_ad *ad, const uint8_t *in, size_t len, uint8_t *out);

#endif
