/*
 * query: the parameters after '?', by a table of those that exist. A route lists which it takes;
 * all others are refused.
 */
#ifndef MANYTUN_API_QUERY_H
#define MANYTUN_API_QUERY_H

#include "base/spec.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stdint.h>

#define QUERY_LIMIT_DEFAULT 100
#define QUERY_LIMIT_MAX     1000
#define QUERY_TEXT_MAX      127

/* Of a capture: how long, and how long a file. */
#define QUERY_SECONDS_DEFAULT   60
#define QUERY_SECONDS_MAX       3600
#define QUERY_MAX_BYTES_DEFAULT (64 << 20)
#define QUERY_MAX_BYTES_MIN     24
#define QUERY_MAX_BYTES_MAX     (1 << 30)

/* Bits of a route's parameters, and of those that a request has. */
enum query_parameter {
    QUERY_LIMIT = 1 << 0,
    QUERY_CURSOR = 1 << 1,
    QUERY_TUNNEL = 1 << 2,
    QUERY_CASCADE = 1 << 3,
    QUERY_VERBOSE = 1 << 4,
    QUERY_SINCE = 1 << 5,
    QUERY_KIND = 1 << 6,
    QUERY_NAME = 1 << 7,
    QUERY_DRY_RUN = 1 << 8,
    QUERY_PRUNE = 1 << 9,
    QUERY_READY = 1 << 10,
    QUERY_TEXT = 1 << 11,
    QUERY_SECONDS = 1 << 12,
    QUERY_MAX_BYTES = 1 << 13,
};

struct query {
    unsigned present;               /* enum query_parameter */
    unsigned limit;                 /* items per page */
    char cursor[SPEC_NAME_MAX + 1]; /* the last name of the page before; "" = from the start */
    char tunnel[SPEC_NAME_MAX + 1]; /* "" = of every tunnel */
    bool cascade;
    bool verbose;
    uint64_t since;               /* the id of an event */
    char kind[SPEC_NAME_MAX + 1]; /* "" = events of every kind */
    char name[SPEC_NAME_MAX + 1]; /* "" = of objects of every name */
    bool dry_run;
    bool prune;
    bool ready; /* counts only if present */
    unsigned seconds;
    uint32_t max_bytes;
    char text[QUERY_TEXT_MAX + 1]; /* ?q=; "" = whatever an object says */
};

/* A decimal number of at most 18 digits. False, and *out untouched, when it is anything else. */
bool query_event_id_parse(const char *text, uint64_t *out);

void query_init(struct query *query);
/*
 * Reads one parameter, still percent-encoded; value NULL = there was no '='. What is wrong is
 * added to problem (400); later parameters may be read all the same.
 */
void query_read(struct query *query, unsigned allowed, const char *name, const char *value,
                struct problem *problem);

#endif
