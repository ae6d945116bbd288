/*
 * page: one page of a list in the order of names, with the cursor of the next.
 *
 * A cursor is the last name of its page. Names do not change, so what is created or deleted
 * between two pages makes no other object appear twice or not at all.
 *
 * A page ends at the limit of its items, or before, when it has become heavy: objects differ in
 * size by a factor of thousands.
 */
#ifndef MANYTUN_API_PAGE_H
#define MANYTUN_API_PAGE_H

#include "api/call.h"

#include <stdbool.h>
#include <stddef.h>

/* What a page may weigh; an object weighs 1, and 1 more for each thing that it lists. */
#define API_PAGE_WEIGHT_MAX 20000

struct api_page {
    cJSON *json;
    cJSON *items;
    unsigned room; /* items that the page still takes */
    size_t weight;
    char last[SPEC_NAME_MAX + 1]; /* the name of the last item */
    bool more;
    bool failed; /* out of memory */
};

/* 0 or -ENOMEM. */
int api_page_init(struct api_page *page, const struct query *query);
/* Whether the next object is on this page; the first one always is. If not, there is a next page.
 */
bool api_page_wants(struct api_page *page, const char *name, size_t weight);
/* Adds the object, and takes it. 0, or -ENOMEM, which api_page_answer() then reports. */
int api_page_add(struct api_page *page, cJSON *object);
/* Ends the page and answers with it; returns what the handler should. */
int api_page_answer(struct api_page *page, struct api_call *call);

#endif
