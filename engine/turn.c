/* turn: owns nothing; the items are embedded in the objects that put them off. */
#include "engine/turn.h"

#include <stddef.h>

void turn_init(struct turn *turn)
{
    TAILQ_INIT(turn);
}

void turn_defer(struct turn *turn, struct turn_item *item)
{
    if (item->queued)
        return;
    item->queued = true;
    TAILQ_INSERT_TAIL(turn, item, link);
}

void turn_cancel(struct turn *turn, struct turn_item *item)
{
    if (!item->queued)
        return;
    item->queued = false;
    TAILQ_REMOVE(turn, item, link);
}

void turn_end(struct turn *turn)
{
    struct turn_item *item;
    while ((item = TAILQ_FIRST(turn))) {
        turn_cancel(turn, item);
        item->run(item);
    }
}
