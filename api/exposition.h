/*
 * exposition: writing Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/), into one growing buffer.
 *
 * Running out of memory is remembered: writing goes on without effect, and exposition_finish()
 * tells.
 */
#ifndef MANYTUN_API_EXPOSITION_H
#define MANYTUN_API_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct exposition {
    const char *family; /* whose samples are being written */
    char *text;
    size_t len;
    size_t room;
    bool failed;
};

/* A label; the value is any UTF-8 and is escaped here. */
struct exposition_label {
    const char *name;
    const char *value;
};

/* A zeroed struct is an empty exposition. Frees what was not handed out by exposition_finish(). */
void exposition_fini(struct exposition *out);

/*
 * Begins a family: its HELP and TYPE. Every sample until the next one belongs to it. A family may
 * be begun once, and may have no sample. type is "counter" or "gauge"; name is borrowed.
 */
void exposition_begin(struct exposition *out, const char *name, const char *type, const char *help);
void exposition_integer(struct exposition *out, const struct exposition_label *labels, size_t count,
                        uint64_t value);
/* A time in seconds, from nanoseconds. */
void exposition_seconds(struct exposition *out, const struct exposition_label *labels, size_t count,
                        uint64_t ns);

/* Hands the text out; the caller frees it. 0 or -ENOMEM. The exposition is empty after. */
int exposition_finish(struct exposition *out, char **text, size_t *len);

#endif
