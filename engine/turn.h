/*
 * turn: what is put off to the end of the current turn of the event loop: flushing a batch once
 * however often it was added to, and freeing an object that callbacks may still be looking at.
 */
#ifndef MANYTUN_ENGINE_TURN_H
#define MANYTUN_ENGINE_TURN_H

#include <stdbool.h>
#include <sys/queue.h>

/* Embedded in the object it is about; zero-initialised but for run. */
struct turn_item {
    TAILQ_ENTRY(turn_item) link;
    void (*run)(struct turn_item *item); /* may free the object, and may defer others */
    bool queued;
};

TAILQ_HEAD(turn, turn_item);

void turn_init(struct turn *turn);
/* Runs item->run at the end of this turn; once, however often it is called before that. */
void turn_defer(struct turn *turn, struct turn_item *item);
void turn_cancel(struct turn *turn, struct turn_item *item);
/* The end of a turn: runs until nothing is put off any more. */
void turn_end(struct turn *turn);

#endif
