/*
 * database: the connection inside a store, and typed access to statements. Only for the files of
 * this folder: nobody else sees SQLite.
 */
#ifndef MANYTUN_STORE_DATABASE_H
#define MANYTUN_STORE_DATABASE_H

#include "store/store.h"

#include <sqlite3.h>
#include <stddef.h>

#define STORE_ERROR_MAX 256
/* More than there are different statements; what does not fit is prepared each time. */
#define STORE_STATEMENTS_MAX 64

struct vault;

struct store_statement {
    sqlite3_stmt *stmt;
    bool lent; /* from store_prepare() to store_finish() */
};

struct store {
    sqlite3 *db;
    struct store_statement statements[STORE_STATEMENTS_MAX];
    size_t statements_count;
    struct vault *vault; /* seals every secret; see secrets.h */
    char *directory;
    char *key_file;
    int lock;                    /* descriptor of the lock file */
    bool opened_again;           /* store_open_again() */
    unsigned depth;              /* of store_begin() */
    int failure;                 /* what the last failed call returned … */
    char error[STORE_ERROR_MAX]; /* … and why */
};

/* Notes what SQLite says about its last failure and returns -EIO, or -ENOMEM. */
int store_fail(struct store *store, const char *doing);
/* Notes that the file is damaged, what says where. Returns -EIO. */
int store_fail_damaged(struct store *store, const char *what);

/* Runs statements without parameters or results. 0 or what store_fail() returns. */
int store_exec(struct store *store, const char *sql);

/*
 * A prepared statement, or NULL with the failure noted. It is kept for the next one who asks for
 * the same: a change of thousands of objects runs few different statements, and to parse one costs
 * more than to run it.
 */
sqlite3_stmt *store_prepare(struct store *store, const char *sql);
/* Gives it back; what was bound is forgotten. NULL is allowed. */
void store_finish(struct store *store, sqlite3_stmt *stmt);
/* Before the database is closed; no statement is lent any more. */
void store_forget_statements(struct store *store);

/* Parameters count from 1. What is bound is borrowed until the statement is reset or finalized. */
bool store_bind_text(sqlite3_stmt *stmt, int index, const char *text);
bool store_bind_blob(sqlite3_stmt *stmt, int index, const void *data, size_t len);
bool store_bind_integer(sqlite3_stmt *stmt, int index, int64_t value);
/* SQLite's integers are signed: what is beyond INT64_MAX is stored as that. */
bool store_bind_uint64(sqlite3_stmt *stmt, int index, uint64_t value);
bool store_bind_time(sqlite3_stmt *stmt, int index, const struct timespec *time);

/* Columns count from 0. */
/* The text, or NULL when it is NULL, not text, or has a NUL inside. Valid until the next step. */
const char *store_column_text(sqlite3_stmt *stmt, int column);
/* Copies a blob of exactly len bytes; false when it is anything else. */
bool store_column_blob(sqlite3_stmt *stmt, int column, void *out, size_t len);
/* What store_bind_uint64() stored; 0 for a negative one, which nobody did: the row is damaged. */
uint64_t store_column_uint64(sqlite3_stmt *stmt, int column);
/* 0, or -EINVAL for a value that there is not. */
int store_column_source(sqlite3_stmt *stmt, int column, enum spec_source *out);
struct timespec store_column_time(sqlite3_stmt *stmt, int column);

/* Steps once. 1 = a row is there, 0 = the end, or -EEXIST (a unique value is taken) or -EIO. */
int store_step(struct store *store, sqlite3_stmt *stmt);
/* Runs a statement that yields no rows and resets it, for the next parameters. */
int store_run(struct store *store, sqlite3_stmt *stmt);

/* Binds the parameters of one row of an array; false when memory ran out. */
typedef bool store_bind_row(sqlite3_stmt *stmt, const void *rows, size_t index);
/* Runs a statement for each of count rows, as one transaction. 0, or what the first failure is. */
int store_run_rows(struct store *store, const char *sql, const char *doing, store_bind_row *bind,
                   const void *rows, size_t count);

#endif
