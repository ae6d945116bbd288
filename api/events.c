/*
 * events: /v1/events: what happened in the order of the ids, page by page or as it happens.
 */
#include "server/events.h"
#include "api/event_json.h"
#include "api/event_stream.h"
#include "api/handlers.h"
#include "api/json_add.h"

#include <errno.h>
#include <string.h>

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

/*
 * The id that a client has seen: of the header, which it sends when it comes back to the same URL,
 * else of the query. *since is NULL when it has none, else points to id.
 */
static int find_since(struct api_call *call, uint64_t *id, const uint64_t **since)
{
    *since = id;
    if (call->last_event_id != NULL && call->last_event_id[0] != '\0')
        return query_event_id_parse(call->last_event_id, id)
                   ? 0
                   : problem_set(&call->problem, "invalid_parameter",
                                 "Last-Event-ID must be the id of an event");
    if ((call->query.present & QUERY_SINCE) != 0)
        *id = call->query.since;
    else
        *since = NULL;
    return 0;
}

/* Finds where the page begins. */
static int find_start(struct api_call *call, struct events *events, const uint64_t *since,
                      uint64_t *start)
{
    uint64_t first;
    uint64_t last;
    int rc = events_span(events, &first, &last);
    if (rc < 0)
        return read_problem(&call->problem, rc);
    *start = first > 0 ? first - 1 : 0;
    if (since == NULL)
        return 0;
    if (*since < *start)
        return problem_set(&call->problem, "cursor_expired",
                           "the oldest event that is kept is %llu: read the objects anew, and then "
                           "the events since last_event_id of /v1/status",
                           (unsigned long long)first);
    if (*since > last)
        return problem_set(&call->problem, "cursor_expired",
                           "the newest event is %llu: this id is not of this database",
                           (unsigned long long)last);
    *start = *since;
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

static int answer_page(struct api_call *call, const uint64_t *since)
{
    struct events *events = service_events(call->service);
    uint64_t start = 0;
    if (find_start(call, events, since, &start) < 0)
        return -1;
    cJSON *json = read_page(call, events, start);
    return json != NULL ? api_answer_json(call, 200, json) : -1;
}

static int answer_stream(struct api_call *call, const uint64_t *since)
{
    if ((call->query.present & QUERY_LIMIT) != 0)
        return problem_set(&call->problem, "invalid_parameter",
                           "a stream has no limit; a page needs \"Accept: application/json\"");
    const struct event_stream_request request = {
        .query = &call->query, .since = since, .tokens = call->tokens, .lease = &call->lease};
    if (event_stream_new(call->server->event_streams, &request, &call->answer.stream,
                         &call->problem) < 0)
        return -1;
    call->answer.status = 200;
    call->answer.content_type = "text/event-stream";
    return 0;
}

/* A page is for those who ask for JSON and not for a stream. */
static bool wants_page(const char *accept)
{
    return accept != NULL && strcasestr(accept, "application/json") != NULL &&
           strcasestr(accept, "text/event-stream") == NULL;
}

int api_get_events(struct api_call *call)
{
    uint64_t id = 0;
    const uint64_t *since = NULL;
    if (find_since(call, &id, &since) < 0)
        return -1;
    return wants_page(call->accept) ? answer_page(call, since) : answer_stream(call, since);
}
