/* aead: RFC 8439, in place and not, and tampering. */
#include "tests/support/hex.h"

#include "engine/crypto/aead.h"

#include <errno.h>

/* RFC 8439, appendix A.5, whose nonce has the form that WireGuard uses. */
static const char rfc_key[] = "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0";
static const uint64_t rfc_counter = UINT64_C(0x0807060504030201);
static const char rfc_ad[] = "f33388860000000000004e91";
static const char rfc_sealed[] =
    "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26"
    "b0bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37"
    "c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cd"
    "e7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273"
    "f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0"
    "ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38";
static const char rfc_plain[] =
    "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, "
    "replaced, or obsoleted by other documents at any time. It is inappropriate to use "
    "Internet-Drafts as reference material or to cite them other than as /\xe2\x80\x9cwork in "
    "progress./\xe2\x80\x9d";

#define PLAIN_LEN (sizeof(rfc_plain) - 1)

static void the_vector_of_rfc8439(void **state)
{
    (void)state;
    struct aead_key key;
    uint8_t bytes[AEAD_KEY_LEN];
    uint8_t ad_bytes[12];
    uint8_t sealed[PLAIN_LEN + AEAD_TAG_LEN];
    uint8_t opened[PLAIN_LEN];

    hex_read(bytes, sizeof(bytes), rfc_key);
    hex_read(ad_bytes, sizeof(ad_bytes), rfc_ad);
    const struct aead_ad ad = {.data = ad_bytes, .len = sizeof(ad_bytes)};
    aead_key_init(&key, bytes);
    aead_seal(&key, rfc_counter, &ad, (const uint8_t *)rfc_plain, PLAIN_LEN, sealed);
    assert_hex(sealed, sizeof(sealed), rfc_sealed);
    assert_int_equal(aead_open(&key, rfc_counter, &ad, sealed, sizeof(sealed), opened), 0);
    assert_memory_equal(opened, rfc_plain, PLAIN_LEN);
    aead_key_fini(&key);
}

/* Each length around the block sizes, in place and out of place, gives the same and opens. */
static void lengths_around_blocks(void **state)
{
    (void)state;
    struct aead_key key;
    uint8_t bytes[AEAD_KEY_LEN] = {1};
    uint8_t plain[1500];
    uint8_t apart[1500 + AEAD_TAG_LEN];
    uint8_t place[1500 + AEAD_TAG_LEN];

    aead_key_init(&key, bytes);
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 31);
    for (size_t len = 0; len <= sizeof(plain); len += len < 300 ? 1 : 100) {
        memcpy(place, plain, len);
        aead_seal(&key, len, NULL, plain, len, apart);
        aead_seal(&key, len, NULL, place, len, place);
        assert_memory_equal(apart, place, len + AEAD_TAG_LEN);
        assert_int_equal(aead_open(&key, len, NULL, place, len + AEAD_TAG_LEN, place), 0);
        assert_memory_equal(place, plain, len);
    }
    aead_key_fini(&key);
}

static void tampering_is_noticed(void **state)
{
    (void)state;
    struct aead_key key;
    uint8_t bytes[AEAD_KEY_LEN] = {2};
    uint8_t sealed[40 + AEAD_TAG_LEN] = {0};
    uint8_t out[40];
    const uint8_t ad_byte = 1;
    const struct aead_ad ad = {.data = &ad_byte, .len = 1};

    aead_key_init(&key, bytes);
    aead_seal(&key, 5, NULL, sealed, 40, sealed);
    for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(aead_open(&key, 5, NULL, sealed, sizeof(sealed), out), -EBADMSG);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < sizeof(sealed); len++)
        assert_int_equal(aead_open(&key, 5, NULL, sealed, len, out), -EBADMSG);
    assert_int_equal(aead_open(&key, 6, NULL, sealed, sizeof(sealed), out), -EBADMSG);
    assert_int_equal(aead_open(&key, 5 + (UINT64_C(1) << 32), NULL, sealed, sizeof(sealed), out),
                     -EBADMSG);
    assert_int_equal(aead_open(&key, 5, &ad, sealed, sizeof(sealed), out), -EBADMSG);
    assert_int_equal(aead_open(&key, 5, NULL, sealed, sizeof(sealed), out), 0);
    aead_key_fini(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vector_of_rfc8439),
        cmocka_unit_test(lengths_around_blocks),
        cmocka_unit_test(tampering_is_noticed),
    };
    return cmocka_run_group_tests_name("aead", tests, NULL, NULL);
}
