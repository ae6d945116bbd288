/*
 * tai64n: the timestamps that keep initiations from being replayed (section 5.4.2).
 *
 * Twelve bytes, big-endian, so that memcmp() orders them: seconds since 1970 TAI plus 2^62, and
 * nanoseconds. The nanoseconds are rounded down to a multiple of 2^24 (16.8 ms), so that they do
 * not tell how long the machine computed.
 */
#ifndef MANYTUN_ENGINE_WG_TAI64N_H
#define MANYTUN_ENGINE_WG_TAI64N_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define TAI64N_LEN 12

/* The timestamp of a wall-clock time. Times before 1970 count as 1970. */
void tai64n_make(uint8_t out[TAI64N_LEN], const struct timespec *wall);
/* Adds the smallest step that survives the rounding. */
void tai64n_advance(uint8_t stamp[TAI64N_LEN]);
/* Nanoseconds since 1970; 0 for what is earlier. */
uint64_t tai64n_unix_ns(const uint8_t stamp[TAI64N_LEN]);
/* True when a is later than b. */
bool tai64n_after(const uint8_t a[TAI64N_LEN], const uint8_t b[TAI64N_LEN]);

#endif
