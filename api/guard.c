/*
 * guard: checks of Host, Origin, Sec-Fetch-Site and Content-Type.
 */
#include "api/guard.h"

#include "base/inet.h"

#include <string.h>
#include <strings.h>

/* The host of "host", "host:port" or "[address]:port". False when it has another form. */
static bool split_host(const char *text, char host[INET_HOST_TEXT])
{
    const char *start = text;
    const char *end;
    const char *rest;
    if (*text == '[') {
        start = text + 1;
        end = strchr(start, ']');
        if (end == NULL)
            return false;
        rest = end + 1;
    } else {
        end = strchr(text, ':');
        if (end == NULL)
            end = text + strlen(text);
        rest = end;
    }
    uint16_t port;
    if (*rest != '\0' && (*rest != ':' || inet_port_parse(rest + 1, &port) < 0))
        return false;
    size_t len = (size_t)(end - start);
    if (len == 0 || len >= INET_HOST_TEXT)
        return false;
    memcpy(host, start, len);
    host[len] = '\0';
    return true;
}

bool guard_host_allowed(const char *host, const char *const *names, size_t count)
{
    char name[INET_HOST_TEXT];
    struct inet_addr address;
    if (host == NULL || !split_host(host, name))
        return false;
    if (inet_addr_parse(name, &address) == 0)
        return (address.family == AF_INET6) == (*host == '[');
    if (*host == '[')
        return false;
    if (strcasecmp(name, "localhost") == 0)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

bool guard_origin_allowed(const char *origin, const char *host)
{
    static const char *const schemes[] = {"http://", "https://"};

    if (origin == NULL)
        return true;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i]);
        if (strncasecmp(origin, schemes[i], len) == 0)
            return host != NULL && strcasecmp(origin + len, host) == 0;
    }
    return false;
}

bool guard_fetch_site_allowed(const char *sec_fetch_site)
{
    return sec_fetch_site == NULL || strcmp(sec_fetch_site, "same-origin") == 0 ||
           strcmp(sec_fetch_site, "none") == 0;
}

/* Whether a Content-Type is this type, with any parameters. */
static bool is_type(const char *content_type, const char *type)
{
    size_t len = strlen(type);
    if (content_type == NULL || strncasecmp(content_type, type, len) != 0)
        return false;
    const char *rest = content_type + len;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}

bool guard_is_json(const char *content_type)
{
    return is_type(content_type, "application/json");
}

bool guard_is_text(const char *content_type)
{
    return is_type(content_type, "text/plain");
}

bool guard_is_merge_patch(const char *content_type)
{
    return is_type(content_type, "application/merge-patch+json");
}
