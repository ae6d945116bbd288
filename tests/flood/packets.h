/*
 * packets: what a flood consists of: datagrams to one WireGuard device that cost it as much as they
 * can without any secret.
 */
#ifndef MANYTUN_TESTS_FLOOD_PACKETS_H
#define MANYTUN_TESTS_FLOOD_PACKETS_H

#include <stddef.h>
#include <stdint.h>

/* The longest datagram of a flood. */
#define FLOOD_DATAGRAM_MAX 512

enum flood_kind {
    FLOOD_INITIATION,    /* of the right form, with the right mac1, and else random */
    FLOOD_BAD_MAC1,      /* the same with a random mac1 */
    FLOOD_UNKNOWN_INDEX, /* data to a random receiver */
    FLOOD_TRUNCATED,     /* the beginning of an initiation */
    FLOOD_RANDOM,        /* random bytes */
    FLOOD_KINDS
};

/* A kind by its name on the command line ("initiation", "bad-mac1", …); FLOOD_KINDS: none. */
enum flood_kind flood_kind_find(const char *name);

/*
 * Writes one datagram, which differs each time, for the device with this public key (32 bytes);
 * returns its length.
 */
size_t flood_packet_make(enum flood_kind kind, const uint8_t *public_key,
                         uint8_t out[FLOOD_DATAGRAM_MAX]);

#endif
