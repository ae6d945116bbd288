/*
 * tai64n: no state. TAI is taken to be ten seconds ahead of UTC, as at the epoch; leap seconds
 * since then do not matter, as only the order of one sender's timestamps does.
 */
#include "engine/wg/tai64n.h"

#include "engine/wg/messages.h"

#define TAI64N_EPOCH UINT64_C(0x400000000000000a)
#define TAI64N_STEP  (UINT32_C(1) << 24)

void tai64n_make(uint8_t out[TAI64N_LEN], const struct timespec *wall)
{
    uint64_t seconds = wall->tv_sec > 0 ? (uint64_t)wall->tv_sec : 0;
    uint32_t nanoseconds = wall->tv_sec >= 0 ? (uint32_t)wall->tv_nsec : 0;

    store_be64(out, TAI64N_EPOCH + seconds);
    store_be32(out + 8, nanoseconds & ~(TAI64N_STEP - 1));
}

void tai64n_advance(uint8_t stamp[TAI64N_LEN])
{
    uint64_t seconds = load_be64(stamp);
    uint32_t nanoseconds = load_be32(stamp + 8) + TAI64N_STEP;

    if (nanoseconds >= WG_SECOND) {
        nanoseconds = 0;
        seconds++;
    }
    store_be64(stamp, seconds);
    store_be32(stamp + 8, nanoseconds);
}

uint64_t tai64n_unix_ns(const uint8_t stamp[TAI64N_LEN])
{
    uint64_t seconds = load_be64(stamp);
    return seconds < TAI64N_EPOCH ? 0 : (seconds - TAI64N_EPOCH) * WG_SECOND + load_be32(stamp + 8);
}

bool tai64n_after(const uint8_t a[TAI64N_LEN], const uint8_t b[TAI64N_LEN])
{
    return memcmp(a, b, TAI64N_LEN) > 0;
}
