/*
 * worker: the process that moves packets. It gets tunnels, forwards and their sockets from control
 * over a channel, and needs no rights of its own.
 */
#ifndef MANYTUN_ENGINE_WORKER_H
#define MANYTUN_ENGINE_WORKER_H

/* The descriptors that a worker is started with. */
#define WORKER_CHANNEL_FD  3
#define WORKER_COUNTERS_FD 4

/*
 * Runs until control is gone. Returns the process's exit status: 0 when the channel was closed,
 * 1 when the worker could not start or was told something that it does not understand.
 */
int worker_main(void);

#endif
