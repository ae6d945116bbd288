/*
 * change_internal: the parts of a change, by kind of object (tunnel_step.c, forward_step.c), for
 * change.c. They are called in the order of change.h; after a failure, cancel() is called for every
 * step, prepared or not.
 */
#ifndef MANYTUN_SERVER_CHANGE_INTERNAL_H
#define MANYTUN_SERVER_CHANGE_INTERNAL_H

#include "server/change.h"

/* 0, or -1 with *problem filled; its pointers are relative to the step's definition. */
int tunnel_step_prepare(struct change *change, struct tunnel_step *step, struct problem *problem);
int tunnel_step_commit(struct change *change, struct tunnel_step *step, struct problem *problem);
void tunnel_step_finish(struct change *change, struct tunnel_step *step);
void tunnel_step_cancel(struct change *change, struct tunnel_step *step);

int forward_step_prepare(struct change *change, struct forward_step *step, struct problem *problem);
int forward_step_commit(struct change *change, struct forward_step *step, struct problem *problem);
void forward_step_finish(struct change *change, struct forward_step *step);
void forward_step_cancel(struct change *change, struct forward_step *step);

#endif
