/*
 * xchacha: by libsodium. Keeps no state.
 */
#include "engine/crypto/xchacha.h"

#include <errno.h>
#include <sodium.h>

void xchacha_seal(const uint8_t key[XCHACHA_KEY_LEN], const uint8_t nonce[XCHACHA_NONCE_LEN],
                  const struct aead_ad *ad, const uint8_t *in, size_t len, uint8_t *out)
{
    crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, in, len, ad ? ad->data : NULL,
                                               ad ? ad->len : 0, NULL, nonce, key);
}

int xchacha_open(const uint8_t key[XCHACHA_KEY_LEN], const uint8_t nonce[XCHACHA_NONCE_LEN],
                 const struct aead_ad *ad, const uint8_t *in, size_t len, uint8_t *out)
{
    if (len < XCHACHA_TAG_LEN)
        return -EBADMSG;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len, ad ? ad->data : NULL,
                                                   ad ? ad->len : 0, nonce, key) != 0)
        return -EBADMSG;
    return 0;
}
