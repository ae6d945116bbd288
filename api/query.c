/*
 * query: reading parameters by table.
 */
#include "api/query.h"

#include "api/uri.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX (QUERY_TEXT_MAX + 1)

static bool read_limit(struct query *query, const char *value)
{
    uint16_t limit;
    if (inet_port_parse(value, &limit) < 0 || limit < 1 || limit > QUERY_LIMIT_MAX)
        return false;
    query->limit = limit;
    return true;
}

/* A decimal number in the range. */
static bool read_number(uint32_t *out, const char *value, uint32_t min, uint32_t max)
{
    uint64_t number;
    if (!query_event_id_parse(value, &number) || number < min || number > max)
        return false;
    *out = (uint32_t)number;
    return true;
}

static bool read_seconds(struct query *query, const char *value)
{
    return read_number(&query->seconds, value, 1, QUERY_SECONDS_MAX);
}

static bool read_max_bytes(struct query *query, const char *value)
{
    return read_number(&query->max_bytes, value, QUERY_MAX_BYTES_MIN, QUERY_MAX_BYTES_MAX);
}

static bool read_name(char out[SPEC_NAME_MAX + 1], const char *value)
{
    if (!spec_name_valid(value))
        return false;
    memcpy(out, value, strlen(value) + 1);
    return true;
}

static bool read_cursor(struct query *query, const char *value)
{
    return read_name(query->cursor, value);
}

static bool read_tunnel(struct query *query, const char *value)
{
    return read_name(query->tunnel, value);
}

/* "?flag", "?flag=true" and "?flag=false". */
static bool read_flag(bool *out, const char *value)
{
    *out = strcmp(value, "true") == 0 || value[0] == '\0';
    return *out || strcmp(value, "false") == 0;
}

static bool read_cascade(struct query *query, const char *value)
{
    return read_flag(&query->cascade, value);
}

static bool read_verbose(struct query *query, const char *value)
{
    return read_flag(&query->verbose, value);
}

static bool read_dry_run(struct query *query, const char *value)
{
    return read_flag(&query->dry_run, value);
}

bool query_event_id_parse(const char *text, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    /* 18 digits fit 64 bits, signed as the database has them too. */
    if (digits == 0 || digits > 18 || text[digits] != '\0')
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

static bool read_since(struct query *query, const char *value)
{
    return query_event_id_parse(value, &query->since);
}

static bool read_kind(struct query *query, const char *value)
{
    return read_name(query->kind, value);
}

static bool read_object(struct query *query, const char *value)
{
    return read_name(query->name, value);
}

static bool read_prune(struct query *query, const char *value)
{
    return read_flag(&query->prune, value);
}

static bool read_ready(struct query *query, const char *value)
{
    return value[0] != '\0' && read_flag(&query->ready, value);
}

static bool read_search(struct query *query, const char *value)
{
    memcpy(query->text, value, strlen(value) + 1);
    return value[0] != '\0';
}

static const struct parameter {
    const char *name;
    enum query_parameter bit;
    bool (*read)(struct query *query, const char *value);
    const char *rule;
} parameters[] = {
    {"limit", QUERY_LIMIT, read_limit, "limit must be an integer from 1 to 1000"},
    {"cursor", QUERY_CURSOR, read_cursor, "cursor must be the next_cursor of the page before"},
    {"tunnel", QUERY_TUNNEL, read_tunnel, "tunnel must be the name of a tunnel"},
    {"cascade", QUERY_CASCADE, read_cascade, "cascade must be true or false"},
    {"verbose", QUERY_VERBOSE, read_verbose, "verbose must be true or false"},
    {"since", QUERY_SINCE, read_since, "since must be the id of an event"},
    {"kind", QUERY_KIND, read_kind, "kind must be a word like tunnel or forward"},
    {"name", QUERY_NAME, read_object, "name must be the name of an object"},
    {"dry_run", QUERY_DRY_RUN, read_dry_run, "dry_run must be true or false"},
    {"prune", QUERY_PRUNE, read_prune, "prune must be true or false"},
    {"ready", QUERY_READY, read_ready, "ready must be true or false"},
    {"q", QUERY_TEXT, read_search, "q must be 1 to 127 printable ASCII characters"},
    {"seconds", QUERY_SECONDS, read_seconds, "seconds must be an integer from 1 to 3600"},
    {"max_bytes", QUERY_MAX_BYTES, read_max_bytes,
     "max_bytes must be an integer from 24 to 1073741824"},
};
_Static_assert(QUERY_LIMIT_MAX == 1000, "the rule of limit names it");
_Static_assert(QUERY_TEXT_MAX == 127, "the rule of q names it");
_Static_assert(QUERY_SECONDS_MAX == 3600, "the rule of seconds names it");
_Static_assert(QUERY_MAX_BYTES_MIN == 24 && QUERY_MAX_BYTES_MAX == 1073741824,
               "the rule of max_bytes names them");

void query_init(struct query *query)
{
    *query = (struct query){.limit = QUERY_LIMIT_DEFAULT,
                            .seconds = QUERY_SECONDS_DEFAULT,
                            .max_bytes = QUERY_MAX_BYTES_DEFAULT};
}

static const struct parameter *find_parameter(const char *name, unsigned allowed)
{
    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
        if ((parameters[i].bit & allowed) != 0 && strcmp(parameters[i].name, name) == 0)
            return &parameters[i];
    }
    return NULL;
}

/* "limit, cursor" */
static void list_allowed(unsigned allowed, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]) && used < size; i++) {
        if ((parameters[i].bit & allowed) != 0)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "",
                                     parameters[i].name);
    }
}

void query_read(struct query *query, unsigned allowed, const char *name, const char *value,
                struct problem *problem)
{
    char decoded[VALUE_MAX];
    const struct parameter *parameter = find_parameter(name, allowed);
    if (parameter == NULL) {
        char list[128];
        list_allowed(allowed, list, sizeof(list));
        problem_set(problem, "unknown_parameter", "%s%s",
                    allowed != 0 ? "the parameters here are: " : "there are no parameters here",
                    list);
    } else if ((query->present & parameter->bit) != 0) {
        problem_set(problem, "invalid_parameter", "%s is given more than once", parameter->name);
    } else if (uri_decode(value != NULL ? value : "", value != NULL ? strlen(value) : 0, decoded,
                          sizeof(decoded)) < 0 ||
               !parameter->read(query, decoded)) {
        problem_set(problem, "invalid_parameter", "%s", parameter->rule);
    } else {
        query->present |= parameter->bit;
    }
}
