/*
 * wgquick: configuration files of wg-quick(8) as definitions of tunnels, and the reverse.
 *
 * Keys and sections are those of wg(8) and wg-quick(8), in any case; '#' begins a comment. A
 * comment
 * "# Name = x" or "# friendly_name = x" in a [Peer] section names the peer. What a file can ask for
 * and this program has no use for (DNS, Table, PostUp, …) is a warning, and never done; everything
 * else that is not understood is an error. Both name the line.
 */
#ifndef MANYTUN_BASE_WGQUICK_H
#define MANYTUN_BASE_WGQUICK_H

#include "base/spec.h"

/* The longest file that is read, in bytes, and the longest value (of a list: item) in it. */
#define WGQUICK_TEXT_MAX  (1 << 20)
#define WGQUICK_VALUE_MAX 511

/* In place of a secret in a printed file; in a file that is read: the secret stays as it is. */
#define WGQUICK_HIDDEN "(hidden)"

struct wgquick_source {
    const char *text; /* need not be terminated */
    size_t len;
    const char *name;                  /* of the tunnel: a file has none */
    const struct spec_tunnel *present; /* the tunnel whose hidden secrets stay; NULL = none */
};

/*
 * Reads a file, by the rules that hold for every definition (spec_tunnel_from_json). Errors and
 * warnings are added with their line, errors in the order of lines. What a file cannot say
 * (listen_address) has its default. Returns 0; -EINVAL with at least one error added; -ENOMEM. On
 * failure *out is all zero.
 */
int wgquick_read(const struct wgquick_source *source, struct spec_tunnel *out,
                 struct spec_errors *errors, struct spec_errors *warnings);

/* The file of a tunnel, its secrets hidden. The caller frees it. NULL = out of memory. */
char *wgquick_print(const struct spec_tunnel *tunnel);

#endif
