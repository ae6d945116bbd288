/*
 * assets: the files of the status page (web/), which are part of the program. They hold no data of
 * this service, so they need no token; what the page shows it reads from the API, with one.
 */
#ifndef MANYTUN_API_ASSETS_H
#define MANYTUN_API_ASSETS_H

#include <stddef.h>
#include <stdint.h>

struct asset {
    const char *name;
    const unsigned char *bytes;
    size_t len;
    uint64_t tag; /* of the content: the start of its SHA-256; the file's ETag */
};

/* In the order of names, ended by a NULL name. Written by the build (cmake/EmbedFolder.cmake). */
extern const struct asset assets[];

/* NULL when there is no such file. */
const struct asset *asset_find(const char *name);

/* What a file is, by the end of its name. */
const char *asset_content_type(const char *name);

#endif
