/* sighting: owns nothing. */
#include "server/sighting.h"

#include <string.h>

#define NS_PER_S UINT64_C(1000000000)

/* The TAI64 label of the second in which 1970 began. */
#define TAI64_OF_1970 UINT64_C(0x400000000000000a)

static const uint8_t no_timestamp[COUNTERS_TIMESTAMP_LEN];

void sighting_read(struct sighting *sighting, const struct counters_peer *counters)
{
    *sighting = (struct sighting){.endpoint.sa.sa_family = AF_UNSPEC};
    if (counters == NULL)
        return;
    counters_get_endpoint(counters, &sighting->endpoint);
    counters_get_timestamp(counters, sighting->timestamp);
    sighting->heard_unix_ns = counter_get(&counters->last_handshake_unix_ns);
}

void sighting_keep_timestamp(struct sighting *sighting, const struct sighting *before)
{
    if (memcmp(sighting->timestamp, no_timestamp, sizeof(no_timestamp)) == 0)
        memcpy(sighting->timestamp, before->timestamp, sizeof(sighting->timestamp));
}

bool sighting_equal(const struct sighting *a, const struct sighting *b)
{
    return a->heard_unix_ns == b->heard_unix_ns &&
           memcmp(a->timestamp, b->timestamp, sizeof(a->timestamp)) == 0 &&
           inet_sockaddr_equal(&a->endpoint, &b->endpoint);
}

bool sighting_is_empty(const struct sighting *sighting)
{
    return sighting->heard_unix_ns == 0 &&
           memcmp(sighting->timestamp, no_timestamp, sizeof(no_timestamp)) == 0;
}

static uint64_t seconds_of(const uint8_t timestamp[COUNTERS_TIMESTAMP_LEN])
{
    uint64_t seconds = 0;
    for (int i = 0; i < 8; i++)
        seconds = seconds << 8 | timestamp[i];
    return seconds;
}

/* One of the future is of a clock that is wrong, now (as before it is set after a boot) or then. */
static bool is_fresh(const struct sighting *sighting, uint64_t now_unix_ns)
{
    const uint64_t heard = sighting->heard_unix_ns;
    const uint64_t age = now_unix_ns > heard ? now_unix_ns - heard : heard - now_unix_ns;
    return age < SIGHTING_FRESH_SECONDS * NS_PER_S;
}

void sighting_filter(struct sighting *sighting, bool is_defined, uint64_t now_unix_ns)
{
    if (seconds_of(sighting->timestamp) >
        TAI64_OF_1970 + now_unix_ns / NS_PER_S + SIGHTING_AHEAD_SECONDS)
        memset(sighting->timestamp, 0, sizeof(sighting->timestamp));
    if (is_defined && !is_fresh(sighting, now_unix_ns))
        sighting->endpoint.sa.sa_family = AF_UNSPEC;
}
