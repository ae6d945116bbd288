/*
 * aead_sodium: the AEAD by libsodium, which runs everywhere. Keeps no state.
 */
#include "engine/crypto/aead_provider.h"

#include <errno.h>
#include <sodium.h>

#define NONCE_LEN crypto_aead_chacha20poly1305_ietf_NPUBBYTES

static const struct aead_ad no_ad;

static void nonce_make(uint8_t nonce[NONCE_LEN], uint64_t counter)
{
    for (size_t i = 0; i < 4; i++)
        nonce[i] = 0;
    for (size_t i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

static bool sodium_available(void)
{
    return true;
}

static void sodium_seal(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
                        const uint8_t *in, size_t len, uint8_t *out)
{
    uint8_t nonce[NONCE_LEN];
    const struct aead_ad *data = ad ? ad : &no_ad;

    nonce_make(nonce, counter);
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, data->data, data->len, NULL,
                                              nonce, key->bytes);
}

static int sodium_open(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
                       const uint8_t *in, size_t len, uint8_t *out)
{
    uint8_t nonce[NONCE_LEN];
    const struct aead_ad *data = ad ? ad : &no_ad;

    nonce_make(nonce, counter);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len, data->data, data->len,
                                                  nonce, key->bytes) != 0)
        return -EBADMSG;
    return 0;
}

const struct aead_provider aead_sodium = {
    .name = "libsodium",
    .available = sodium_available,
    .seal = sodium_seal,
    .open = sodium_open,
};
