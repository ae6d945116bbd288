/* turn: once per turn, in order, and what items may do to others. */
#include "engine/turn.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

struct thing {
    struct turn_item item;
    struct turn *turn;
    struct thing *then;   /* deferred when this one runs */
    struct thing *cancel; /* cancelled when this one runs */
    char *log;
    char name;
};

static void run(struct turn_item *item)
{
    struct thing *thing = (struct thing *)item;
    *strchr(thing->log, '.') = thing->name;
    if (thing->then)
        turn_defer(thing->turn, &thing->then->item);
    if (thing->cancel)
        turn_cancel(thing->turn, &thing->cancel->item);
}

static void runs_each_once_in_order(void **state)
{
    (void)state;
    struct turn turn;
    char log[] = "......";
    struct thing a = {.item.run = run, .turn = &turn, .log = log, .name = 'a'};
    struct thing b = {.item.run = run, .turn = &turn, .log = log, .name = 'b'};
    struct thing c = {.item.run = run, .turn = &turn, .log = log, .name = 'c'};
    turn_init(&turn);
    turn_end(&turn);
    a.then = &c;
    turn_defer(&turn, &b.item);
    turn_defer(&turn, &a.item);
    turn_defer(&turn, &b.item);
    turn_end(&turn);
    assert_string_equal(log, "bac...");
    turn_end(&turn);
    assert_string_equal(log, "bac...");
    turn_defer(&turn, &b.item);
    turn_end(&turn);
    assert_string_equal(log, "bacb..");
}

static void cancels(void **state)
{
    (void)state;
    struct turn turn;
    char log[] = "......";
    struct thing a = {.item.run = run, .turn = &turn, .log = log, .name = 'a'};
    struct thing b = {.item.run = run, .turn = &turn, .log = log, .name = 'b'};
    turn_init(&turn);
    a.cancel = &b;
    turn_cancel(&turn, &b.item); /* not there: nothing happens */
    turn_defer(&turn, &a.item);
    turn_defer(&turn, &b.item);
    turn_end(&turn);
    assert_string_equal(log, "a.....");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_each_once_in_order),
        cmocka_unit_test(cancels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
