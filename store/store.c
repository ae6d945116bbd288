/*
 * store: opening and closing. A store is open from a successful store_open() to store_close();
 * there is no state between, a failure takes everything back.
 */
#include "store/store.h"

#include "base/log.h"
#include "store/database.h"
#include "store/lock.h"
#include "store/migrations.h"
#include "store/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How long a change waits for another program that holds the database (a person with a shell), in
 * ms. Short: the API answers nobody meanwhile. A backup in WAL mode holds nothing.
 */
#define BUSY_TIMEOUT_MS 250

static int explain(char error[256], int rc, const char *what, const char *path)
{
    snprintf(error, 256, "%s %.150s: %s", what, path, strerror(-rc));
    return rc;
}

static int make_directory(const char *directory, char error[256])
{
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return explain(error, -errno, "cannot make the data directory", directory);
    struct stat st;
    if (stat(directory, &st) < 0)
        return explain(error, -errno, "cannot use the data directory", directory);
    if (!S_ISDIR(st.st_mode))
        return explain(error, -ENOTDIR, "cannot use the data directory", directory);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        log_warn("the data directory %s is open to other users (mode %03o); 0700 is enough",
                 directory, (unsigned)(st.st_mode & 0777));
    return 0;
}

static int adopt_lock(int lock, const char *directory, char error[256])
{
    int rc = store_lock_adopt(lock);
    return rc < 0 ? explain(error, rc, "cannot take over the lock of", directory) : 0;
}

static int take_lock(struct store *store, const char *directory, char error[256])
{
    pid_t holder = 0;
    int fd = store_lock(directory, &holder);
    if (fd == -EBUSY) {
        snprintf(error, 256,
                 "the data directory %.120s is in use by another instance (process %ld): "
                 "stop it, or give this one a directory of its own",
                 directory, (long)holder);
        return fd;
    }
    if (fd < 0)
        return explain(error, fd, "cannot lock the data directory", directory);
    store->lock = fd;
    return 0;
}

/* The file gets its mode before there is anything in it; SQLite gives its WAL the same mode. */
static int make_file(const char *path, char error[256])
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return explain(error, -errno, "cannot open the database", path);
    int rc = fchmod(fd, 0600) < 0 ? -errno : 0;
    close(fd);
    return rc < 0 ? explain(error, rc, "cannot protect the database", path) : 0;
}

/* WAL is not supported on some network file systems; SQLite then says which mode it stayed in. */
static int enter_wal(struct store *store)
{
    sqlite3_stmt *stmt = store_prepare(store, "PRAGMA journal_mode = WAL");
    if (stmt == NULL)
        return store->failure;
    int rc = store_step(store, stmt);
    const char *mode = rc == 1 ? store_column_text(stmt, 0) : NULL;
    bool wal = mode != NULL && strcmp(mode, "wal") == 0;
    store_finish(store, stmt);
    if (rc >= 0 && !wal) {
        snprintf(store->error, sizeof(store->error),
                 "the file system does not support a write-ahead log");
        rc = -EIO;
    }
    return rc < 0 ? rc : 0;
}

static int configure(struct store *store)
{
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
    if (sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) != SQLITE_OK)
        return store_fail(store, "configuring the database");
    /* No temporary files: a read-only root file system has nowhere to put them. */
    int rc = store_exec(store, "PRAGMA temp_store = MEMORY");
    if (rc == 0)
        rc = enter_wal(store);
    /* Deleted keys are overwritten in the file. */
    if (rc == 0)
        rc = store_exec(store, "PRAGMA synchronous = FULL;"
                               "PRAGMA foreign_keys = ON;"
                               "PRAGMA secure_delete = ON;");
    return rc;
}

/* Finds damage at the start, all over the file, and not when a statement happens to meet it. */
static int check_pages(struct store *store)
{
    sqlite3_stmt *stmt = store_prepare(store, "PRAGMA quick_check(1)");
    if (stmt == NULL)
        return store->failure;
    int rc = store_step(store, stmt);
    const char *verdict = rc == 1 ? store_column_text(stmt, 0) : NULL;
    if (rc >= 0)
        rc = verdict != NULL && strcmp(verdict, "ok") == 0
                 ? 0
                 : store_fail_damaged(store, verdict != NULL ? verdict : "no verdict");
    store_finish(store, stmt);
    return rc;
}

static int open_database(struct store *store, const char *path, char error[256])
{
    int rc = make_file(path, error);
    if (rc < 0)
        return rc;
    if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        if (store->db == NULL)
            return explain(error, -ENOMEM, "cannot open the database", path);
        rc = store_fail(store, "opening");
    } else {
        rc = configure(store);
    }
    if (rc == 0)
        rc = check_pages(store);
    if (rc == 0)
        rc = store_migrate(store, path, &store_migrations);
    if (rc < 0)
        snprintf(error, 256, "the database %.80s: %.160s", path, store->error);
    return rc;
}

static int open_store(const char *directory, const char *key_file, int lock, bool again,
                      struct store **out, char error[256])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/manytun.db", directory) >= (int)sizeof(path))
        return explain(error, -ENAMETOOLONG, "cannot use the data directory", directory);
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return explain(error, -ENOMEM, "cannot open the database", path);
    store->lock = -1;
    store->opened_again = again;
    int rc = make_directory(directory, error);
    if (rc == 0 && lock < 0)
        rc = take_lock(store, directory, error);
    else if (rc == 0)
        rc = adopt_lock(lock, directory, error);
    if (rc == 0)
        rc = open_database(store, path, error);
    if (rc == 0)
        rc = secrets_unlock(store, directory, key_file, error);
    if (rc < 0) {
        store_close(store);
        return rc;
    }
    if (lock >= 0)
        store->lock = lock;
    *out = store;
    return 0;
}

int store_open(const char *directory, struct store **out, char error[256])
{
    return open_store(directory, NULL, -1, false, out, error);
}

int store_open_with_key(const char *directory, const char *key_file, struct store **out,
                        char error[256])
{
    return open_store(directory, key_file, -1, false, out, error);
}

int store_open_locked(const char *directory, const char *key_file, int lock, struct store **out,
                      char error[256])
{
    return open_store(directory, key_file, lock, false, out, error);
}

int store_open_again(const char *directory, const char *key_file, int lock, struct store **out,
                     char error[256])
{
    return open_store(directory, key_file, lock, true, out, error);
}

int store_lock_fd(const struct store *store)
{
    return store->lock;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    store_forget_statements(store);
    sqlite3_close(store->db);
    secrets_lock(store);
    /* Last: whoever waits for the lock may open the database. */
    if (store->lock >= 0)
        close(store->lock);
    free(store);
}

const char *store_error(const struct store *store)
{
    return store->error;
}
