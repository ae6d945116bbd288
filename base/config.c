/*
 * config: owns the definitions, and two arrays of pointers to them by name.
 */
#include "base/config.h"

#include "base/json.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char tunnels_list[] = "/tunnels";
static const char forwards_list[] = "/forwards";

/* --- Reading ---------------------------------------------------------------------------------- */

/* The array that a member is, in *out, NULL = there is none. 0 or -EINVAL with the error added. */
static int find_list(const cJSON *json, const char *pointer, unsigned document, const cJSON **out,
                     struct spec_errors *errors)
{
    const struct spec_place place = {.document = document};
    *out = json_member(json, pointer + 1);
    if (*out == NULL || cJSON_IsArray(*out))
        return 0;
    size_t first = errors->count;
    spec_errors_add(errors, pointer, "invalid_type", "must be an array");
    spec_errors_place(errors, first, &place);
    return -EINVAL;
}

static int check_members(const cJSON *json, unsigned document, struct spec_errors *errors)
{
    const struct spec_place place = {.document = document};
    size_t first = errors->count;
    if (!cJSON_IsObject(json))
        spec_errors_add(errors, "", "invalid_type", "must be an object");
    for (const cJSON *item = cJSON_IsObject(json) ? json->child : NULL; item != NULL;
         item = item->next) {
        char pointer[96] = "";
        if (strcmp(item->string, tunnels_list + 1) == 0 ||
            strcmp(item->string, forwards_list + 1) == 0)
            continue;
        json_pointer_append(pointer, sizeof(pointer), item->string);
        spec_errors_add(errors, pointer, "unknown_field", "there is no such field");
    }
    spec_errors_place(errors, first, &place);
    return errors->count > first ? -EINVAL : 0;
}

/*
 * Room for more items, by copying: realloc() would leave keys behind. The new ones are zero. 0 or
 * -ENOMEM.
 */
static int grow(void **items, size_t count, size_t more, size_t size)
{
    void *grown = calloc(count + more + 1, size);
    if (grown == NULL)
        return -ENOMEM;
    if (count > 0) {
        memcpy(grown, *items, count * size);
        sodium_memzero(*items, count * size);
    }
    free(*items);
    *items = grown;
    return 0;
}

/* Makes room for a list's definitions. 0, -EINVAL with the error added, or -ENOMEM. */
static int make_room(const cJSON *list, const char *pointer, unsigned document, void **items,
                     size_t count, size_t size, size_t max, struct spec_errors *errors)
{
    const struct spec_place place = {.document = document};
    size_t more = (size_t)cJSON_GetArraySize(list);
    if (more <= max - count)
        return grow(items, count, more, size);
    size_t first = errors->count;
    spec_errors_add(errors, pointer, "too_many", "%zu make %zu in all; at most %zu are allowed",
                    more, count + more, max);
    spec_errors_place(errors, first, &place);
    return -EINVAL;
}

/* A tunnel that a wg-quick file beside the document defines. */
static int read_wg_quick(const cJSON *json, const struct config_source *source,
                         struct spec_tunnel *out, struct spec_errors *errors)
{
    const cJSON *file = json_member(json, "wg_quick_file");
    const cJSON *name = json_member(json, "name");
    const bool is_named = cJSON_IsString(name) && spec_name_valid(name->valuestring);
    bool valid = cJSON_IsString(file) && is_named;
    if (!cJSON_IsString(file))
        spec_errors_add(errors, "/wg_quick_file", "invalid_type", "must be a string");
    if (!is_named)
        spec_errors_add(errors, "/name", "invalid_name",
                        "must be 1 to %d characters of a-z, 0-9 and '-', not '-' at either end",
                        SPEC_NAME_MAX);
    for (const cJSON *item = json->child; item != NULL; item = item->next) {
        char pointer[96] = "";
        if (item == file || item == name)
            continue;
        json_pointer_append(pointer, sizeof(pointer), item->string);
        spec_errors_add(errors, pointer, "conflict",
                        "only the name goes with wg_quick_file; the rest is in that file");
        valid = false;
    }
    if (!valid)
        return -EINVAL;
    return source->read_wg_quick(source->ctx, name->valuestring, file->valuestring, out, errors);
}

static int read_tunnel(const cJSON *json, const struct config_source *source,
                       struct config_tunnel *out, struct spec_errors *errors)
{
    if (source->read_wg_quick != NULL && json_member(json, "wg_quick_file") != NULL)
        return read_wg_quick(json, source, &out->spec, errors);
    return spec_tunnel_from_json(json, &out->spec, errors);
}

static int read_forward(const cJSON *json, struct config_forward *out, struct spec_errors *errors)
{
    int rc = spec_forward_from_json(json, &out->spec, errors);
    if (cJSON_IsObject(json) && json_member(json, "name") == NULL) {
        spec_errors_add(errors, "/name", "required", "is required");
        rc = -EINVAL;
    }
    return rc;
}

static int read_tunnels(struct config *config, const cJSON *json,
                        const struct config_source *source, struct spec_errors *errors)
{
    const cJSON *list;
    const cJSON *item;
    void *items = config->tunnels;
    int rc = find_list(json, tunnels_list, source->document, &list, errors);
    if (rc == 0)
        rc = make_room(list, tunnels_list, source->document, &items, config->tunnels_count,
                       sizeof(*config->tunnels), CONFIG_TUNNELS_MAX, errors);
    config->tunnels = items;
    if (rc < 0)
        return rc;
    size_t index = 0;
    cJSON_ArrayForEach(item, list)
    {
        struct config_tunnel *tunnel = &config->tunnels[config->tunnels_count++];
        size_t first = errors->count;
        tunnel->place = (struct spec_place){source->document, tunnels_list, index++};
        int failed = read_tunnel(item, source, tunnel, errors);
        spec_errors_place(errors, first, &tunnel->place);
        if (failed == -ENOMEM)
            return failed;
        rc = failed < 0 ? failed : rc;
    }
    return rc;
}

static int read_forwards(struct config *config, const cJSON *json,
                         const struct config_source *source, struct spec_errors *errors)
{
    const cJSON *list;
    const cJSON *item;
    void *items = config->forwards;
    int rc = find_list(json, forwards_list, source->document, &list, errors);
    if (rc == 0)
        rc = make_room(list, forwards_list, source->document, &items, config->forwards_count,
                       sizeof(*config->forwards), CONFIG_FORWARDS_MAX, errors);
    config->forwards = items;
    if (rc < 0)
        return rc;
    size_t index = 0;
    cJSON_ArrayForEach(item, list)
    {
        struct config_forward *forward = &config->forwards[config->forwards_count++];
        size_t first = errors->count;
        forward->place = (struct spec_place){source->document, forwards_list, index++};
        int failed = read_forward(item, forward, errors);
        spec_errors_place(errors, first, &forward->place);
        if (failed == -ENOMEM)
            return failed;
        rc = failed < 0 ? failed : rc;
    }
    return rc;
}

int config_read(struct config *config, const cJSON *json, const struct config_source *source,
                struct spec_errors *errors)
{
    int members = check_members(json, source->document, errors);
    int tunnels = read_tunnels(config, json, source, errors);
    if (tunnels == -ENOMEM)
        return tunnels;
    int forwards = read_forwards(config, json, source, errors);
    if (forwards == -ENOMEM)
        return forwards;
    return members < 0 || tunnels < 0 || forwards < 0 ? -EINVAL : 0;
}

/* --- By name ---------------------------------------------------------------------------------- */

/* Of equal names, the one that was read first comes first: they lie in the order of reading. */
static int compare_tunnels(const void *a, const void *b)
{
    const struct config_tunnel *const *left = a;
    const struct config_tunnel *const *right = b;
    int order = strcmp((*left)->spec.name, (*right)->spec.name);
    return order != 0 ? order : (*left > *right) - (*left < *right);
}

static int compare_forwards(const void *a, const void *b)
{
    const struct config_forward *const *left = a;
    const struct config_forward *const *right = b;
    int order = strcmp((*left)->spec.name, (*right)->spec.name);
    return order != 0 ? order : (*left > *right) - (*left < *right);
}

static int sort(struct config *config)
{
    free(config->tunnels_by_name);
    free(config->forwards_by_name);
    config->tunnels_by_name = calloc(config->tunnels_count + 1, sizeof(struct config_tunnel *));
    config->forwards_by_name = calloc(config->forwards_count + 1, sizeof(struct config_forward *));
    if (config->tunnels_by_name == NULL || config->forwards_by_name == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < config->tunnels_count; i++)
        config->tunnels_by_name[i] = &config->tunnels[i];
    for (size_t i = 0; i < config->forwards_count; i++)
        config->forwards_by_name[i] = &config->forwards[i];
    qsort(config->tunnels_by_name, config->tunnels_count, sizeof(struct config_tunnel *),
          compare_tunnels);
    qsort(config->forwards_by_name, config->forwards_count, sizeof(struct config_forward *),
          compare_forwards);
    return 0;
}

static int compare_name_to_tunnel(const void *name, const void *entry)
{
    const struct config_tunnel *const *tunnel = entry;
    return strcmp(name, (*tunnel)->spec.name);
}

static int compare_name_to_forward(const void *name, const void *entry)
{
    const struct config_forward *const *forward = entry;
    return strcmp(name, (*forward)->spec.name);
}

struct config_tunnel *config_find_tunnel(const struct config *config, const char *name)
{
    struct config_tunnel **found =
        config->tunnels_count > 0 ? bsearch(name, config->tunnels_by_name, config->tunnels_count,
                                            sizeof(struct config_tunnel *), compare_name_to_tunnel)
                                  : NULL;
    return found != NULL ? *found : NULL;
}

struct config_forward *config_find_forward(const struct config *config, const char *name)
{
    struct config_forward **found =
        config->forwards_count > 0
            ? bsearch(name, config->forwards_by_name, config->forwards_count,
                      sizeof(struct config_forward *), compare_name_to_forward)
            : NULL;
    return found != NULL ? *found : NULL;
}

/* --- Checks ----------------------------------------------------------------------------------- */

static void report_twice(struct spec_errors *errors, const struct spec_place *again,
                         const struct spec_place *first, const char *member, const char *what)
{
    size_t before = errors->count;
    spec_errors_add(errors, member, "duplicate", "%s%.20s/%zu has the same %s",
                    first->document == again->document ? "" : "in another document ", first->list,
                    first->index, what);
    spec_errors_place(errors, before, again);
}

static void check_names(const struct config *config, struct spec_errors *errors)
{
    for (size_t i = 1; i < config->tunnels_count; i++) {
        const struct config_tunnel *first = config->tunnels_by_name[i - 1];
        const struct config_tunnel *again = config->tunnels_by_name[i];
        if (strcmp(first->spec.name, again->spec.name) == 0)
            report_twice(errors, &again->place, &first->place, "/name", "name");
    }
    for (size_t i = 1; i < config->forwards_count; i++) {
        const struct config_forward *first = config->forwards_by_name[i - 1];
        const struct config_forward *again = config->forwards_by_name[i];
        if (strcmp(first->spec.name, again->spec.name) == 0)
            report_twice(errors, &again->place, &first->place, "/name", "name");
    }
}

static int compare_listens(const void *a, const void *b)
{
    const struct config_forward *const *left = a;
    const struct config_forward *const *right = b;
    const struct spec_forward *l = &(*left)->spec;
    const struct spec_forward *r = &(*right)->spec;
    int order = (l->listen_port > r->listen_port) - (l->listen_port < r->listen_port);
    if (order == 0)
        order = (l->listen_address.family > r->listen_address.family) -
                (l->listen_address.family < r->listen_address.family);
    if (order == 0)
        order = memcmp(l->listen_address.bytes, r->listen_address.bytes,
                       sizeof(l->listen_address.bytes));
    return order != 0 ? order : (*left > *right) - (*left < *right);
}

/* Two forwards cannot listen at one address. Whether the host has it free is seen when they try. */
static int check_listens(const struct config *config, struct spec_errors *errors)
{
    const struct config_forward **listening =
        calloc(config->forwards_count + 1, sizeof(const struct config_forward *));
    if (listening == NULL)
        return -ENOMEM;
    size_t count = 0;
    for (size_t i = 0; i < config->forwards_count; i++) {
        if (config->forwards[i].spec.enabled && config->forwards[i].spec.listen_port != 0)
            listening[count++] = &config->forwards[i];
    }
    qsort(listening, count, sizeof(const struct config_forward *), compare_listens);
    for (size_t i = 1; i < count; i++) {
        const struct spec_forward *first = &listening[i - 1]->spec;
        const struct spec_forward *again = &listening[i]->spec;
        if (first->listen_port == again->listen_port &&
            inet_addr_equal(&first->listen_address, &again->listen_address))
            report_twice(errors, &listening[i]->place, &listening[i - 1]->place, "/listen/port",
                         "listen address");
    }
    free(listening);
    return 0;
}

int config_check(struct config *config, struct spec_errors *errors)
{
    size_t first = errors->count;
    int rc = sort(config);
    if (rc < 0)
        return rc;
    check_names(config, errors);
    rc = check_listens(config, errors);
    if (rc < 0)
        return rc;
    return errors->count > first ? -EINVAL : 0;
}

int config_check_forwards(const struct config *config,
                          const struct spec_tunnel *(*find)(void *ctx, const char *name), void *ctx,
                          struct spec_errors *errors)
{
    size_t before = errors->count;
    for (size_t i = 0; i < config->forwards_count; i++) {
        const struct config_forward *forward = &config->forwards[i];
        const struct config_tunnel *own = config_find_tunnel(config, forward->spec.tunnel);
        const struct spec_tunnel *tunnel = own != NULL ? &own->spec : NULL;
        size_t first = errors->count;
        if (tunnel == NULL && find != NULL)
            tunnel = find(ctx, forward->spec.tunnel);
        spec_forward_check_tunnel(&forward->spec, tunnel, errors);
        spec_errors_place(errors, first, &forward->place);
    }
    return errors->count > before ? -EINVAL : 0;
}

/* --- Life cycle ------------------------------------------------------------------------------- */

void config_fini(struct config *config)
{
    for (size_t i = 0; i < config->tunnels_count; i++)
        spec_tunnel_fini(&config->tunnels[i].spec);
    free(config->tunnels);
    free(config->forwards);
    free(config->tunnels_by_name);
    free(config->forwards_by_name);
    *config = (struct config){0};
}
