/*
 * toy_dh: stands in for X25519 where a simulation makes handshakes by the hundred thousand: the
 * same interface and algebra (both sides compute the same secret, a low-order key is refused) by
 * exponentiation modulo a 61-bit prime. Everything else of the cryptography stays what it is.
 *
 * The linker puts it in place (--wrap); see tests/CMakeLists.txt.
 */
#ifndef MANYTUN_TESTS_SIM_TOY_DH_H
#define MANYTUN_TESTS_SIM_TOY_DH_H

#include "engine/crypto/x25519.h"
#include "engine/wg/messages.h"

#include <errno.h>

#define TOY_PRIME     ((UINT64_C(1) << 61) - 1)
#define TOY_GENERATOR 37

static inline uint64_t toy_multiply(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b % TOY_PRIME);
}

static inline uint64_t toy_power(uint64_t base, uint64_t exponent)
{
    uint64_t result = 1;
    for (; exponent; exponent >>= 1) {
        if (exponent & 1)
            result = toy_multiply(result, base);
        base = toy_multiply(base, base);
    }
    return result;
}

/* All 32 bytes of a private key count. */
static inline uint64_t toy_exponent(const uint8_t private_key[X25519_LEN])
{
    uint64_t exponent = 0;
    for (size_t i = 0; i < X25519_LEN; i += 8)
        exponent = exponent * 0x9e3779b97f4a7c15 + load_le64(private_key + i);
    return exponent % (TOY_PRIME - 1) | 1;
}

static inline void toy_write(uint8_t out[X25519_LEN], uint64_t value)
{
    memset(out, 0, X25519_LEN);
    store_le64(out, value);
}

void __wrap_x25519_public(uint8_t public_key[X25519_LEN], const uint8_t private_key[X25519_LEN]);
void __wrap_x25519_public(uint8_t public_key[X25519_LEN], const uint8_t private_key[X25519_LEN])
{
    toy_write(public_key, toy_power(TOY_GENERATOR, toy_exponent(private_key)));
}

int __wrap_x25519_shared(uint8_t secret[X25519_LEN], const uint8_t private_key[X25519_LEN],
                         const uint8_t public_key[X25519_LEN]);
int __wrap_x25519_shared(uint8_t secret[X25519_LEN], const uint8_t private_key[X25519_LEN],
                         const uint8_t public_key[X25519_LEN])
{
    const uint64_t base = load_le64(public_key) % TOY_PRIME;
    const uint64_t shared = toy_power(base, toy_exponent(private_key));
    toy_write(secret, base <= 1 ? 0 : shared);
    return base <= 1 ? -EBADMSG : 0;
}

#endif
