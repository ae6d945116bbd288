/*
 * noise: owns no state; each function processes the tokens of one message, named in comments.
 *
 * Every key is used for one encryption at most, so the nonce of the handshake is always 0.
 */
#include "engine/wg/noise.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

static void mix_hash(struct noise *noise, const void *data, size_t len)
{
    hash_two(noise->hash, noise->hash, HASH_LEN, data, len);
}

/* An ephemeral public key is hashed and, as there is a pre-shared key, mixed in. */
static void mix_ephemeral(struct noise *noise, const uint8_t public_key[X25519_LEN])
{
    mix_hash(noise, public_key, X25519_LEN);
    hash_kdf(noise->chaining_key, public_key, X25519_LEN, noise->chaining_key, NULL, NULL);
}

/* Mixes in the shared secret of a Diffie-Hellman exchange; key gets the next encryption key. */
static int mix_dh(struct noise *noise, const uint8_t private_key[X25519_LEN],
                  const uint8_t public_key[X25519_LEN], uint8_t key[NOISE_KEY_LEN])
{
    uint8_t secret[X25519_LEN];
    int error = x25519_shared(secret, private_key, public_key);
    if (error == 0)
        hash_kdf(noise->chaining_key, secret, sizeof(secret), noise->chaining_key, key, NULL);
    sodium_memzero(secret, sizeof(secret));
    return error;
}

static void mix_preshared_key(struct noise *noise, const uint8_t preshared_key[NOISE_KEY_LEN],
                              uint8_t key[NOISE_KEY_LEN])
{
    uint8_t tau[HASH_LEN];
    hash_kdf(noise->chaining_key, preshared_key, NOISE_KEY_LEN, noise->chaining_key, tau, key);
    mix_hash(noise, tau, sizeof(tau));
    sodium_memzero(tau, sizeof(tau));
}

/* Encrypts in (len bytes) into out (and a tag) and hashes the ciphertext. */
static void encrypt(struct noise *noise, const uint8_t key_bytes[NOISE_KEY_LEN], const uint8_t *in,
                    size_t len, uint8_t *out)
{
    const struct aead_ad ad = {.data = noise->hash, .len = HASH_LEN};
    struct aead_key key;

    aead_key_init(&key, key_bytes);
    aead_seal(&key, 0, &ad, in, len, out);
    aead_key_fini(&key);
    mix_hash(noise, out, len + NOISE_TAG_LEN);
}

/* Decrypts in (len bytes with the tag) into out, and hashes the ciphertext. 0 or -EBADMSG. */
static int decrypt(struct noise *noise, const uint8_t key_bytes[NOISE_KEY_LEN], const uint8_t *in,
                   size_t len, uint8_t *out)
{
    const struct aead_ad ad = {.data = noise->hash, .len = HASH_LEN};
    struct aead_key key;

    aead_key_init(&key, key_bytes);
    int error = aead_open(&key, 0, &ad, in, len, out);
    aead_key_fini(&key);
    if (error == 0)
        mix_hash(noise, in, len);
    return error;
}

void noise_keys_init(struct noise_keys *keys, const uint8_t private_key[X25519_LEN])
{
    memcpy(keys->private_key, private_key, X25519_LEN);
    x25519_public(keys->public_key, private_key);
}

void noise_begin(struct noise *noise, const void *prologue, size_t prologue_len,
                 const uint8_t responder_static[X25519_LEN])
{
    hash_two(noise->hash, construction, sizeof(construction) - 1, NULL, 0);
    memcpy(noise->chaining_key, noise->hash, HASH_LEN);
    mix_hash(noise, prologue, prologue_len);
    mix_hash(noise, responder_static, X25519_LEN);
}

int noise_write_initiation(struct noise *noise, const struct noise_initiation *in, uint8_t *out)
{
    uint8_t key[NOISE_KEY_LEN];
    uint8_t *enc_static = out + X25519_LEN;
    uint8_t *enc_payload = enc_static + X25519_LEN + NOISE_TAG_LEN;

    /* e */
    memcpy(out, in->ephemeral->public_key, X25519_LEN);
    mix_ephemeral(noise, in->ephemeral->public_key);
    /* es */
    int error = mix_dh(noise, in->ephemeral->private_key, in->remote_static, key);
    if (error)
        goto out;
    /* s */
    encrypt(noise, key, in->local_static->public_key, X25519_LEN, enc_static);
    /* ss */
    if (sodium_is_zero(in->static_static, X25519_LEN)) {
        error = -EBADMSG;
        goto out;
    }
    hash_kdf(noise->chaining_key, in->static_static, X25519_LEN, noise->chaining_key, key, NULL);
    /* payload */
    encrypt(noise, key, in->payload, in->payload_len, enc_payload);
out:
    sodium_memzero(key, sizeof(key));
    return error;
}

int noise_read_response(struct noise *noise, const struct noise_response_reader *keys,
                        const uint8_t *in, size_t len, uint8_t *payload)
{
    uint8_t key[NOISE_KEY_LEN];

    if (len < NOISE_RESPONSE_OVERHEAD || len > NOISE_RESPONSE_OVERHEAD + NOISE_PAYLOAD_MAX)
        return -EBADMSG;
    /* e */
    mix_ephemeral(noise, in);
    /* ee */
    int error = mix_dh(noise, keys->ephemeral->private_key, in, key);
    if (error)
        goto out;
    /* se */
    error = mix_dh(noise, keys->local_static->private_key, in, key);
    if (error)
        goto out;
    /* psk */
    mix_preshared_key(noise, keys->preshared_key, key);
    /* payload */
    error = decrypt(noise, key, in + X25519_LEN, len - X25519_LEN, payload);
out:
    sodium_memzero(key, sizeof(key));
    return error;
}

int noise_read_initiation_static(struct noise *noise, const struct noise_keys *local_static,
                                 const uint8_t *in, size_t len,
                                 uint8_t remote_ephemeral[X25519_LEN],
                                 uint8_t remote_static[X25519_LEN])
{
    uint8_t key[NOISE_KEY_LEN];

    if (len < NOISE_INITIATION_OVERHEAD || len > NOISE_INITIATION_OVERHEAD + NOISE_PAYLOAD_MAX)
        return -EBADMSG;
    /* e */
    memcpy(remote_ephemeral, in, X25519_LEN);
    mix_ephemeral(noise, remote_ephemeral);
    /* es */
    int error = mix_dh(noise, local_static->private_key, remote_ephemeral, key);
    /* s */
    if (error == 0)
        error = decrypt(noise, key, in + X25519_LEN, X25519_LEN + NOISE_TAG_LEN, remote_static);
    sodium_memzero(key, sizeof(key));
    return error;
}

int noise_read_initiation_payload(struct noise *noise, const uint8_t static_static[X25519_LEN],
                                  const uint8_t *in, size_t len, uint8_t *payload)
{
    const size_t offset = NOISE_INITIATION_OVERHEAD - NOISE_TAG_LEN;
    uint8_t key[NOISE_KEY_LEN];

    if (len < NOISE_INITIATION_OVERHEAD || len > NOISE_INITIATION_OVERHEAD + NOISE_PAYLOAD_MAX ||
        sodium_is_zero(static_static, X25519_LEN))
        return -EBADMSG;
    /* ss */
    hash_kdf(noise->chaining_key, static_static, X25519_LEN, noise->chaining_key, key, NULL);
    /* payload */
    int error = decrypt(noise, key, in + offset, len - offset, payload);
    sodium_memzero(key, sizeof(key));
    return error;
}

int noise_write_response(struct noise *noise, const struct noise_response *in, uint8_t *out)
{
    uint8_t key[NOISE_KEY_LEN];

    /* e */
    memcpy(out, in->ephemeral->public_key, X25519_LEN);
    mix_ephemeral(noise, in->ephemeral->public_key);
    /* ee */
    int error = mix_dh(noise, in->ephemeral->private_key, in->remote_ephemeral, key);
    if (error)
        goto out;
    /* se */
    error = mix_dh(noise, in->ephemeral->private_key, in->remote_static, key);
    if (error)
        goto out;
    /* psk */
    mix_preshared_key(noise, in->preshared_key, key);
    /* payload */
    encrypt(noise, key, in->payload, in->payload_len, out + X25519_LEN);
out:
    sodium_memzero(key, sizeof(key));
    return error;
}

void noise_split(const struct noise *noise, uint8_t first[NOISE_KEY_LEN],
                 uint8_t second[NOISE_KEY_LEN])
{
    hash_kdf(noise->chaining_key, NULL, 0, first, second, NULL);
}
