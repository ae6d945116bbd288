/*
 * hosts: owns the text of the file, which is searched as it is: a lookup is rare, and the text is
 * bounded.
 */
#include "server/hosts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char without_file[] = "127.0.0.1 localhost\n::1 localhost\n";

/* --- Reading ---------------------------------------------------------------------------------- */

int hosts_load(struct hosts *hosts, const char *path)
{
    char *text = malloc(HOSTS_BYTES_MAX);
    if (text == NULL)
        return -ENOMEM;
    size_t len = sizeof(without_file) - 1;
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        len = fread(text, 1, HOSTS_BYTES_MAX, file);
        fclose(file);
    } else {
        memcpy(text, without_file, len);
    }
    const bool is_cut = len == HOSTS_BYTES_MAX;
    while (is_cut && len > 0 && text[len - 1] != '\n') /* half a line may be another name */
        len--;
    char *shorter = realloc(text, len + 1);
    free(hosts->text);
    hosts->text = shorter != NULL ? shorter : text;
    hosts->len = len;
    return 0;
}

void hosts_fini(struct hosts *hosts)
{
    free(hosts->text);
    *hosts = (struct hosts){0};
}

/* --- Searching -------------------------------------------------------------------------------- */

/* A part of the text. */
struct span {
    const char *at;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line, which it is taken from. False when there is none. */
static bool take_word(struct span *line, struct span *word)
{
    while (line->len > 0 && is_blank(*line->at)) {
        line->at++;
        line->len--;
    }
    word->at = line->at;
    word->len = 0;
    while (word->len < line->len && !is_blank(word->at[word->len]))
        word->len++;
    line->at += word->len;
    line->len -= word->len;
    return word->len > 0;
}

static bool parse_address(const struct span *word, struct inet_addr *out)
{
    char text[INET_ADDR_TEXT];
    if (word->len >= sizeof(text))
        return false;
    memcpy(text, word->at, word->len);
    text[word->len] = '\0';
    return inet_addr_parse(text, out) == 0;
}

static bool has_name(struct span line, const struct span *name)
{
    struct span word;
    while (take_word(&line, &word)) {
        if (word.len == name->len && strncasecmp(word.at, name->at, name->len) == 0)
            return true;
    }
    return false;
}

/* The next line without its comment; false at the end. */
static bool take_line(struct span *text, struct span *line)
{
    if (text->len == 0)
        return false;
    const char *end = memchr(text->at, '\n', text->len);
    line->at = text->at;
    line->len = end != NULL ? (size_t)(end - text->at) : text->len;
    const size_t taken = line->len + (end != NULL);
    text->at += taken;
    text->len -= taken;
    const char *comment = memchr(line->at, '#', line->len);
    if (comment != NULL)
        line->len = (size_t)(comment - line->at);
    return true;
}

size_t hosts_find(const struct hosts *hosts, const char *name, struct inet_addr out[], size_t max)
{
    struct span wanted = {name, strlen(name)};
    struct span text = {hosts->text, hosts->len};
    struct span line, word;
    size_t count = 0;
    if (wanted.len > 1 && name[wanted.len - 1] == '.')
        wanted.len--;
    while (count < max && take_line(&text, &line)) {
        if (take_word(&line, &word) && has_name(line, &wanted) && parse_address(&word, &out[count]))
            count++;
    }
    return count;
}
