/*
 * run_config: the one-shot command's options, read into one tunnel and its forwards. The grammar is
 * that of the predecessor, onetun.
 */
#ifndef MANYTUN_CLI_RUN_CONFIG_H
#define MANYTUN_CLI_RUN_CONFIG_H

#include "base/spec.h"
#include "cli/options.h"

#include <stdbool.h>

#define RUN_TUNNEL_NAME "run"

/* Configuration errors that are told at once. */
#define RUN_ERRORS_MAX 32

struct run_config {
    struct spec_tunnel tunnel;
    struct spec_forward *forwards;
    size_t forwards_count;
    bool key_file_shared; /* the private key's file can be read by others */
};

struct run_errors {
    char texts[RUN_ERRORS_MAX][320];
    size_t count; /* stops at RUN_ERRORS_MAX */
};

/* Reads and checks everything. 0, or -1 with every error told. run_config_fini() in both cases. */
int run_config_read(const struct options *options, struct run_config *config,
                    struct run_errors *errors);
void run_config_fini(struct run_config *config);

/*
 * Parses "[ADDR:]PORT:HOST:PORT[:PROTOCOL[,PROTOCOL]]". Names are looked up, as by the system; of
 * several addresses an IPv4 one is taken to listen on, one of inner_family for the destination.
 * 0, or -1 with one error told.
 */
int run_forward_parse(const char *text, sa_family_t inner_family, struct spec_forward *out,
                      struct run_errors *errors);

#endif
