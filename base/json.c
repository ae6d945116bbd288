/*
 * json: a strict scanner that walks the text first, and only then lets cJSON build the tree.
 *
 * The scanner decides what is JSON (RFC 8259); cJSON sees only texts that passed. Duplicate names
 * are looked for in the tree, after escapes were resolved: "a" and "\u0061" are the same name.
 */
#include "base/json.h"

#include <malloc.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cJSON reads numbers through a buffer of 64 bytes and would split a longer one. */
#define NUMBER_TEXT_MAX 63

struct scanner {
    const unsigned char *text;
    size_t len;
    size_t at;
    unsigned depth;
    size_t values_left; /* that may still come */
    struct json_error *error;
};

static int refuse(struct scanner *s, const char *detail)
{
    *s->error = (struct json_error){.offset = s->at};
    snprintf(s->error->detail, sizeof(s->error->detail), "%s", detail);
    return -1;
}

/* The byte at the cursor, or -1 at the end. */
static int peek(const struct scanner *s)
{
    return s->at < s->len ? s->text[s->at] : -1;
}

static bool accept_byte(struct scanner *s, char c)
{
    if (peek(s) != (unsigned char)c)
        return false;
    s->at++;
    return true;
}

static void skip_space(struct scanner *s)
{
    while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\n' || peek(s) == '\r')
        s->at++;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static int scan_literal(struct scanner *s, const char *literal)
{
    size_t len = strlen(literal);
    if (s->len - s->at < len || memcmp(s->text + s->at, literal, len) != 0)
        return refuse(s, "expected a value");
    s->at += len;
    return 0;
}

static int scan_digits(struct scanner *s)
{
    if (!is_digit(peek(s)))
        return refuse(s, "expected a digit");
    while (is_digit(peek(s)))
        s->at++;
    return 0;
}

static int scan_number(struct scanner *s)
{
    size_t start = s->at;
    accept_byte(s, '-');
    if (accept_byte(s, '0')) {
        if (is_digit(peek(s)))
            return refuse(s, "a number must not have leading zeros");
    } else if (scan_digits(s) < 0) {
        return -1;
    }
    if (accept_byte(s, '.') && scan_digits(s) < 0)
        return -1;
    if (accept_byte(s, 'e') || accept_byte(s, 'E')) {
        if (!accept_byte(s, '+'))
            accept_byte(s, '-');
        if (scan_digits(s) < 0)
            return -1;
    }
    size_t len = s->at - start;
    char copy[NUMBER_TEXT_MAX + 1];
    if (len > NUMBER_TEXT_MAX) {
        s->at = start;
        return refuse(s, "a number has too many characters");
    }
    memcpy(copy, s->text + start, len);
    copy[len] = '\0';
    if (!isfinite(strtod(copy, NULL))) {
        s->at = start;
        return refuse(s, "a number is out of range");
    }
    return 0;
}

/* Reads four hexadecimal digits; -1 when they are not there. */
static int scan_hex4(struct scanner *s)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int c = peek(s);
        int digit;
        if (is_digit(c))
            digit = c - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10;
        else if (c >= 'A' && c <= 'F')
            digit = c - 'A' + 10;
        else
            return -1;
        value = value * 16 + digit;
        s->at++;
    }
    return value;
}

static bool is_high_surrogate(int unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low_surrogate(int unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* What follows a backslash. */
static int scan_escape(struct scanner *s)
{
    int c = peek(s);
    if (c < 0 || c == '\0' || strchr("\"\\/bfnrtu", c) == NULL)
        return refuse(s, "an unknown escape in a string");
    s->at++;
    if (c != 'u')
        return 0;
    int unit = scan_hex4(s);
    if (unit < 0)
        return refuse(s, "\\u needs four hexadecimal digits");
    if (unit == 0)
        return refuse(s, "a string must not contain \\u0000");
    if (is_low_surrogate(unit))
        return refuse(s, "a lone surrogate in a string");
    if (!is_high_surrogate(unit))
        return 0;
    if (!accept_byte(s, '\\') || !accept_byte(s, 'u') || !is_low_surrogate(scan_hex4(s)))
        return refuse(s, "a lone surrogate in a string");
    return 0;
}

/*
 * One UTF-8 sequence of more than one byte (RFC 3629, table in section 4): the second byte's range
 * keeps out overlong forms, surrogates and code points over U+10FFFF.
 */
static int scan_utf8(struct scanner *s)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, len;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *p = s->text + s->at;
    size_t left = s->len - s->at;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (p[0] < forms[i].first_min || p[0] > forms[i].first_max)
            continue;
        if (left < forms[i].len || p[1] < forms[i].second_min || p[1] > forms[i].second_max)
            break;
        for (size_t n = 2; n < forms[i].len; n++) {
            if ((p[n] & 0xc0) != 0x80)
                return refuse(s, "invalid UTF-8 in a string");
        }
        s->at += forms[i].len;
        return 0;
    }
    return refuse(s, "invalid UTF-8 in a string");
}

static int scan_string(struct scanner *s)
{
    if (!accept_byte(s, '"'))
        return refuse(s, "expected a string");
    for (;;) {
        int c = peek(s);
        int rc = 0;
        if (c < 0)
            return refuse(s, "a string is not closed");
        if (c < 0x20)
            return refuse(s, "a control character in a string");
        if (c >= 0x80) {
            rc = scan_utf8(s);
        } else {
            s->at++;
            if (c == '"')
                return 0;
            if (c == '\\')
                rc = scan_escape(s);
        }
        if (rc < 0)
            return rc;
    }
}

static int scan_value(struct scanner *s);

/* After '{' or '[': members up to the closing byte. */
static int scan_members(struct scanner *s, char close, bool named)
{
    if (++s->depth > JSON_DEPTH_MAX)
        return refuse(s, "nested too deeply");
    skip_space(s);
    if (accept_byte(s, close)) {
        s->depth--;
        return 0;
    }
    for (;;) {
        skip_space(s);
        if (named) {
            if (scan_string(s) < 0)
                return -1;
            skip_space(s);
            if (!accept_byte(s, ':'))
                return refuse(s, "expected ':'");
        }
        if (scan_value(s) < 0)
            return -1;
        skip_space(s);
        if (accept_byte(s, close)) {
            s->depth--;
            return 0;
        }
        if (!accept_byte(s, ','))
            return refuse(s, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
    }
}

static int scan_value(struct scanner *s)
{
    skip_space(s);
    if (s->values_left-- == 0) {
        refuse(s, "too many values");
        s->error->too_large = true;
        return -1;
    }
    int c = peek(s);
    if (c == '-' || is_digit(c))
        return scan_number(s);
    switch (c) {
    case '{':
        s->at++;
        return scan_members(s, '}', true);
    case '[':
        s->at++;
        return scan_members(s, ']', false);
    case '"':
        return scan_string(s);
    case 't':
        return scan_literal(s, "true");
    case 'f':
        return scan_literal(s, "false");
    case 'n':
        return scan_literal(s, "null");
    default:
        return refuse(s, c < 0 ? "the text ends where a value is expected" : "expected a value");
    }
}

/* Takes an incomplete UTF-8 sequence off the end of a text that was cut at a number of bytes. */
static void drop_partial_sequence(char *text)
{
    size_t len = strlen(text);
    size_t tail = 0;
    while (tail < len && tail < 3 && ((unsigned char)text[len - 1 - tail] & 0xc0) == 0x80)
        tail++;
    if (tail == len)
        return;
    unsigned char lead = (unsigned char)text[len - 1 - tail];
    size_t need = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (tail < need)
        text[len - 1 - tail] = '\0';
}

static void report_duplicate(struct json_error *error, const char *name)
{
    char shown[64];
    snprintf(shown, sizeof(shown), "%s", name);
    drop_partial_sequence(shown);
    *error = (struct json_error){0};
    snprintf(error->detail, sizeof(error->detail), "an object has the name \"%s\" twice", shown);
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

/* Sorts the names of one object, so that a hostile text cannot make this quadratic. */
static int check_names(const cJSON *object, struct json_error *error)
{
    size_t count = 0;
    for (const cJSON *item = object->child; item != NULL; item = item->next)
        count++;
    if (count < 2)
        return 0;
    const char **names = malloc(count * sizeof(*names));
    if (names == NULL) {
        *error = (struct json_error){.detail = "out of memory", .no_memory = true};
        return -1;
    }
    size_t i = 0;
    for (const cJSON *item = object->child; item != NULL; item = item->next)
        names[i++] = item->string;
    qsort(names, count, sizeof(*names), compare_names);
    int rc = 0;
    for (i = 1; i < count && rc == 0; i++) {
        if (strcmp(names[i - 1], names[i]) == 0) {
            report_duplicate(error, names[i]);
            rc = -1;
        }
    }
    free(names);
    return rc;
}

static int check_duplicates(const cJSON *value, struct json_error *error)
{
    if (cJSON_IsObject(value) && check_names(value, error) < 0)
        return -1;
    for (const cJSON *item = value->child; item != NULL; item = item->next) {
        if (check_duplicates(item, error) < 0)
            return -1;
    }
    return 0;
}

cJSON *json_read(const char *text, size_t len, struct json_error *error)
{
    return json_read_bounded(text, len, SIZE_MAX, error);
}

cJSON *json_read_bounded(const char *text, size_t len, size_t max, struct json_error *error)
{
    struct scanner s = {
        .text = (const unsigned char *)text, .len = len, .values_left = max, .error = error};
    if (scan_value(&s) < 0)
        return NULL;
    skip_space(&s);
    if (s.at != len) {
        refuse(&s, "something follows the value");
        return NULL;
    }
    cJSON *value = cJSON_ParseWithLengthOpts(text, len, NULL, false);
    if (value == NULL) {
        *error = (struct json_error){.detail = "out of memory", .no_memory = true};
        return NULL;
    }
    if (check_duplicates(value, error) < 0) {
        json_free(value);
        return NULL;
    }
    return value;
}

static void wipe_and_free(void *memory)
{
    if (memory != NULL)
        sodium_memzero(memory, malloc_usable_size(memory));
    free(memory);
}

void json_wipe_freed(void)
{
    /* With functions of our own, cJSON grows by copying and never calls realloc(). */
    cJSON_Hooks hooks = {.malloc_fn = malloc, .free_fn = wipe_and_free};
    cJSON_InitHooks(&hooks);
}

void json_free(cJSON *value)
{
    cJSON_Delete(value);
}

const cJSON *json_member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

bool json_integer(const cJSON *item, int64_t min, int64_t max, int64_t *out)
{
    /* Beyond 2^53 a double no longer tells neighbouring integers apart. */
    const double exact = 9007199254740992.0;

    if (!cJSON_IsNumber(item))
        return false;
    double value = item->valuedouble;
    if (!(value >= -exact && value <= exact) || value != trunc(value))
        return false;
    int64_t integer = (int64_t)value;
    if (integer < min || integer > max)
        return false;
    *out = integer;
    return true;
}

void json_pointer_append(char *pointer, size_t size, const char *name)
{
    size_t used = strlen(pointer);
    if (used + 1 < size)
        pointer[used++] = '/';
    for (; *name != '\0'; name++) {
        const char *piece = *name == '~' ? "~0" : *name == '/' ? "~1" : NULL;
        size_t len = piece ? 2 : 1;
        if (used + len >= size)
            break;
        memcpy(pointer + used, piece ? piece : name, len);
        used += len;
    }
    pointer[used] = '\0';
    drop_partial_sequence(pointer);
}
