/*
 * cookie: owns the keys and secrets of both sides.
 */
#include "engine/wg/cookie.h"

#include "engine/wg/messages.h"

#include <errno.h>
#include <sodium.h>

static const char label_mac1[] = "mac1----";
static const char label_cookie[] = "cookie--";

_Static_assert(MESSAGE_MACS_LEN == 2 * COOKIE_MAC_LEN, "mac1 and mac2");

/* The keys are those of the message's receiver: hashes of a label and its public key. */
static void derive_keys(uint8_t mac1_key[HASH_LEN], uint8_t cookie_key[HASH_LEN],
                        const uint8_t public_key[X25519_LEN])
{
    hash_two(mac1_key, label_mac1, sizeof(label_mac1) - 1, public_key, X25519_LEN);
    hash_two(cookie_key, label_cookie, sizeof(label_cookie) - 1, public_key, X25519_LEN);
}

/* mac1 covers everything before it, mac2 everything before it, mac1 included. */
static size_t mac1_offset(size_t len)
{
    return len - MESSAGE_MACS_LEN;
}

static size_t mac2_offset(size_t len)
{
    return len - COOKIE_MAC_LEN;
}

/* --- The receiver --------------------------------------------------------------------------- */

void cookie_checker_init(struct cookie_checker *checker, const uint8_t public_key[X25519_LEN])
{
    sodium_memzero(checker, sizeof(*checker));
    derive_keys(checker->mac1_key, checker->cookie_key, public_key);
}

bool cookie_checker_stale(const struct cookie_checker *checker, uint64_t now)
{
    return !checker->secret_made || now >= checker->secret_made_at + WG_COOKIE_SECRET_MAX_AGE;
}

void cookie_checker_renew(struct cookie_checker *checker, const uint8_t secret[HASH_LEN],
                          uint64_t now)
{
    memcpy(checker->secret, secret, HASH_LEN);
    checker->secret_made = true;
    checker->secret_made_at = now;
}

/* The cookie of a sender: a MAC of its address and port. */
static void make_cookie(const struct cookie_checker *checker, const union inet_sockaddr *from,
                        uint8_t cookie[COOKIE_LEN])
{
    struct inet_addr addr;
    uint16_t port;
    struct hash hash;

    inet_sockaddr_split(from, &addr, &port);
    const uint8_t port_bytes[2] = {(uint8_t)(port >> 8), (uint8_t)port};
    hash_init_mac(&hash, checker->secret, sizeof(checker->secret));
    hash_update(&hash, addr.bytes, inet_addr_len(addr.family));
    hash_update(&hash, port_bytes, sizeof(port_bytes));
    hash_final(&hash, cookie);
}

bool cookie_check_mac1(const struct cookie_checker *checker, const uint8_t *message, size_t len)
{
    uint8_t mac1[COOKIE_MAC_LEN];
    hash_mac(mac1, checker->mac1_key, HASH_LEN, message, mac1_offset(len));
    return sodium_memcmp(mac1, message + mac1_offset(len), COOKIE_MAC_LEN) == 0;
}

bool cookie_check_mac2(const struct cookie_checker *checker, const uint8_t *message, size_t len,
                       const union inet_sockaddr *from)
{
    uint8_t cookie[COOKIE_LEN];
    uint8_t mac2[COOKIE_MAC_LEN];

    if (!checker->secret_made)
        return false;
    make_cookie(checker, from, cookie);
    hash_mac(mac2, cookie, COOKIE_LEN, message, mac2_offset(len));
    sodium_memzero(cookie, sizeof(cookie));
    return sodium_memcmp(mac2, message + mac2_offset(len), COOKIE_MAC_LEN) == 0;
}

void cookie_create_reply(const struct cookie_checker *checker, const uint8_t *message, size_t len,
                         const union inet_sockaddr *from, const uint8_t nonce[XCHACHA_NONCE_LEN],
                         uint8_t *out)
{
    const struct aead_ad mac1 = {.data = message + mac1_offset(len), .len = COOKIE_MAC_LEN};
    uint8_t cookie[COOKIE_LEN];

    make_cookie(checker, from, cookie);
    store_le32(out + MESSAGE_TYPE, MESSAGE_COOKIE_REPLY);
    /* Both handshake messages have their sender's index at the same place. */
    memcpy(out + COOKIE_REPLY_RECEIVER, message + INITIATION_SENDER, 4);
    memcpy(out + COOKIE_REPLY_NONCE, nonce, XCHACHA_NONCE_LEN);
    xchacha_seal(checker->cookie_key, nonce, &mac1, cookie, sizeof(cookie),
                 out + COOKIE_REPLY_COOKIE);
    sodium_memzero(cookie, sizeof(cookie));
}

/* --- The sender ----------------------------------------------------------------------------- */

void cookie_maker_init(struct cookie_maker *maker, const uint8_t public_key[X25519_LEN])
{
    cookie_maker_fini(maker);
    derive_keys(maker->mac1_key, maker->cookie_key, public_key);
}

void cookie_maker_fini(struct cookie_maker *maker)
{
    sodium_memzero(maker, sizeof(*maker));
}

void cookie_add_macs(struct cookie_maker *maker, uint8_t *message, size_t len, uint64_t now)
{
    const uint64_t usable = WG_COOKIE_SECRET_MAX_AGE - WG_COOKIE_LATENCY;
    uint8_t *mac1 = message + mac1_offset(len);
    uint8_t *mac2 = message + mac2_offset(len);

    hash_mac(mac1, maker->mac1_key, HASH_LEN, message, mac1_offset(len));
    memcpy(maker->sent_mac1, mac1, COOKIE_MAC_LEN);
    maker->have_sent = true;
    if (maker->have_cookie && now < maker->cookie_got_at + usable)
        hash_mac(mac2, maker->cookie, COOKIE_LEN, message, mac2_offset(len));
    else
        memset(mac2, 0, COOKIE_MAC_LEN);
}

int cookie_consume_reply(struct cookie_maker *maker, const uint8_t *reply, uint64_t now)
{
    const struct aead_ad mac1 = {.data = maker->sent_mac1, .len = COOKIE_MAC_LEN};
    uint8_t cookie[COOKIE_LEN];

    if (!maker->have_sent)
        return -EBADMSG;
    int error = xchacha_open(maker->cookie_key, reply + COOKIE_REPLY_NONCE, &mac1,
                             reply + COOKIE_REPLY_COOKIE, COOKIE_LEN + XCHACHA_TAG_LEN, cookie);
    if (error == 0) {
        memcpy(maker->cookie, cookie, COOKIE_LEN);
        maker->have_cookie = true;
        maker->cookie_got_at = now;
        maker->have_sent = false;
    }
    sodium_memzero(cookie, sizeof(cookie));
    return error;
}
