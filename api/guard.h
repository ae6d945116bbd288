/*
 * guard: what keeps web sites that a user visits from using that user's access (DNS rebinding,
 * cross-site requests). Pure functions of header values; NULL = the header is absent.
 */
#ifndef MANYTUN_API_GUARD_H
#define MANYTUN_API_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Host names an IP address, "localhost", or one of names, exactly but for case. A name that an
 * attacker can point at this host is none of these.
 */
bool guard_host_allowed(const char *host, const char *const *names, size_t count);

/* A write, or a capture, may come from no web page, or from one that this server served. */
bool guard_origin_allowed(const char *origin, const char *host);
bool guard_fetch_site_allowed(const char *sec_fetch_site);

/* "application/json", with or without parameters: a type that no HTML form can send. */
bool guard_is_json(const char *content_type);
/* "text/plain", likewise. */
bool guard_is_text(const char *content_type);
/* "application/merge-patch+json" (RFC 7396), likewise. */
bool guard_is_merge_patch(const char *content_type);

#endif
