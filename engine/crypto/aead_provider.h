/*
 * aead_provider: what an implementation of the AEAD gives to aead.c.
 */
#ifndef MANYTUN_ENGINE_CRYPTO_AEAD_PROVIDER_H
#define MANYTUN_ENGINE_CRYPTO_AEAD_PROVIDER_H

#include "engine/crypto/aead.h"

#include <stdbool.h>

/* One row of the table; the functions behave as those of aead.h. */
struct aead_provider {
    const char *name;
    bool (*available)(void); /* can this machine run it? */
    void (*seal)(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
                 const uint8_t *in, size_t len, uint8_t *out);
    int (*open)(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
                const uint8_t *in, size_t len, uint8_t *out);
};

extern const struct aead_provider aead_sodium;

#endif
