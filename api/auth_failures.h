/*
 * auth_failures: reports requests that came with a token that opens nothing, as events, and not
 * more often than somebody who guesses tokens should be able to push other events out.
 */
#ifndef MANYTUN_API_AUTH_FAILURES_H
#define MANYTUN_API_AUTH_FAILURES_H

#include "server/events.h"

#include <stdbool.h>
#include <stdint.h>

/* The time between two reports; what happens in between is counted into the second. */
#define AUTH_FAILURES_SECONDS 10

struct auth_failures {
    uint64_t unreported;
    uint64_t reported_at; /* in the clock of now */
    bool reported;        /* ever */
};

/* One failure, of a client at the address `from`, at `now` (monotonic, in seconds). */
void auth_failures_note(struct auth_failures *failures, struct events *events, const char *from,
                        uint64_t now);

#endif
