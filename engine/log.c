/*
 * log: owns the level and the process's name. Each line is formatted in a bounded buffer and
 * written with one write(2), so that lines of several processes on one descriptor never mix.
 */
#include "engine/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The longest line, newline included; what is longer is cut. At most PIPE_BUF stays atomic. */
#define LOG_LINE_MAX 2048
#define LOG_TEXT_MAX 1536

static enum log_level current_level = LOG_LEVEL_INFO;
static const char *process_name;

static const char *const level_names[] = {
    [LOG_LEVEL_OFF] = "off",   [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_DEBUG] = "debug",
};

int log_level_parse(const char *text, enum log_level *out)
{
    if (strcmp(text, "trace") == 0) {
        *out = LOG_LEVEL_DEBUG;
        return 0;
    }
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
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

void log_set_process(const char *name)
{
    process_name = name;
}

/* "2024-05-01T12:00:00.123Z info  worker 1: "; returns its length. */
static size_t print_prefix(char *buf, size_t size, enum log_level level)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &utc);
    int n =
        snprintf(buf + used, size - used, ".%03ldZ %-5s %.64s%s", now.tv_nsec / 1000000,
                 level_names[level], process_name ? process_name : "", process_name ? ": " : "");
    return n < 0 ? used : used + (size_t)n;
}

/* Appends text with control characters as \xNN, so that no input can forge or split a line. */
static size_t append_escaped(char *buf, size_t used, size_t size, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != 0x7f) {
            if (used + 1 > size)
                break;
            buf[used++] = (char)c;
            continue;
        }
        if (used + 4 > size)
            break;
        static const char hex[] = "0123456789abcdef";
        buf[used++] = '\\';
        buf[used++] = 'x';
        buf[used++] = hex[c >> 4];
        buf[used++] = hex[c & 15];
    }
    return used;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level == LOG_LEVEL_OFF || level > current_level)
        return;
    int saved = errno;
    char text[LOG_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    char line[LOG_LINE_MAX];
    size_t used = print_prefix(line, sizeof(line), level);
    used = append_escaped(line, used, sizeof(line) - 1, text);
    line[used++] = '\n';
    ssize_t written;
    do
        written = write(STDERR_FILENO, line, used);
    while (written < 0 && errno == EINTR);
    errno = saved;
}
