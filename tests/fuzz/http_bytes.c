/*
 * Any bytes on a connection to the API. What comes back is nothing or HTTP, never 500, and whoever
 * comes next is served.
 */
#include "tests/fuzz/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!fx.base)
        api_world_start();
    struct answer answer = api_world_talk((const char *)data, size);
    fuzz_check(answer.text[0] == '\0' || answer.status >= 100);
    fuzz_check(answer.status != 500);
    free(answer.text);
    free(api_world_expect("GET /livez", NULL, 200).text);
    free(api_world_config().text);
    api_world_empty();
    return 0;
}
