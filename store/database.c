/*
 * database: statements of the one connection. A failure is noted in the store, in words, where it
 * happens; callers pass -EIO on.
 */
#include "store/database.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S 1000000000
/* The part of a result code that is not its extension. */
#define PRIMARY_CODE 0xff

/* What to do about it, for a person. */
static const char *advice(int code)
{
    switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ": restore a backup, or repair a copy of it with sqlite3's .recover";
    default:
        return "";
    }
}

int store_fail(struct store *store, const char *doing)
{
    int code = sqlite3_errcode(store->db) & PRIMARY_CODE;
    log_debug("database: %s: %s", doing, sqlite3_errmsg(store->db));
    snprintf(store->error, sizeof(store->error), "%s%s", sqlite3_errmsg(store->db), advice(code));
    store->failure = code == SQLITE_NOMEM ? -ENOMEM : -EIO;
    return store->failure;
}

int store_fail_damaged(struct store *store, const char *what)
{
    snprintf(store->error, sizeof(store->error), "%s (%.80s)%s", sqlite3_errstr(SQLITE_CORRUPT),
             what, advice(SQLITE_CORRUPT));
    for (char *c = store->error; (c = strchr(c, '\n')) != NULL;)
        *c = ' '; /* a log line is one line */
    store->failure = -EIO;
    return store->failure;
}

int store_exec(struct store *store, const char *sql)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_fail(store, sql);
}

/* NULL also while it is lent to somebody else. */
static sqlite3_stmt *borrow(struct store *store, const char *sql)
{
    for (size_t i = 0; i < store->statements_count; i++) {
        struct store_statement *kept = &store->statements[i];
        if (!kept->lent && strcmp(sqlite3_sql(kept->stmt), sql) == 0) {
            kept->lent = true;
            return kept->stmt;
        }
    }
    return NULL;
}

sqlite3_stmt *store_prepare(struct store *store, const char *sql)
{
    sqlite3_stmt *stmt = borrow(store, sql);
    if (stmt != NULL)
        return stmt;
    if (sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) !=
        SQLITE_OK) {
        store_fail(store, sql);
        return NULL;
    }
    if (store->statements_count < STORE_STATEMENTS_MAX)
        store->statements[store->statements_count++] =
            (struct store_statement){.stmt = stmt, .lent = true};
    return stmt;
}

void store_finish(struct store *store, sqlite3_stmt *stmt)
{
    if (stmt == NULL)
        return;
    for (size_t i = 0; i < store->statements_count; i++) {
        if (store->statements[i].stmt != stmt)
            continue;
        sqlite3_reset(stmt);
        sqlite3_clear_bindings(stmt);
        store->statements[i].lent = false;
        return;
    }
    sqlite3_finalize(stmt);
}

void store_forget_statements(struct store *store)
{
    while (store->statements_count > 0)
        sqlite3_finalize(store->statements[--store->statements_count].stmt);
}

bool store_bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
    return sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC) == SQLITE_OK;
}

bool store_bind_blob(sqlite3_stmt *stmt, int index, const void *data, size_t len)
{
    return sqlite3_bind_blob64(stmt, index, data, len, SQLITE_STATIC) == SQLITE_OK;
}

bool store_bind_integer(sqlite3_stmt *stmt, int index, int64_t value)
{
    return sqlite3_bind_int64(stmt, index, value) == SQLITE_OK;
}

bool store_bind_uint64(sqlite3_stmt *stmt, int index, uint64_t value)
{
    return store_bind_integer(stmt, index, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

bool store_bind_time(sqlite3_stmt *stmt, int index, const struct timespec *time)
{
    return store_bind_integer(stmt, index, (int64_t)time->tv_sec * NS_PER_S + time->tv_nsec);
}

const char *store_column_text(sqlite3_stmt *stmt, int column)
{
    if (sqlite3_column_type(stmt, column) != SQLITE_TEXT)
        return NULL;
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    if (text == NULL || strlen(text) != (size_t)sqlite3_column_bytes(stmt, column))
        return NULL;
    return text;
}

bool store_column_blob(sqlite3_stmt *stmt, int column, void *out, size_t len)
{
    if (sqlite3_column_type(stmt, column) != SQLITE_BLOB)
        return false;
    const void *data = sqlite3_column_blob(stmt, column);
    if (data == NULL || (size_t)sqlite3_column_bytes(stmt, column) != len)
        return false;
    memcpy(out, data, len);
    return true;
}

uint64_t store_column_uint64(sqlite3_stmt *stmt, int column)
{
    int64_t value = sqlite3_column_int64(stmt, column);
    return value > 0 ? (uint64_t)value : 0;
}

int store_column_source(sqlite3_stmt *stmt, int column, enum spec_source *out)
{
    int64_t value = sqlite3_column_int64(stmt, column);
    if (value != SPEC_SOURCE_API && value != SPEC_SOURCE_FILE)
        return -EINVAL;
    *out = (enum spec_source)value;
    return 0;
}

struct timespec store_column_time(sqlite3_stmt *stmt, int column)
{
    int64_t ns = sqlite3_column_int64(stmt, column);
    if (ns < 0)
        ns = 0;
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

int store_step(struct store *store, sqlite3_stmt *stmt)
{
    switch (sqlite3_step(stmt)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_UNIQUE:
        return -EEXIST;
    default:
        return store_fail(store, sqlite3_sql(stmt));
    }
}

int store_run(struct store *store, sqlite3_stmt *stmt)
{
    int rc = store_step(store, stmt);
    sqlite3_reset(stmt);
    return rc > 0 ? 0 : rc;
}

static int run_once(struct store *store, const char *sql)
{
    sqlite3_stmt *stmt = store_prepare(store, sql);
    int rc = stmt != NULL ? store_run(store, stmt) : store->failure;
    store_finish(store, stmt);
    return rc;
}

int store_begin(struct store *store)
{
    int rc = run_once(store, store->depth == 0 ? "BEGIN IMMEDIATE" : "SAVEPOINT inner_part");
    if (rc == 0)
        store->depth++;
    return rc;
}

static void roll_back(struct store *store)
{
    /* A failed statement may have rolled everything back already; a failed COMMIT has not. */
    if (sqlite3_get_autocommit(store->db))
        return;
    sqlite3_exec(store->db,
                 store->depth == 0 ? "ROLLBACK" : "ROLLBACK TO inner_part; RELEASE inner_part",
                 NULL, NULL, NULL);
}

int store_end(struct store *store, int rc)
{
    store->depth--;
    if (rc == 0)
        rc = run_once(store, store->depth == 0 ? "COMMIT" : "RELEASE inner_part");
    if (rc < 0)
        roll_back(store);
    return rc;
}

int store_run_rows(struct store *store, const char *sql, const char *doing, store_bind_row *bind,
                   const void *rows, size_t count)
{
    int rc = store_begin(store);
    if (rc < 0)
        return rc;
    sqlite3_stmt *stmt = store_prepare(store, sql);
    rc = stmt != NULL ? 0 : store->failure;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = bind(stmt, rows, i) ? store_run(store, stmt) : store_fail(store, doing);
    store_finish(store, stmt);
    return store_end(store, rc);
}
