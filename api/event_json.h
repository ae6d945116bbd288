/*
 * event_json: an event as openapi.yaml's schema Event has it, and which events a query asks for.
 */
#ifndef MANYTUN_API_EVENT_JSON_H
#define MANYTUN_API_EVENT_JSON_H

#include "api/query.h"
#include "store/store.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

/* The caller frees it; NULL = out of memory. */
cJSON *event_json(const struct store_event *event);

/* By its kind and name. */
bool event_is_wanted(const struct store_event *event, const struct query *query);

#endif
