/* counters: owns nothing but the mapping; see counters.h for who writes what. */
#include "engine/counters.h"

#include "engine/inet.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A writer that died in between leaves an odd version for ever: readers do not wait for it. */
#define READ_ATTEMPTS 16

#define ENDPOINT_WORDS 3

void counters_set_endpoint(struct counters_peer *peer, const union inet_sockaddr *endpoint)
{
    struct inet_addr address = {.family = AF_UNSPEC};
    uint16_t port = 0;
    uint64_t words[ENDPOINT_WORDS] = {0};
    if (endpoint->sa.sa_family != AF_UNSPEC) {
        inet_sockaddr_split(endpoint, &address, &port);
        memcpy(words, address.bytes, sizeof(address.bytes));
        words[2] = (uint64_t)address.family << 16 | port;
    }
    bool same = true;
    for (int i = 0; i < ENDPOINT_WORDS; i++)
        same = same && counter_get(&peer->endpoint[i]) == words[i];
    uint64_t version = counter_get(&peer->endpoint_version);
    if (same && version % 2 == 0)
        return;
    counter_set(&peer->endpoint_version, version | 1);
    atomic_thread_fence(memory_order_release);
    for (int i = 0; i < ENDPOINT_WORDS; i++)
        counter_set(&peer->endpoint[i], words[i]);
    atomic_store_explicit(&peer->endpoint_version, (version | 1) + 1, memory_order_release);
}

bool counters_get_endpoint(const struct counters_peer *peer, union inet_sockaddr *out)
{
    counter *version = (counter *)&peer->endpoint_version;
    for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
        uint64_t words[ENDPOINT_WORDS];
        uint64_t before = atomic_load_explicit(version, memory_order_acquire);
        for (int i = 0; i < ENDPOINT_WORDS; i++)
            words[i] = counter_get(&peer->endpoint[i]);
        atomic_thread_fence(memory_order_acquire);
        if (before % 2 != 0 || counter_get(version) != before)
            continue;
        struct inet_addr address = {.family = (sa_family_t)(words[2] >> 16)};
        if (address.family == AF_UNSPEC)
            return false;
        memcpy(address.bytes, words, sizeof(address.bytes));
        inet_sockaddr_make(out, &address, (uint16_t)words[2]);
        return true;
    }
    return false;
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
