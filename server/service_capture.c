/*
 * service_capture: captures of what goes through a tunnel. The packets go from the worker to the
 * reader without passing here; this is who may have them, and the record of it.
 */
#include "base/log.h"
#include "server/capture.h"
#include "server/service_internal.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int check(struct service *service, const struct service_tunnel *tunnel, const char *name,
                 struct problem *problem)
{
    if (tunnel == NULL)
        return problem_set(problem, "not_found", "there is no tunnel \"%s\"", name);
    if (service->draining || service->frozen)
        return problem_set(problem, "draining",
                           "the service is ending or being replaced; nothing can be captured now");
    if (tunnel->supervised == NULL || !supervisor_tunnel_worker_alive(tunnel->supervised))
        return problem_set(problem, "not_running",
                           "the tunnel \"%s\" is not running: its conditions say why", name);
    return 0;
}

/* Nobody reads what others send without a record of it. */
static int record(struct service *service, const struct service_tunnel *tunnel,
                  struct problem *problem)
{
    if (service->store == NULL)
        return 0;
    int rc = store_begin(service->store);
    if (rc == 0) {
        const struct event_fact fact = {.type = EVENT_TUNNEL_CAPTURE_STARTED,
                                        .name = tunnel->spec.name,
                                        .generation = tunnel->generation};
        rc = store_end(service->store, service_record(service, &fact));
    }
    return rc < 0 ? service_store_problem(service, problem, rc, "record of the capture of tunnel",
                                          tunnel->spec.name)
                  : 0;
}

int service_capture(struct service *service, const char *name, uint64_t max_bytes,
                    struct capture **out, struct problem *problem)
{
    const struct service_tunnel *tunnel = service_index_find(&service->tunnels, name);
    int pair[2];
    if (check(service, tunnel, name, problem) < 0)
        return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return problem_set(problem, "exhausted", "no descriptor is left: %s", strerror(errno));
    if (capture_new(pair[0], out) < 0) {
        close(pair[1]);
        return problem_set(problem, "exhausted", "out of memory");
    }
    if (record(service, tunnel, problem) < 0) {
        close(pair[1]);
        capture_free(*out);
        return -1;
    }
    /* Where the worker has gone in between, the reader sees the end at once. */
    int error = supervisor_capture_tunnel(tunnel->supervised, pair[1], max_bytes);
    if (error < 0 && error != -ENOTCONN) {
        service_capture_end(service, name, *out);
        return problem_set(problem, "exhausted", "the worker cannot be told: %s", strerror(-error));
    }
    log_about(LOG_LEVEL_INFO, LOG_TUNNEL, name, "its packets are captured");
    return 0;
}

void service_capture_end(struct service *service, const char *name, struct capture *capture)
{
    const struct tap_totals totals = capture_totals(capture);
    char text[EVENTS_MESSAGE_MAX + 1];
    snprintf(text, sizeof(text), "%llu packets were captured, %llu left out for a slow reader",
             (unsigned long long)totals.packets, (unsigned long long)totals.dropped);
    log_about(LOG_LEVEL_INFO, LOG_TUNNEL, name, "%s", text);
    service_emit(service, &(struct event_fact){
                              .type = EVENT_TUNNEL_CAPTURE_ENDED, .name = name, .message = text});
    capture_free(capture);
}
