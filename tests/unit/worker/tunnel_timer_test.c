/* The timer that stands for all deadlines of a tunnel, when memory runs out for it. */
#include "tests/unit/worker/relay_world.h"

#include <dlfcn.h>

static struct {
    bool fails;
    unsigned set, failed; /* timers */
} memory;

/* In place of libevent's: as it is when the heap of timers cannot grow. */
int event_add(struct event *event, const struct timeval *timeout)
{
    static int (*real)(struct event * event, const struct timeval *timeout);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "event_add");
    if (timeout && memory.fails) {
        memory.failed++;
        return -1;
    }
    memory.set += timeout != NULL;
    return real(event, timeout);
}

/* Nothing else may ever come that would set it: it is tried with every turn until it succeeds. */
static void a_timer_that_cannot_be_set_is_tried_again(void **state)
{
    struct fixture *f = *state;
    memory.fails = true;
    for (unsigned turn = 0; turn < 5; turn++) {
        const unsigned failed = memory.failed;
        turn_end(&f->turn);
        assert_true(memory.failed > failed);
        assert_true(turn_has_work(&f->turn)); /* so that the loop does not wait */
    }
    memory.fails = false;
    memory.set = 0;
    for (unsigned turn = 0; turn < 2 && turn_has_work(&f->turn); turn++)
        turn_end(&f->turn);          /* which does as much as there is time for, but one at least */
    assert_int_equal(memory.set, 2); /* of both tunnels */
    assert_false(turn_has_work(&f->turn));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        relay_test(a_timer_that_cannot_be_set_is_tried_again),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
