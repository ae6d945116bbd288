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
        turn_cancel(&thing->cancel->item);
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
    turn_cancel(&b.item); /* not there: nothing happens */
    turn_defer(&turn, &a.item);
    turn_defer(&turn, &b.item);
    turn_end(&turn);
    assert_string_equal(log, "a.....");
}

/* Takes all the time that a turn has for work, and wants to go on. */
static void run_long(struct turn_item *item)
{
    struct thing *thing = (struct thing *)item;
    const uint64_t until = clock_now() + TURN_WORK_NS;
    *strchr(thing->log, '.') = thing->name;
    while (clock_now() < until)
        clock_refresh();
    turn_queue_work(thing->turn, item);
    if (thing->then)
        turn_defer(thing->turn, &thing->then->item);
}

static void work_is_bounded_and_taken_in_turns(void **state)
{
    (void)state;
    struct turn turn;
    char log[] = "........";
    struct thing end = {.item.run = run, .turn = &turn, .log = log, .name = 'e'};
    struct thing a = {.item.run = run_long, .turn = &turn, .log = log, .name = 'a', .then = &end};
    struct thing b = {.item.run = run_long, .turn = &turn, .log = log, .name = 'b'};
    struct thing c = {.item.run = run, .turn = &turn, .log = log, .name = 'c'};
    turn_init(&turn);
    assert_false(turn_has_work(&turn));
    turn_queue_work(&turn, &a.item);
    turn_queue_work(&turn, &b.item);
    turn_queue_work(&turn, &c.item);
    turn_queue_work(&turn, &a.item);
    turn_end(&turn);
    assert_string_equal(log, "ae......"); /* what it put off does not wait for the others */
    assert_true(turn_has_work(&turn));
    turn_end(&turn);
    assert_string_equal(log, "aeb.....");
    turn_end(&turn);
    assert_string_equal(log, "aebcae..");
    turn_cancel(&a.item);
    turn_cancel(&b.item);
    assert_false(turn_has_work(&turn));
    turn_end(&turn);
    assert_string_equal(log, "aebcae..");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_each_once_in_order),
        cmocka_unit_test(cancels),
        cmocka_unit_test(work_is_bounded_and_taken_in_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
