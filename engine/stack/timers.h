/*
 * timers: when which connection needs lwIP's timers.
 *
 * A connection with something in flight is busy and is run every 50 ms (fast) and 100 ms (slow).
 * An idle one sleeps in a wheel of one-second slots until lwIP has something to do for it: a
 * keep-alive probe, the end of TIME_WAIT. So a stack with only idle connections hardly wakes, and
 * one without connections never. What lwIP's ticks are too coarse for (pacing, probes, waiting for
 * reordered segments) are alarms in a heap. An alarm may ring early: a later date is not written
 * down before that, so that a date that each packet moves costs nothing per packet.
 */
#ifndef MANYTUN_ENGINE_STACK_TIMERS_H
#define MANYTUN_ENGINE_STACK_TIMERS_H

#include "base/heap.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define TIMERS_WHEEL_SLOTS 128 /* seconds, two words of bits; longer sleeps wake on the way */

struct stack_conn;

/* Embedded in a connection; all zero = in no list. */
struct timers_entry {
    TAILQ_ENTRY(stack_conn) link;
    struct timers_list *list;
    uint64_t slot; /* the second, when in the wheel */
    struct heap_node alarm;
};

struct timers_list {
    TAILQ_HEAD(timers_conns, stack_conn) conns;
};

/* Embedded in a stack. */
struct timers {
    struct timers_list busy;
    struct timers_list wheel[TIMERS_WHEEL_SLOTS];
    struct heap alarms;
    uint64_t occupied[TIMERS_WHEEL_SLOTS / 64]; /* bit per slot that is not empty */
    uint64_t phase_ns;                          /* spreads the ticks of many stacks */
    uint64_t tick;                              /* of 50 ms, that has been run */
    uint64_t second;                            /* of the wheel, that has been run */
};

/* now is monotonic nanoseconds here and below. */
void timers_init(struct timers *timers, uint64_t now);
void timers_fini(struct timers *timers);
/* Makes room for the alarms of count connections. 0 or -ENOMEM. */
int timers_reserve(struct timers *timers, size_t count);
/* Puts the connection where its pcb's state says; call it after every use of lwIP. */
void timers_update(struct timers *timers, struct stack_conn *conn, uint64_t now);
/* conn_alarm() is to be called at this time, or earlier; 0 = no need. */
void timers_set_alarm(struct timers *timers, struct stack_conn *conn, uint64_t at);
void timers_remove(struct timers *timers, struct stack_conn *conn);
/* When timers_expire() wants to run; UINT64_MAX when there is nothing to wait for. */
uint64_t timers_deadline(const struct timers *timers);
/* Runs what is due. */
void timers_expire(struct timers *timers, uint64_t now);

#endif
