/* turn: owns nothing; the items are embedded in the objects that put them off. */
#include "engine/turn.h"

#include <stddef.h>

void turn_init(struct turn *turn)
{
    TAILQ_INIT(&turn->work);
    TAILQ_INIT(&turn->ends);
}

static void put_off(struct turn_items *queue, struct turn_item *item)
{
    if (item->queue)
        return;
    item->queue = queue;
    TAILQ_INSERT_TAIL(queue, item, link);
}

void turn_defer(struct turn *turn, struct turn_item *item)
{
    put_off(&turn->ends, item);
}

void turn_queue_work(struct turn *turn, struct turn_item *item)
{
    put_off(&turn->work, item);
}

void turn_cancel(struct turn_item *item)
{
    if (!item->queue)
        return;
    TAILQ_REMOVE(item->queue, item, link);
    item->queue = NULL;
}

static void run_first(struct turn_items *queue)
{
    struct turn_item *item = TAILQ_FIRST(queue);
    turn_cancel(item);
    item->run(item);
}

void turn_end(struct turn *turn)
{
    clock_refresh();
    const uint64_t until = clock_now() + TURN_WORK_NS;
    while (turn_has_work(turn) && clock_now() < until) {
        run_first(&turn->work);
        clock_refresh();
    }
    while (!TAILQ_EMPTY(&turn->ends))
        run_first(&turn->ends);
}

bool turn_has_work(const struct turn *turn)
{
    return !TAILQ_EMPTY(&turn->work);
}
