/*
 * retired_counts: owns the mapping of a worker's counters, read-only, and the shares in it, which
 * are in the lists of their forwards as long as both are there.
 */
#include "server/retired_counts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of another version, too. */
#define SEGMENT_MAX ((off_t)256 << 20)

struct retired_counts {
    int fd;
    const uint8_t *memory;
    size_t len;
    size_t count;
    struct retired_entry {
        struct retired_counts *counts;
        struct retired_share share;
    } entries[];
};

/* --- Reading ---------------------------------------------------------------------------------- */

static uint64_t value_at(const struct retired_share *share, size_t value)
{
    const struct retired_entry *entry =
        (const struct retired_entry *)((const uint8_t *)share -
                                       offsetof(struct retired_entry, share));
    const counter *word =
        (const counter *)(const void *)(entry->counts->memory + share->record.offsets[value]);
    return counter_get(word);
}

void retired_shares_add(const struct service_forward *forward, struct forward_totals *totals)
{
    const struct retired_share *share;
    SLIST_FOREACH(share, &forward->retired, link)
    {
        const uint64_t *counted = share->record.counted;
        totals->connections += value_at(share, 0) - counted[0];
        totals->connect_failures += value_at(share, 1) - counted[1];
        totals->bytes_in += value_at(share, 2) - counted[2];
        totals->bytes_out += value_at(share, 3) - counted[3];
    }
}

static void settle(struct retired_share *share)
{
    struct forward_totals *before = &share->forward->counted_before;
    uint64_t *const sums[RETIRED_VALUES] = {&before->connections, &before->connect_failures,
                                            &before->bytes_in, &before->bytes_out};
    for (size_t i = 0; i < RETIRED_VALUES; i++) {
        uint64_t value = value_at(share, i);
        *sums[i] += value - share->record.counted[i];
        share->record.counted[i] = value;
    }
}

void retired_shares_settle(struct service_forward *forward)
{
    struct retired_share *share;
    SLIST_FOREACH(share, &forward->retired, link)
    settle(share);
}

/* --- Making ----------------------------------------------------------------------------------- */

static bool is_valid(const struct retired_counts *counts, const struct retired_record *record)
{
    bool valid =
        record->forward[sizeof(record->forward) - 1] == '\0' && spec_name_valid(record->forward);
    for (size_t i = 0; i < RETIRED_VALUES && valid; i++)
        valid = record->offsets[i] % sizeof(uint64_t) == 0 &&
                record->offsets[i] <= counts->len - sizeof(uint64_t);
    return valid;
}

static int read_records(struct retired_counts *counts, int records)
{
    for (size_t i = 0; i < counts->count; i++) {
        struct retired_record *record = &counts->entries[i].share.record;
        counts->entries[i].counts = counts;
        ssize_t len = pread(records, record, sizeof(*record), (off_t)(i * sizeof(*record)));
        if (len != (ssize_t)sizeof(*record) || !is_valid(counts, record))
            return -EPROTO;
    }
    return 0;
}

static int map(struct retired_counts *counts, int segment, off_t size)
{
    void *memory = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, segment, 0);
    if (memory == MAP_FAILED)
        return -errno;
    counts->memory = memory;
    counts->len = (size_t)size;
    counts->fd = fcntl(segment, F_DUPFD_CLOEXEC, 0);
    return counts->fd < 0 ? -errno : 0;
}

int retired_counts_new(int records, int segment, struct retired_counts **out)
{
    struct stat list, memory;
    const off_t each = (off_t)sizeof(struct retired_record);
    if (fstat(records, &list) < 0 || fstat(segment, &memory) < 0)
        return -errno;
    if (list.st_size % each != 0 || list.st_size / each > COUNTERS_FORWARDS_MAX ||
        memory.st_size < (off_t)sizeof(uint64_t) || memory.st_size > SEGMENT_MAX)
        return -EPROTO;
    size_t count = (size_t)(list.st_size / each);
    struct retired_counts *counts = calloc(1, sizeof(*counts) + count * sizeof(counts->entries[0]));
    if (counts == NULL)
        return -ENOMEM;
    counts->fd = -1;
    counts->count = count;
    int rc = map(counts, segment, memory.st_size);
    if (rc == 0)
        rc = read_records(counts, records);
    if (rc < 0) {
        retired_counts_free(counts);
        return rc;
    }
    *out = counts;
    return 0;
}

void retired_counts_free(struct retired_counts *counts)
{
    if (counts == NULL)
        return;
    for (size_t i = 0; i < counts->count; i++) {
        struct retired_share *share = &counts->entries[i].share;
        if (share->forward == NULL)
            continue;
        settle(share);
        SLIST_REMOVE(&share->forward->retired, share, retired_share, link);
    }
    if (counts->memory != NULL)
        munmap((void *)counts->memory, counts->len);
    if (counts->fd >= 0)
        close(counts->fd);
    free(counts);
}

void retired_shares_forget(struct service_forward *forward)
{
    struct retired_share *share;
    while ((share = SLIST_FIRST(&forward->retired)) != NULL) {
        SLIST_REMOVE_HEAD(&forward->retired, link);
        share->forward = NULL;
    }
}

/* --- Offering on ------------------------------------------------------------------------------ */

size_t retired_counts_size(const struct retired_counts *counts)
{
    return counts->count;
}

struct retired_share *retired_counts_at(struct retired_counts *counts, size_t index)
{
    return &counts->entries[index].share;
}

int retired_counts_segment(const struct retired_counts *counts)
{
    return counts->fd;
}

int retired_records_write(const struct retired_record *records, size_t count)
{
    const uint8_t *bytes = (const uint8_t *)records;
    size_t left = count * sizeof(*records);
    int fd = memfd_create("manytun-retired", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (left > 0) {
        ssize_t len = write(fd, bytes, left);
        if (len <= 0) {
            int error = len < 0 ? errno : EIO;
            close(fd);
            return -error;
        }
        bytes += len;
        left -= (size_t)len;
    }
    return fd;
}
