/*
 * assets: / and /assets/{file}. A browser asks each time whether its copy is still the same, so
 * that a new version of the program never meets an old page.
 */
#include "api/assets.h"

#include "api/handlers.h"
#include "api/precondition.h"

#include <string.h>

static const struct {
    const char *suffix;
    const char *content_type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
};

const struct asset *asset_find(const char *name)
{
    for (const struct asset *asset = assets; asset->name != NULL; asset++) {
        if (strcmp(asset->name, name) == 0)
            return asset;
    }
    return NULL;
}

const char *asset_content_type(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t suffix_len = strlen(types[i].suffix);
        if (len > suffix_len && strcmp(name + len - suffix_len, types[i].suffix) == 0)
            return types[i].content_type;
    }
    return "application/octet-stream";
}

static int answer_asset(struct api_call *call, const char *name)
{
    const struct asset *asset = asset_find(name);
    if (asset == NULL)
        return problem_set(&call->problem, "not_found", "there is no such file");
    call->answer = (struct api_answer){.status = 304, .etag = asset->tag, .is_asset = true};
    if (api_precondition_not_modified(call, asset->tag))
        return 0;
    call->answer.status = 200;
    call->answer.content_type = asset_content_type(name);
    call->answer.static_body = asset->bytes;
    call->answer.body_len = asset->len;
    return 0;
}

int api_get_page(struct api_call *call)
{
    return answer_asset(call, "index.html");
}

int api_get_asset(struct api_call *call)
{
    return answer_asset(call, call->name);
}
