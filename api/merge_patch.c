/*
 * merge_patch: a third value is made of two that stay as they are.
 */
#include "api/merge_patch.h"

#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

/* Adds value, which is freed on failure; NULL fails. */
static bool add_member(cJSON *object, const char *name, cJSON *value)
{
    if (value != NULL && cJSON_AddItemToObject(object, name, value))
        return true;
    json_free(value);
    return false;
}

/* The members of target, each as the patch wants it. */
static bool add_kept(cJSON *result, const cJSON *target, const cJSON *patch)
{
    for (const cJSON *item = target->child; item != NULL; item = item->next) {
        const cJSON *change = json_member(patch, item->string);
        if (cJSON_IsNull(change))
            continue;
        cJSON *value = change != NULL ? merge_patch(item, change) : cJSON_Duplicate(item, true);
        if (!add_member(result, item->string, value))
            return false;
    }
    return true;
}

/* The members of patch that target does not have. */
static bool add_new(cJSON *result, const cJSON *target, const cJSON *patch)
{
    for (const cJSON *change = patch->child; change != NULL; change = change->next) {
        if (cJSON_IsNull(change) || (target != NULL && json_member(target, change->string) != NULL))
            continue;
        if (!add_member(result, change->string, merge_patch(NULL, change)))
            return false;
    }
    return true;
}

cJSON *merge_patch(const cJSON *target, const cJSON *patch)
{
    if (!cJSON_IsObject(patch))
        return cJSON_Duplicate(patch, true);
    if (!cJSON_IsObject(target))
        target = NULL;
    cJSON *result = cJSON_CreateObject();
    if (result == NULL)
        return NULL;
    if ((target == NULL || add_kept(result, target, patch)) && add_new(result, target, patch))
        return result;
    json_free(result);
    return NULL;
}
