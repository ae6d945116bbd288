/*
 * migrations: brings a database to the newest schema, one version at a time.
 *
 * PRAGMA user_version counts the entries that were applied. The table is append-only: an entry
 * that was released never changes.
 */
#ifndef MANYTUN_STORE_MIGRATIONS_H
#define MANYTUN_STORE_MIGRATIONS_H

#include "store/database.h"

struct store_migrations {
    const char *const *sql; /* sql[n] leads from version n to n + 1 */
    int count;              /* = the newest version */
};

extern const struct store_migrations store_migrations;

/*
 * Applies what is missing; each version is one transaction. Before an existing database is
 * changed, a copy of it is written to <path>.v<version>.backup (0600). A database that is newer
 * than the table is left alone: -EPROTO, or 0 in a store that is opened again. 0 or a negative
 * errno with a sentence in store->error.
 */
int store_migrate(struct store *store, const char *path, const struct store_migrations *migrations);

#endif
