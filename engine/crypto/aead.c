/*
 * aead: owns the table of providers, in order of preference, and which one is in use.
 */
#include "engine/crypto/aead.h"

#include "engine/crypto/aead_provider.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

static const struct aead_provider *const providers[] = {
    &aead_sodium,
};

#define PROVIDERS_COUNT (sizeof(providers) / sizeof(providers[0]))

static const struct aead_provider *selected = &aead_sodium;

int aead_select(const char *name)
{
    for (size_t i = 0; i < PROVIDERS_COUNT; i++) {
        if (name && strcmp(providers[i]->name, name) != 0)
            continue;
        if (providers[i]->available()) {
            selected = providers[i];
            return 0;
        }
        if (name)
            return -ENOTSUP;
    }
    return -ENOENT;
}

const char *aead_selected(void)
{
    return selected->name;
}

const char *aead_provider_name(size_t i)
{
    return i < PROVIDERS_COUNT ? providers[i]->name : NULL;
}

void aead_key_init(struct aead_key *key, const uint8_t bytes[AEAD_KEY_LEN])
{
    memcpy(key->bytes, bytes, AEAD_KEY_LEN);
}

void aead_key_fini(struct aead_key *key)
{
    sodium_memzero(key, sizeof(*key));
}

void aead_seal(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
               const uint8_t *in, size_t len, uint8_t *out)
{
    selected->seal(key, counter, ad, in, len, out);
}

int aead_open(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
              const uint8_t *in, size_t len, uint8_t *out)
{
    if (len < AEAD_TAG_LEN)
        return -EBADMSG;
    return selected->open(key, counter, ad, in, len, out);
}
