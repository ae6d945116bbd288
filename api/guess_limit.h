/*
 * guess_limit: how many wrong tokens a network may send: GUESS_LIMIT_BURST at once, and one more
 * every GUESS_LIMIT_SECONDS. Beyond that its tokens are not looked at.
 *
 * A network is an IPv4 address, or the /64 of an IPv6 address. The memory is fixed, and so is the
 * number of guesses in all: a network's place is given to another one only when it has all its
 * guesses back. A network that finds no place shares the guesses of those that also found none.
 * Networks that have sent a right token have a place of their own, so that whoever fills the rest
 * does not keep them out.
 */
#ifndef MANYTUN_API_GUESS_LIMIT_H
#define MANYTUN_API_GUESS_LIMIT_H

#include "base/inet.h"

#include <stdint.h>

#define GUESS_LIMIT_BURST   20
#define GUESS_LIMIT_SECONDS 6

/* Places: for any networks, and for those that have sent a right token. */
#define GUESS_LIMIT_WAYS       4
#define GUESS_LIMIT_SETS       256
#define GUESS_LIMIT_KNOWN_SETS 64

struct guess_limit {
    uint8_t hash_key[16]; /* random: nobody chooses networks that meet in one set */
    struct guess_place {
        uint8_t network[9]; /* the family, and the first 8 bytes of the address; 0 = free */
        uint64_t full_at;   /* when it has all its guesses back */
        uint64_t seen_at;   /* of a known one: its latest right token */
    } places[GUESS_LIMIT_SETS][GUESS_LIMIT_WAYS], known[GUESS_LIMIT_KNOWN_SETS][GUESS_LIMIT_WAYS];
    uint64_t shared[GUESS_LIMIT_SETS]; /* full_at of those that found no place */
    uint64_t failed;                   /* tokens that were wrong */
    uint64_t refused;                  /* that were not looked at */
};

void guess_limit_init(struct guess_limit *limit);

/*
 * How many seconds this address must wait before its token is looked at; 0 = none. Time is
 * monotonic, in seconds, from 1.
 */
unsigned guess_limit_wait(struct guess_limit *limit, const struct inet_addr *from, uint64_t now);
/* What its token was. */
void guess_limit_failed(struct guess_limit *limit, const struct inet_addr *from, uint64_t now);
void guess_limit_succeeded(struct guess_limit *limit, const struct inet_addr *from, uint64_t now);

#endif
