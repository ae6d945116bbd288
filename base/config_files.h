/*
 * config_files: a configuration (config.h) that is in a file, or in all files *.json of a folder,
 * which are read in the order of their names and count as one.
 *
 * A tunnel may be in a wg-quick file: {"name": "home", "wg_quick_file": "home.conf"}, a path
 * relative to the folder of the document. Such a configuration is whole by itself: its forwards use
 * its own tunnels, and secrets are in it, or in files that it names.
 */
#ifndef MANYTUN_BASE_CONFIG_FILES_H
#define MANYTUN_BASE_CONFIG_FILES_H

#include "base/config.h"

#include <stddef.h>

#define CONFIG_FILES_MAX      256
#define CONFIG_FILES_SIZE_MAX (16 << 20) /* of one file, in bytes */
#define CONFIG_FILES_LINE     640        /* of an error in words */

struct config_files {
    struct config config;
    char *names[CONFIG_FILES_MAX]; /* of the documents that were read: their paths */
    size_t names_count;
    struct spec_errors errors;
};

/*
 * Reads and checks all of it. 0; -EINVAL with at least one error added; -ENOMEM. What is read can
 * be freed in any case.
 */
int config_files_read(const char *path, struct config_files *out);
void config_files_fini(struct config_files *files);

/*
 * An error in words: "FILE:LINE:COLUMN: …" where the text is no JSON, else "FILE: /POINTER: …".
 * The error is one of this configuration's, or of a problem that came of applying it.
 */
const char *config_files_print(const struct config_files *files, const struct spec_error *error,
                               char line[CONFIG_FILES_LINE]);

#endif
