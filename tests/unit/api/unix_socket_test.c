#include "api/unix_socket.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534

static char directory[64];
static char path[96];

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/unix-test-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/api.sock", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static int connect_client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void test_mode_from_the_start(void **state)
{
    (void)state;
    mode_t mask = umask(0);
    int fd = unix_socket_listen(path, SOCK_STREAM);
    umask(mask);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    close(fd);
}

static void test_live_socket_is_kept(void **state)
{
    (void)state;
    int fd = unix_socket_listen(path, SOCK_STREAM);
    assert_int_equal(unix_socket_listen(path, SOCK_STREAM), -EADDRINUSE);
    int client = connect_client();
    assert_true(client >= 0);
    close(client);
    close(fd);
}

static void test_stale_socket_is_replaced(void **state)
{
    (void)state;
    close(unix_socket_listen(path, SOCK_STREAM));
    int fd = unix_socket_listen(path, SOCK_STREAM);
    assert_true(fd >= 0);
    int client = connect_client();
    assert_true(client >= 0);
    close(client);
    close(fd);
}

static void test_other_files_are_kept(void **state)
{
    (void)state;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(unix_socket_listen(path, SOCK_STREAM), -EEXIST);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_unusable_paths(void **state)
{
    (void)state;
    char long_path[200];
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(unix_socket_listen(long_path, SOCK_STREAM), -ENAMETOOLONG);
    assert_int_equal(unix_socket_listen("/nonexistent/api.sock", SOCK_STREAM), -ENOENT);
}

static void test_own_user_is_the_owner(void **state)
{
    (void)state;
    int fd = unix_socket_listen(path, SOCK_STREAM);
    int client = connect_client();
    int accepted = accept(fd, NULL, NULL);
    uid_t uid = (uid_t)-1;
    assert_true(unix_socket_peer_is_owner(accepted, &uid));
    assert_int_equal(uid, geteuid());
    close(accepted);
    close(client);
    close(fd);
    uid = 4711;
    assert_false(unix_socket_peer_is_owner(-1, &uid));
    assert_int_equal(uid, 4711);
}

/* Someone who got hold of the socket all the same. Only root can play another user. */
static void test_another_user_is_a_stranger(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root\n");
        skip();
    }
    int fd = unix_socket_listen(path, SOCK_STREAM);
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(chmod(path, 0666), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(setuid(NOBODY) < 0 || connect_client() < 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    int accepted = accept(fd, NULL, NULL);
    assert_true(accepted >= 0);
    uid_t uid = 0;
    assert_false(unix_socket_peer_is_owner(accepted, &uid));
    assert_true(uid != 0);
    close(accepted);
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_mode_from_the_start),
        TEST(test_live_socket_is_kept),
        TEST(test_stale_socket_is_replaced),
        TEST(test_other_files_are_kept),
        TEST(test_unusable_paths),
        TEST(test_own_user_is_the_owner),
        TEST(test_another_user_is_a_stranger),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
