/* loop: owns the handlers of the signals that stop the program, while it runs. */
#include "cli/loop.h"

#include "engine/log.h"

#include <event2/event.h>
#include <signal.h>
#include <string.h>

static void on_stop(evutil_socket_t signal_number, short events, void *arg)
{
    (void)events;
    log_info("%s: stopping", strsignal(signal_number));
    event_base_loopbreak(arg);
}

int loop_run(struct event_base *base)
{
    static const int stop_signals[] = {SIGINT, SIGTERM};
    enum { COUNT = sizeof(stop_signals) / sizeof(stop_signals[0]) };
    struct event *events[COUNT] = {NULL};
    int result = 0;
    for (size_t i = 0; i < COUNT && result == 0; i++) {
        events[i] = evsignal_new(base, stop_signals[i], on_stop, base);
        if (!events[i] || evsignal_add(events[i], NULL) < 0)
            result = -1;
    }
    if (result == 0)
        result = event_base_dispatch(base) < 0 ? -1 : 0;
    for (size_t i = 0; i < COUNT; i++) {
        if (events[i])
            event_free(events[i]);
    }
    return result;
}
