/*
 * data: where the data is, and the master key of its secrets, by the options and the environment.
 */
#ifndef MANYTUN_CLI_DATA_H
#define MANYTUN_CLI_DATA_H

#include "cli/options.h"

#include <limits.h>

struct data_paths {
    char directory[PATH_MAX];
    char key_file[PATH_MAX]; /* "" = <directory>/master.key, made when there is none yet */
};

/*
 * --data, else /var/lib/manytun for root and ~/.local/state/manytun for others. --master-key-file,
 * else the systemd credential "manytun.master-key" where there is one (systemd.exec(5)). 0, or -1
 * explained on standard error.
 */
int data_find(const struct options *options, struct data_paths *out);

/* key_file, or NULL for the one in the directory. */
const char *data_key_file(const struct data_paths *paths);

#endif
