/* packets: owns nothing; each kind is a row of a table. */
#include "tests/flood/packets.h"

#include "engine/crypto/hash.h"
#include "engine/wg/messages.h"

#include <sodium.h>
#include <string.h>

#define KEY_LEN  32
#define DATA_LEN 128 /* as a small packet inside */

static size_t make_initiation(const uint8_t *public_key, uint8_t *out)
{
    static const char label[] = "mac1----";
    uint8_t key[HASH_LEN];

    randombytes_buf(out, INITIATION_MAC1);
    store_le32(out + MESSAGE_TYPE, MESSAGE_INITIATION);
    hash_two(key, label, sizeof(label) - 1, public_key, KEY_LEN);
    hash_mac(out + INITIATION_MAC1, key, sizeof(key), out, INITIATION_MAC1);
    memset(out + INITIATION_MAC1 + HASH_MAC_LEN, 0, HASH_MAC_LEN);
    return INITIATION_LEN;
}

static size_t make_bad_mac1(const uint8_t *public_key, uint8_t *out)
{
    size_t len = make_initiation(public_key, out);
    randombytes_buf(out + INITIATION_MAC1, HASH_MAC_LEN);
    return len;
}

static size_t make_unknown_index(const uint8_t *public_key, uint8_t *out)
{
    (void)public_key;
    randombytes_buf(out, DATA_LEN);
    store_le32(out + MESSAGE_TYPE, MESSAGE_DATA);
    return DATA_LEN;
}

static size_t make_truncated(const uint8_t *public_key, uint8_t *out)
{
    return 1 + randombytes_uniform((uint32_t)make_initiation(public_key, out) - 1);
}

static size_t make_random(const uint8_t *public_key, uint8_t *out)
{
    (void)public_key;
    randombytes_buf(out, FLOOD_DATAGRAM_MAX);
    return 1 + randombytes_uniform(FLOOD_DATAGRAM_MAX);
}

static const struct {
    const char *name;
    size_t (*make)(const uint8_t *public_key, uint8_t *out);
} kinds[FLOOD_KINDS] = {
    [FLOOD_INITIATION] = {"initiation", make_initiation},
    [FLOOD_BAD_MAC1] = {"bad-mac1", make_bad_mac1},
    [FLOOD_UNKNOWN_INDEX] = {"unknown-index", make_unknown_index},
    [FLOOD_TRUNCATED] = {"truncated", make_truncated},
    [FLOOD_RANDOM] = {"random", make_random},
};

enum flood_kind flood_kind_find(const char *name)
{
    enum flood_kind kind = 0;
    while (kind < FLOOD_KINDS && strcmp(kinds[kind].name, name) != 0)
        kind++;
    return kind;
}

size_t flood_packet_make(enum flood_kind kind, const uint8_t *public_key,
                         uint8_t out[FLOOD_DATAGRAM_MAX])
{
    return kinds[kind].make(public_key, out);
}
