/*
 * upgrade: SIGUSR2 starts the program that is on the disk now, with the arguments that this one was
 * started with, to take over from this one (cli/takeover.h). It is looked for as this one was: by
 * path, or in $PATH. When it cannot, or ends, this one goes on, and can be asked again.
 */
#ifndef MANYTUN_CLI_UPGRADE_H
#define MANYTUN_CLI_UPGRADE_H

struct event_base;
struct notify;
struct upgrade;

/*
 * arguments: this program's, ended by NULL. The newer one gets the service manager's environment
 * from notify, which may be NULL. Both are borrowed. 0 or -ENOMEM.
 */
int upgrade_new(struct event_base *base, char *const *arguments, struct notify *notify,
                struct upgrade **out);
/* A program that was started goes on by itself. NULL is allowed. */
void upgrade_free(struct upgrade *upgrade);

#endif
