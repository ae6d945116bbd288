/* loop: control's event loop, until it is told to stop. */
#ifndef MANYTUN_CLI_LOOP_H
#define MANYTUN_CLI_LOOP_H

struct event_base;

/* Runs the loop until SIGINT or SIGTERM. 0, or -1 when it could not be run. */
int loop_run(struct event_base *base);

#endif
