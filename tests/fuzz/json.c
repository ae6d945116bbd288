/*
 * The strict JSON reader: what it takes is printed and read again as the same value, is UTF-8, and
 * has no key twice; what it refuses has a reason inside the text.
 */
#include "tests/fuzz/fuzz.h"

#include "base/json.h"

#define VALUES_MAX 1000

static void check_value(const cJSON *value, int depth, size_t *values)
{
    fuzz_check(depth <= JSON_DEPTH_MAX);
    ++*values;
    for (const cJSON *child = value->child; child; child = child->next) {
        if (cJSON_IsObject(value))
            fuzz_check(json_member(value, child->string) == child); /* the first is the only one */
        check_value(child, depth + 1, values);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size > 0 ? size : 1); /* without a NUL: the reader must not need one */
    struct json_error error = {0};
    size_t values = 0;

    fuzz_check(text);
    if (size > 0)
        memcpy(text, data, size);
    cJSON *value = json_read_bounded(text, size, VALUES_MAX, &error);
    free(text);
    if (!value) {
        fuzz_check(!error.no_memory);
        fuzz_check(error.offset <= size);
        fuzz_check(error.detail[0] != '\0');
        return 0;
    }
    check_value(value, 0, &values);
    fuzz_check(values <= VALUES_MAX);
    char *printed = cJSON_PrintUnformatted(value);
    fuzz_check(printed);
    cJSON *again = json_read(printed, strlen(printed), &error);
    fuzz_check(again);
    fuzz_check(cJSON_Compare(value, again, true));
    cJSON_free(printed);
    json_free(again);
    json_free(value);
    return 0;
}
