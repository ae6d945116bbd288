/* x25519: RFC 7748, and public keys that must be refused. */
#include "tests/support/hex.h"

#include "engine/crypto/x25519.h"

#include <errno.h>

static void rfc7748_scalar_multiplication(void **state)
{
    (void)state;
    /* Section 5.2, both. The second point has its unused top bit set. */
    static const struct {
        const char *scalar, *point, *out;
    } vectors[] = {
        {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
        {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t scalar[X25519_LEN];
        uint8_t point[X25519_LEN];
        uint8_t out[X25519_LEN];
        hex_read(scalar, 32, vectors[i].scalar);
        hex_read(point, 32, vectors[i].point);
        assert_int_equal(x25519_shared(out, scalar, point), 0);
        assert_hex(out, 32, vectors[i].out);
    }
}

static void rfc7748_iterated(void **state)
{
    (void)state;
    uint8_t k[X25519_LEN] = {9};
    uint8_t u[X25519_LEN] = {9};
    uint8_t out[X25519_LEN];
    for (int i = 1; i <= 1000; i++) {
        assert_int_equal(x25519_shared(out, k, u), 0);
        memcpy(u, k, sizeof(u));
        memcpy(k, out, sizeof(k));
        if (i == 1)
            assert_hex(k, 32, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
    assert_hex(k, 32, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

static void rfc7748_diffie_hellman(void **state)
{
    (void)state;
    uint8_t bob[X25519_LEN];
    uint8_t alice_public[X25519_LEN];
    uint8_t out[X25519_LEN];
    hex_read(bob, 32, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    hex_read(alice_public, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    x25519_public(out, bob);
    assert_hex(out, 32, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    assert_int_equal(x25519_shared(out, bob, alice_public), 0);
    assert_hex(out, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

static void low_order_points_are_refused(void **state)
{
    (void)state;
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        /* The same with the unused top bit set. */
        "00000000000000000000000000000000000000000000000000000000000000"
        "80",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        "ff",
    };
    const uint8_t zero[X25519_LEN] = {0};
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        const uint8_t private_key[X25519_LEN] = {8, 1, 2, 3, [31] = 64};
        uint8_t point[X25519_LEN];
        uint8_t out[X25519_LEN];
        memset(out, 0xff, sizeof(out));
        hex_read(point, 32, points[i]);
        assert_int_equal(x25519_shared(out, private_key, point), -EBADMSG);
        assert_memory_equal(out, zero, sizeof(out));
    }
}

static void clamping_fixes_the_bits(void **state)
{
    (void)state;
    uint8_t key[X25519_LEN];
    memset(key, 0xff, sizeof(key));
    x25519_clamp(key);
    assert_int_equal(key[0], 0xf8);
    assert_int_equal(key[31], 0x7f);
    memset(key, 0, sizeof(key));
    x25519_clamp(key);
    assert_int_equal(key[0], 0);
    assert_int_equal(key[31], 0x40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc7748_scalar_multiplication),
        cmocka_unit_test(rfc7748_iterated),
        cmocka_unit_test(rfc7748_diffie_hellman),
        cmocka_unit_test(low_order_points_are_refused),
        cmocka_unit_test(clamping_fixes_the_bits),
    };
    return cmocka_run_group_tests_name("x25519", tests, NULL, NULL);
}
