/*
 * x25519: Diffie-Hellman on Curve25519 (RFC 7748).
 */
#ifndef MANYTUN_ENGINE_CRYPTO_X25519_H
#define MANYTUN_ENGINE_CRYPTO_X25519_H

#include <stdint.h>

#define X25519_LEN 32 /* of private keys, public keys and shared secrets */

/* Clears and sets the bits of a private key that the RFC fixes, as `wg genkey` does. */
void x25519_clamp(uint8_t private_key[X25519_LEN]);
/* The public key of a private key, which need not be clamped. */
void x25519_public(uint8_t public_key[X25519_LEN], const uint8_t private_key[X25519_LEN]);
/*
 * The shared secret. 0, or -EBADMSG when it is all zero: the public key is a low-order point, and
 * the secret, which the whole world knows, must not be used.
 */
int x25519_shared(uint8_t secret[X25519_LEN], const uint8_t private_key[X25519_LEN],
                  const uint8_t public_key[X25519_LEN]);

#endif
