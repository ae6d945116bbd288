/*
 * change: creations, changes and deletions of several objects as one: all of it happens, or
 * nothing.
 *
 *   prepare   binds, and makes room in the workers, who hear nothing    may fail
 *   commit    all rows and audit records in one transaction             may fail
 *   finish    tells the workers, and lets go of what is over            cannot fail
 *
 * A failure lets go of what was prepared. A socket that one object lets go of and another one asks
 * for at the same address is passed on, and never closed: so ports can be exchanged. Tunnels come
 * before the forwards that use them, deletions last.
 *
 * Whoever makes the steps has validated the definitions and looked at who may do this.
 */
#ifndef MANYTUN_SERVER_CHANGE_H
#define MANYTUN_SERVER_CHANGE_H

#include "server/service.h"

#include <stddef.h>

enum change_kind { CHANGE_CREATE, CHANGE_UPDATE, CHANGE_DELETE };

struct tunnel_step {
    enum change_kind kind;
    struct spec_place place;       /* of the definition, where several are changed */
    struct service_tunnel *tunnel; /* a creation's is in no index until it is finished */
    struct service_tunnel next;    /* of an update: what it becomes */
    bool passed;                   /* its sockets are another step's from now on */
    bool received;                 /* its new sockets were passed on by another step */
};

struct forward_step {
    enum change_kind kind;
    struct spec_place place;
    const char *reason; /* of a deletion, one word in CamelCase, NULL = it was asked for */
    struct service_forward *forward;
    struct service_forward next;
    bool passed;
    bool received;
};

struct change {
    struct service *service;
    struct tunnel_step *tunnels;
    size_t tunnels_count;
    struct forward_step *forwards;
    size_t forwards_count;
};

/*
 * A creation and an update borrow what the
 * specification points to until the change has succeeded, when it belongs to the service. 0 or
 * -ENOMEM.
 */
int tunnel_step_create(struct tunnel_step *step, const struct spec_tunnel *spec,
                       enum spec_source source);
void tunnel_step_update(struct tunnel_step *step, struct service_tunnel *tunnel,
                        const struct spec_tunnel *spec);
void tunnel_step_delete(struct tunnel_step *step, struct service_tunnel *tunnel);

/* tunnel is that of the specification's name; it may be one that the same change creates. */
int forward_step_create(struct forward_step *step, const struct spec_forward *spec,
                        struct service_tunnel *tunnel, enum spec_source source);
void forward_step_update(struct forward_step *step, struct service_forward *forward,
                         const struct spec_forward *spec, struct service_tunnel *tunnel);
void forward_step_delete(struct forward_step *step, struct service_forward *forward);

/*
 * Runs it. 0; or -1 with *problem filled, all as it was before, and what the steps created freed.
 * Either way the steps are over, but the caller owns their arrays.
 */
int change_run(struct change *change, struct problem *problem);
/* Frees what the steps of a change created that is not run. */
void change_abandon(struct change *change);

#endif
