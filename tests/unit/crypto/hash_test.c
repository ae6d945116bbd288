/* hash: RFC 7693's example, and known answers computed by tests/vectors/derive.py. */
#include "tests/support/hex.h"

#include "engine/crypto/hash.h"

static void rfc7693_abc(void **state)
{
    (void)state;
    uint8_t out[HASH_LEN];
    hash_two(out, "abc", 3, NULL, 0);
    assert_hex(out, sizeof(out),
               "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
    hash_two(out, "a", 1, "bc", 2);
    assert_hex(out, sizeof(out),
               "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
    hash_two(out, NULL, 0, NULL, 0);
    assert_hex(out, sizeof(out),
               "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9");
}

/* The input generator of RFC 7693, appendix E. */
static void feed_sequence(uint8_t *out, size_t len, uint32_t seed)
{
    uint32_t a = 0xdead4bad * seed;
    uint32_t b = 1;
    for (size_t i = 0; i < len; i++) {
        uint32_t t = a + b;
        a = b;
        b = t;
        out[i] = (uint8_t)(t >> 24);
    }
}

static void keyed_and_unkeyed_of_many_lengths(void **state)
{
    (void)state;
    static const size_t in_lens[] = {0, 3, 64, 65, 255, 1024};
    uint8_t in[1024];
    uint8_t key[32];
    uint8_t out[32];
    struct hash whole;
    uint8_t digest[32];

    hash_init(&whole);
    for (size_t i = 0; i < sizeof(in_lens) / sizeof(in_lens[0]); i++) {
        size_t len = in_lens[i];
        feed_sequence(in, len, (uint32_t)len);
        hash_two(out, in, len, NULL, 0);
        hash_update(&whole, out, 32);
        feed_sequence(key, 16, 16);
        hash_mac(out, key, 16, in, len);
        hash_update(&whole, out, 16);
    }
    hash_final(&whole, digest);
    assert_hex(digest, sizeof(digest),
               "20c157f1fbb9c0af984a38b656ac9ea7decb8ab94d15e6f82703d3043c3e0702");
}

static void updates_may_be_split_anywhere(void **state)
{
    (void)state;
    uint8_t in[200];
    uint8_t whole[HASH_LEN];
    uint8_t parts[HASH_LEN];
    feed_sequence(in, sizeof(in), 9);
    hash_two(whole, in, sizeof(in), NULL, 0);
    for (size_t cut = 0; cut <= sizeof(in); cut++) {
        hash_two(parts, in, cut, in + cut, sizeof(in) - cut);
        assert_memory_equal(parts, whole, HASH_LEN);
    }
}

static void final_wipes(void **state)
{
    (void)state;
    struct hash hash;
    uint8_t out[HASH_LEN];
    hash_init(&hash);
    hash_update(&hash, "secret", 6);
    hash_final(&hash, out);
    for (size_t i = 0; i < sizeof(hash.opaque); i++)
        assert_int_equal(hash.opaque[i], 0);
}

static void hmac_and_kdf(void **state)
{
    (void)state;
    uint8_t key[HASH_LEN];
    uint8_t out[HASH_LEN];
    uint8_t second[HASH_LEN];
    uint8_t third[HASH_LEN];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    hash_hmac(out, key, "hello", 5);
    assert_hex(out, sizeof(out),
               "ca3386d2021b8c299b42476827e7e729b48255da7aee060261072790ea0fc3fa");
    hash_kdf(key, "input", 5, out, second, third);
    assert_hex(out, sizeof(out),
               "87b7f70b24183c6db5dc4f6d9f4c47cdb203321aa2a0bef714896adb3107a040");
    assert_hex(second, sizeof(second),
               "538a02e1eb2e31b7e4d4b82476d1fe2acf50085d3fb584537279195f5d1f5824");
    assert_hex(third, sizeof(third),
               "9ad858025593be88de0f9442a589cfe84a88dc19e4753d93684d1c5efc4837f9");
    /* The first output may replace the key, and the others may be left out. */
    memset(second, 0, sizeof(second));
    hash_kdf(key, "input", 5, key, NULL, NULL);
    assert_memory_equal(key, out, sizeof(key));
}

static void kdf_of_nothing(void **state)
{
    (void)state;
    const uint8_t key[HASH_LEN] = {0};
    uint8_t first[HASH_LEN];
    uint8_t second[HASH_LEN];
    hash_kdf(key, NULL, 0, first, second, NULL);
    assert_hex(first, sizeof(first),
               "8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d0");
    assert_hex(second, sizeof(second),
               "58a0e5f6faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc7693_abc),
        cmocka_unit_test(keyed_and_unkeyed_of_many_lengths),
        cmocka_unit_test(updates_may_be_split_anywhere),
        cmocka_unit_test(final_wipes),
        cmocka_unit_test(hmac_and_kdf),
        cmocka_unit_test(kdf_of_nothing),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
