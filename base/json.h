/*
 * json: the strict reader in front of cJSON (RFC 8259, and stricter).
 *
 * cJSON accepts trailing garbage, leading zeros, control characters, duplicate keys, embedded
 * NULs, and matches names without regard to case. Everything of ours that reads JSON reads it
 * through here.
 */
#ifndef MANYTUN_BASE_JSON_H
#define MANYTUN_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deepest nesting of arrays and objects that is read. */
#define JSON_DEPTH_MAX 32

/*
 * Has cJSON wipe all memory that it frees, from now on: definitions carry keys, and a text that is
 * being printed leaves a copy of itself behind whenever it has to grow. Call it first in main().
 */
void json_wipe_freed(void);

struct json_error {
    size_t offset;    /* byte offset in the text */
    char detail[128]; /* what is wrong there */
    bool no_memory;   /* nothing is wrong with the text: there was no room for its value */
    bool too_large;   /* the same: it has more values than are read */
};

/*
 * Reads one JSON text of exactly len bytes (white space around it is allowed). Refuses: invalid
 * UTF-8, \u0000 and lone surrogates in strings, duplicate keys, nesting over JSON_DEPTH_MAX,
 * leading zeros, numbers that do not fit a finite double, anything after the value.
 * Returns the value, which the caller frees with json_free(), or NULL with *error filled.
 */
cJSON *json_read(const char *text, size_t len, struct json_error *error);
/* The same for text from outside: also refuses more than max values, each of which takes memory. */
cJSON *json_read_bounded(const char *text, size_t len, size_t max, struct json_error *error);

/* Frees a tree, see json_wipe_freed(). NULL is allowed. */
void json_free(cJSON *value);

/* The member named name, case-sensitive, or NULL. */
const cJSON *json_member(const cJSON *object, const char *name);

/* True when item is a number with an integer value in min..max; then *out is set. */
bool json_integer(const cJSON *item, int64_t min, int64_t max, int64_t *out);

/* Appends "/name" to a JSON pointer (RFC 6901), escaping '~' and '/'; what does not fit in size
 * is cut off between characters. */
void json_pointer_append(char *pointer, size_t size, const char *name);

#endif
