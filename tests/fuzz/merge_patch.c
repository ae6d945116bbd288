/*
 * JSON Merge Patch, on two documents (split at the first form feed): a patch that was applied
 * changes nothing more, nulls of the patch remove, and the other members stay.
 */
#include "tests/fuzz/fuzz.h"

#include "api/merge_patch.h"
#include "base/json.h"

static void check_members(const cJSON *target, const cJSON *patch, const cJSON *result)
{
    if (!cJSON_IsObject(patch)) {
        fuzz_check(cJSON_Compare(patch, result, true));
        return;
    }
    fuzz_check(cJSON_IsObject(result));
    for (const cJSON *change = patch->child; change; change = change->next) {
        const cJSON *member = json_member(result, change->string);
        fuzz_check(cJSON_IsNull(change) ? member == NULL : member != NULL);
    }
    if (!cJSON_IsObject(target))
        return;
    for (const cJSON *item = target->child; item; item = item->next) {
        if (!json_member(patch, item->string))
            fuzz_check(cJSON_Compare(item, json_member(result, item->string), true));
    }
}

static void check_patch(const cJSON *target, const cJSON *patch)
{
    cJSON *result = merge_patch(target, patch);
    fuzz_check(result);
    check_members(target, patch, result);
    cJSON *again = merge_patch(result, patch);
    fuzz_check(again);
    fuzz_check(cJSON_Compare(result, again, true));
    json_free(again);
    json_free(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_error error;
    const uint8_t *end = size > 0 ? memchr(data, '\f', size) : NULL;
    if (!end)
        return 0;
    size_t first = (size_t)(end - data);
    cJSON *target = json_read((const char *)data, first, &error);
    cJSON *patch = json_read((const char *)end + 1, size - first - 1, &error);
    if (patch) {
        check_patch(NULL, patch);
        if (target)
            check_patch(target, patch);
    }
    json_free(target);
    json_free(patch);
    return 0;
}
