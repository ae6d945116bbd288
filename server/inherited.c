/* inherited: owns the items, sorted before the first is taken. A taken item has no descriptor. */
#include "server/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct inherited {
    struct inherited_item *items;
    size_t count;
    size_t room;
    bool sorted;
};

bool inherited_is_numerous(enum inherited_kind kind)
{
    return kind == INHERITED_TUNNEL || kind == INHERITED_FORWARD || kind == INHERITED_BRIDGE;
}

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

/* --- Across execve() -------------------------------------------------------------------------- */

static int set_flags(const struct inherited_item *item, int flags)
{
    for (int k = 0; k < INHERITED_FDS_MAX; k++) {
        if (item->fds[k] >= 0 && fcntl(item->fds[k], F_SETFD, flags) < 0)
            return -errno;
    }
    return 0;
}

static int write_items(const struct inherited *inherited, int fd)
{
    const char *bytes = (const char *)inherited->items;
    const size_t len = inherited->count * sizeof(inherited->items[0]);
    for (size_t at = 0; at < len;) {
        ssize_t written = write(fd, bytes + at, len - at);
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        at += (size_t)written;
    }
    return 0;
}

int inherited_keep(const struct inherited *inherited)
{
    int fd = memfd_create("manytun-inherited", 0);
    if (fd < 0)
        return -errno;
    int error = write_items(inherited, fd);
    for (size_t i = 0; i < inherited->count && !error; i++)
        error = set_flags(&inherited->items[i], 0);
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

/* One that is not right is not added, and nothing of it is closed: it may be anybody's. */
static int read_item(struct inherited *inherited, int fd, size_t index)
{
    struct inherited_item item;
    ssize_t len = pread(fd, &item, sizeof(item), (off_t)(index * sizeof(item)));
    if (len != (ssize_t)sizeof(item) || item.name[INHERITED_NAME_MAX] != '\0')
        return -EPROTO;
    if (set_flags(&item, FD_CLOEXEC) < 0)
        return -EPROTO;
    return inherited_add(inherited, &item);
}

int inherited_find_kept(int fd, struct inherited **out)
{
    struct stat file;
    struct inherited *inherited;
    int error = inherited_new(&inherited);
    if (error) {
        close(fd);
        return error;
    }
    if (fstat(fd, &file) < 0 || !S_ISREG(file.st_mode) ||
        file.st_size % (off_t)sizeof(struct inherited_item))
        error = -EPROTO;
    for (size_t i = 0; !error && i < (size_t)file.st_size / sizeof(struct inherited_item); i++)
        error = read_item(inherited, fd, i);
    close(fd);
    if (error)
        inherited_free(inherited);
    else
        *out = inherited;
    return error;
}
