/*
 * events: /v1/events: what happened, page by page in the order of the ids.
 */
#include "server/events.h"
#include "api/event_json.h"
#include "api/handlers.h"
#include "api/json_add.h"

#include <errno.h>

struct event_page {
    const struct query *query;
    cJSON *items;
    unsigned room;
    uint64_t read; /* the id up to which everything was looked at */
};

/* Takes one event. 1 when the page is full. */
static int take(void *ctx, const struct store_event *event)
{
    struct event_page *page = ctx;
    if (page->room == 0)
        return 1;
    page->read = event->id;
    if (!event_is_wanted(event, page->query))
        return 0;
    cJSON *json = event_json(event);
    if (!cJSON_AddItemToArray(page->items, json)) {
        cJSON_Delete(json);
        return -ENOMEM;
    }
    page->room--;
    return 0;
}

static int read_problem(struct problem *problem, int rc)
{
    return rc == -ENOMEM ? problem_set(problem, "exhausted", "out of memory")
                         : problem_set(problem, "internal", "the events cannot be read");
}

/* Finds where the page begins. */
static int find_start(struct api_call *call, struct events *events, uint64_t *start)
{
    uint64_t first;
    uint64_t last;
    int rc = events_span(events, &first, &last);
    if (rc < 0)
        return read_problem(&call->problem, rc);
    *start = first > 0 ? first - 1 : 0;
    if ((call->query.present & QUERY_SINCE) == 0)
        return 0;
    if (call->query.since < *start)
        return problem_set(&call->problem, "cursor_expired",
                           "the oldest event that is kept is %llu: read the objects anew, and then "
                           "the events since last_event_id of /v1/status",
                           (unsigned long long)first);
    if (call->query.since > last)
        return problem_set(&call->problem, "cursor_expired",
                           "the newest event is %llu: this id is not of this database",
                           (unsigned long long)last);
    *start = call->query.since;
    return 0;
}

/* The answer, or NULL with the problem filled. */
static cJSON *read_page(struct api_call *call, struct events *events, uint64_t start)
{
    cJSON *json = cJSON_CreateObject();
    struct event_page page = {
        .query = &call->query, .room = call->query.limit, .read = start, .items = NULL};
    if (json != NULL)
        page.items = cJSON_AddArrayToObject(json, "items");
    int rc = page.items != NULL ? events_read(events, start, take, &page) : -ENOMEM;
    if (rc == 0 && !json_add_integer(json, "next_since", page.read))
        rc = -ENOMEM;
    if (rc == 0)
        return json;
    cJSON_Delete(json);
    read_problem(&call->problem, rc);
    return NULL;
}

int api_get_events(struct api_call *call)
{
    struct events *events = service_events(call->service);
    uint64_t start = 0;
    if (find_start(call, events, &start) < 0)
        return -1;
    cJSON *json = read_page(call, events, start);
    return json != NULL ? api_answer_json(call, 200, json) : -1;
}
