/*
 * noise: the known answers for Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s of the public vectors of the
 * cacophony project (prologue "John Galt"), from both sides, and failures.
 */
#include "tests/support/hex.h"

#include "engine/wg/noise.h"

#include <errno.h>

static const char prologue[] = "4a6f686e2047616c74";
static const char psk_text[] = "54686973206973206d7920417573747269616e20706572737065637469766521";
static const char init_static[] =
    "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1";
static const char init_ephemeral[] =
    "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";
static const char resp_static_public[] =
    "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62";
static const char resp_static[] =
    "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893";
static const char resp_ephemeral[] =
    "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b";
static const char handshake_hash[] =
    "f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5";
static const char first_payload[] = "4c756477696720766f6e204d69736573";
static const char first_message[] = "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79"
                                    "44001e21de9f98ddd8e2ad57527207feb5"
                                    "6253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab500"
                                    "0980c84831215f2441eba616548e832985"
                                    "464cf17e51ee93109008399a21f7e13f";
static const char second_payload[] = "4d757272617920526f746862617264";
static const char second_message[] = "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808"
                                     "843cb765f2caef0751b8f007572dab03222"
                                     "17755c0632f365717edbf34d33e87a";

/* Transport messages: the first and third by the initiator, the others by the responder. */
static const struct {
    const char *payload;
    const char *message;
} transport[] = {
    {"462e20412e20486179656b", "8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7"},
    {"4361726c204d656e676572", "07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef"},
    {"4a65616e2d426170746973746520536179",
     "6ab1467c0448cc78394494abaaf23afce0e234315d6e2624dcbfa8a21c1c4d073d"},
    {"457567656e2042f6686d20766f6e2042617765726b",
     "dfc346c0d2296ae6cf1acf6f12b8456a1dba228cf8d8b774aacf1c47fc53aa80ebc7a4c292"},
};

/* One side of the handshake of the vector. */
struct side {
    struct noise noise;
    struct noise_keys keys;
    struct noise_keys ephemeral;
};

struct handshake_fixture {
    struct side initiator;
    struct side responder;
    uint8_t psk[NOISE_KEY_LEN];
    uint8_t static_static[X25519_LEN];
    uint8_t message[512];
    size_t len;
};

static void side_init(struct side *side, const char *static_key, const char *ephemeral,
                      const uint8_t *responder_static)
{
    uint8_t bytes[32];
    hex_read(bytes, sizeof(bytes), static_key);
    noise_keys_init(&side->keys, bytes);
    hex_read(bytes, sizeof(bytes), ephemeral);
    noise_keys_init(&side->ephemeral, bytes);
    size_t len = hex_read(bytes, sizeof(bytes), prologue);
    noise_begin(&side->noise, bytes, len, responder_static);
}

static int setup(void **state)
{
    static struct handshake_fixture f;
    uint8_t responder_static[X25519_LEN];
    hex_read(responder_static, 32, resp_static_public);
    side_init(&f.initiator, init_static, init_ephemeral, responder_static);
    side_init(&f.responder, resp_static, resp_ephemeral, responder_static);
    assert_memory_equal(f.responder.keys.public_key, responder_static, 32);
    hex_read(f.psk, sizeof(f.psk), psk_text);
    assert_int_equal(x25519_shared(f.static_static, f.initiator.keys.private_key, responder_static),
                     0);
    *state = &f;
    return 0;
}

static int write_first(struct handshake_fixture *f)
{
    uint8_t payload[64];
    size_t len = hex_read(payload, sizeof(payload), first_payload);
    const struct noise_initiation initiation = {
        .ephemeral = &f->initiator.ephemeral,
        .local_static = &f->initiator.keys,
        .remote_static = f->responder.keys.public_key,
        .static_static = f->static_static,
        .payload = payload,
        .payload_len = len,
    };
    f->len = len + NOISE_INITIATION_OVERHEAD;
    return noise_write_initiation(&f->initiator.noise, &initiation, f->message);
}

/* Reads the first message with the responder. */
static int read_first(struct handshake_fixture *f, uint8_t ephemeral[32], uint8_t payload[64])
{
    uint8_t remote_static[32];
    int error = noise_read_initiation_static(&f->responder.noise, &f->responder.keys, f->message,
                                             f->len, ephemeral, remote_static);
    if (error)
        return error;
    assert_memory_equal(remote_static, f->initiator.keys.public_key, 32);
    return noise_read_initiation_payload(&f->responder.noise, f->static_static, f->message, f->len,
                                         payload);
}

static int write_second(struct handshake_fixture *f, const uint8_t remote_ephemeral[32])
{
    uint8_t payload[64];
    size_t len = hex_read(payload, sizeof(payload), second_payload);
    const struct noise_response response = {
        .ephemeral = &f->responder.ephemeral,
        .remote_ephemeral = remote_ephemeral,
        .remote_static = f->initiator.keys.public_key,
        .preshared_key = f->psk,
        .payload = payload,
        .payload_len = len,
    };
    f->len = len + NOISE_RESPONSE_OVERHEAD;
    return noise_write_response(&f->responder.noise, &response, f->message);
}

static int read_second(struct handshake_fixture *f, uint8_t payload[64])
{
    const struct noise_response_reader keys = {
        .ephemeral = &f->initiator.ephemeral,
        .local_static = &f->initiator.keys,
        .preshared_key = f->psk,
    };
    return noise_read_response(&f->initiator.noise, &keys, f->message, f->len, payload);
}

static void check_transport(const uint8_t first[NOISE_KEY_LEN], const uint8_t second[NOISE_KEY_LEN])
{
    for (size_t i = 0; i < sizeof(transport) / sizeof(transport[0]); i++) {
        uint8_t payload[64];
        uint8_t message[64 + NOISE_TAG_LEN];
        struct aead_key key;
        size_t len = hex_read(payload, sizeof(payload), transport[i].payload);
        aead_key_init(&key, i % 2 == 0 ? first : second);
        aead_seal(&key, i / 2, NULL, payload, len, message);
        assert_hex(message, len + NOISE_TAG_LEN, transport[i].message);
    }
}

static void known_answers(void **state)
{
    struct handshake_fixture *f = *state;
    uint8_t ephemeral[32];
    uint8_t payload[64];
    uint8_t keys[4][NOISE_KEY_LEN];

    assert_int_equal(write_first(f), 0);
    assert_hex(f->message, f->len, first_message);
    assert_int_equal(read_first(f, ephemeral, payload), 0);
    assert_hex(payload, strlen(first_payload) / 2, first_payload);

    assert_int_equal(write_second(f, ephemeral), 0);
    assert_hex(f->message, f->len, second_message);
    assert_int_equal(read_second(f, payload), 0);
    assert_hex(payload, strlen(second_payload) / 2, second_payload);

    assert_hex(f->initiator.noise.hash, HASH_LEN, handshake_hash);
    assert_hex(f->responder.noise.hash, HASH_LEN, handshake_hash);
    noise_split(&f->initiator.noise, keys[0], keys[1]);
    noise_split(&f->responder.noise, keys[2], keys[3]);
    assert_memory_equal(keys[0], keys[2], sizeof(keys[0]));
    assert_memory_equal(keys[1], keys[3], sizeof(keys[1]));
    check_transport(keys[0], keys[1]);
}

static void every_bit_of_the_first_message_matters(void **state)
{
    struct handshake_fixture *f = *state;
    assert_int_equal(write_first(f), 0);
    const struct noise fresh = f->responder.noise;
    for (size_t bit = 0; bit < f->len * 8; bit++) {
        uint8_t ephemeral[32];
        uint8_t payload[64];
        f->responder.noise = fresh;
        f->message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(read_first(f, ephemeral, payload), -EBADMSG);
        f->message[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void another_preshared_key_fails(void **state)
{
    struct handshake_fixture *f = *state;
    uint8_t ephemeral[32];
    uint8_t payload[64];
    assert_int_equal(write_first(f), 0);
    assert_int_equal(read_first(f, ephemeral, payload), 0);
    assert_int_equal(write_second(f, ephemeral), 0);
    f->psk[31] ^= 1;
    assert_int_equal(read_second(f, payload), -EBADMSG);
}

/* Puts a payload into the first message that is encrypted as if ss were zero. */
static void forge_payload_with_zero_ss(struct handshake_fixture *f)
{
    const uint8_t zero[X25519_LEN] = {0};
    const size_t offset = NOISE_INITIATION_OVERHEAD - NOISE_TAG_LEN;
    struct side responder = f->responder;
    uint8_t ephemeral[X25519_LEN];
    uint8_t remote_static[X25519_LEN];
    uint8_t key_bytes[NOISE_KEY_LEN];
    struct aead_key key;
    struct noise *noise = &responder.noise;
    const struct aead_ad ad = {.data = noise->hash, .len = HASH_LEN};
    assert_int_equal(noise_read_initiation_static(noise, &responder.keys, f->message, f->len,
                                                  ephemeral, remote_static),
                     0);
    hash_kdf(noise->chaining_key, zero, sizeof(zero), noise->chaining_key, key_bytes, NULL);
    aead_key_init(&key, key_bytes);
    aead_seal(&key, 0, &ad, f->message + offset, f->len - offset - NOISE_TAG_LEN,
              f->message + offset);
}

static void zero_secrets_fail(void **state)
{
    struct handshake_fixture *f = *state;
    const uint8_t zero[32] = {0};
    uint8_t ephemeral[32];
    uint8_t payload[64];

    /* ss */
    struct side initiator = f->initiator;
    uint8_t static_static[X25519_LEN];
    memcpy(static_static, f->static_static, sizeof(static_static));
    memset(f->static_static, 0, sizeof(f->static_static));
    assert_int_equal(write_first(f), -EBADMSG);
    memcpy(f->static_static, static_static, sizeof(static_static));
    f->initiator = initiator;
    /* es, by the initiator's ephemeral key */
    assert_int_equal(write_first(f), 0);
    struct side responder = f->responder;
    /* ss once more: one who knows that it is zero can make a message that would decrypt. */
    forge_payload_with_zero_ss(f);
    memset(f->static_static, 0, sizeof(f->static_static));
    assert_int_equal(read_first(f, ephemeral, payload), -EBADMSG);
    memcpy(f->static_static, static_static, sizeof(static_static));
    f->initiator = initiator;
    f->responder = responder;
    assert_int_equal(write_first(f), 0);
    uint8_t first[512];
    memcpy(first, f->message, f->len);
    memset(f->message, 0, X25519_LEN);
    assert_int_equal(read_first(f, ephemeral, payload), -EBADMSG);
    memcpy(f->message, first, f->len);
    f->responder = responder;
    assert_int_equal(read_first(f, ephemeral, payload), 0);
    /* ee */
    assert_int_equal(write_second(f, zero), -EBADMSG);
}

static void wrong_lengths_fail(void **state)
{
    struct handshake_fixture *f = *state;
    uint8_t ephemeral[32];
    uint8_t payload[NOISE_PAYLOAD_MAX];
    assert_int_equal(write_first(f), 0);
    const size_t lens[] = {0, 31, NOISE_INITIATION_OVERHEAD - 1,
                           NOISE_INITIATION_OVERHEAD + NOISE_PAYLOAD_MAX + 1};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        f->len = lens[i];
        assert_int_equal(read_first(f, ephemeral, payload), -EBADMSG);
        assert_int_equal(read_second(f, payload), -EBADMSG);
    }
}

#define noise_test(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        noise_test(known_answers),
        noise_test(every_bit_of_the_first_message_matters),
        noise_test(another_preshared_key_fails),
        noise_test(zero_secrets_fail),
        noise_test(wrong_lengths_fail),
    };
    return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
