/*
 * http_world: the API as its clients meet it: a real service and store, a fake supervisor, and raw
 * HTTP over loopback and the Unix socket. Include it in one file.
 */
#ifndef MANYTUN_TESTS_HTTP_WORLD_H
#define MANYTUN_TESTS_HTTP_WORLD_H

#include "api/api.h"
#include "api/tokens.h"
#include "base/json.h"
#include "base/log.h"
#include "server/service.h"
#include "store/store.h"
#include "tests/support/folder.h"
#include "tests/unit/fake_supervisor.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#define ANSWER_MAX (8 << 20)

#define KEY_A "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define KEY_B "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="

#define TUNNEL(name)                                                                               \
    "{\"name\":\"" name "\",\"private_key\":\"" KEY_A "\",\"addresses\":[\"10.9.0.2/32\"],"        \
    "\"listen_address\":\"127.0.0.1\",\"peers\":[{\"public_key\":\"" KEY_B                         \
    "\",\"endpoint\":\"vpn.example.org:51820\"}]}"
#define FORWARD(name)                                                                              \
    "{\"name\":\"" name "\",\"tunnel\":\"home\",\"target\":{\"host\":\"192.168.4.2\",\"port\":80}" \
    "}"

static struct fixture {
    char directory[64];
    struct event_base *base;
    struct store *store;
    struct service *service;
    struct api *api;
    const struct api_limits *limits; /* NULL = the default */
    uint16_t port;
    uint16_t health_port;
    char token[64];
} fx;

/* --- Fixture ---------------------------------------------------------------------------------- */

static inline void read_token(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/admin.token", fx.directory);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(fx.token, sizeof(fx.token), file));
    fclose(file);
    fx.token[strcspn(fx.token, "\n")] = '\0';
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static inline void start(bool auth_none)
{
    static const char *const names[] = {"manytun.example.org"};
    char error[256] = "";
    if (store_open(fx.directory, &fx.store, error) < 0)
        fail_msg("%s", error);
    assert_int_equal(service_new(fx.base, NULL, fx.store, &fx.service), 0);
    struct problem problem = {0};
    assert_int_equal(service_restore(fx.service, &problem), 0);
    struct api_config config = {
        .data_directory = fx.directory,
        .listen_count = 1,
        .health_listen_count = 1,
        .auth_none = auth_none,
        .allowed_hosts = names,
        .allowed_hosts_count = 1,
        .limits = fx.limits,
    };
    const struct inet_addr loopback = {.family = AF_INET, .bytes = {127, 0, 0, 1}};
    inet_sockaddr_make(&config.listen[0], &loopback, 0);
    inet_sockaddr_make(&config.health_listen[0], &loopback, 0);
    if (api_new(fx.base, fx.service, fx.store, &config, &fx.api, error) < 0)
        fail_msg("%s", error);
    struct inet_addr address;
    inet_sockaddr_split(api_bound(fx.api, 0), &address, &fx.port);
    inet_sockaddr_split(api_health_bound(fx.api, 0), &address, &fx.health_port);
    read_token();
}

static inline void stop(void)
{
    api_free(fx.api);
    service_free(fx.service);
    store_close(fx.store);
    fake_worker_catch_up();
    assert_int_equal(fake.tunnels, 0);
    assert_int_equal(fake.forwards, 0);
}

static inline int set_up(void **state)
{
    (void)state;
    strcpy(fx.directory, "/tmp/api-test-XXXXXX");
    if (mkdtemp(fx.directory) == NULL)
        return -1;
    fx.base = event_base_new();
    start(false);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    stop();
    event_base_free(fx.base);
    return folder_remove(fx.directory);
}

/* Allows this program as many descriptors as it may have; how many. */
static inline size_t allow_descriptors(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit.rlim_cur;
}

/* --- A client --------------------------------------------------------------------------------- */

struct answer {
    int status;
    char *text; /* head and body */
    const char *body;
    cJSON *json; /* NULL when the body is none */
};

static inline int connect_tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(fx.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static inline int connect_unix(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/api.sock", fx.directory);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Sends all of the request while the server's loop turns, and reads until the server closes. */
static inline struct answer exchange(int fd, const char *request, size_t len)
{
    struct answer answer = {.text = malloc(ANSWER_MAX)};
    assert_non_null(answer.text);
    assert_int_equal(evutil_make_socket_nonblocking(fd), 0);
    size_t sent = 0;
    size_t got = 0;
    for (;;) {
        if (sent < len) {
            ssize_t n = send(fd, request + sent, len - sent, MSG_NOSIGNAL);
            if (n > 0)
                sent += (size_t)n;
            else if (errno != EAGAIN)
                sent = len; /* refused early: the answer says why */
        }
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
        ssize_t n = recv(fd, answer.text + got, ANSWER_MAX - 1 - got, 0);
        if (n > 0)
            got += (size_t)n;
        else if (n == 0 || errno != EAGAIN)
            break;
    }
    close(fd);
    answer.text[got] = '\0';
    if (sscanf(answer.text, "HTTP/1.%*d %d", &answer.status) != 1)
        answer.status = 0;
    char *end = strstr(answer.text, "\r\n\r\n");
    answer.body = end != NULL ? end + 4 : "";
    struct json_error error;
    answer.json = json_read(answer.body, strlen(answer.body), &error);
    return answer;
}

static inline void free_answer(struct answer *answer)
{
    json_free(answer->json);
    free(answer->text);
}

static inline bool has_header(const struct answer *answer, const char *line)
{
    char wanted[256];
    snprintf(wanted, sizeof(wanted), "\r\n%s\r\n", line);
    return strstr(answer->text, wanted) != NULL;
}

/* A well-formed request with the token; extra is more header lines, each with its CRLF. */
static inline struct answer call(const char *method, const char *path, const char *extra,
                                 const char *body)
{
    char *request = malloc(strlen(body) + 2048);
    assert_non_null(request);
    int len = sprintf(request,
                      "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                      "Authorization: Bearer %s\r\n%s",
                      method, path, fx.token, extra);
    if (body[0] != '\0')
        len += sprintf(request + len, "%sContent-Length: %zu\r\n",
                       strstr(extra, "Content-Type:") ? "" : "Content-Type: application/json\r\n",
                       strlen(body));
    len += sprintf(request + len, "\r\n%s", body);
    struct answer answer = exchange(connect_tcp(), request, (size_t)len);
    free(request);
    return answer;
}

static inline const char *text_of(const cJSON *json, const char *name)
{
    const cJSON *item = json_member(json, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* Every problem is complete and says the same status twice. */
static inline void check_problem(const struct answer *answer, int status, const char *code)
{
    char type[64];
    snprintf(type, sizeof(type), "/problems/%s", code);
    if (answer->status != status || strcmp(text_of(answer->json, "type"), type) != 0)
        fail_msg("expected %d %s, got: %s", status, code, answer->text);
    assert_true(has_header(answer, "Content-Type: application/problem+json"));
    assert_true(has_header(answer, "Cache-Control: no-store"));
    assert_true(has_header(answer, "X-Content-Type-Options: nosniff"));
    assert_int_equal(json_member(answer->json, "status")->valueint, status);
    assert_true(strlen(text_of(answer->json, "title")) > 0);
    assert_true(strlen(text_of(answer->json, "detail")) > 0);
    char id[64];
    snprintf(id, sizeof(id), "X-Request-Id: %s", text_of(answer->json, "request_id"));
    assert_true(has_header(answer, id));
}

static inline void expect_problem(const char *method, const char *path, const char *extra,
                                  const char *body, int status, const char *code)
{
    struct answer answer = call(method, path, extra, body);
    check_problem(&answer, status, code);
    free_answer(&answer);
}

static inline void expect_status(const char *method, const char *path, const char *body, int status)
{
    struct answer answer = call(method, path, "", body);
    if (answer.status != status)
        fail_msg("%s %s: expected %d, got: %s", method, path, status, answer.text);
    free_answer(&answer);
}

#endif
