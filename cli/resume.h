/*
 * resume: how a program goes on with what it had given away (cli/handover.h): it executes itself
 * again, with its own arguments, and inherits from itself as a newer program does from an older
 * one. The process, and what knows of it, stays the same.
 */
#ifndef MANYTUN_CLI_RESUME_H
#define MANYTUN_CLI_RESUME_H

struct inherited;
struct notify;

/* Returns only when it cannot be done: -errno, and nothing is as it was. */
int resume_execute(char *const *arguments, const struct inherited *kept,
                   const struct notify *notify);
/* What was given to resume_execute(), *out = NULL when this is not that. 0 or -errno. */
int resume_find(struct inherited **out);

#endif
