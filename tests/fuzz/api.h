/*
 * api: the whole API, with a service, a store and a fake supervisor, for targets that speak HTTP to
 * it. It is made once, on memory and in a network namespace of its own, where there are such; each
 * input finds it empty.
 */
#ifndef MANYTUN_TESTS_FUZZ_API_H
#define MANYTUN_TESTS_FUZZ_API_H

#include "tests/fuzz/fuzz.h"
#include "tests/support/folder.h"
#include "tests/unit/api/http_world.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#define IDLE_TURNS_MAX 64 /* of the loop, in which nothing moves, before a client hangs up */

static inline void api_world_remove(void)
{
    folder_remove(fx.directory);
}

/* Sockets that inputs ask for are bound where nobody else is. */
static inline void api_world_isolate(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    fuzz_check(fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0);
    request.ifr_flags |= IFF_UP;
    fuzz_check(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
    close(fd);
}

static inline void api_world_start(void)
{
    log_set_level(LOG_LEVEL_OFF);
    api_world_isolate();
    strcpy(fx.directory, "/dev/shm/fuzz-api-XXXXXX");
    if (!mkdtemp(fx.directory)) {
        strcpy(fx.directory, "/tmp/fuzz-api-XXXXXX");
        fuzz_check(mkdtemp(fx.directory));
    }
    atexit(api_world_remove);
    fx.base = event_base_new();
    start(true);
}

/* Sends some bytes and no more; the answer that came, of any form, up to the end or to silence. */
static inline struct answer api_world_talk(const char *bytes, size_t len)
{
    static char text[ANSWER_MAX]; /* as an allocation it would take most of the time */
    int fd = connect_tcp();
    size_t sent = 0, got = 0;
    fuzz_check(evutil_make_socket_nonblocking(fd) == 0);
    for (int idle = 0; idle < IDLE_TURNS_MAX; idle++) {
        ssize_t n = sent < len ? send(fd, bytes + sent, len - sent, MSG_NOSIGNAL) : 0;
        if (n > 0) {
            sent += (size_t)n;
            idle = 0;
        } else if (n < 0 && errno != EAGAIN) {
            sent = len; /* refused early: the answer says why */
        }
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
        n = recv(fd, text + got, ANSWER_MAX - 1 - got, 0);
        if (n > 0) {
            got += (size_t)n;
            idle = 0;
        } else if (n == 0 || errno != EAGAIN) {
            break;
        }
    }
    close(fd);
    event_base_loop(fx.base, EVLOOP_NONBLOCK);
    text[got] = '\0';
    struct answer answer = {.text = strdup(text)};
    fuzz_check(answer.text);
    if (sscanf(answer.text, "HTTP/1.%*d %d", &answer.status) != 1)
        answer.status = 0;
    char *end = strstr(answer.text, "\r\n\r\n");
    answer.body = end ? end + 4 : "";
    return answer;
}

/* One well-formed request with a body of this type (NULL = none). */
static inline struct answer api_world_call(const char *line, const char *type, const char *body,
                                           size_t len)
{
    char *request = malloc(strlen(line) + len + 512);
    fuzz_check(request);
    int head = sprintf(request, "%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n", line);
    if (type)
        head += sprintf(request + head, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, len);
    head += sprintf(request + head, "\r\n");
    memcpy(request + head, body, len);
    struct answer answer = api_world_talk(request, (size_t)head + len);
    free(request);
    return answer;
}

/* What must be answered, with this status. The caller frees it. */
static inline struct answer api_world_expect(const char *line, const char *body, int status)
{
    struct answer answer = api_world_call(line, body ? "application/json" : NULL, body ? body : "",
                                          body ? strlen(body) : 0);
    if (answer.status != status)
        fprintf(stderr, "%s\n%s\n", line, answer.text);
    fuzz_check(answer.status == status);
    return answer;
}

static inline size_t api_world_count(const cJSON *document, const char *list)
{
    return (size_t)cJSON_GetArraySize(json_member(document, list));
}

/* The configuration as text, after a look at whether it and the workers know the same objects. */
static inline struct answer api_world_config(void)
{
    struct json_error error;
    struct answer answer = api_world_expect("GET /v1/config", NULL, 200);
    cJSON *document = json_read(answer.body, strlen(answer.body), &error);
    fuzz_check(document);
    fuzz_check(fake.tunnels <= api_world_count(document, "tunnels"));
    fuzz_check(fake.forwards <= api_world_count(document, "forwards"));
    fuzz_check(fake.prepared == 0);
    json_free(document);
    return answer;
}

/* Deletes everything that inputs can make. */
static inline void api_world_empty(void)
{
    struct json_error error;
    free_answer(&(struct answer){.text = api_world_expect("PUT /v1/config?prune", "{}", 200).text});
    struct answer answer = api_world_expect("GET /v1/tokens?limit=1000", NULL, 200);
    cJSON *document = json_read(answer.body, strlen(answer.body), &error);
    const cJSON *token;
    cJSON_ArrayForEach(token, json_member(document, "items"))
    {
        char line[SPEC_NAME_MAX + 32];
        snprintf(line, sizeof(line), "DELETE /v1/tokens/%s", text_of(token, "name"));
        free_answer(&(struct answer){.text = api_world_call(line, NULL, "", 0).text});
    }
    json_free(document);
    free(answer.text);
    fake_worker_catch_up();
    fuzz_check(fake.tunnels == 0 && fake.forwards == 0);
}

#endif
