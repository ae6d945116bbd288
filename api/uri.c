/*
 * uri: percent-decoding.
 */
#include "api/uri.h"

#include <errno.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int uri_decode(const char *text, size_t len, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        int byte = (unsigned char)text[i];
        if (byte == '%') {
            int high = i + 1 < len ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -EINVAL;
            byte = high * 16 + low;
            i += 2;
        }
        if (byte < 0x20 || byte >= 0x7f)
            return -EINVAL;
        if (used + 1 >= size)
            return -ENAMETOOLONG;
        out[used++] = (char)byte;
    }
    if (used >= size)
        return -ENAMETOOLONG;
    out[used] = '\0';
    return 0;
}
