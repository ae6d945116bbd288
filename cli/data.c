/* data: options first, then what the environment of the process tells. */
#include "cli/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CREDENTIAL "manytun.master-key"

static int check_length(int len, enum option_id id)
{
    if (len >= 0 && len < PATH_MAX)
        return 0;
    fprintf(stderr, "manytun: %s: the path is too long\n", options_name(id));
    return -1;
}

static int find_directory(const struct options *options, char out[PATH_MAX])
{
    const char *value = options_get(options, OPTION_DATA);
    const char *home = getenv("HOME");
    int len;
    if (value != NULL)
        len = snprintf(out, PATH_MAX, "%s", value);
    else if (geteuid() == 0 || home == NULL)
        len = snprintf(out, PATH_MAX, "/var/lib/manytun");
    else
        len = snprintf(out, PATH_MAX, "%s/.local/state/manytun", home);
    return check_length(len, OPTION_DATA);
}

static int find_key_file(const struct options *options, char out[PATH_MAX])
{
    const char *value = options_get(options, OPTION_MASTER_KEY_FILE);
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    out[0] = '\0';
    if (value != NULL)
        return check_length(snprintf(out, PATH_MAX, "%s", value), OPTION_MASTER_KEY_FILE);
    if (credentials == NULL)
        return 0;
    int len = snprintf(out, PATH_MAX, "%s/" CREDENTIAL, credentials);
    if (len >= PATH_MAX || access(out, F_OK) < 0)
        out[0] = '\0'; /* the service has credentials for something else */
    return 0;
}

int data_find(const struct options *options, struct data_paths *out)
{
    if (find_directory(options, out->directory) < 0)
        return -1;
    return find_key_file(options, out->key_file);
}

const char *data_key_file(const struct data_paths *paths)
{
    return paths->key_file[0] != '\0' ? paths->key_file : NULL;
}
