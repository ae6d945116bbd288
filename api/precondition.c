/*
 * precondition: reading lists of entity tags.
 */
#include "api/precondition.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct tag {
    const char *text; /* with its quotes */
    size_t len;
    bool weak;
};

/* Reads one tag and returns what is behind it, or NULL when there is none. */
static const char *read_tag(const char *text, struct tag *tag)
{
    tag->weak = strncmp(text, "W/", 2) == 0;
    if (tag->weak)
        text += 2;
    if (*text != '"')
        return NULL;
    const char *end = strchr(text + 1, '"');
    if (end == NULL)
        return NULL;
    tag->text = text;
    tag->len = (size_t)(end + 1 - text);
    return end + 1;
}

/*
 * Whether a list names the generation: 1, 0 or -EINVAL. "*" names any object that there is. A weak
 * tag counts only if weak says so.
 */
static int list_names(const char *list, uint64_t generation, bool weak)
{
    char wanted[32];
    int wanted_len = snprintf(wanted, sizeof(wanted), "\"%llu\"", (unsigned long long)generation);
    list += strspn(list, " \t");
    if (*list == '*')
        return list[1 + strspn(list + 1, " \t")] == '\0' ? generation != 0 : -EINVAL;
    bool found = false;
    do {
        struct tag tag;
        list = read_tag(list + strspn(list, " \t"), &tag);
        if (list == NULL)
            return -EINVAL;
        found |= generation != 0 && (weak || !tag.weak) && tag.len == (size_t)wanted_len &&
                 memcmp(tag.text, wanted, tag.len) == 0;
        list += strspn(list, " \t");
    } while (*list++ == ',');
    return list[-1] == '\0' ? found : -EINVAL;
}

static int fail(struct api_call *call, uint64_t generation)
{
    if (generation == 0)
        return problem_set(&call->problem, "precondition_failed", "there is no such object");
    return problem_set(&call->problem, "precondition_failed", "the object's ETag is \"%llu\"",
                       (unsigned long long)generation);
}

int api_precondition_check(struct api_call *call, uint64_t generation)
{
    int match = call->if_match != NULL ? list_names(call->if_match, generation, false) : 1;
    int none = call->if_none_match != NULL ? list_names(call->if_none_match, generation, true) : 0;
    if (match < 0 || none < 0)
        return problem_set(&call->problem, "bad_request",
                           "%s must be * or a list of quoted entity tags",
                           match < 0 ? "If-Match" : "If-None-Match");
    return match == 1 && none == 0 ? 0 : fail(call, generation);
}

bool api_precondition_not_modified(const struct api_call *call, uint64_t tag)
{
    return call->if_none_match != NULL && list_names(call->if_none_match, tag, true) == 1;
}
