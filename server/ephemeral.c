/*
 * ephemeral: the kernel's settings are read anew each time: they may change, and reading them costs
 * less than a bind.
 */
#include "server/ephemeral.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RANGE    "/proc/sys/net/ipv4/ip_local_port_range"
#define RESERVED "/proc/sys/net/ipv4/ip_local_reserved_ports"

/* The list of reserved ports that is read; a longer one is left to the kernel. */
#define SETTING_MAX 4096

/* How many reserved ports may be met before the kernel is asked. */
#define DRAWS 16

/* So many attempts are made among the ports that the kernel keeps for those who listen. */
#define ATTEMPTS_WITHIN_HALF 8

/* Reads a setting into text. False when it is not there, or too long. */
static bool read_setting(const char *path, char text[SETTING_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, SETTING_MAX);
    close(fd);
    if (len < 0 || len == SETTING_MAX)
        return false;
    text[len] = '\0';
    return true;
}

bool ephemeral_list_has(const char *list, uint16_t port)
{
    while (*list >= '0' && *list <= '9') {
        char *end;
        unsigned long first = strtoul(list, &end, 10);
        unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
        if (port >= first && port <= last)
            return true;
        list = *end == ',' ? end + 1 : end;
    }
    return false;
}

uint16_t ephemeral_port(unsigned attempt)
{
    char range[SETTING_MAX];
    char reserved[SETTING_MAX];
    unsigned low, high;
    if (!read_setting(RANGE, range) || !read_setting(RESERVED, reserved) ||
        sscanf(range, "%u %u", &low, &high) != 2 || low == 0 || high <= low || high > UINT16_MAX)
        return 0;
    /* Outgoing connections get every second port, from the lowest, as long as there are any. */
    unsigned step = attempt < ATTEMPTS_WITHIN_HALF ? 2 : 1;
    uint32_t count = (high - low + 1) / step;
    for (int i = 0; i < DRAWS; i++) {
        uint16_t port = (uint16_t)(low + step * randombytes_uniform(count) + (step - 1));
        if (!ephemeral_list_has(reserved, port))
            return port;
    }
    return 0;
}
