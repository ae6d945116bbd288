/* inherited: owns the items, sorted before the first is taken. A taken item has no descriptor. */
#include "server/inherited.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct inherited {
    struct inherited_item *items;
    size_t count;
    size_t room;
    bool sorted;
};

int inherited_new(struct inherited **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? 0 : -ENOMEM;
}

void inherited_free(struct inherited *inherited)
{
    if (inherited == NULL)
        return;
    for (size_t i = 0; i < inherited->count; i++) {
        for (int k = 0; k < INHERITED_FDS_MAX; k++) {
            if (inherited->items[i].fds[k] >= 0)
                close(inherited->items[i].fds[k]);
        }
    }
    free(inherited->items);
    free(inherited);
}

int inherited_add(struct inherited *inherited, struct inherited_item *item)
{
    if (inherited->count == inherited->room) {
        size_t room = inherited->room > 0 ? inherited->room * 2 : 64;
        struct inherited_item *items = realloc(inherited->items, room * sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
        inherited->items = items;
        inherited->room = room;
    }
    inherited->items[inherited->count++] = *item;
    inherited->sorted = false;
    for (int k = 0; k < INHERITED_FDS_MAX; k++)
        item->fds[k] = -1;
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct inherited_item *left = a;
    const struct inherited_item *right = b;
    return left->kind != right->kind ? left->kind - right->kind : strcmp(left->name, right->name);
}

static bool is_left(const struct inherited_item *item)
{
    return item->fds[0] >= 0 || item->fds[1] >= 0;
}

static struct inherited_item *find(struct inherited *inherited, enum inherited_kind kind,
                                   const char *name)
{
    struct inherited_item wanted = {.kind = (uint8_t)kind};
    if (strlen(name) > INHERITED_NAME_MAX)
        return NULL;
    memcpy(wanted.name, name, strlen(name));
    if (!inherited->sorted) {
        qsort(inherited->items, inherited->count, sizeof(wanted), compare);
        inherited->sorted = true;
    }
    return bsearch(&wanted, inherited->items, inherited->count, sizeof(wanted), compare);
}

static struct inherited_item *find_any(struct inherited *inherited, enum inherited_kind kind)
{
    for (size_t i = 0; i < inherited->count; i++) {
        if (inherited->items[i].kind == kind && is_left(&inherited->items[i]))
            return &inherited->items[i];
    }
    return NULL;
}

bool inherited_has(struct inherited *inherited, enum inherited_kind kind, const char *name)
{
    const struct inherited_item *item = inherited->count > 0 ? find(inherited, kind, name) : NULL;
    return item != NULL && is_left(item);
}

bool inherited_take(struct inherited *inherited, enum inherited_kind kind, const char *name,
                    int fds[INHERITED_FDS_MAX])
{
    struct inherited_item *item = NULL;
    if (inherited != NULL && inherited->count > 0)
        item = name != NULL ? find(inherited, kind, name) : find_any(inherited, kind);
    bool found = item != NULL && is_left(item);
    for (int k = 0; k < INHERITED_FDS_MAX; k++) {
        fds[k] = found ? item->fds[k] : -1;
        if (found)
            item->fds[k] = -1;
    }
    return found;
}
