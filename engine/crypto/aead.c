/*
 * aead: no state. Computed by libsodium, which runs everywhere.
 */
#include "engine/crypto/aead.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#define NONCE_LEN crypto_aead_chacha20poly1305_ietf_NPUBBYTES

_Static_assert(AEAD_KEY_LEN == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "ChaCha20-Poly1305");
_Static_assert(AEAD_TAG_LEN == crypto_aead_chacha20poly1305_ietf_ABYTES, "ChaCha20-Poly1305");

static const struct aead_ad no_ad;

static void nonce_make(uint8_t nonce[NONCE_LEN], uint64_t counter)
{
    for (size_t i = 0; i < 4; i++)
        nonce[i] = 0;
    for (size_t i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> (8 * i));
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
    uint8_t nonce[NONCE_LEN];
    const struct aead_ad *data = ad ? ad : &no_ad;

    nonce_make(nonce, counter);
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, data->data, data->len, NULL,
                                              nonce, key->bytes);
}

int aead_open(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
              const uint8_t *in, size_t len, uint8_t *out)
{
    uint8_t nonce[NONCE_LEN];
    const struct aead_ad *data = ad ? ad : &no_ad;

    if (len < AEAD_TAG_LEN)
        return -EBADMSG;
    nonce_make(nonce, counter);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len, data->data, data->len,
                                                  nonce, key->bytes) != 0)
        return -EBADMSG;
    return 0;
}
