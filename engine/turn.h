/*
 * turn: what is put off to the end of the current turn of the event loop: flushing a batch once
 * however often it was added to, and freeing an object that callbacks may still be looking at.
 *
 * And what may have to wait for more than one turn: work that takes long (handshakes, and the
 * timers of peers, which begin handshakes). All of it together gets TURN_WORK_NS per turn, in
 * order, so that packets of sessions never wait longer than that, however many tunnels have work to
 * do.
 */
#ifndef MANYTUN_ENGINE_TURN_H
#define MANYTUN_ENGINE_TURN_H

#include "engine/clock.h"

#include <stdbool.h>
#include <sys/queue.h>

#define TURN_WORK_NS CLOCK_NS_PER_MS

struct turn_item;
TAILQ_HEAD(turn_items, turn_item);

/* Embedded in the object it is about; zero-initialised but for run. */
struct turn_item {
    TAILQ_ENTRY(turn_item) link;
    /* May free the object, and may defer others, and itself. */
    void (*run)(struct turn_item *item);
    struct turn_items *queue; /* that it is in; NULL = none */
};

struct turn {
    struct turn_items work;
    struct turn_items ends;
};

void turn_init(struct turn *turn);
/* Runs item->run at the end of this turn; once, however often it is called before that. */
void turn_defer(struct turn *turn, struct turn_item *item);
/* Runs item->run when those that were queued before it have had their turn; once. */
void turn_queue_work(struct turn *turn, struct turn_item *item);
/* Takes an item out of where it waits, if it does. */
void turn_cancel(struct turn_item *item);
/*
 * The end of a turn: runs as much work as there is time for, but at least one item; then what was
 * put off, until there is nothing of that any more. The clock is refreshed.
 */
void turn_end(struct turn *turn);
/* Work is left: the next turn must not wait for anything. */
bool turn_has_work(const struct turn *turn);

#endif
