/* validate: says everything that is wrong with a configuration, and binds nothing. */
#include "base/config_files.h"
#include "cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void print_errors(const struct config_files *files)
{
    char line[CONFIG_FILES_LINE];
    for (size_t i = 0; i < files->errors.count; i++)
        fprintf(stderr, "%s\n", config_files_print(files, &files->errors.items[i], line));
    if (files->errors.count == SPEC_ERRORS_MAX)
        fprintf(stderr, "manytun: there may be more; these are the first %d\n", SPEC_ERRORS_MAX);
}

static int validate(const char *path, struct config_files *files)
{
    int rc = config_files_read(path, files);
    if (rc == 0)
        printf("%s: valid: %zu tunnels and %zu forwards in %zu documents\n", path,
               files->config.tunnels_count, files->config.forwards_count, files->names_count);
    else if (rc == -ENOMEM)
        fprintf(stderr, "manytun: out of memory\n");
    else
        print_errors(files);
    config_files_fini(files);
    return rc == 0 ? 0 : 1;
}

int validate_command(const struct options *options)
{
    const char *path = options_get(options, OPTION_PATH);
    if (path == NULL || options->values[OPTION_PATH].count > 1) {
        fprintf(stderr, "manytun: validate takes one file or folder\n");
        return 2;
    }
    struct config_files *files = calloc(1, sizeof(*files));
    if (files == NULL) {
        fprintf(stderr, "manytun: out of memory\n");
        return 1;
    }
    int status = validate(path, files);
    free(files);
    return status;
}
