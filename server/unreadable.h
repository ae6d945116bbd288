/*
 * unreadable: the stored definitions that could not be read when the service was restored, and the
 * forwards whose tunnel is one of them. They are in the database and nowhere else: nothing of them
 * is started. Each stays, and can be seen (as a condition "Readable" that is False), until it is
 * deleted or replaced, which is done as with any other object; or until its tunnel is there.
 */
#ifndef MANYTUN_SERVER_UNREADABLE_H
#define MANYTUN_SERVER_UNREADABLE_H

#include "server/service.h"

#include <stddef.h>

/* How many are reported as events at a start: more would push out what happened before. */
#define UNREADABLE_EVENTS_MAX 100

#define UNREADABLE_CONDITION "Readable"

enum unreadable_kind { UNREADABLE_TUNNEL, UNREADABLE_FORWARD, UNREADABLE_KINDS };

struct unreadable {
    char name[SPEC_NAME_MAX + 1];
    char tunnel[SPEC_NAME_MAX + 1]; /* of a forward; "" = that cannot be read either */
    char message[160];
    uint64_t generation;
    enum spec_source source;
    bool waits;                   /* a forward that only lacks its tunnel */
    bool replaced;                /* by a change that is not finished yet */
    struct forward_totals totals; /* of such a forward */
    struct condition condition;   /* its message is the one above */
};

/* In the order of names: the first one with a name > after ("" = from the start), or NULL. */
const struct unreadable *service_next_unreadable(const struct service *service,
                                                 enum unreadable_kind kind, const char *after);
const struct unreadable *service_find_unreadable(const struct service *service,
                                                 enum unreadable_kind kind, const char *name);
/* Its generation; 0 = nothing unreadable has this name. */
uint64_t service_unreadable_generation(const struct service *service, enum unreadable_kind kind,
                                       const char *name);
/* What is not there, or there and unreadable: fills the problem, a 404. Returns -1. */
int service_not_found(const struct service *service, enum unreadable_kind kind, const char *name,
                      struct problem *problem);
/* That there are rows without a name that an object can have: nobody can ask for them; or NULL. */
const struct condition *service_unnamed(const struct service *service, enum unreadable_kind kind);

#endif
