/*
 * http_counts: a table that is searched from its start: the entries are few, and the busy ones come
 * first.
 */
#include "api/http_counts.h"

#include <string.h>

void http_counts_add(struct http_counts *counts, const char *route, int status)
{
    size_t i = 0;
    while (i < counts->used &&
           (counts->entries[i].status != status || strcmp(counts->entries[i].route, route) != 0))
        i++;
    if (i == HTTP_COUNTS_MAX)
        return;
    if (i == counts->used) {
        counts->entries[i] = (struct http_count){.route = route, .status = status};
        counts->used++;
    }
    counts->entries[i].count++;
}
