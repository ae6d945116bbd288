/*
 * messages: the datagrams of WireGuard (section 5.4) and every constant of the protocol.
 *
 * Messages are read and written at these offsets through the bounded loads and stores below, never
 * through a struct laid over a buffer. Integers are little-endian. The type is one byte and three
 * reserved zero bytes, read here as one 32-bit word.
 */
#ifndef MANYTUN_ENGINE_WG_MESSAGES_H
#define MANYTUN_ENGINE_WG_MESSAGES_H

#include <stdint.h>
#include <string.h>

/* --- Layout --------------------------------------------------------------------------------- */

enum message_type {
    MESSAGE_INITIATION = 1,
    MESSAGE_RESPONSE = 2,
    MESSAGE_COOKIE_REPLY = 3,
    MESSAGE_DATA = 4,
};

#define MESSAGE_TYPE     0 /* u32, in every message */
#define MESSAGE_TYPE_LEN 4

/* Handshake initiation (5.4.2). The Noise message goes from the ephemeral to mac1. */
#define INITIATION_SENDER 4
#define INITIATION_NOISE  8
#define INITIATION_MAC1   116
#define INITIATION_LEN    148

/* Handshake response (5.4.3). */
#define RESPONSE_SENDER   4
#define RESPONSE_RECEIVER 8
#define RESPONSE_NOISE    12
#define RESPONSE_MAC1     60
#define RESPONSE_LEN      92

/* Every handshake message ends in mac1 and mac2 (5.4.4). */
#define MESSAGE_MACS_LEN 32

/* Cookie reply (5.4.7). */
#define COOKIE_REPLY_RECEIVER 4
#define COOKIE_REPLY_NONCE    8
#define COOKIE_REPLY_COOKIE   32
#define COOKIE_REPLY_LEN      64

/* Transport data (5.4.6). */
#define DATA_RECEIVER   4
#define DATA_COUNTER    8
#define DATA_CIPHERTEXT 16
#define DATA_OVERHEAD   32 /* header and tag; the length of a keepalive */

/* --- Constants of the protocol (section 6.1) ------------------------------------------------ */

#define WG_SECOND      UINT64_C(1000000000) /* times are in nanoseconds */
#define WG_MILLISECOND UINT64_C(1000000)

#define WG_REKEY_AFTER_MESSAGES  (UINT64_C(1) << 60)
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13))
#define WG_REKEY_AFTER_TIME      (120 * WG_SECOND)
#define WG_REJECT_AFTER_TIME     (180 * WG_SECOND)
#define WG_REKEY_ATTEMPT_TIME    (90 * WG_SECOND)
#define WG_REKEY_TIMEOUT         (5 * WG_SECOND)
#define WG_REKEY_JITTER_MAX      (333 * WG_MILLISECOND)
#define WG_KEEPALIVE_TIMEOUT     (10 * WG_SECOND)
#define WG_NEW_HANDSHAKE_TIME    (WG_KEEPALIVE_TIMEOUT + WG_REKEY_TIMEOUT)
#define WG_ZERO_KEYS_TIME        (3 * WG_REJECT_AFTER_TIME)
#define WG_COOKIE_SECRET_MAX_AGE (120 * WG_SECOND)
#define WG_COOKIE_LATENCY        (5 * WG_SECOND) /* a sender stops using a cookie this early */
#define WG_INITIATION_INTERVAL   (20 * WG_MILLISECOND) /* at least, between two of one peer */

#define WG_PADDING       16
#define WG_TOS_HANDSHAKE 0x88 /* DSCP AF41 */

/* --- Bounds of our own ---------------------------------------------------------------------- */

#define WG_STAGED_MAX             128        /* packets of one peer that wait for a session */
#define WG_STAGED_BYTES_MAX       (64 << 20) /* of all such packets in the process */
#define WG_STAGED_SHARE           32 /* one peer gets at most this part of what is left of that */
#define WG_INITIATION_RETRY       (100 * WG_MILLISECOND) /* the same for an initiation */
#define WG_SEND_RETRY             (10 * WG_MILLISECOND)  /* when the sending side was full */
#define WG_HANDSHAKE_QUEUE_MAX    512             /* handshake messages that wait, device-wide */
#define WG_HANDSHAKE_QUEUE_LOADED 64              /* from here on the device is under load, */
#define WG_HANDSHAKES_LOADED      512             /* and from here on all devices together are */
#define WG_UNDER_LOAD_TIME        (1 * WG_SECOND) /* for how long after that */
#define WG_BATCH_LONG             100             /* cookies needed at one time of the clock; */
#define WG_LONG_BATCHES_BEHIND    16 /* so many times in a row: the device does not keep up, */
#define WG_COOKIES_BEHIND         32 /* and sends so many at a time */
#define WG_HANDSHAKES_PER_TURN    4  /* handshake messages worked off per wg_device_expire() */
#define WG_PEERS_PER_TURN         8  /* peers whose timers run per wg_device_expire() */

/* --- Loads and stores ----------------------------------------------------------------------- */

static inline uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t load_le64(const uint8_t *p)
{
    return (uint64_t)load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

static inline uint16_t load_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)load_be16(p) << 16 | load_be16(p + 2);
}

static inline uint64_t load_be64(const uint8_t *p)
{
    return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

static inline void store_le32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (8 * i));
}

static inline void store_le64(uint8_t *p, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(value >> (8 * i));
}

static inline void store_be32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

static inline void store_be64(uint8_t *p, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(value >> (56 - 8 * i));
}

#endif
