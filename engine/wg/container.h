/*
 * container: from a member that is embedded in a struct to that struct.
 */
#ifndef MANYTUN_ENGINE_WG_CONTAINER_H
#define MANYTUN_ENGINE_WG_CONTAINER_H

#include <stddef.h>

/* The struct type whose member this non-NULL pointer points to. */
#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
