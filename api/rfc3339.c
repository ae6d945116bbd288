/*
 * rfc3339: reading by position.
 */
#include "api/rfc3339.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* The form's fixed part; '0' stands for any digit. */
static const char form[] = "0000-00-00T00:00:00";

static bool has_form(const char *text)
{
    for (size_t i = 0; form[i] != '\0'; i++) {
        bool matches = form[i] == '0' ? isdigit((unsigned char)text[i]) != 0
                                      : toupper((unsigned char)text[i]) == form[i];
        if (!matches)
            return false;
    }
    return true;
}

static int read_number(const char *digits, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

/* ".5" and the like, if it is there; *text moves behind it. */
static bool read_fraction(const char **text, long *ns)
{
    const char *at = *text;
    *ns = 0;
    if (*at != '.')
        return true;
    at++;
    if (!isdigit((unsigned char)*at))
        return false;
    for (long unit = 100000000; isdigit((unsigned char)*at); at++, unit /= 10)
        *ns += (*at - '0') * unit;
    *text = at;
    return true;
}

/* "Z" or "+01:00", up to the end of the text. */
static bool read_offset(const char *text, time_t *seconds)
{
    *seconds = 0;
    if ((*text == 'Z' || *text == 'z') && text[1] == '\0')
        return true;
    if (*text != '+' && *text != '-')
        return false;
    for (int i = 1; i <= 5; i++) {
        if (i == 3 ? text[i] != ':' : !isdigit((unsigned char)text[i]))
            return false;
    }
    int hours = read_number(text + 1, 2);
    int minutes = read_number(text + 4, 2);
    *seconds = (time_t)(hours * 60 + minutes) * 60;
    if (*text == '-')
        *seconds = -*seconds;
    return hours <= 23 && minutes <= 59 && text[6] == '\0';
}

int rfc3339_parse(const char *text, struct timespec *out)
{
    if (!has_form(text))
        return -EINVAL;
    struct tm utc = {
        .tm_year = read_number(text, 4) - 1900,
        .tm_mon = read_number(text + 5, 2) - 1,
        .tm_mday = read_number(text + 8, 2),
        .tm_hour = read_number(text + 11, 2),
        .tm_min = read_number(text + 14, 2),
        .tm_sec = read_number(text + 17, 2),
    };
    const char *rest = text + sizeof(form) - 1;
    long ns;
    time_t offset;
    if (!read_fraction(&rest, &ns) || !read_offset(rest, &offset))
        return -EINVAL;
    /* timegm() carries what is too large into the next unit: a date that changes was none. */
    struct tm normal = utc;
    time_t seconds = timegm(&normal);
    if (normal.tm_mon != utc.tm_mon || normal.tm_mday != utc.tm_mday ||
        normal.tm_hour != utc.tm_hour || normal.tm_min != utc.tm_min || normal.tm_sec != utc.tm_sec)
        return -EINVAL;
    *out = (struct timespec){.tv_sec = seconds - offset, .tv_nsec = ns};
    return 0;
}
