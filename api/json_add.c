/*
 * json_add: numbers and times as text.
 */
#include "api/json_add.h"

#include <inttypes.h>
#include <stdio.h>

bool json_add_string(cJSON *object, const char *name, const char *value)
{
    return cJSON_AddStringToObject(object, name, value) != NULL;
}

bool json_add_integer(cJSON *object, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, value);
    return cJSON_AddRawToObject(object, name, text) != NULL;
}

bool json_add_time(cJSON *object, const char *name, const struct timespec *time)
{
    struct tm utc;
    char seconds[32];
    char text[48];
    if (gmtime_r(&time->tv_sec, &utc) == NULL)
        return false;
    strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof(text), "%s.%03ldZ", seconds, time->tv_nsec / 1000000);
    return json_add_string(object, name, text);
}

static bool fill_error(cJSON *object, const struct spec_error *error)
{
    return json_add_string(object, "pointer", error->pointer) &&
           json_add_string(object, "code", error->code) &&
           json_add_string(object, "detail", error->detail) &&
           (error->line == 0 || json_add_integer(object, "line", error->line));
}

bool json_add_errors(cJSON *object, const char *name, const struct spec_errors *errors)
{
    cJSON *array = cJSON_AddArrayToObject(object, name);
    if (array == NULL)
        return false;
    for (size_t i = 0; i < errors->count; i++) {
        cJSON *item = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(array, item)) {
            cJSON_Delete(item);
            return false;
        }
        if (!fill_error(item, &errors->items[i]))
            return false;
    }
    return true;
}
