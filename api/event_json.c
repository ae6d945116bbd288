/*
 * event_json: texts that are empty are absent.
 */
#include "api/event_json.h"

#include "api/json_add.h"

#include <string.h>

static bool add_text(cJSON *json, const char *name, const char *text)
{
    return text[0] == '\0' || json_add_string(json, name, text);
}

static bool fill(cJSON *json, const struct store_event *event)
{
    return json_add_integer(json, "id", event->id) && json_add_time(json, "time", &event->time) &&
           add_text(json, "type", event->type) && add_text(json, "kind", event->kind) &&
           add_text(json, "name", event->name) && add_text(json, "reason", event->reason) &&
           add_text(json, "message", event->message) && add_text(json, "actor", event->actor) &&
           (event->generation == 0 || json_add_integer(json, "generation", event->generation));
}

cJSON *event_json(const struct store_event *event)
{
    cJSON *json = cJSON_CreateObject();
    if (json != NULL && !fill(json, event)) {
        cJSON_Delete(json);
        json = NULL;
    }
    return json;
}

bool event_is_wanted(const struct store_event *event, const struct query *query)
{
    return (query->kind[0] == '\0' || strcmp(event->kind, query->kind) == 0) &&
           (query->name[0] == '\0' || strcmp(event->name, query->name) == 0);
}
