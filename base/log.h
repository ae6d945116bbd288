/*
 * log: one line per fact, to standard error, for control and workers alike, as text or as JSON:
 *
 *   2024-05-01T12:00:00.123Z info  worker 1: forward web: listening
 *   {"time":"2024-05-01T12:00:00.123Z","level":"info","worker":"1","forward":"web","message":"…"}
 *
 * A line is bounded: a message that is too long is cut. Whatever bytes it has, a line stays one
 * line, and valid JSON (RFC 8259) in UTF-8.
 *
 * Log where the context is and once; never on the packet path; never a secret.
 */
#ifndef MANYTUN_BASE_LOG_H
#define MANYTUN_BASE_LOG_H

enum log_level { LOG_LEVEL_OFF, LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* "off", "error", "warn", "info", "debug", "trace" (same as debug). Returns 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *out);
const char *log_level_name(enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* "text" or "json". Returns 0 or -EINVAL. */
int log_format_parse(const char *text, enum log_format *out);
const char *log_format_name(enum log_format format);
void log_set_format(enum log_format format);
enum log_format log_get_format(void);

/* Names the worker that this process is, in every line; NULL = none. The string is borrowed. */
void log_set_worker(const char *name);

/* printf-style; no trailing newline. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* The kind of object that a line is about. */
enum log_subject { LOG_NOTHING, LOG_TUNNEL, LOG_FORWARD, LOG_WORKER };

/* The same, about an object of that name. */
void log_about(enum log_level level, enum log_subject subject, const char *name, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

#endif
