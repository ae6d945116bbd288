/*
 * exposition_check: a strict reader of Prometheus' text format, 0.0.4. Stricter than the format:
 * every family has HELP and then TYPE, its samples follow at once, all have the same labels, and
 * there is no comment, no timestamp and no empty line. What is wrong fails the test.
 */
#ifndef MANYTUN_TESTS_EXPOSITION_CHECK_H
#define MANYTUN_TESTS_EXPOSITION_CHECK_H

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECK_FAMILIES_MAX 128
#define CHECK_SERIES_MAX   65536
#define CHECK_NAME_MAX     128

struct exposition_check {
    char families[CHECK_FAMILIES_MAX][CHECK_NAME_MAX];
    size_t families_count;
    char type[16];                  /* of the last family */
    char labels[CHECK_NAME_MAX];    /* names of the family's labels, "" before the first sample */
    size_t samples;                 /* of the last family */
    char *series[CHECK_SERIES_MAX]; /* name and labels, of all families */
    size_t series_count;
};

static inline size_t check_name(const char *text, bool label)
{
    size_t len = 0;
    while (isalnum((unsigned char)text[len]) || text[len] == '_' || (!label && text[len] == ':'))
        len++;
    if (len == 0 || len >= CHECK_NAME_MAX || isdigit((unsigned char)text[0]))
        fail_msg("no name: %.80s", text);
    return len;
}

/* The text after a family's name in its HELP or TYPE line, or NULL when the line is another one. */
static inline const char *check_after(const char *line, const char *keyword, const char *name)
{
    char start[CHECK_NAME_MAX + 16];
    int len = snprintf(start, sizeof(start), "# %s %s ", keyword, name);
    return strncmp(line, start, (size_t)len) == 0 ? line + len : NULL;
}

static inline void check_help(struct exposition_check *check, const char *line)
{
    assert_int_equal(strncmp(line, "# HELP ", 7), 0);
    char *name = check->families[check->families_count];
    assert_true(check->families_count < CHECK_FAMILIES_MAX);
    snprintf(name, CHECK_NAME_MAX, "%.*s", (int)check_name(line + 7, false), line + 7);
    for (size_t i = 0; i < check->families_count; i++) {
        if (strcmp(check->families[i], name) == 0)
            fail_msg("family %s comes twice", name);
    }
    check->families_count++;
    const char *help = check_after(line, "HELP", name);
    assert_non_null(help);
    assert_true(help[0] != '\0');
    for (; *help != '\0'; help++) {
        if (*help == '\\' && *++help != '\\' && *help != 'n')
            fail_msg("bad escape: %s", line);
    }
}

static inline void check_type(struct exposition_check *check, const char *line)
{
    const char *name = check->families[check->families_count - 1];
    const char *type = check_after(line, "TYPE", name);
    if (type == NULL || (strcmp(type, "counter") != 0 && strcmp(type, "gauge") != 0))
        fail_msg("no TYPE of %s: %s", name, line);
    snprintf(check->type, sizeof(check->type), "%s", type);
    size_t len = strlen(name);
    bool total = len > 6 && strcmp(name + len - 6, "_total") == 0;
    if (total != (strcmp(type, "counter") == 0))
        fail_msg("%s is a %s", name, type);
    check->labels[0] = '\0';
    check->samples = 0;
}

/* Reads {a="b",c="d"}; returns what follows. Collects the names. */
static inline const char *check_labels(const char *text, char names[CHECK_NAME_MAX])
{
    size_t used = 0;
    names[0] = '\0';
    if (*text != '{')
        return text;
    do {
        text++;
        size_t len = check_name(text, true);
        assert_true(used + len + 2 < CHECK_NAME_MAX);
        used += (size_t)snprintf(names + used, CHECK_NAME_MAX - used, "%.*s,", (int)len, text);
        text += len;
        assert_int_equal(strncmp(text, "=\"", 2), 0);
        for (text += 2; *text != '"'; text++) {
            assert_true(*text != '\0');
            if (*text == '\\' && *++text != '\\' && *text != '"' && *text != 'n')
                fail_msg("bad escape: %s", text);
        }
        text++;
    } while (*text == ',');
    assert_int_equal(*text, '}');
    return text + 1;
}

static inline void check_sample(struct exposition_check *check, const char *line)
{
    const char *family = check->families[check->families_count - 1];
    size_t len = check_name(line, false);
    if (strlen(family) != len || strncmp(line, family, len) != 0)
        fail_msg("a sample outside of its family %s: %s", family, line);
    char names[CHECK_NAME_MAX];
    const char *value = check_labels(line + len, names);
    if (check->samples++ == 0)
        memcpy(check->labels, names, sizeof(names));
    assert_string_equal(check->labels, names);
    assert_int_equal(*value, ' ');
    char *end;
    double number = strtod(value + 1, &end);
    if (isspace((unsigned char)value[1]) || *end != '\0' || end == value + 1 || !(number >= 0))
        fail_msg("no value: %s", line);
    assert_true(check->series_count < CHECK_SERIES_MAX);
    check->series[check->series_count++] = strndup(line, (size_t)(value - line));
}

static inline int check_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void check_unique(struct exposition_check *check)
{
    qsort(check->series, check->series_count, sizeof(check->series[0]), check_compare);
    for (size_t i = 1; i < check->series_count; i++) {
        if (strcmp(check->series[i - 1], check->series[i]) == 0)
            fail_msg("a series comes twice: %s", check->series[i]);
    }
    for (size_t i = 0; i < check->series_count; i++)
        free(check->series[i]);
    check->series_count = 0;
}

/* Fills *check with the families. */
static inline void exposition_check(struct exposition_check *check, const char *text)
{
    memset(check, 0, sizeof(*check));
    size_t len = strlen(text);
    assert_true(len > 0 && text[len - 1] == '\n');
    char *copy = strdup(text);
    bool want_type = false;
    for (char *line = copy, *next; *line != '\0'; line = next) {
        next = strchr(line, '\n');
        *next++ = '\0';
        if (want_type)
            check_type(check, line);
        else if (line[0] == '#')
            check_help(check, line);
        else
            check_sample(check, line);
        want_type = !want_type && line[0] == '#';
    }
    assert_false(want_type);
    free(copy);
    check_unique(check);
}

static inline bool exposition_check_has(const struct exposition_check *check, const char *family)
{
    for (size_t i = 0; i < check->families_count; i++) {
        if (strcmp(check->families[i], family) == 0)
            return true;
    }
    return false;
}

#endif
