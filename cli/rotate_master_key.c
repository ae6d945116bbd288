/* rotate_master_key: seals the secrets of a stopped service with another master key. */
#include "cli/commands.h"
#include "cli/data.h"
#include "store/store.h"

#include <stdio.h>

/* An existing database only: opening would make one. */
static int check_database(const struct data_paths *paths)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/manytun.db", paths->directory);
    FILE *file = len < (int)sizeof(path) ? fopen(path, "re") : NULL;
    if (file == NULL) {
        fprintf(stderr, "manytun: there is no database in %s\n", paths->directory);
        return -1;
    }
    fclose(file);
    return 0;
}

int rotate_master_key_command(const struct options *options)
{
    const char *new_key_file = options_get(options, OPTION_NEW_MASTER_KEY_FILE);
    struct data_paths paths;
    struct store *store;
    char error[256];
    if (data_find(options, &paths) < 0)
        return 2;
    if (check_database(&paths) < 0)
        return 1;
    int rc = store_open_with_key(paths.directory, data_key_file(&paths), &store, error);
    if (rc == 0) {
        rc = store_rotate_master_key(store, new_key_file, error);
        store_close(store);
    }
    if (rc < 0) {
        fprintf(stderr, "manytun: %s\n", error);
        return 1;
    }
    if (new_key_file != NULL)
        printf("The secrets are sealed with the key in %s: start the service with "
               "--master-key-file %s. The key before is not needed any more.\n",
               new_key_file, new_key_file);
    else
        printf("The secrets are sealed with a new key, in the place of the one before.\n");
    return 0;
}
