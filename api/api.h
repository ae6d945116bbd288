/*
 * api: the HTTP API (openapi.yaml), served by libmicrohttpd inside the control process's loop.
 */
#ifndef MANYTUN_API_API_H
#define MANYTUN_API_API_H

#include "base/inet.h"
#include "server/service_takeover.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

struct api;
struct api_limits;
struct declared;
struct retired;
struct service;
struct store;
struct supervisor;

#define API_LISTEN_MAX 16

struct api_config {
    const struct supervisor *supervisor; /* borrowed; for what is told of workers */
    const struct declared *declared; /* borrowed; for what is told of it; NULL = there is none */
    const char *data_directory;      /* api.sock and admin.token are made there */
    const struct retired *retired;   /* borrowed; workers of a former program, or NULL */
    struct inherited *inherited;     /* borrowed: listeners that are there already; NULL = none */
    union inet_sockaddr listen[API_LISTEN_MAX];
    size_t listen_count;
    union inet_sockaddr health_listen[API_LISTEN_MAX]; /* /livez, /readyz and /metrics to anybody */
    size_t health_listen_count;
    const char *tls_cert_file; /* PEM, both or none: the listen addresses speak TLS */
    const char *tls_key_file;
    bool auth_none; /* no token; refused unless every listen address is loopback */
    const char *const *allowed_hosts; /* names besides IP addresses and "localhost" */
    size_t allowed_hosts_count;
    const struct api_limits *limits; /* borrowed; NULL = api_limits_default (listener.h) */
};

/*
 * Binds everything and starts to answer (503 on /readyz until service_ready()). On first start an
 * admin token is made, stored hashed, and written to <data>/admin.token (0600).
 * 0, or a negative errno with a sentence for a person in error.
 */
int api_new(struct event_base *base, struct service *service, struct store *store,
            const struct api_config *config, struct api **out, char error[256]);
/*
 * Does in advance what can fail of api_new() for reasons outside of the program: checks the
 * configuration, reads the certificate, and binds what config->inherited does not have, into it. As
 * api_new().
 */
int api_prepare(const struct api_config *config, char error[256]);
void api_free(struct api *api);
/* Reads the certificate and its key again; what cannot be read leaves those that are in use. */
void api_reload(struct api *api);
/*
 * Takeover: offers every listener (service_takeover.h), and accepts nobody any more on any of them.
 * What is connected is served on; the process must end without api_free().
 */
int api_offer(const struct api *api, service_offer *offer, void *ctx);
void api_quiesce(struct api *api);
/* The address that listen[index] is bound to (port 0 resolved). */
const union inet_sockaddr *api_bound(const struct api *api, size_t index);
const union inet_sockaddr *api_health_bound(const struct api *api, size_t index);

#endif
