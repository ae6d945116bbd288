/*
 * ledger: what a simulation writes down to judge it by: each nonce that a key was used with, and
 * each inner packet, whom it was for and how often it came.
 */
#ifndef MANYTUN_TESTS_SIM_LEDGER_H
#define MANYTUN_TESTS_SIM_LEDGER_H

#include "tests/sim/network.h"

#include "engine/crypto/aead.h"

#define SEALED_BITS    16
#define SEALED_SLOTS   (1u << SEALED_BITS)
#define LEDGER_PACKETS 8192
#define NOBODY         SIZE_MAX

struct ledger {
    uint64_t sealed[SEALED_SLOTS]; /* a hash set of key and nonce; 0 = free */
    size_t sealed_count;
    struct ledger_packet {
        size_t sender;
        size_t receiver; /* NOBODY = it was not taken */
        size_t len;
        bool arrived;
    } packets[LEDGER_PACKETS];
    uint32_t packets_count;
};

/* The ledger of the life that is going on: the AEAD has no context to find it by. */
static struct ledger ledger;

static inline void ledger_clear(void)
{
    memset(ledger.sealed, 0, sizeof(ledger.sealed));
    ledger.sealed_count = 0;
    ledger.packets_count = 0;
}

/* --- Nonces ---------------------------------------------------------------------------------- */

static inline uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 32;
}

/* Two that differ have the same one by a chance of one in 2^64. */
static inline uint64_t fingerprint(const struct aead_key *key, uint64_t counter)
{
    uint64_t hash = mix(UINT64_C(0x6d616e7974756e21), counter);
    for (size_t i = 0; i < AEAD_KEY_LEN; i += 8)
        hash = mix(hash, load_le64(key->bytes + i));
    return hash ? hash : 1;
}

static inline void ledger_seal(const struct aead_key *key, uint64_t counter)
{
    const uint64_t value = fingerprint(key, counter);
    size_t slot = value >> (64 - SEALED_BITS);
    assert_true(++ledger.sealed_count < SEALED_SLOTS / 2);
    for (; ledger.sealed[slot]; slot = (slot + 1) % SEALED_SLOTS)
        assert_true(ledger.sealed[slot] != value); /* else a nonce was used twice with a key */
    ledger.sealed[slot] = value;
}

/* The linker puts these around aead_seal(): every encryption there is goes through here. */
void __real_aead_seal(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
                      const uint8_t *in, size_t len, uint8_t *out);
void __wrap_aead_seal(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
                      const uint8_t *in, size_t len, uint8_t *out);
void __wrap_aead_seal(const struct aead_key *key, uint64_t counter, const struct aead_ad *ad,
                      const uint8_t *in, size_t len, uint8_t *out)
{
    ledger_seal(key, counter);
    __real_aead_seal(key, counter, ad, in, len, out);
}

/* --- Packets --------------------------------------------------------------------------------- */

/* What a packet has behind its number. */
static inline uint8_t packet_byte(uint32_t number, size_t at)
{
    return (uint8_t)(number * 31 + at * 7);
}

static inline uint32_t ledger_packet_new(size_t sender, size_t len)
{
    assert_true(ledger.packets_count < LEDGER_PACKETS);
    ledger.packets[ledger.packets_count] =
        (struct ledger_packet){.sender = sender, .receiver = NOBODY, .len = len};
    return ledger.packets_count++;
}

/* A packet came out of a device: for the first time, whole, and where it was sent to. */
static inline void ledger_packet_arrived(size_t node, size_t peer, const uint8_t *packet,
                                         size_t len)
{
    assert_true(len >= PAYLOAD_OFFSET + 4);
    const uint32_t number = load_le32(packet + PAYLOAD_OFFSET);
    assert_true(number < ledger.packets_count);
    struct ledger_packet *entry = &ledger.packets[number];
    assert_int_equal(node, entry->receiver);
    assert_int_equal(peer, entry->sender);
    assert_int_equal(len, entry->len);
    for (size_t i = PAYLOAD_OFFSET + 4; i < len; i++)
        assert_int_equal(packet[i], packet_byte(number, i));
    assert_false(entry->arrived);
    entry->arrived = true;
}

#endif
