/*
 * loop: control's event loop, until it is told to stop.
 *
 *   running ─ SIGINT, SIGTERM ─▶ draining ─ no connection left, drain_seconds, or again ─▶ ended
 *
 * While it drains, nobody is accepted any more, open connections go on, and everything else of the
 * loop (the API) does, too. While a newer program takes over, signals change nothing (handover.h).
 */
#ifndef MANYTUN_CLI_LOOP_H
#define MANYTUN_CLI_LOOP_H

#include "cli/options.h"

struct event_base;
struct handover;
struct notify;
struct service;

#define LOOP_SECONDS_MAX 86400

struct loop_config {
    struct service *service;   /* borrowed */
    struct notify *notify;     /* borrowed, NULL = no service manager */
    struct handover *handover; /* borrowed, NULL = nobody can take over */
    unsigned drain_seconds;    /* 0 = end at once */
};

/* Reads an option that is a number of seconds. 0, or -1 explained on standard error. */
int loop_read_seconds(const struct options *options, enum option_id id, unsigned otherwise,
                      unsigned *out);

/* 0, or -1 when it could not be run. */
int loop_run(struct event_base *base, const struct loop_config *config);

#endif
