/*
 * event_feed: owns the text that was made and not read yet. It is made when all before was read.
 */
#include "api/event_feed.h"

#include "api/event_json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a client is to wait before it connects again. */
#define RETRY_MS 2000

__attribute__((format(printf, 2, 3))) static int append(struct event_feed *feed, const char *format,
                                                        ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    size_t needed = feed->len + (size_t)len + 1;
    if (needed > feed->room) {
        size_t room = needed > EVENT_FEED_TEXT ? needed : EVENT_FEED_TEXT;
        char *text = realloc(feed->text, room);
        if (text == NULL)
            return -ENOMEM;
        feed->text = text;
        feed->room = room;
    }
    va_start(args, format);
    vsnprintf(feed->text + feed->len, feed->room - feed->len, format, args);
    va_end(args);
    feed->len += (size_t)len;
    return 0;
}

static int append_gap(struct event_feed *feed, uint64_t from, uint64_t to)
{
    return append(feed, "event: gap\nid: %llu\ndata: {\"from\":%llu,\"to\":%llu}\n\n",
                  (unsigned long long)to, (unsigned long long)from, (unsigned long long)to);
}

static int append_event(struct event_feed *feed, const struct store_event *event)
{
    cJSON *json = event_json(event);
    char *text = json != NULL ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    if (text == NULL)
        return -ENOMEM;
    int rc = append(feed, "id: %llu\ndata: %s\n\n", (unsigned long long)event->id, text);
    cJSON_free(text);
    return rc;
}

static int take(void *ctx, const struct store_event *event)
{
    struct event_feed *feed = ctx;
    if (feed->len >= EVENT_FEED_TEXT)
        return 1;
    if (event->id != feed->position + 1) {
        int rc = append_gap(feed, feed->position + 1, event->id - 1);
        if (rc < 0)
            return rc;
        feed->position = event->id - 1;
    }
    int rc = event_is_wanted(event, &feed->query) ? append_event(feed, event) : 0;
    if (rc == 0)
        feed->position = event->id;
    return rc;
}

ssize_t event_feed_read(struct event_feed *feed, char *buf, size_t max)
{
    if (feed->sent == feed->len) {
        feed->sent = feed->len = 0;
        int rc = events_read(feed->events, feed->position, take, feed);
        if (rc < 0)
            return rc;
    }
    size_t len = feed->len - feed->sent;
    if (len > max)
        len = max;
    if (len > 0)
        memcpy(buf, feed->text + feed->sent, len);
    feed->sent += len;
    return (ssize_t)len;
}

int event_feed_heartbeat(struct event_feed *feed)
{
    /* With the id, a client that wants few events still knows how far it has come. */
    return append(feed, ": heartbeat\nid: %llu\n\n", (unsigned long long)feed->position);
}

int event_feed_init(struct event_feed *feed, struct events *events, const struct query *query,
                    const uint64_t *since)
{
    uint64_t first;
    uint64_t last;
    int rc = events_span(events, &first, &last);
    if (rc < 0)
        return rc;
    *feed = (struct event_feed){.events = events, .query = *query, .position = last};
    bool foreign = since != NULL && *since > last; /* of another database */
    if (since != NULL && !foreign)
        feed->position = *since;
    rc = append(feed, "retry: %d\nevent: snapshot\nid: %llu\ndata: {\"last_event_id\":%llu}\n\n",
                RETRY_MS, (unsigned long long)feed->position, (unsigned long long)last);
    if (rc == 0 && foreign)
        rc = append_gap(feed, 1, last);
    if (rc < 0)
        event_feed_fini(feed);
    return rc;
}

void event_feed_fini(struct event_feed *feed)
{
    free(feed->text);
    *feed = (struct event_feed){0};
}
