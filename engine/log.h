/*
 * log: one line per fact, to standard error, for control and workers alike.
 *
 * Log where the context is and once; never on the packet path; never a secret.
 */
#ifndef MANYTUN_ENGINE_LOG_H
#define MANYTUN_ENGINE_LOG_H

enum log_level { LOG_LEVEL_OFF, LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* "off", "error", "warn", "info", "debug", "trace" (same as debug). Returns 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *out);
const char *log_level_name(enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* Names this process in every line, e.g. "worker 1"; NULL = none. The string is borrowed. */
void log_set_process(const char *name);

/* printf-style; no trailing newline; control characters in the text are escaped. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
