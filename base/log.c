/*
 * log: owns the level, the format and the process's name. Each line is formatted in a bounded
 * buffer and written with one write(2), so that lines of several processes on one descriptor never
 * mix.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The longest line, newline included; what is longer is cut. At most PIPE_BUF stays atomic. */
#define LOG_LINE_MAX 2048
#define LOG_TEXT_MAX 1536
/* What is kept free for the end of a line. */
#define LOG_END_MAX 4
/* The longest name of an object that is shown whole. */
#define LOG_NAME_MAX 64

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum log_level current_level = LOG_LEVEL_INFO;
static enum log_format current_format = LOG_FORMAT_TEXT;
static const char *worker_name;

static const char *const level_names[] = {
    [LOG_LEVEL_OFF] = "off",   [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_DEBUG] = "debug",
};

static const char *const format_names[] = {[LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json"};

static const char *const subject_names[] = {
    [LOG_NOTHING] = "",
    [LOG_TUNNEL] = "tunnel",
    [LOG_FORWARD] = "forward",
    [LOG_WORKER] = "worker",
};

/* Its index, or -EINVAL. */
static int find_name(const char *const *names, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0)
            return (int)i;
    }
    return -EINVAL;
}

int log_level_parse(const char *text, enum log_level *out)
{
    if (strcmp(text, "trace") == 0) {
        *out = LOG_LEVEL_DEBUG;
        return 0;
    }
    int found = find_name(level_names, COUNT(level_names), text);
    if (found < 0)
        return found;
    *out = (enum log_level)found;
    return 0;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

void log_set_level(enum log_level level)
{
    current_level = level;
}

enum log_level log_get_level(void)
{
    return current_level;
}

int log_format_parse(const char *text, enum log_format *out)
{
    int found = find_name(format_names, COUNT(format_names), text);
    if (found < 0)
        return found;
    *out = (enum log_format)found;
    return 0;
}

const char *log_format_name(enum log_format format)
{
    return format_names[format];
}

void log_set_format(enum log_format format)
{
    current_format = format;
}

enum log_format log_get_format(void)
{
    return current_format;
}

void log_set_worker(const char *name)
{
    worker_name = name;
}

/* --- A line ----------------------------------------------------------------------------------- */

struct line {
    char text[LOG_LINE_MAX];
    size_t len;
};

/* Appends all of it, or nothing and returns false. */
static bool append(struct line *line, const char *text, size_t len)
{
    if (line->len + len > sizeof(line->text) - LOG_END_MAX)
        return false;
    memcpy(line->text + line->len, text, len);
    line->len += len;
    return true;
}

static void append_string(struct line *line, const char *text)
{
    append(line, text, strlen(text));
}

/* "2024-05-01T12:00:00.123Z" */
static void append_time(struct line *line)
{
    struct timespec now;
    struct tm utc;
    char text[48];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + used, sizeof(text) - used, ".%03ldZ", now.tv_nsec / 1000000);
    append_string(line, text);
}

/* The length of the character in UTF-8 (RFC 3629) that the text begins with; 0 = there is none. */
static size_t utf8_len(const unsigned char *text)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max;
        size_t len;
    } rows[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (text[0] < rows[i].first_min || text[0] > rows[i].first_max)
            continue;
        if (rows[i].len > 1 && (text[1] < rows[i].second_min || text[1] > rows[i].second_max))
            return 0;
        for (size_t k = 2; k < rows[i].len; k++) {
            if (text[k] < 0x80 || text[k] > 0xbf)
                return 0;
        }
        return rows[i].len;
    }
    return 0;
}

/*
 * Appends text so that no input can forge or split a line: control characters are escaped, and what
 * is no UTF-8 is replaced. Cut where the line is full, between two characters.
 */
static void append_escaped(struct line *line, const char *text)
{
    bool json = current_format == LOG_FORMAT_JSON;
    const unsigned char *at = (const unsigned char *)text;
    bool fits = true;
    while (*at != '\0' && fits) {
        size_t len = utf8_len(at);
        char escape[8];
        if (len == 0) {
            fits = append(line, "\xef\xbf\xbd", 3); /* U+FFFD */
        } else if (*at < 0x20 || *at == 0x7f) {
            snprintf(escape, sizeof(escape), json ? "\\u%04x" : "\\x%02x", *at);
            fits = append(line, escape, strlen(escape));
        } else if (json && (*at == '"' || *at == '\\')) {
            fits = append(line, (const char[]){'\\', (char)*at}, 2);
        } else {
            fits = append(line, (const char *)at, len);
        }
        at += len > 0 ? len : 1;
    }
}

static void append_name(struct line *line, const char *name)
{
    char whole[LOG_NAME_MAX + 1];
    snprintf(whole, sizeof(whole), "%s", name);
    append_escaped(line, whole);
}

/* ,"forward":"web" or "forward web: " */
static void append_subject(struct line *line, enum log_subject subject, const char *name)
{
    bool json = current_format == LOG_FORMAT_JSON;
    if (subject == LOG_NOTHING)
        return;
    append_string(line, json ? ",\"" : "");
    append_string(line, subject_names[subject]);
    append_string(line, json ? "\":\"" : " ");
    append_name(line, name);
    append_string(line, json ? "\"" : ": ");
}

static void append_head(struct line *line, enum log_level level)
{
    bool json = current_format == LOG_FORMAT_JSON;
    char text[32];
    append_string(line, json ? "{\"time\":\"" : "");
    append_time(line);
    snprintf(text, sizeof(text), json ? "\",\"level\":\"%s\"" : " %-5s ", level_names[level]);
    append_string(line, text);
    if (worker_name != NULL)
        append_subject(line, LOG_WORKER, worker_name);
}

static void write_line(enum log_level level, enum log_subject subject, const char *name,
                       const char *message)
{
    bool json = current_format == LOG_FORMAT_JSON;
    struct line line = {.len = 0};
    append_head(&line, level);
    append_subject(&line, subject, name);
    append_string(&line, json ? ",\"message\":\"" : "");
    append_escaped(&line, message);
    const char *end = json ? "\"}\n" : "\n";
    memcpy(line.text + line.len, end, strlen(end)); /* LOG_END_MAX is kept free: NOLINT */
    line.len += strlen(end);
    ssize_t written;
    do
        written = write(STDERR_FILENO, line.text, line.len);
    while (written < 0 && errno == EINTR);
}

static bool is_wanted(enum log_level level)
{
    return level != LOG_LEVEL_OFF && level <= current_level;
}

void log_write(enum log_level level, const char *format, ...)
{
    char message[LOG_TEXT_MAX];
    va_list args;
    int saved = errno;
    if (!is_wanted(level))
        return;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    write_line(level, LOG_NOTHING, NULL, message);
    errno = saved;
}

void log_about(enum log_level level, enum log_subject subject, const char *name, const char *format,
               ...)
{
    char message[LOG_TEXT_MAX];
    va_list args;
    int saved = errno;
    if (!is_wanted(level))
        return;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    write_line(level, subject, name, message);
    errno = saved;
}
