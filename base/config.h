/*
 * config: a whole desired state: all tunnels and forwards of some documents, read and checked as
 * one. A document is an object with the members "tunnels" and "forwards", each an array of
 * definitions (spec.h) that may be left out. Here a forward needs a name, too.
 */
#ifndef MANYTUN_BASE_CONFIG_H
#define MANYTUN_BASE_CONFIG_H

#include "base/spec.h"

/* Limits of all documents together; those of one worker's counters. */
#define CONFIG_TUNNELS_MAX  4096
#define CONFIG_FORWARDS_MAX 16384

struct config_tunnel {
    struct spec_tunnel spec;
    struct spec_place place;
};

struct config_forward {
    struct spec_forward spec;
    struct spec_place place;
};

/* Zeroed = empty. */
struct config {
    struct config_tunnel *tunnels; /* in the order in which they were read */
    size_t tunnels_count;
    struct config_forward *forwards;
    size_t forwards_count;
    struct config_tunnel **tunnels_by_name; /* sorted, by config_check() */
    struct config_forward **forwards_by_name;
};

struct config_source {
    unsigned document; /* its number, which its errors have */
    /*
     * Reads the definition of a tunnel that says {"name": …, "wg_quick_file": …}, as
     * wgquick_read(), with 0 or an error as it has them. NULL = there is no such field.
     */
    int (*read_wg_quick)(void *ctx, const char *name, const char *file, struct spec_tunnel *out,
                         struct spec_errors *errors);
    void *ctx;
};

/*
 * Adds the definitions of one document. All problems are noted, as far as errors has room. 0;
 * -EINVAL with at least one error added; -ENOMEM. After a failure the config can only be freed.
 */
int config_read(struct config *config, const cJSON *json, const struct config_source *source,
                struct spec_errors *errors);

/*
 * What no single definition shows: names and listen addresses that are there twice. 0, -EINVAL with
 * an error added, or -ENOMEM. It comes before the functions below.
 */
int config_check(struct config *config, struct spec_errors *errors);

/* The tunnel, or the forward, of this name, or NULL. */
struct config_tunnel *config_find_tunnel(const struct config *config, const char *name);
struct config_forward *config_find_forward(const struct config *config, const char *name);

/*
 * Checks every forward against its tunnel, which find() knows if the config does not; find may be
 * NULL. 0, or -EINVAL with at least one error added.
 */
int config_check_forwards(const struct config *config,
                          const struct spec_tunnel *(*find)(void *ctx, const char *name), void *ctx,
                          struct spec_errors *errors);

/* Wipes and frees; the config is empty then. */
void config_fini(struct config *config);

#endif
