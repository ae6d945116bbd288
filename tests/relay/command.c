/* command: owns no state; one function per command, found in a table. */
#include "tests/relay/command.h"

#include "tests/relay/relay.h"
#include "tests/relay/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATORS " \t\r\n"

static void fail(FILE *out, const char *why, const char *what)
{
    fprintf(out, "error %s: %s\n", why, what ? what : "nothing");
}

static void answer(FILE *out, int error)
{
    if (error)
        fail(out, "failed", strerror(-error));
    else
        fputs("ok\n", out);
}

static char *next_word(char **rest)
{
    return strtok_r(NULL, SEPARATORS, rest);
}

static const char *const directions[RELAY_DIRECTIONS] = {"up", "down"};

/* The direction of that name; RELAY_DIRECTIONS: there is none. */
static enum relay_direction direction_of(const char *name)
{
    enum relay_direction direction = 0;
    while (direction < RELAY_DIRECTIONS && (!name || strcmp(name, directions[direction]) != 0))
        direction++;
    return direction;
}

/* --- Settings ------------------------------------------------------------------------------- */

static const struct setting {
    const char *name;
    size_t offset; /* of a double in struct path_settings */
    double unit;
    double max; /* of what is written */
} settings[] = {
    {"delay", offsetof(struct path_settings, delay), 1e-3, 60000},
    {"jitter", offsetof(struct path_settings, jitter), 1e-3, 60000},
    {"loss", offsetof(struct path_settings, loss), 1e-2, 100},
    {"burst", offsetof(struct path_settings, burst), 1, 1e6},
    {"duplicate", offsetof(struct path_settings, duplicate), 1e-2, 100},
    {"corrupt", offsetof(struct path_settings, corrupt), 1e-2, 100},
    {"truncate", offsetof(struct path_settings, truncate), 1e-2, 100},
    {"replay", offsetof(struct path_settings, replay), 1e-2, 100},
    {"rate", offsetof(struct path_settings, rate), 1e6, 1e5},
    {"queue", offsetof(struct path_settings, queue), 1e3, 1e6},
    {"hold", offsetof(struct path_settings, hold), 1, 1},
};

static const struct setting *setting_of(const char *name)
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    return NULL;
}

/* Applies "key=value". False when it is none. */
static bool apply(struct path_settings *to, char *word)
{
    char *value = strchr(word, '=');
    char *end;
    if (!value)
        return false;
    *value++ = '\0';
    const struct setting *setting = setting_of(word);
    const double number = strtod(value, &end);
    if (!setting || end == value || *end != '\0' || !(number >= 0 && number <= setting->max))
        return false;
    const double scaled = number * setting->unit;
    memcpy((char *)to + setting->offset, &scaled, sizeof(scaled));
    return true;
}

static void set(struct relay *relay, char **rest, FILE *out)
{
    const char *name = next_word(rest);
    const bool both = name && strcmp(name, "both") == 0;
    const enum relay_direction one = direction_of(name);
    struct path_settings changed[RELAY_DIRECTIONS];
    char *word;

    if (!both && one == RELAY_DIRECTIONS) {
        fail(out, "no direction", name);
        return;
    }
    for (int i = 0; i < RELAY_DIRECTIONS; i++)
        changed[i] = relay->paths[i].settings;
    while ((word = next_word(rest))) {
        char copy[64];
        snprintf(copy, sizeof(copy), "%s", word);
        if (!apply(&changed[both ? RELAY_UP : one], copy) ||
            (both && !apply(&changed[RELAY_DOWN], word))) {
            fail(out, "no setting", copy);
            return;
        }
    }
    for (int i = 0; i < RELAY_DIRECTIONS; i++)
        relay->paths[i].settings = changed[i];
    answer(out, 0);
}

/* --- Questions ------------------------------------------------------------------------------ */

static const char *const counter_names[PATH_COUNTERS] = {
    [PATH_RECEIVED] = "received",
    [PATH_FORWARDED] = "forwarded",
    [PATH_LOST] = "lost",
    [PATH_OVERFLOWED] = "overflowed",
    [PATH_DUPLICATED] = "duplicated",
    [PATH_CORRUPTED] = "corrupted",
    [PATH_TRUNCATED] = "truncated",
    [PATH_REPLAYED] = "replayed",
};

static void counters(struct relay *relay, char **rest, FILE *out)
{
    (void)rest;
    fputs("ok", out);
    for (enum relay_direction i = 0; i < RELAY_DIRECTIONS; i++) {
        for (int j = 0; j < PATH_COUNTERS; j++)
            fprintf(out, " %s.%s=%llu", directions[i], counter_names[j],
                    (unsigned long long)relay->paths[i].counters[j]);
        fprintf(out, " %s.refused=%llu %s.missed=%llu", directions[i],
                (unsigned long long)relay->refused[i], directions[i],
                (unsigned long long)relay_missed(relay, i));
    }
    fputc('\n', out);
}

static void flows(struct relay *relay, char **rest, FILE *out)
{
    (void)rest;
    fputs("ok", out);
    for (unsigned i = 0; i < relay->flows_count; i++) {
        char client[INET_SOCKADDR_TEXT];
        char outside[INET_SOCKADDR_TEXT];
        union inet_sockaddr addr;
        if (relay_outside(relay, i, &addr) == 0)
            fprintf(out, " %s=%s", inet_sockaddr_print(&relay->flows[i].client, client),
                    inet_sockaddr_print(&addr, outside));
    }
    fputc('\n', out);
}

static void captured(struct relay *relay, char **rest, FILE *out)
{
    const char *name = next_word(rest);
    const char *kind = next_word(rest);
    const enum relay_direction direction = direction_of(name);
    if (direction == RELAY_DIRECTIONS || !kind || kind[0] < '0' || kind[0] >= '0' + CAPTURE_KINDS ||
        kind[1] != '\0') {
        fail(out, "no direction or kind", name);
        return;
    }
    const struct capture *capture = &relay->paths[direction].capture;
    const unsigned number = (unsigned)(kind[0] - '0');
    const size_t count = capture_count(capture, number);
    fputs("ok", out);
    for (size_t i = 0; i < count; i++) {
        const struct captured *datagram = capture_at(capture, number, i);
        fputc(' ', out);
        for (size_t j = 0; j < datagram->len; j++)
            fprintf(out, "%02x", datagram->data[j]);
    }
    fputc('\n', out);
}

/* --- Attacks -------------------------------------------------------------------------------- */

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c != '\0' ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* Turns hexadecimal text into bytes, in place; "-" is no bytes. How many, or -EINVAL. */
static ssize_t unhex(char *text)
{
    const size_t len = strcmp(text, "-") == 0 ? 0 : strlen(text);
    if (len % 2 != 0)
        return -EINVAL;
    for (size_t i = 0; i < len; i += 2) {
        const int high = digit(text[i]);
        const int low = digit(text[i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        text[i / 2] = (char)(high << 4 | low);
    }
    return (ssize_t)(len / 2);
}

static void inject(struct relay *relay, char **rest, FILE *out)
{
    const enum relay_direction direction = direction_of(next_word(rest));
    char *hex = next_word(rest);
    const char *source = next_word(rest);
    union inet_sockaddr from;
    const ssize_t len = hex ? unhex(hex) : -EINVAL;
    if (direction == RELAY_DIRECTIONS || len < 0) {
        fail(out, "no direction or no bytes", hex);
        return;
    }
    if (source && sockets_parse(source, &from) < 0) {
        fail(out, "no address", source);
        return;
    }
    answer(out, relay_inject(relay, direction, source ? &from : NULL, (const uint8_t *)hex,
                             (size_t)len));
}

static void rebind(struct relay *relay, char **rest, FILE *out)
{
    const char *text = next_word(rest);
    struct inet_addr address;
    if (text && inet_addr_parse(text, &address) < 0) {
        fail(out, "no address", text);
        return;
    }
    answer(out, relay_rebind(relay, text ? &address : NULL));
}

/* --- The table ------------------------------------------------------------------------------ */

static const struct command {
    const char *name;
    void (*run)(struct relay *relay, char **rest, FILE *out);
} commands[] = {
    {"set", set},           {"counters", counters}, {"flows", flows},
    {"captured", captured}, {"inject", inject},     {"rebind", rebind},
};

void command_execute(struct relay *relay, char *line, FILE *out)
{
    char *rest = NULL;
    const char *name = strtok_r(line, SEPARATORS, &rest);
    for (size_t i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        commands[i].run(relay, &rest, out);
        return;
    }
    fail(out, "no command", name);
}
