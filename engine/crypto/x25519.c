/*
 * x25519: by libsodium. Keeps no state.
 */
#include "engine/crypto/x25519.h"

#include <errno.h>
#include <sodium.h>

void x25519_clamp(uint8_t private_key[X25519_LEN])
{
    private_key[0] &= 248;
    private_key[31] = (uint8_t)((private_key[31] & 127) | 64);
}

void x25519_public(uint8_t public_key[X25519_LEN], const uint8_t private_key[X25519_LEN])
{
    crypto_scalarmult_curve25519_base(public_key, private_key);
}

int x25519_shared(uint8_t secret[X25519_LEN], const uint8_t private_key[X25519_LEN],
                  const uint8_t public_key[X25519_LEN])
{
    /* libsodium's return value covers the points it knows; the result is what must not be zero. */
    int failed = crypto_scalarmult_curve25519(secret, private_key, public_key);
    if (failed || sodium_is_zero(secret, X25519_LEN)) {
        sodium_memzero(secret, X25519_LEN);
        return -EBADMSG;
    }
    return 0;
}
