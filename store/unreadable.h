/*
 * unreadable: tells of a row that cannot be read. Inside the store.
 */
#ifndef MANYTUN_STORE_UNREADABLE_H
#define MANYTUN_STORE_UNREADABLE_H

#include "store/database.h"

struct json_error;

/* Where the row has what is told of it. */
struct unreadable_columns {
    int name, tunnel, generation, source; /* tunnel: -1 = there is no such column */
};

/* The first error says what is wrong. each may be NULL. */
void unreadable_tell(sqlite3_stmt *row, const struct unreadable_columns *columns,
                     const struct spec_errors *errors, store_each_unreadable *each, void *ctx);

/* A definition is not JSON: notes where. -EINVAL, or -ENOMEM when there was no room to read it. */
int unreadable_json(const struct json_error *error, struct spec_errors *errors);

#endif
