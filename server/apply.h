/*
 * apply: makes a whole desired state (base/config.h) real: what differs is created and changed,
 * and nothing else is touched; all of it, or nothing (server/change.h).
 *
 * Each source has its own objects. The API may name what a file defines only as it is; a file may
 * not name what the API made.
 */
#ifndef MANYTUN_SERVER_APPLY_H
#define MANYTUN_SERVER_APPLY_H

#include "base/config.h"
#include "server/service.h"

#include <stddef.h>

struct apply_options {
    enum spec_source source; /* who asks */
    bool prune;              /* the source's objects that are not in the config are deleted */
    bool dry_run;            /* only say what would be done; whether ports are free is not tried */
};

enum apply_outcome {
    APPLY_CREATED,
    APPLY_UPDATED,
    APPLY_UNCHANGED,
    APPLY_DELETED,
    APPLY_OUTCOMES /* their number */
};

enum apply_kind { APPLY_TUNNEL, APPLY_FORWARD, APPLY_KINDS };

/* What was done, or would be: first tunnels, then forwards, as the config has them, then by name.
 */
struct apply_result {
    struct apply_item {
        enum apply_kind kind;
        enum apply_outcome outcome;
        char name[SPEC_NAME_MAX + 1];
    } * items;
    size_t count;
    size_t counts[APPLY_OUTCOMES];
};

/*
 * config has been read and not checked yet. On success what was created and changed is moved out of
 * it. 0 with *result filled, which the caller frees; or -1 with *problem filled, every error with
 * the place of its definition, and nothing is changed.
 */
int service_apply(struct service *service, struct config *config,
                  const struct apply_options *options, struct apply_result *result,
                  struct problem *problem);
void apply_result_fini(struct apply_result *result);

/* The number of all definitions' changes: the same number, the same definitions. 0 or -errno. */
int service_definitions_generation(struct service *service, uint64_t *out);

#endif
