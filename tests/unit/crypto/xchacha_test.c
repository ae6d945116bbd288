/* xchacha: draft-irtf-cfrg-xchacha-03, appendix A.3.1. */
#include "tests/support/hex.h"

#include "engine/crypto/xchacha.h"

#include <errno.h>

static const char plain[] =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one "
    "tip for the future, sunscreen would be it.";

#define PLAIN_LEN (sizeof(plain) - 1)

static void draft_vector(void **state)
{
    (void)state;
    uint8_t key[XCHACHA_KEY_LEN];
    uint8_t nonce[XCHACHA_NONCE_LEN];
    uint8_t ad_bytes[12];
    uint8_t sealed[PLAIN_LEN + XCHACHA_TAG_LEN];
    uint8_t opened[PLAIN_LEN];

    hex_read(key, sizeof(key), "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    hex_read(nonce, sizeof(nonce), "404142434445464748494a4b4c4d4e4f5051525354555657");
    hex_read(ad_bytes, sizeof(ad_bytes), "50515253c0c1c2c3c4c5c6c7");
    const struct aead_ad ad = {.data = ad_bytes, .len = sizeof(ad_bytes)};
    xchacha_seal(key, nonce, &ad, (const uint8_t *)plain, PLAIN_LEN, sealed);
    assert_hex(
        sealed, sizeof(sealed),
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a8"
        "2f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369"
        "488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e"
        "c0875924c1c7987947deafd8780acf49");
    assert_int_equal(xchacha_open(key, nonce, &ad, sealed, sizeof(sealed), opened), 0);
    assert_memory_equal(opened, plain, PLAIN_LEN);

    assert_int_equal(xchacha_open(key, nonce, NULL, sealed, sizeof(sealed), opened), -EBADMSG);
    assert_int_equal(xchacha_open(key, nonce, &ad, sealed, 15, opened), -EBADMSG);
    sealed[0] ^= 1;
    assert_int_equal(xchacha_open(key, nonce, &ad, sealed, sizeof(sealed), opened), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(draft_vector)};
    return cmocka_run_group_tests_name("xchacha", tests, NULL, NULL);
}
