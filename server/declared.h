/*
 * declared: the declarative configuration of a service (--config): read at the start, on demand and
 * when it changes on disk, and applied as a whole (server/apply.h) with the source "file".
 *
 * What it defines is all that a file defines: what vanishes from it is deleted. A configuration
 * that is wrong, or cannot be applied, leaves everything as it is; that is logged, an event, and a
 * problem of /v1/status until another one has been applied.
 *
 * The folder is watched, not the file: so a file may be replaced by renaming, as editors do, and
 * the folder's files by exchanging the link "..data", as Kubernetes does.
 */
#ifndef MANYTUN_SERVER_DECLARED_H
#define MANYTUN_SERVER_DECLARED_H

#include "server/conditions.h"

#include <event2/event.h>

struct declared;
struct service;

/* From a change on disk to its reading: several changes at once are one. */
#define DECLARED_SETTLE_MS 200
/* What was refused for a reason that may pass, such as a port in use, is tried again. */
#define DECLARED_RETRY_MS 10000

/*
 * path is a file or a folder, NULL = there is no configuration: loading deletes what an earlier one
 * defined. service and path are borrowed. 0 or -errno.
 */
int declared_new(struct event_base *base, struct service *service, const char *path,
                 struct declared **out);
/* What was applied stays. NULL is allowed. */
void declared_free(struct declared *declared);

/*
 * Reads and applies it now, or as soon as the service is not frozen any more. 0, or -1, and every
 * error was logged.
 */
int declared_load(struct declared *declared);

/*
 * Whether what runs is what the configuration says; NULL while there is none. Valid until the next
 * load.
 */
const struct condition *declared_condition(const struct declared *declared);

#endif
