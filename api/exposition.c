/*
 * exposition: owns the buffer, which doubles when it is full.
 */
#include "api/exposition.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_MIN  4096
#define NS_PER_S  1000000000
#define VALUE_MAX 40 /* bytes of a written number, its space and newline */

/* The buffer with room for len more bytes, or NULL. */
static char *reserve(struct exposition *out, size_t len)
{
    if (out->failed)
        return NULL;
    size_t room = out->room ? out->room : ROOM_MIN;
    while (room - out->len < len)
        room *= 2;
    if (room != out->room) {
        char *text = realloc(out->text, room);
        if (text == NULL) {
            out->failed = true;
            return NULL;
        }
        out->text = text;
        out->room = room;
    }
    return out->text + out->len;
}

static void add(struct exposition *out, const char *text)
{
    size_t len = strlen(text);
    char *end = reserve(out, len + 1);
    if (end == NULL)
        return;
    memcpy(end, text, len + 1);
    out->len += len;
}

/* Escapes what would end a line, or a quoted value. */
static void add_escaped(struct exposition *out, const char *text, const char *special)
{
    char *end = reserve(out, 2 * strlen(text));
    if (end == NULL)
        return;
    for (; *text != '\0'; text++) {
        if (strchr(special, *text) != NULL)
            *end++ = '\\';
        *end++ = *text == '\n' ? 'n' : *text;
    }
    out->len = (size_t)(end - out->text);
}

static void add_name(struct exposition *out, const struct exposition_label *labels, size_t count)
{
    add(out, out->family);
    for (size_t i = 0; i < count; i++) {
        add(out, i == 0 ? "{" : ",");
        add(out, labels[i].name);
        add(out, "=\"");
        add_escaped(out, labels[i].value, "\\\"\n");
        add(out, i + 1 == count ? "\"}" : "\"");
    }
}

void exposition_fini(struct exposition *out)
{
    free(out->text);
    *out = (struct exposition){0};
}

void exposition_begin(struct exposition *out, const char *name, const char *type, const char *help)
{
    out->family = name;
    add(out, "# HELP ");
    add(out, name);
    add(out, " ");
    add_escaped(out, help, "\\\n");
    add(out, "\n# TYPE ");
    add(out, name);
    add(out, " ");
    add(out, type);
    add(out, "\n");
}

void exposition_integer(struct exposition *out, const struct exposition_label *labels, size_t count,
                        uint64_t value)
{
    char text[VALUE_MAX];
    snprintf(text, sizeof(text), " %" PRIu64 "\n", value);
    add_name(out, labels, count);
    add(out, text);
}

void exposition_seconds(struct exposition *out, const struct exposition_label *labels, size_t count,
                        uint64_t ns)
{
    char text[VALUE_MAX];
    snprintf(text, sizeof(text), " %" PRIu64 ".%09" PRIu64 "\n", ns / NS_PER_S, ns % NS_PER_S);
    add_name(out, labels, count);
    add(out, text);
}

int exposition_finish(struct exposition *out, char **text, size_t *len)
{
    if (out->failed || out->text == NULL) {
        exposition_fini(out);
        return -ENOMEM;
    }
    *text = out->text;
    *len = out->len;
    *out = (struct exposition){0};
    return 0;
}
