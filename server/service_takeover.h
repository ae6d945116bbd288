/*
 * service_takeover: handing a running service over to another process (docs/architecture.md,
 * "Takeover"): the older side offers its descriptors, the newer one inherits them.
 */
#ifndef MANYTUN_SERVER_SERVICE_TAKEOVER_H
#define MANYTUN_SERVER_SERVICE_TAKEOVER_H

#include "server/inherited.h"

struct service;

/* While it is frozen every change is refused, and nothing is bound or tried again. */
void service_freeze(struct service *service);
void service_thaw(struct service *service);

/* The older side. An offer duplicates the descriptors; another value than 0 ends the offering. */
typedef int service_offer(void *ctx, enum inherited_kind kind, const char *name,
                          const int fds[INHERITED_FDS_MAX]);
/* Outer sockets and listeners. 0 or what offer returned. */
int service_offer_sockets(struct service *service, service_offer *offer, void *ctx);
/*
 * The workers give their tunnels up and go on alone; done is called once (maybe before this
 * returns). There is no way back: the service may only be looked at from here on, and the process
 * must end without freeing it, because that would end what others have now.
 */
void service_retire(struct service *service, void (*done)(void *ctx), void *ctx);
/* After that, when the successor was lost: the same for another one, with other bridges. */
void service_retire_again(struct service *service, void (*done)(void *ctx), void *ctx);
/* After either: the bridges, and the workers with what they count, for service_adopt_counts(). 0 or
 * what offer returned. */
int service_offer_bridges(struct service *service, service_offer *offer, void *ctx);
int service_offer_workers(struct service *service, service_offer *offer, void *ctx);

/* The newer side, after restoring: what workers that live on count is the forwards', too. */
struct retired_counts;
void service_adopt_counts(struct service *service, struct retired_counts *counts);

/* The newer side: what service_restore() takes sockets from. Borrowed; NULL = binds all itself. */
void service_inherit(struct service *service, struct inherited *inherited);

#endif
