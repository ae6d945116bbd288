/* descriptor: owns the table of holds, by descriptor, which grows with the greatest one held. */
#include "base/descriptor.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_MIN 64

struct entry {
    uint32_t holds;
    bool closed; /* by its owner, while it was held */
};

static struct entry *entries;
static size_t entries_count;

static int make_room(size_t place)
{
    size_t count = entries_count > 0 ? entries_count : ENTRIES_MIN;
    while (count <= place)
        count *= 2;
    if (count == entries_count)
        return 0;
    struct entry *grown = realloc(entries, count * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    memset(grown + entries_count, 0, (count - entries_count) * sizeof(*grown));
    entries = grown;
    entries_count = count;
    return 0;
}

int descriptor_hold(int fd)
{
    int error = make_room((size_t)fd);
    if (!error)
        entries[fd].holds++;
    return error;
}

void descriptor_release(int fd)
{
    struct entry *entry = &entries[fd];
    if (--entry->holds > 0 || !entry->closed)
        return;
    entry->closed = false;
    close(fd);
}

void descriptor_close(int fd)
{
    if ((size_t)fd < entries_count && entries[fd].holds > 0)
        entries[fd].closed = true;
    else
        close(fd);
}
