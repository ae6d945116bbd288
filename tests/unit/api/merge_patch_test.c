#include "api/merge_patch.h"

#include "base/json.h"
#include "tests/support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

/* RFC 7396, appendix A; NULL = there is no target. */
static const struct {
    const char *target, *patch, *result;
} cases[] = {
    {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
    {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
    {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
    {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
    {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
    {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
    {"{\"a\":\"foo\"}", "null", "null"},
    {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
    {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
    {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
    {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    {NULL, "{\"a\":null,\"b\":[null]}", "{\"b\":[null]}"},
    {"{\"A\":1}", "{\"a\":2}", "{\"A\":1,\"a\":2}"},
};

static cJSON *parse(const char *text)
{
    struct json_error error;
    cJSON *json = json_read(text, strlen(text), &error);
    assert_non_null(json);
    return json;
}

static void merges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cJSON *target = cases[i].target ? parse(cases[i].target) : NULL;
        cJSON *patch = parse(cases[i].patch);
        cJSON *result = merge_patch(target, patch);
        char *text = cJSON_PrintUnformatted(result);
        assert_string_equal(text, cases[i].result);
        cJSON_free(text);
        json_free(result);
        json_free(patch);
        json_free(target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(merges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
