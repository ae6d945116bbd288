/* cookie: both sides, addresses, ages, and what a reply is bound to. */
#include "tests/support/hex.h"

#include "engine/wg/cookie.h"
#include "engine/wg/messages.h"

#include <errno.h>

#define SECOND WG_SECOND

static const uint8_t server_key[X25519_LEN] = {1, 2, 3};
static const uint8_t secret[HASH_LEN] = {9, 9};
static const uint8_t nonce[XCHACHA_NONCE_LEN] = {7};

struct fixture {
    struct cookie_checker checker;
    struct cookie_maker maker;
    uint8_t message[INITIATION_LEN];
    uint8_t reply[COOKIE_REPLY_LEN];
    union inet_sockaddr from;
};

static union inet_sockaddr address(const char *text, uint16_t port)
{
    struct inet_addr addr;
    union inet_sockaddr out;
    assert_int_equal(inet_addr_parse(text, &addr), 0);
    inet_sockaddr_make(&out, &addr, port);
    return out;
}

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    cookie_checker_init(&f.checker, server_key);
    cookie_checker_renew(&f.checker, secret, 0);
    cookie_maker_init(&f.maker, server_key);
    f.from = address("192.0.2.1", 51820);
    store_le32(f.message, MESSAGE_INITIATION);
    store_le32(f.message + INITIATION_SENDER, 0x12345678);
    *state = &f;
    return 0;
}

/* A message without a cookie, the reply, and a message with the cookie of that reply. */
static void get_cookie(struct fixture *f, uint64_t now)
{
    cookie_add_macs(&f->maker, f->message, sizeof(f->message), now);
    cookie_create_reply(&f->checker, f->message, sizeof(f->message), &f->from, nonce, f->reply);
    assert_int_equal(cookie_consume_reply(&f->maker, f->reply, now), 0);
    cookie_add_macs(&f->maker, f->message, sizeof(f->message), now);
}

static bool mac2_good(const struct fixture *f, const union inet_sockaddr *from)
{
    return cookie_check_mac2(&f->checker, f->message, sizeof(f->message), from);
}

/* Computed by tests/vectors/handshake.py. */
static void known_answers(void **state)
{
    static const struct {
        const char *from, *reply, *mac2;
    } vectors[] = {
        {"192.0.2.1",
         "0300000078563412070000000000000000000000000000000000000000000000"
         "5fbc46b3d37609d0b2dd7b543787b50bdfdf8743234338b35c03c94c3222d5de",
         "e5be32190fd5610fcea05aed1a4942f0"},
        {"2001:db8::1",
         "0300000078563412070000000000000000000000000000000000000000000000"
         "6ab0caf6c2463875a41b685059b055cd132d8de571af2e5886b58811c38aaf33",
         "7275bd7b7f982d7996296ff609a5fdb5"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        cookie_maker_init(&f->maker, server_key);
        f->from = address(vectors[i].from, 51820);
        cookie_add_macs(&f->maker, f->message, sizeof(f->message), 0);
        assert_hex(f->message + INITIATION_MAC1, COOKIE_MAC_LEN,
                   "9af0348f712fdb5b04544f8126dba6d7");
        get_cookie(f, 0);
        assert_hex(f->reply, sizeof(f->reply), vectors[i].reply);
        assert_hex(f->message + INITIATION_LEN - COOKIE_MAC_LEN, COOKIE_MAC_LEN, vectors[i].mac2);
    }
}

static void mac1_covers_all_before_it(void **state)
{
    struct fixture *f = *state;
    cookie_add_macs(&f->maker, f->message, sizeof(f->message), 0);
    assert_true(cookie_check_mac1(&f->checker, f->message, sizeof(f->message)));
    for (size_t i = 0; i < sizeof(f->message) - COOKIE_MAC_LEN; i++) {
        f->message[i] ^= 1;
        assert_false(cookie_check_mac1(&f->checker, f->message, sizeof(f->message)));
        f->message[i] ^= 1;
    }
    /* Another receiver's key. */
    const uint8_t other[X25519_LEN] = {4};
    cookie_checker_init(&f->checker, other);
    assert_false(cookie_check_mac1(&f->checker, f->message, sizeof(f->message)));
}

static void mac2_is_zero_without_a_cookie(void **state)
{
    struct fixture *f = *state;
    const uint8_t zero[COOKIE_MAC_LEN] = {0};
    memset(f->message + INITIATION_MAC1, 0xff, MESSAGE_MACS_LEN);
    cookie_add_macs(&f->maker, f->message, sizeof(f->message), 0);
    assert_memory_equal(f->message + INITIATION_LEN - COOKIE_MAC_LEN, zero, sizeof(zero));
    assert_false(mac2_good(f, &f->from));
}

static void cookie_reply_has_the_layout_of_the_paper(void **state)
{
    struct fixture *f = *state;
    cookie_add_macs(&f->maker, f->message, sizeof(f->message), 0);
    cookie_create_reply(&f->checker, f->message, sizeof(f->message), &f->from, nonce, f->reply);
    assert_int_equal(load_le32(f->reply), 3);
    assert_int_equal(load_le32(f->reply + 4), 0x12345678);
    assert_memory_equal(f->reply + 8, nonce, sizeof(nonce));
}

static void cookie_is_bound_to_address_and_port(void **state)
{
    struct fixture *f = *state;
    get_cookie(f, 0);
    const union inet_sockaddr other_port = address("192.0.2.1", 51821);
    const union inet_sockaddr other_addr = address("192.0.2.2", 51820);
    assert_true(mac2_good(f, &f->from));
    assert_false(mac2_good(f, &other_port));
    assert_false(mac2_good(f, &other_addr));

    f->from = address("2001:db8::1", 51820);
    get_cookie(f, 0);
    const union inet_sockaddr other_addr6 = address("2001:db8::2", 51820);
    assert_true(mac2_good(f, &f->from));
    assert_false(mac2_good(f, &other_addr6));
}

static void mac2_covers_mac1(void **state)
{
    struct fixture *f = *state;
    get_cookie(f, 0);
    for (size_t i = 0; i < sizeof(f->message); i++) {
        f->message[i] ^= 0x80;
        assert_false(mac2_good(f, &f->from));
        f->message[i] ^= 0x80;
    }
}

static void cookie_is_used_for_115_seconds(void **state)
{
    struct fixture *f = *state;
    get_cookie(f, 0);
    cookie_add_macs(&f->maker, f->message, sizeof(f->message), 115 * SECOND - 1);
    assert_true(mac2_good(f, &f->from));
    cookie_add_macs(&f->maker, f->message, sizeof(f->message), 115 * SECOND);
    assert_false(mac2_good(f, &f->from));
}

static void secret_lives_120_seconds(void **state)
{
    struct fixture *f = *state;
    const uint8_t next[HASH_LEN] = {8};
    get_cookie(f, 0);
    assert_false(cookie_checker_stale(&f->checker, 120 * SECOND - 1));
    assert_true(cookie_checker_stale(&f->checker, 120 * SECOND));
    cookie_checker_renew(&f->checker, next, 120 * SECOND);
    assert_false(cookie_checker_stale(&f->checker, 120 * SECOND));
    assert_false(mac2_good(f, &f->from));
    get_cookie(f, 120 * SECOND);
    assert_true(mac2_good(f, &f->from));
}

static void reply_answers_one_message_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(cookie_consume_reply(&f->maker, f->reply, 0), -EBADMSG);
    get_cookie(f, 0);
    cookie_add_macs(&f->maker, f->message, sizeof(f->message), 0);
    assert_int_equal(cookie_consume_reply(&f->maker, f->reply, 0), 0); /* the same mac1 again */
    assert_int_equal(cookie_consume_reply(&f->maker, f->reply, 0), -EBADMSG);
    f->message[8] ^= 1;
    cookie_add_macs(&f->maker, f->message, sizeof(f->message), 0);
    assert_int_equal(cookie_consume_reply(&f->maker, f->reply, 0), -EBADMSG);
}

static void tampered_replies_change_nothing(void **state)
{
    struct fixture *f = *state;
    cookie_add_macs(&f->maker, f->message, sizeof(f->message), 0);
    cookie_create_reply(&f->checker, f->message, sizeof(f->message), &f->from, nonce, f->reply);
    for (size_t i = COOKIE_REPLY_NONCE; i < sizeof(f->reply); i++) {
        f->reply[i] ^= 2;
        assert_int_equal(cookie_consume_reply(&f->maker, f->reply, 0), -EBADMSG);
        f->reply[i] ^= 2;
    }
    assert_false(f->maker.have_cookie);
    assert_int_equal(cookie_consume_reply(&f->maker, f->reply, 0), 0);
}

#define cookie_test(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cookie_test(known_answers),
        cookie_test(mac1_covers_all_before_it),
        cookie_test(mac2_is_zero_without_a_cookie),
        cookie_test(cookie_reply_has_the_layout_of_the_paper),
        cookie_test(cookie_is_bound_to_address_and_port),
        cookie_test(mac2_covers_mac1),
        cookie_test(cookie_is_used_for_115_seconds),
        cookie_test(secret_lives_120_seconds),
        cookie_test(reply_answers_one_message_once),
        cookie_test(tampered_replies_change_nothing),
    };
    return cmocka_run_group_tests_name("cookie", tests, NULL, NULL);
}
