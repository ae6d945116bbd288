/*
 * retelling: owns the timer; the list is of objects that are somebody else's. Who is told leaves
 * it, and goes to the end of it when the worker says that it still has not all of the object.
 */
#include "server/retelling.h"

#include <errno.h>

/* As long as there is nothing to tell. */
#define IDLE_MS 3600000

static void set_timer(struct retelling *retelling, unsigned ms)
{
    const struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L};
    event_add(retelling->timer, &wait);
}

static void enlist(struct retelling *retelling, struct retelling_item *item)
{
    TAILQ_INSERT_TAIL(&retelling->items, item, link);
    item->listed = true;
    retelling->listed++;
}

static void delist(struct retelling *retelling, struct retelling_item *item)
{
    TAILQ_REMOVE(&retelling->items, item, link);
    item->listed = false;
    retelling->listed--;
}

static void tell_again(struct retelling *retelling)
{
    size_t count = retelling->listed < RETELLING_PORTION ? retelling->listed : RETELLING_PORTION;
    for (; count > 0; count--) {
        struct retelling_item *item = TAILQ_FIRST(&retelling->items);
        delist(retelling, item);
        item->tell(item);
    }
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct retelling *retelling = arg;
    if (retelling->count == 0) {
        set_timer(retelling, IDLE_MS);
        return;
    }
    retelling->wait_ms *= 2;
    if (retelling->wait_ms > RETELLING_MAX_MS)
        retelling->wait_ms = RETELLING_MAX_MS;
    set_timer(retelling, retelling->wait_ms);
    tell_again(retelling);
}

static void begin_anew(struct retelling *retelling)
{
    retelling->wait_ms = RETELLING_MIN_MS;
    set_timer(retelling, RETELLING_MIN_MS);
}

int retelling_init(struct retelling *retelling, struct event_base *base)
{
    *retelling = (struct retelling){0};
    TAILQ_INIT(&retelling->items);
    /* With EV_PERSIST it is pending also while it calls. */
    retelling->timer = event_new(base, -1, EV_PERSIST, on_timer, retelling);
    const struct timeval idle = {.tv_sec = IDLE_MS / 1000};
    if (retelling->timer == NULL || event_add(retelling->timer, &idle) < 0) {
        retelling_fini(retelling);
        return -ENOMEM;
    }
    return 0;
}

void retelling_fini(struct retelling *retelling)
{
    if (retelling->timer != NULL)
        event_free(retelling->timer);
    retelling->timer = NULL;
}

void retelling_failed(struct retelling *retelling, struct retelling_item *item, int error)
{
    if (item->error == 0 && retelling->count++ == 0)
        begin_anew(retelling);
    item->error = error;
    if (!item->listed)
        enlist(retelling, item);
}

void retelling_forget(struct retelling *retelling, struct retelling_item *item)
{
    if (item->error == 0)
        return;
    item->error = 0;
    if (item->listed)
        delist(retelling, item);
    retelling->count--;
}

void retelling_succeeded(struct retelling *retelling, struct retelling_item *item)
{
    retelling_forget(retelling, item);
    if (retelling->count > 0)
        begin_anew(retelling);
}
