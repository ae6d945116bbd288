/*
 * commands: what the program can be told to do, each in the file of its name. Each returns the
 * process's exit status: 0; 1 for a configuration or run-time error, 2 for an option's value that
 * cannot be read, both explained on standard error.
 */
#ifndef MANYTUN_CLI_COMMANDS_H
#define MANYTUN_CLI_COMMANDS_H

#include "cli/options.h"

int serve_command(const struct options *options);
int run_command(const struct options *options);
int validate_command(const struct options *options);
int keygen_command(void);
int rotate_master_key_command(const struct options *options);

#endif
