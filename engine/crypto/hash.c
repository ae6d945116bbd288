/*
 * hash: BLAKE2s by libb2, whose state lives in the opaque bytes of struct hash.
 */
#include "engine/crypto/hash.h"

#include <blake2.h>
#include <sodium.h>
#include <string.h>

#define BLOCK_LEN BLAKE2S_BLOCKBYTES

_Static_assert(sizeof(blake2s_state) <= sizeof(struct hash), "the state must fit");
_Static_assert(HASH_LEN == BLAKE2S_OUTBYTES, "the full output");

static blake2s_state *state_of(struct hash *hash)
{
    return (blake2s_state *)(void *)hash->opaque;
}

void hash_init(struct hash *hash)
{
    blake2s_init(state_of(hash), HASH_LEN);
}

void hash_init_mac(struct hash *hash, const uint8_t *key, size_t key_len)
{
    blake2s_init_key(state_of(hash), HASH_MAC_LEN, key, key_len);
}

void hash_update(struct hash *hash, const void *data, size_t len)
{
    blake2s_update(state_of(hash), data, len);
}

void hash_final(struct hash *hash, uint8_t *out)
{
    blake2s_final(state_of(hash), out, state_of(hash)->outlen);
    sodium_memzero(hash, sizeof(*hash));
}

void hash_two(uint8_t out[HASH_LEN], const void *a, size_t a_len, const void *b, size_t b_len)
{
    struct hash hash;
    hash_init(&hash);
    hash_update(&hash, a, a_len);
    hash_update(&hash, b, b_len);
    hash_final(&hash, out);
}

void hash_mac(uint8_t out[HASH_MAC_LEN], const uint8_t *key, size_t key_len, const void *data,
              size_t len)
{
    struct hash hash;
    hash_init_mac(&hash, key, key_len);
    hash_update(&hash, data, len);
    hash_final(&hash, out);
}

/* One of HMAC's two passes: the hash of (key ^ pad)‖data. */
static void hmac_pass(uint8_t out[HASH_LEN], const uint8_t key[HASH_LEN], uint8_t pad,
                      const void *data, size_t len)
{
    uint8_t block[BLOCK_LEN];
    memset(block, pad, sizeof(block));
    for (size_t i = 0; i < HASH_LEN; i++)
        block[i] ^= key[i];
    hash_two(out, block, sizeof(block), data, len);
    sodium_memzero(block, sizeof(block));
}

void hash_hmac(uint8_t out[HASH_LEN], const uint8_t key[HASH_LEN], const void *data, size_t len)
{
    uint8_t inner[HASH_LEN];
    hmac_pass(inner, key, 0x36, data, len);
    hmac_pass(out, key, 0x5c, inner, sizeof(inner));
    sodium_memzero(inner, sizeof(inner));
}

void hash_kdf(const uint8_t chaining_key[HASH_LEN], const void *input, size_t len,
              uint8_t first[HASH_LEN], uint8_t *second, uint8_t *third)
{
    uint8_t secret[HASH_LEN];
    uint8_t text[HASH_LEN + 1];

    hash_hmac(secret, chaining_key, input, len);
    text[0] = 1;
    hash_hmac(first, secret, text, 1);
    if (second) {
        memcpy(text, first, HASH_LEN);
        text[HASH_LEN] = 2;
        hash_hmac(second, secret, text, sizeof(text));
    }
    if (second && third) {
        memcpy(text, second, HASH_LEN);
        text[HASH_LEN] = 3;
        hash_hmac(third, secret, text, sizeof(text));
    }
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(text, sizeof(text));
}
