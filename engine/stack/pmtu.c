/* pmtu: owns the table, in which an address has one place. */
#include "engine/stack/pmtu.h"

#include <stdlib.h>
#include <string.h>

struct pmtu_entry {
    uint8_t address[PACKET_ADDRESS_MAX];
    uint16_t family; /* 0 = free */
    uint16_t mtu;
    uint64_t learnt_at;
};

/* Who chooses addresses to meet in one place only makes us forget. */
static struct pmtu_entry *place(const struct pmtu *pmtu, const struct flow *flow)
{
    unsigned sum = 0;

    for (size_t i = 0; i < sizeof(flow->remote); i++)
        sum = sum * 31 + flow->remote[i];
    return &pmtu->entries[sum % PMTU_ENTRIES];
}

void pmtu_fini(struct pmtu *pmtu)
{
    free(pmtu->entries);
}

void pmtu_learn(struct pmtu *pmtu, const struct flow *flow, uint16_t mtu, uint64_t now)
{
    struct pmtu_entry *entry;

    if (pmtu->entries == NULL)
        pmtu->entries = calloc(PMTU_ENTRIES, sizeof(*pmtu->entries));
    if (pmtu->entries == NULL)
        return;
    entry = place(pmtu, flow);
    *entry = (struct pmtu_entry){.family = flow->family, .mtu = mtu, .learnt_at = now};
    memcpy(entry->address, flow->remote, sizeof(entry->address));
}

uint16_t pmtu_find(const struct pmtu *pmtu, const struct flow *flow, uint16_t otherwise,
                   uint64_t now)
{
    const struct pmtu_entry *entry;

    if (pmtu->entries == NULL)
        return otherwise;
    entry = place(pmtu, flow);
    if (entry->family != flow->family || now - entry->learnt_at >= PMTU_AGE_NS ||
        memcmp(entry->address, flow->remote, sizeof(entry->address)) != 0)
        return otherwise;
    return entry->mtu < otherwise ? entry->mtu : otherwise;
}
