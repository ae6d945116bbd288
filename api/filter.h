/*
 * filter: which objects of a list a query asks for.
 */
#ifndef MANYTUN_API_FILTER_H
#define MANYTUN_API_FILTER_H

#include "api/query.h"
#include "server/service.h"

#include <stdbool.h>

/*
 * ready: by the condition Ready. q: objects in which the text is, in any case; of a tunnel in its
 * name, public key and addresses, and its peers' names, public keys and endpoints; of a forward in
 * its name, its tunnel's, and where it listens and leads to, as "address:port".
 */
bool api_filter_tunnel(const struct query *query, const struct service_tunnel *tunnel);
bool api_filter_forward(const struct query *query, const struct service_forward *forward);

#endif
