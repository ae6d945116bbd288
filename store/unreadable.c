/*
 * unreadable: owns nothing. Every column of such a row is of any type and value, as SQLite allows.
 */
#include "store/unreadable.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>

static const char *text_or_none(sqlite3_stmt *row, int column)
{
    const char *text = column >= 0 ? store_column_text(row, column) : NULL;
    return text != NULL ? text : "";
}

void unreadable_tell(sqlite3_stmt *row, const struct unreadable_columns *columns,
                     const struct spec_errors *errors, store_each_unreadable *each, void *ctx)
{
    char reason[sizeof(struct spec_error)] = "it is not of the form that is written";
    int64_t generation = sqlite3_column_int64(row, columns->generation);
    struct store_unreadable unreadable = {
        .name = text_or_none(row, columns->name),
        .tunnel = text_or_none(row, columns->tunnel),
        .reason = reason,
        .generation = generation > 0 ? (uint64_t)generation : 1,
        .source = SPEC_SOURCE_API,
    };
    if (each == NULL)
        return;
    if (errors->count > 0)
        snprintf(reason, sizeof(reason), "%s%s%s", errors->items[0].pointer,
                 errors->items[0].pointer[0] != '\0' ? " " : "", errors->items[0].detail);
    store_column_source(row, columns->source, &unreadable.source);
    each(ctx, &unreadable);
}

int unreadable_json(const struct json_error *error, struct spec_errors *errors)
{
    if (error->no_memory)
        return -ENOMEM;
    spec_errors_add(errors, "", "unreadable", "it is not valid JSON: at byte %zu: %s",
                    error->offset, error->detail);
    return -EINVAL;
}
