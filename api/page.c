/*
 * page: owns its JSON until it is the answer.
 */
#include "api/page.h"

#include <errno.h>
#include <stdio.h>

int api_page_init(struct api_page *page, const struct query *query)
{
    *page = (struct api_page){.room = query->limit, .json = cJSON_CreateObject()};
    if (page->json != NULL)
        page->items = cJSON_AddArrayToObject(page->json, "items");
    if (page->items != NULL)
        return 0;
    cJSON_Delete(page->json);
    return -ENOMEM;
}

bool api_page_wants(struct api_page *page, const char *name, size_t weight)
{
    bool heavy = page->weight > 0 && page->weight + weight > API_PAGE_WEIGHT_MAX;
    if (page->room == 0 || heavy) {
        page->more = true;
        return false;
    }
    page->room--;
    page->weight += weight;
    snprintf(page->last, sizeof(page->last), "%s", name);
    return true;
}

int api_page_add(struct api_page *page, cJSON *object)
{
    if (object != NULL && cJSON_AddItemToArray(page->items, object))
        return 0;
    cJSON_Delete(object);
    page->failed = true;
    return -ENOMEM;
}

int api_page_answer(struct api_page *page, struct api_call *call)
{
    if (!page->failed && page->more &&
        cJSON_AddStringToObject(page->json, "next_cursor", page->last) == NULL)
        page->failed = true;
    if (page->failed) {
        cJSON_Delete(page->json);
        page->json = NULL;
    }
    return api_answer_json(call, 200, page->json);
}
