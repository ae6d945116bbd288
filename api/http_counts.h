/*
 * http_counts: how many requests were answered, by the route's template and the status.
 *
 * Templates and statuses come from tables in this program, never from a request, so the number of
 * entries is bounded by them.
 */
#ifndef MANYTUN_API_HTTP_COUNTS_H
#define MANYTUN_API_HTTP_COUNTS_H

#include <stddef.h>
#include <stdint.h>

/* Above the paths of the route table times the statuses that they answer with. */
#define HTTP_COUNTS_MAX 512

struct http_counts {
    struct http_count {
        const char *route; /* a path of the route table, or "none" */
        int status;
        uint64_t count;
    } entries[HTTP_COUNTS_MAX]; /* in the order in which they were first seen */
    size_t used;
};

/* route is borrowed for ever. What finds no entry free is not counted. */
void http_counts_add(struct http_counts *counts, const char *route, int status);

#endif
