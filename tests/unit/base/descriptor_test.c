/* descriptor: what is held stays open until it is let go of, and not longer than its owner wants.
 */
#include "base/descriptor.h"

#include "tests/support/cmocka_all.h"

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

/* Numbers that make the table grow, and grow again. */
#define FAR     200
#define FARTHER 700

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int open_at_least(int fd)
{
    int opened = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, fd);
    assert_true(opened >= fd);
    return opened;
}

static void what_nobody_holds_is_closed_at_once(void **state)
{
    (void)state;
    int fd = open_at_least(FAR);
    descriptor_close(fd);
    assert_false(is_open(fd));
}

static void what_is_held_is_closed_with_the_last_hold(void **state)
{
    (void)state;
    int fd = open_at_least(FAR);
    int other = open_at_least(FARTHER);
    assert_int_equal(descriptor_hold(fd), 0);
    assert_int_equal(descriptor_hold(fd), 0);
    assert_int_equal(descriptor_hold(other), 0);
    descriptor_close(fd);
    assert_true(is_open(fd));
    descriptor_release(fd);
    assert_true(is_open(fd));
    descriptor_release(fd);
    assert_false(is_open(fd));

    assert_int_equal(open_at_least(fd), fd); /* the number's next owner */
    assert_int_equal(descriptor_hold(fd), 0);
    descriptor_release(fd);
    assert_true(is_open(fd));
    descriptor_close(fd);
    assert_false(is_open(fd));

    assert_true(is_open(other));
    descriptor_release(other);
    assert_true(is_open(other));
    descriptor_close(other);
    assert_false(is_open(other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_holds_is_closed_at_once),
        cmocka_unit_test(what_is_held_is_closed_with_the_last_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
