/*
 * timers: a list of busy connections, and a wheel for the others.
 *
 * A connection moves between them after each use of lwIP. One that was put to sleep and then
 * received something stays in its slot: when that comes up it is looked at, and sleeps again.
 */
#include "engine/stack/timers.h"

#include "engine/stack/conn.h"
#include "engine/stack/internal.h"

#include <stddef.h>

#define TICK_NS   (SWAP_TICK_NS / 2)
#define SECOND_NS (UINT64_C(1000) * 1000 * 1000)

/* A connection that nobody can tell the next date of is looked at this often. */
#define DEFAULT_SLEEP_MS 1000

static uint64_t tick_at(const struct timers *timers, uint64_t now)
{
    return (now + timers->phase_ns) / TICK_NS;
}

static uint64_t second_at(const struct timers *timers, uint64_t now)
{
    return (now + timers->phase_ns) / SECOND_NS;
}

void timers_init(struct timers *timers, uint64_t now)
{
    TAILQ_INIT(&timers->busy.conns);
    for (int i = 0; i < TIMERS_WHEEL_SLOTS; i++) {
        TAILQ_INIT(&timers->wheel[i].conns);
    }
    timers->occupied[0] = timers->occupied[1] = 0;
    timers->alarms = (struct heap){0};
    timers->phase_ns = randombytes_uniform((uint32_t)SECOND_NS);
    timers->tick = tick_at(timers, now);
    timers->second = second_at(timers, now);
}

void timers_fini(struct timers *timers)
{
    heap_fini(&timers->alarms);
}

int timers_reserve(struct timers *timers, size_t count)
{
    return count > timers->alarms.count
               ? heap_reserve(&timers->alarms, count - timers->alarms.count)
               : 0;
}

/* --- Where a connection belongs -------------------------------------------------------------- */

static bool is_busy(const struct stack_conn *conn)
{
    const struct tcp_pcb *pcb = conn->lists.active;

    if (pcb == NULL)
        return false;
    return pcb->rtime >= 0 || pcb->unsent != NULL || pcb->unacked != NULL ||
           pcb->persist_backoff > 0 || pcb->state == SYN_SENT || pcb->state == SYN_RCVD ||
           (pcb->flags & (TF_ACK_DELAY | TF_ACK_NOW | TF_CLOSEPEND)) != 0;
}

/* When lwIP next has something to do for an idle pcb, counted from pcb->tmr. */
static uint32_t idle_ms(const struct tcp_pcb *pcb)
{
    switch (pcb->state) {
    case TIME_WAIT:
        return 2 * TCP_MSL;
    case FIN_WAIT_2:
        if ((pcb->flags & TF_RXCLOSED) != 0)
            return TCP_FIN_WAIT_TIMEOUT;
        return pcb->keep_idle + pcb->keep_cnt_sent * pcb->keep_intvl;
    case ESTABLISHED:
    case CLOSE_WAIT:
        return pcb->keep_idle + pcb->keep_cnt_sent * pcb->keep_intvl;
    default:
        return DEFAULT_SLEEP_MS;
    }
}

/* The second in which to look at an idle connection. */
static uint64_t wake_second(const struct timers *timers, const struct stack_conn *conn,
                            uint64_t now)
{
    const struct tcp_pcb *pcb = conn_pcb(conn);
    /* lwIP waits until a limit is passed: one tick more. */
    uint32_t limit = idle_ms(pcb) / TCP_SLOW_INTERVAL + 1;
    uint32_t elapsed = swap_ticks(now) - pcb->tmr;
    uint64_t wait_ns = elapsed < limit ? (limit - elapsed) * SWAP_TICK_NS : 0;
    uint64_t second = second_at(timers, now + wait_ns) + 1;
    uint64_t furthest = timers->second + TIMERS_WHEEL_SLOTS - 1;

    return second < furthest ? second : furthest;
}

/* --- The lists ------------------------------------------------------------------------------- */

static void mark_slot(struct timers *timers, uint64_t second, bool occupied)
{
    uint64_t slot = second % TIMERS_WHEEL_SLOTS;
    uint64_t bit = UINT64_C(1) << (slot % 64);

    if (occupied)
        timers->occupied[slot / 64] |= bit;
    else
        timers->occupied[slot / 64] &= ~bit;
}

static bool any_occupied(const struct timers *timers)
{
    return (timers->occupied[0] | timers->occupied[1]) != 0;
}

static void leave_list(struct timers *timers, struct stack_conn *conn)
{
    struct timers_list *list = conn->timer.list;

    if (list == NULL)
        return;
    TAILQ_REMOVE(&list->conns, conn, timer.link);
    conn->timer.list = NULL;
    if (list != &timers->busy && TAILQ_EMPTY(&list->conns))
        mark_slot(timers, conn->timer.slot, false);
}

void timers_remove(struct timers *timers, struct stack_conn *conn)
{
    heap_remove(&timers->alarms, &conn->timer.alarm);
    leave_list(timers, conn);
}

void timers_set_alarm(struct timers *timers, struct stack_conn *conn, uint64_t at)
{
    struct heap_node *alarm = &conn->timer.alarm;

    if (at != 0 && conn_pcb(conn) != NULL && (alarm->position == 0 || at < alarm->key))
        heap_set(&timers->alarms, alarm, at);
}

static void insert(struct stack_conn *conn, struct timers_list *list)
{
    TAILQ_INSERT_TAIL(&list->conns, conn, timer.link);
    conn->timer.list = list;
}

void timers_update(struct timers *timers, struct stack_conn *conn, uint64_t now)
{
    uint64_t second;

    if (conn_pcb(conn) == NULL) {
        timers_remove(timers, conn);
        return;
    }
    if (is_busy(conn)) {
        if (conn->timer.list == &timers->busy)
            return;
        leave_list(timers, conn);
        if (TAILQ_EMPTY(&timers->busy.conns))
            timers->tick = tick_at(timers, now);
        insert(conn, &timers->busy);
        return;
    }
    if (!any_occupied(timers))
        timers->second = second_at(timers, now);
    second = wake_second(timers, conn, now);
    if (conn->timer.list != NULL && conn->timer.list != &timers->busy && conn->timer.slot <= second)
        return;
    leave_list(timers, conn);
    conn->timer.slot = second;
    insert(conn, &timers->wheel[second % TIMERS_WHEEL_SLOTS]);
    mark_slot(timers, second, true);
}

/* --- Time ------------------------------------------------------------------------------------ */

/* How many slots further than `from` the next occupied one is; there is one. */
static unsigned next_occupied(const struct timers *timers, uint64_t from)
{
    unsigned slot = (unsigned)(from % TIMERS_WHEEL_SLOTS);
    unsigned bit = slot % 64;
    uint64_t here = timers->occupied[slot / 64];
    uint64_t there = timers->occupied[1 - slot / 64];

    if (here >> bit != 0)
        return (unsigned)__builtin_ctzll(here >> bit);
    if (there != 0)
        return 64 - bit + (unsigned)__builtin_ctzll(there);
    return TIMERS_WHEEL_SLOTS - bit + (unsigned)__builtin_ctzll(here);
}

static uint64_t tick_deadline(const struct timers *timers)
{
    uint64_t second;

    if (!TAILQ_EMPTY(&timers->busy.conns))
        return (timers->tick + 1) * TICK_NS - timers->phase_ns;
    if (!any_occupied(timers))
        return STACK_NEVER;
    second = timers->second + 1;
    return (second + next_occupied(timers, second)) * SECOND_NS - timers->phase_ns;
}

uint64_t timers_deadline(const struct timers *timers)
{
    const struct heap_node *alarm = heap_first(&timers->alarms);
    uint64_t deadline = tick_deadline(timers);

    return alarm != NULL && alarm->key < deadline ? alarm->key : deadline;
}

static struct stack_conn *conn_of_alarm(struct heap_node *alarm)
{
    return (struct stack_conn *)((char *)alarm - offsetof(struct stack_conn, timer.alarm));
}

/* One that is set again to a time that has come rings the next time. */
static void run_alarms(struct timers *timers, uint64_t now)
{
    struct heap_node *alarm;

    for (size_t left = timers->alarms.count; left > 0; left--) {
        alarm = heap_first(&timers->alarms);
        if (alarm == NULL || alarm->key > now)
            return;
        heap_remove(&timers->alarms, alarm);
        conn_alarm(conn_of_alarm(alarm));
    }
}

static void run_busy(struct timers *timers, bool slow)
{
    struct stack_conn *conn, *next;

    /* A tick may move or free its own connection, and no other: owners are told later. */
    for (conn = TAILQ_FIRST(&timers->busy.conns); conn != NULL; conn = next) {
        next = TAILQ_NEXT(conn, timer.link);
        conn_tick(conn, slow);
    }
}

/* One that goes back to sleep may come to the end of the same list, for a turn of the wheel. */
static void run_slot(struct timers *timers, uint64_t second)
{
    struct timers_list *slot = &timers->wheel[second % TIMERS_WHEEL_SLOTS];
    struct stack_conn *conn;

    while ((conn = TAILQ_FIRST(&slot->conns)) != NULL && conn->timer.slot <= second) {
        leave_list(timers, conn);
        conn_tick(conn, true);
    }
}

void timers_expire(struct timers *timers, uint64_t now)
{
    uint64_t tick = tick_at(timers, now);
    uint64_t second = second_at(timers, now);
    /* A slow tick is every second one; when some were missed one of them was slow. */
    bool slow = tick / 2 != timers->tick / 2;

    run_alarms(timers, now);
    if (tick != timers->tick) {
        timers->tick = tick;
        run_busy(timers, slow);
    }
    if (second - timers->second > TIMERS_WHEEL_SLOTS)
        timers->second = second - TIMERS_WHEEL_SLOTS;
    while (timers->second < second) {
        timers->second++;
        run_slot(timers, timers->second);
    }
}
