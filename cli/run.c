/*
 * run: the one-shot command: the same control and worker as the service, with its definitions from
 * the command line, no API and no database.
 */
#include "base/log.h"
#include "cli/commands.h"
#include "cli/loop.h"
#include "cli/pcap_file.h"
#include "cli/run_config.h"
#include "server/service.h"
#include "server/supervisor.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

/*
 * The predecessor's filters are accepted: of "warn,onetun=debug" the level without a name counts.
 */
static int set_log_level(const char *text)
{
    if (!text)
        return 0;
    char copy[256];
    if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
        return -1;
    char *rest = NULL;
    for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        enum log_level level;
        if (strchr(item, '='))
            continue;
        if (log_level_parse(item, &level) < 0)
            return -1;
        log_set_level(level);
    }
    return 0;
}

static void print_problem(const struct problem *problem)
{
    if (problem->errors.count == 0)
        fprintf(stderr, "manytun: %s\n", problem->detail);
    for (size_t i = 0; i < problem->errors.count; i++)
        fprintf(stderr, "manytun: %s\n", problem->errors.items[i].detail);
}

/* The predecessor's line; here it is true: the listener is bound. */
static void log_forward(const struct service_forward *forward, const struct spec_peer *peer,
                        const struct inet_addr *source)
{
    union inet_sockaddr listen, target;
    char listen_text[INET_SOCKADDR_TEXT], target_text[INET_SOCKADDR_TEXT];
    char source_text[INET_ADDR_TEXT];
    inet_sockaddr_make(&listen, &forward->spec.listen_address, forward->bound_port);
    inet_sockaddr_make(&target, &forward->spec.target_address, forward->spec.target_port);
    bool brackets = strchr(peer->endpoint_host, ':') != NULL;
    log_info("Tunneling TCP [%s]->[%s] (via [%s%s%s:%u] as peer %s)",
             inet_sockaddr_print(&listen, listen_text), inet_sockaddr_print(&target, target_text),
             brackets ? "[" : "", peer->endpoint_host, brackets ? "]" : "", peer->endpoint_port,
             inet_addr_print(source, source_text));
}

static int create_all(struct service *service, struct run_config *config)
{
    struct problem problem = {0};
    const struct service_tunnel *tunnel;
    if (service_create_tunnel(service, &config->tunnel, &tunnel, &problem) < 0) {
        print_problem(&problem);
        return -1;
    }
    for (size_t i = 0; i < config->forwards_count; i++) {
        const struct service_forward *forward;
        if (service_create_forward(service, &config->forwards[i], &forward, &problem) < 0) {
            print_problem(&problem);
            return -1;
        }
        log_forward(forward, &tunnel->spec.peers[0], &tunnel->spec.addresses[0].addr);
    }
    return 0;
}

/* path NULL = no file. */
static int capture(struct event_base *base, struct service *service, const char *path,
                   struct pcap_file **out)
{
    int error = path ? pcap_file_new(base, service, RUN_TUNNEL_NAME, path, out) : 0;
    if (error)
        fprintf(stderr, "manytun: --pcap: %s: %s\n", path, strerror(-error));
    return error;
}

static int run(struct run_config *config, unsigned drain_seconds, const char *pcap_path)
{
    int status = 1;
    struct pcap_file *pcap = NULL;
    struct supervisor *supervisor = NULL;
    struct service *service = NULL;
    struct supervisor_config supervisor_config = {.workers = 1};
    struct event_base *base = event_base_new();
    if (!base || supervisor_new(base, &supervisor_config, &supervisor) < 0 ||
        service_new(base, supervisor, NULL, &service) < 0)
        fprintf(stderr, "manytun: cannot start: out of memory or processes\n");
    else if (capture(base, service, pcap_path, &pcap) == 0 && create_all(service, config) == 0) {
        struct loop_config loop = {.service = service, .drain_seconds = drain_seconds};
        status = loop_run(base, &loop) < 0 ? 1 : 0;
    }
    pcap_file_free(pcap);
    service_free(service);
    supervisor_free(supervisor);
    if (base)
        event_base_free(base);
    return status;
}

int run_command(const struct options *options)
{
    struct run_config config;
    struct run_errors errors;
    if (set_log_level(options_get(options, OPTION_LOG)) < 0) {
        fprintf(stderr, "manytun: --log: expected off, error, warn, info or debug\n");
        return 1;
    }
    unsigned drain_seconds;
    if (loop_read_seconds(options, OPTION_DRAIN_SECONDS, 0, &drain_seconds) < 0)
        return 1;
    int status = 1;
    if (run_config_read(options, &config, &errors) == 0) {
        if (config.key_file_shared)
            log_warn("%s can be read by others; chmod 600 it",
                     options_get(options, OPTION_PRIVATE_KEY_FILE));
        status = run(&config, drain_seconds, options_get(options, OPTION_PCAP));
    }
    for (size_t i = 0; i < errors.count; i++)
        fprintf(stderr, "manytun: %s\n", errors.texts[i]);
    run_config_fini(&config);
    return status;
}
