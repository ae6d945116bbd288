/* The folder and the file: who may open them, damage, and what survives a kill. */
#include "tests/unit/store/store_world.h"

#include "store/lock.h"

#include <signal.h>
#include <sys/wait.h>

static void test_files_are_private(void **state)
{
    (void)state;
    insert_tunnel("home");
    assert_int_equal(mode_of("manytun.db"), 0600);
    assert_int_equal(mode_of("manytun.db-wal"), 0600);
    assert_int_equal(mode_of("manytun.db-shm"), 0600);
    assert_int_equal(mode_of("lock"), 0600);

    char nested[128];
    snprintf(nested, sizeof(nested), "%s/nested", directory);
    struct store *other;
    char error[256];
    mode_t mask = umask(0);
    assert_int_equal(store_open(nested, &other, error), 0);
    umask(mask);
    assert_int_equal(mode_of("nested"), 0700);
    assert_int_equal(mode_of("nested/manytun.db"), 0600);
    store_close(other);
}

static void test_second_instance_is_refused(void **state)
{
    (void)state;
    struct store *second = NULL;
    char error[256] = "";
    assert_int_equal(store_open(directory, &second, error), -EBUSY);
    assert_null(second);
    char pid[32];
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_non_null(strstr(error, pid));
}

/* What a killed process was about to start may hold the lock a moment longer. */
static void test_lock_is_waited_for(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    pid_t holder = 0;
    int fd = store_lock(directory, &holder);
    assert_true(fd >= 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        usleep(100000);
        _exit(0);
    }
    close(fd); /* the child has the lock now */
    open_store();
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_unusable_directories(void **state)
{
    (void)state;
    struct store *other;
    char error[256] = "";
    assert_int_equal(store_open("/nonexistent/data", &other, error), -ENOENT);
    assert_non_null(strstr(error, "/nonexistent/data"));
    assert_int_equal(store_open(path_of("manytun.db"), &other, error), -ENOTDIR);
}

/* --- Damage ----------------------------------------------------------------------------------- */

static void test_file_that_is_no_database(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    FILE *file = fopen(path_of("manytun.db"), "w");
    for (int i = 0; i < 1000; i++)
        fputs("not a database ", file);
    fclose(file);
    char error[256] = "";
    assert_true(store_open(directory, &store, error) < 0);
    assert_non_null(strstr(error, "manytun.db"));
}

/* Wherever the damage is, and whether or not what is read at the start is there. */
static void test_damage_is_found_at_the_start(void **state)
{
    (void)state;
    enum { PAGE = 4096, PAGES = 16 };
    static uint8_t damage[PAGE];
    memset(damage, 0xa5, sizeof(damage));
    insert_tunnel("home");
    insert_forward("web", "home");
    store_close(store);
    store = NULL;
    FILE *file = fopen(path_of("manytun.db"), "r+");
    assert_non_null(file);
    for (long page = 1; page < PAGES; page++) {
        uint8_t saved[PAGE];
        assert_int_equal(fseek(file, page * PAGE, SEEK_SET), 0);
        if (fread(saved, sizeof(saved), 1, file) != 1)
            break; /* the file has fewer */
        fseek(file, page * PAGE, SEEK_SET);
        fwrite(damage, sizeof(damage), 1, file);
        fflush(file);
        char error[256] = "";
        assert_int_equal(store_open(directory, &store, error), -EIO);
        assert_null(store);
        assert_non_null(strstr(error, "manytun.db: database disk image is malformed"));
        assert_non_null(strstr(error, "restore a backup"));
        assert_null(strchr(error, '\n'));
        fseek(file, page * PAGE, SEEK_SET);
        fwrite(saved, sizeof(saved), 1, file);
        fflush(file);
    }
    fclose(file);
    open_store();
    assert_tunnels("home ");
}

/* --- Durability ------------------------------------------------------------------------------- */

/* The child tells the name of every row after its insertion returned, until it is killed. */
static void insert_until_killed(int out)
{
    char error[256];
    if (store_open(directory, &store, error) < 0)
        _exit(1);
    for (int i = 0;; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%06d", i % 1000000);
        struct store_tunnel tunnel = make_tunnel(name);
        if (store_insert_tunnel(store, &tunnel) < 0 || write(out, &i, sizeof(i)) != sizeof(i))
            _exit(1);
        spec_tunnel_fini(&tunnel.spec);
    }
}

static void test_what_was_told_survives_sigkill(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        insert_until_killed(ends[1]);
    close(ends[1]);
    int last = -1;
    int number;
    while (read(ends[0], &number, sizeof(number)) == sizeof(number)) {
        last = number;
        if (number == 40)
            kill(child, SIGKILL);
    }
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_true(last >= 40);
    open_store(); /* the lock went with the process */
    int rows = count_rows("tunnels");
    assert_true(rows == last + 1 || rows == last + 2);
    assert_int_equal(count_rows("tunnel_secrets"), rows);
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        store_test(test_files_are_private),
        store_test(test_second_instance_is_refused),
        store_test(test_lock_is_waited_for),
        store_test(test_unusable_directories),
        store_test(test_file_that_is_no_database),
        store_test(test_damage_is_found_at_the_start),
        store_test(test_what_was_told_survives_sigkill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
