/*
 * retired: workers of the program that was taken over from, which finish the connections that they
 * have. They end by themselves when none is left, and are ended when their time is over.
 */
#ifndef MANYTUN_SERVER_RETIRED_H
#define MANYTUN_SERVER_RETIRED_H

#include "server/service_takeover.h"

struct event_base;
struct retired;

/* After its channel is closed, a worker may take this long to end before it is killed. */
#define RETIRED_END_SECONDS 2

/* Each worker may go on for so many seconds. 0 or -ENOMEM. */
int retired_new(struct event_base *base, unsigned seconds, struct retired **out);
/* Ends them. NULL is allowed. */
void retired_free(struct retired *retired);
/* Takes the workers out of what was inherited, and what they count for the service's forwards. */
void retired_inherit(struct retired *retired, struct inherited *inherited, struct service *service);
/* How many there are. */
unsigned retired_count(const struct retired *retired);
/* Offers them to the next program, after service_offer_workers(). 0 or what offer returned. */
int retired_offer(const struct retired *retired, service_offer *offer, void *ctx);

#endif
