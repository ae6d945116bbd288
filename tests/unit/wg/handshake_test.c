/* handshake: WireGuard's messages against tests/vectors/handshake.py, states, and replay. */
#include "tests/support/hex.h"

#include "engine/wg/handshake.h"
#include "engine/wg/messages.h"
#include "engine/wg/timestamps.h"

#include <errno.h>

struct fixture {
    struct noise_keys keys_a;
    struct noise_keys keys_b;
    struct handshake a; /* a's handshake with b */
    struct handshake b;
    struct timespec wall;
    struct timestamps timestamps;
    uint8_t ephemeral_a[X25519_LEN];
    uint8_t ephemeral_b[X25519_LEN];
    uint8_t initiation[HANDSHAKE_INITIATION_LEN];
    uint8_t response[HANDSHAKE_RESPONSE_LEN];
};

static int setup(void **state)
{
    static struct fixture f;
    uint8_t bytes[X25519_LEN];
    memset(&f, 0, sizeof(f));
    memset(bytes, 0x11, sizeof(bytes));
    noise_keys_init(&f.keys_a, bytes);
    memset(bytes, 0x22, sizeof(bytes));
    noise_keys_init(&f.keys_b, bytes);
    memset(f.ephemeral_a, 0x33, sizeof(f.ephemeral_a));
    memset(f.ephemeral_b, 0x44, sizeof(f.ephemeral_b));
    handshake_init(&f.a, f.keys_b.public_key);
    handshake_init(&f.b, f.keys_a.public_key);
    memset(f.a.preshared_key, 0x55, NOISE_KEY_LEN);
    memset(f.b.preshared_key, 0x55, NOISE_KEY_LEN);
    timestamps_init(&f.timestamps);
    f.wall = (struct timespec){.tv_sec = 1700000000, .tv_nsec = 123456789};
    *state = &f;
    return 0;
}

static int create(struct fixture *f)
{
    assert_int_equal(timestamps_next(&f->timestamps, &f->wall, f->a.sent_timestamp), 0);
    return handshake_create_initiation(&f->a, &f->keys_a, f->ephemeral_a, f->initiation);
}

static int consume(struct fixture *f, uint64_t now)
{
    struct handshake_opening opening;
    int error = handshake_open_initiation(&opening, &f->keys_b, f->initiation);
    if (error)
        return error;
    assert_memory_equal(opening.remote_static, f->keys_a.public_key, X25519_LEN);
    return handshake_consume_initiation(&f->b, &f->keys_b, &opening, f->initiation, now);
}

static int respond(struct fixture *f)
{
    return handshake_create_response(&f->b, f->ephemeral_b, f->response);
}

static int finish(struct fixture *f)
{
    return handshake_consume_response(&f->a, &f->keys_a, f->response);
}

static void known_answers(void **state)
{
    struct fixture *f = *state;
    struct aead_key a_send, a_receive, b_send, b_receive;
    const struct handshake empty = {.state = HANDSHAKE_NONE};

    assert_int_equal(create(f), 0);
    assert_hex(f->initiation, sizeof(f->initiation),
               "7b0d47d93427f8311160781c7c733fd89f88970aef490d8aa0ee19a4cb8a1b1481e498317da959fb"
               "a46669572516a5e6c021bfa620bb6c56ca0082e1feae14988c2c64d024c617734a263f76a008df04"
               "d0f94bad8ee75ec8e6c2695569183cc7dc1e27ce0c1b8436de667e27");
    assert_int_equal(consume(f, 1), 0);
    assert_int_equal(respond(f), 0);
    assert_hex(f->response, sizeof(f->response),
               "ff2ee45601ec1b67310c7790404585ae697331eee1c1f8cf2419731c1fff3e6bf3c8d3f436c55754"
               "7df21dab91e91043");
    assert_int_equal(finish(f), 0);
    assert_true(handshake_derive(&f->a, &a_send, &a_receive));
    assert_false(handshake_derive(&f->b, &b_send, &b_receive));
    assert_hex(a_send.bytes, NOISE_KEY_LEN,
               "a007faf842d83f5bd3be20a14e0ffcec34c84867b78b051980602713205922de");
    assert_hex(a_receive.bytes, NOISE_KEY_LEN,
               "d982d5cd10d34a7802b6c19fa441cd9164d70e4f4d62007ab416879ee8bd1b99");
    assert_memory_equal(&a_send, &b_receive, sizeof(a_send));
    assert_memory_equal(&a_receive, &b_send, sizeof(a_receive));
    /* Nothing of the handshake is left. */
    assert_int_equal(f->a.state, HANDSHAKE_NONE);
    assert_memory_equal(&f->a.noise, &empty.noise, sizeof(empty.noise));
    assert_memory_equal(&f->a.ephemeral, &empty.ephemeral, sizeof(empty.ephemeral));
}

static void failed_response_leaves_the_state(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(finish(f), -EBADMSG); /* none was asked for */
    assert_int_equal(create(f), 0);
    assert_int_equal(consume(f, 1), 0);
    assert_int_equal(respond(f), 0);
    const struct handshake before = f->a;
    f->response[40] ^= 1;
    assert_int_equal(finish(f), -EBADMSG);
    assert_memory_equal(&f->a, &before, sizeof(before));
    f->response[40] ^= 1;
    assert_int_equal(finish(f), 0);
    assert_int_equal(finish(f), -EBADMSG); /* once */
}

static void failed_initiation_leaves_the_state(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f), 0);
    assert_int_equal(consume(f, 1), 0);
    assert_int_equal(respond(f), 0);
    const struct handshake before = f->b;
    f->wall.tv_sec++;
    assert_int_equal(create(f), 0);
    f->initiation[HANDSHAKE_INITIATION_LEN - 1] ^= 1;
    assert_int_equal(consume(f, WG_SECOND), -EBADMSG);
    assert_memory_equal(&f->b, &before, sizeof(before));
    f->initiation[HANDSHAKE_INITIATION_LEN - 1] ^= 1;
    assert_int_equal(consume(f, WG_SECOND), 0);
}

static void initiations_must_be_newer_and_not_too_many(void **state)
{
    struct fixture *f = *state;
    const uint64_t now = 10 * WG_SECOND;
    assert_int_equal(create(f), 0);
    assert_int_equal(consume(f, now), 0);
    assert_int_equal(consume(f, now + WG_SECOND), -EALREADY); /* the same one */
    assert_int_equal(create(f), 0);
    assert_int_equal(consume(f, now + 20 * WG_MILLISECOND - 1), -EALREADY); /* too soon */
    assert_int_equal(consume(f, now + 20 * WG_MILLISECOND), 0);
}

static void timestamps_rise_whatever_the_clock_does(void **state)
{
    struct fixture *f = *state;
    static const time_t clocks[] = {0, 0, 5, -1000000, -1000000, 5, 6, 7};
    uint8_t last[TAI64N_LEN] = {0};
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        f->wall.tv_sec = 1700000000 + clocks[i];
        assert_int_equal(create(f), 0);
        assert_true(tai64n_after(f->a.sent_timestamp, last));
        memcpy(last, f->a.sent_timestamp, sizeof(last));
        assert_int_equal(consume(f, (i + 1) * WG_SECOND), 0);
    }
}

static void low_order_static_key_is_refused(void **state)
{
    struct fixture *f = *state;
    const uint8_t zero[X25519_LEN] = {0};
    handshake_init(&f->a, zero);
    assert_int_equal(create(f), -EBADMSG);
    assert_int_equal(f->a.state, HANDSHAKE_NONE);
}

static void changed_private_key_is_used(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[X25519_LEN];
    assert_int_equal(create(f), 0);
    memset(bytes, 0x66, sizeof(bytes));
    noise_keys_init(&f->keys_a, bytes);
    handshake_key_changed(&f->a);
    handshake_init(&f->b, f->keys_a.public_key);
    assert_int_equal(create(f), 0);
    assert_int_equal(consume(f, 1), 0);
}

#define handshake_test(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        handshake_test(known_answers),
        handshake_test(failed_response_leaves_the_state),
        handshake_test(failed_initiation_leaves_the_state),
        handshake_test(initiations_must_be_newer_and_not_too_many),
        handshake_test(timestamps_rise_whatever_the_clock_does),
        handshake_test(low_order_static_key_is_refused),
        handshake_test(changed_private_key_is_used),
    };
    return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
