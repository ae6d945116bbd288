/*
 * json_add: adding members to a JSON object, in the forms that openapi.yaml promises. Each returns
 * false when memory ran out.
 */
#ifndef MANYTUN_API_JSON_ADD_H
#define MANYTUN_API_JSON_ADD_H

#include "base/spec.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

bool json_add_string(cJSON *object, const char *name, const char *value);
/* In digits always: cJSON itself would write some integers with an exponent. */
bool json_add_integer(cJSON *object, const char *name, uint64_t value);
/* RFC 3339, UTC, with milliseconds. */
bool json_add_time(cJSON *object, const char *name, const struct timespec *time);
/* An array, which may be empty, of what is wrong with a definition or worth a warning. */
bool json_add_errors(cJSON *object, const char *name, const struct spec_errors *errors);

#endif
