/*
 * rfc3339: times as text, "2030-01-31T12:00:00Z" (RFC 3339, section 5.6).
 */
#ifndef MANYTUN_API_RFC3339_H
#define MANYTUN_API_RFC3339_H

#include <time.h>

/*
 * Reads one date and time with its offset and nothing else. Fractions count down to nanoseconds;
 * leap seconds are refused, since this host's clock has none. 0 or -EINVAL.
 */
int rfc3339_parse(const char *text, struct timespec *out);

#endif
