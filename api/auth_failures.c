/*
 * auth_failures: counts, and reports the first failure at once.
 */
#include "api/auth_failures.h"

#include <stdio.h>

void auth_failures_note(struct auth_failures *failures, struct events *events, const char *from,
                        uint64_t now)
{
    failures->unreported++;
    if (failures->reported && now < failures->reported_at + AUTH_FAILURES_SECONDS)
        return;
    char message[EVENTS_MESSAGE_MAX + 1];
    snprintf(message, sizeof(message),
             "%llu request(s) with a token that opens nothing, the latest from %.64s",
             (unsigned long long)failures->unreported, from);
    events_emit(events, &(struct event_fact){.type = EVENT_AUTH_FAILED,
                                             .reason = "UnknownToken",
                                             .message = message});
    *failures = (struct auth_failures){.reported_at = now, .reported = true};
}
