/*
 * cookie: the two MACs of handshake messages, and the cookies that make a sender prove that it
 * receives at its address (sections 5.3, 5.4.4 and 5.4.7).
 */
#ifndef MANYTUN_ENGINE_WG_COOKIE_H
#define MANYTUN_ENGINE_WG_COOKIE_H

#include "base/inet.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/x25519.h"
#include "engine/crypto/xchacha.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COOKIE_LEN     16
#define COOKIE_MAC_LEN HASH_MAC_LEN

/* --- The receiver of handshake messages: one per device ------------------------------------- */

struct cookie_checker {
    uint8_t mac1_key[HASH_LEN];
    uint8_t cookie_key[XCHACHA_KEY_LEN]; /* encrypts cookies on their way */
    uint8_t secret[HASH_LEN];            /* makes cookies; changes */
    uint64_t secret_made_at;
    bool secret_made;
};

/* Derives the keys from our public key; the secret is made when first needed. */
void cookie_checker_init(struct cookie_checker *checker, const uint8_t public_key[X25519_LEN]);
/* True when the secret is missing or too old, and cookie_checker_renew() is due. */
bool cookie_checker_stale(const struct cookie_checker *checker, uint64_t now);
void cookie_checker_renew(struct cookie_checker *checker, const uint8_t secret[HASH_LEN],
                          uint64_t now);

/* Whether a handshake message of len bytes (MACs included) has the right mac1. */
bool cookie_check_mac1(const struct cookie_checker *checker, const uint8_t *message, size_t len);
/* Whether it has the mac2 of a sender that got our cookie at this address and port. */
bool cookie_check_mac2(const struct cookie_checker *checker, const uint8_t *message, size_t len,
                       const union inet_sockaddr *from);
/*
 * Writes the cookie reply (COOKIE_REPLY_LEN bytes) to a handshake message from this address.
 */
void cookie_create_reply(const struct cookie_checker *checker, const uint8_t *message, size_t len,
                         const union inet_sockaddr *from, const uint8_t nonce[XCHACHA_NONCE_LEN],
                         uint8_t *out);

/* --- The sender of handshake messages: one per peer ----------------------------------------- */

struct cookie_maker {
    uint8_t mac1_key[HASH_LEN];
    uint8_t cookie_key[XCHACHA_KEY_LEN];
    uint8_t cookie[COOKIE_LEN];
    uint64_t cookie_got_at;
    bool have_cookie;
    uint8_t sent_mac1[COOKIE_MAC_LEN]; /* of the last message: a cookie reply answers it */
    bool have_sent;
};

/* Derives the keys from the peer's public key. */
void cookie_maker_init(struct cookie_maker *maker, const uint8_t public_key[X25519_LEN]);
void cookie_maker_fini(struct cookie_maker *maker);
/* Fills in mac1, and mac2 when there is a fresh cookie, of a message of len bytes (MACs included).
 */
void cookie_add_macs(struct cookie_maker *maker, uint8_t *message, size_t len, uint64_t now);
/*
 * Takes the cookie out of a cookie reply. 0, or -EBADMSG: not authentic, or no answer to what was
 * sent last.
 */
int cookie_consume_reply(struct cookie_maker *maker, const uint8_t *reply, uint64_t now);

#endif
