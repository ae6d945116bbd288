/* inherited: what a process leaves to itself after execve(), and files that are no such thing. */
#include "server/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static void add(struct inherited *inherited, const char *name, int fd)
{
    struct inherited_item item = {.kind = INHERITED_FORWARD, .fds = {fd, -1}};
    strcpy(item.name, name);
    assert_int_equal(inherited_add(inherited, &item), 0);
    assert_int_equal(item.fds[0], -1);
}

/* As after execve(): the descriptors are there under their numbers, and nobody knows of them. */
static void is_kept_with_its_descriptors(void **state)
{
    (void)state;
    int fds[INHERITED_FDS_MAX], pair[2];
    struct inherited *before, *after;
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    assert_int_equal(inherited_new(&before), 0);
    add(before, "web", pair[0]);
    add(before, "ssh", pair[1]);
    int file = inherited_keep(before);
    assert_true(file >= 0);
    assert_int_equal(fcntl(file, F_GETFD), 0);
    assert_int_equal(fcntl(pair[0], F_GETFD), 0);
    assert_int_equal(inherited_find_kept(file, &after), 0);
    assert_int_equal(fcntl(file, F_GETFD), -1);
    assert_int_equal(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
    assert_true(inherited_take(after, INHERITED_FORWARD, "ssh", fds));
    assert_int_equal(fds[0], pair[1]);
    assert_int_equal(fds[1], -1);
    assert_true(inherited_take(after, INHERITED_FORWARD, "web", fds));
    assert_int_equal(fds[0], pair[0]);
    inherited_free(after);
    inherited_free(before); /* which owned them, and execve() would have ended */
    assert_int_equal(fcntl(pair[0], F_GETFD), -1);
}

static int make_file(const void *bytes, size_t len)
{
    int fd = memfd_create("inherited-test", MFD_CLOEXEC);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    return fd;
}

static void another_file_is_refused(void **state)
{
    (void)state;
    struct inherited *found;
    struct inherited_item closed = {.kind = INHERITED_FORWARD, .fds = {1000000, -1}};
    struct inherited_item endless = {.kind = INHERITED_FORWARD, .fds = {-1, -1}};
    memset(endless.name, 'x', sizeof(endless.name));
    assert_int_equal(inherited_find_kept(make_file("x", 1), &found), -EPROTO);
    assert_int_equal(inherited_find_kept(make_file(&closed, sizeof(closed)), &found), -EPROTO);
    assert_int_equal(inherited_find_kept(make_file(&endless, sizeof(endless)), &found), -EPROTO);
    assert_int_equal(inherited_find_kept(1000000, &found), -EPROTO);
    assert_int_equal(inherited_find_kept(make_file("", 0), &found), 0);
    inherited_free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_kept_with_its_descriptors),
        cmocka_unit_test(another_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
