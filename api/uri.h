/*
 * uri: the pieces of a request target (RFC 3986), decoded strictly.
 */
#ifndef MANYTUN_API_URI_H
#define MANYTUN_API_URI_H

#include <stddef.h>

/*
 * Decodes len bytes of percent-encoded text into out. Refuses malformed escapes, an encoded NUL or
 * other control character and bytes outside ASCII: nothing that is named in a request target has
 * them. Returns 0; -EINVAL; -ENAMETOOLONG when the result, with its NUL, does
 * not fit size.
 */
int uri_decode(const char *text, size_t len, char *out, size_t size);

#endif
