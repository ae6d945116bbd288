/* counters: owns nothing but the mapping; see counters.h for who writes what. */
#include "base/counters.h"

#include "base/inet.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A writer that writes without a pause is not waited for. */
#define READ_ATTEMPTS 16

/* The words of what is seen of a peer. */
enum { ENDPOINT_AT = 0, ENDPOINT_WORDS = 3, TIMESTAMP_AT = 3, TIMESTAMP_WORDS = 2 };
_Static_assert(TIMESTAMP_AT + TIMESTAMP_WORDS == COUNTERS_SEEN_WORDS, "there are no others");

/*
 * The next version is written beside the present one, which stays whole until then. Who still reads
 * the one before, whose words these are, sees that it is over (the fence).
 */
static void write_words(struct counters_peer *peer, int at, const uint64_t *words, int count)
{
    const uint64_t version = counter_get(&peer->seen_version);
    const counter *present = peer->seen[version % 2];
    counter *next = peer->seen[(version + 1) % 2];
    bool same = true;
    for (int i = 0; i < count; i++)
        same = same && counter_get(&present[at + i]) == words[i];
    if (same)
        return;
    atomic_thread_fence(memory_order_release);
    for (int i = 0; i < COUNTERS_SEEN_WORDS; i++)
        counter_set(&next[i], i >= at && i < at + count ? words[i - at] : counter_get(&present[i]));
    atomic_store_explicit(&peer->seen_version, version + 1, memory_order_release);
}

static bool read_words(const struct counters_peer *peer, int at, uint64_t *words, int count)
{
    counter *version = (counter *)&peer->seen_version;
    for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
        uint64_t before = atomic_load_explicit(version, memory_order_acquire);
        for (int i = 0; i < count; i++)
            words[i] = counter_get(&peer->seen[before % 2][at + i]);
        atomic_thread_fence(memory_order_acquire);
        if (counter_get(version) == before)
            return true;
    }
    return false;
}

void counters_set_endpoint(struct counters_peer *peer, const union inet_sockaddr *endpoint)
{
    struct inet_addr address = {.family = AF_UNSPEC};
    uint16_t port = 0;
    uint64_t words[ENDPOINT_WORDS] = {0};
    if (endpoint->sa.sa_family != AF_UNSPEC) {
        inet_sockaddr_split(endpoint, &address, &port);
        memcpy(words, address.bytes, sizeof(address.bytes));
        words[2] = (uint64_t)address.family << 16 | port;
        if (address.family == AF_INET6)
            words[2] |= (uint64_t)endpoint->in6.sin6_scope_id << 32;
    }
    write_words(peer, ENDPOINT_AT, words, ENDPOINT_WORDS);
}

bool counters_get_endpoint(const struct counters_peer *peer, union inet_sockaddr *out)
{
    uint64_t words[ENDPOINT_WORDS];
    if (!read_words(peer, ENDPOINT_AT, words, ENDPOINT_WORDS))
        return false;
    struct inet_addr address = {.family = (sa_family_t)(words[2] >> 16)};
    if (address.family == AF_UNSPEC)
        return false;
    memcpy(address.bytes, words, sizeof(address.bytes));
    inet_sockaddr_make(out, &address, (uint16_t)words[2]);
    if (address.family == AF_INET6)
        out->in6.sin6_scope_id = (uint32_t)(words[2] >> 32);
    return true;
}

void counters_set_timestamp(struct counters_peer *peer,
                            const uint8_t timestamp[COUNTERS_TIMESTAMP_LEN])
{
    uint64_t words[TIMESTAMP_WORDS] = {0};
    memcpy(words, timestamp, COUNTERS_TIMESTAMP_LEN);
    write_words(peer, TIMESTAMP_AT, words, TIMESTAMP_WORDS);
}

bool counters_get_timestamp(const struct counters_peer *peer, uint8_t out[COUNTERS_TIMESTAMP_LEN])
{
    uint64_t words[TIMESTAMP_WORDS];
    if (!read_words(peer, TIMESTAMP_AT, words, TIMESTAMP_WORDS) || words[0] == 0)
        return false;
    memcpy(out, words, COUNTERS_TIMESTAMP_LEN);
    return true;
}

int counters_create(void)
{
    int fd = memfd_create("manytun-counters", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, sizeof(struct counters)) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

struct counters *counters_map(int fd)
{
    void *memory = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void counters_unmap(struct counters *counters)
{
    if (counters)
        munmap(counters, sizeof(*counters));
}
