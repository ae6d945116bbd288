/*
 * notify: tells the service manager how it is going: the datagrams of sd_notify(3) to
 * $NOTIFY_SOCKET, and its watchdog, fed from the event loop, so that a loop that hangs is noticed.
 *
 * What cannot be told is not tried again: the service works the same without a manager. Every
 * function takes NULL: there is no manager then.
 */
#ifndef MANYTUN_CLI_NOTIFY_H
#define MANYTUN_CLI_NOTIFY_H

struct event_base;
struct notify;

/*
 * Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that children do
 * not speak for us, and begins to feed the watchdog if there is one. *out is NULL without a
 * manager. 0; -EINVAL (not a socket's name, or not a time) or -errno.
 */
int notify_new(struct event_base *base, struct notify **out);
void notify_free(struct notify *notify);

/* Started; the status is a line for people. */
void notify_ready(struct notify *notify, const char *status);
/*
 * The same of a process that has taken over: it is the service's main one from now on. Waits up to
 * a second for a manager that has not read what it was told before.
 */
void notify_successor(struct notify *notify, const char *status);
/* Ending, which may take so long. */
void notify_stopping(struct notify *notify, unsigned seconds, const char *status);

/*
 * Puts the manager into the environment, for a program that is started, and takes it out again.
 * WATCHDOG_PID, which names this process, stays out. 0 or -ENOMEM.
 */
int notify_lend(const struct notify *notify);
void notify_take_back(const struct notify *notify);

#endif
