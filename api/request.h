/*
 * request: one HTTP request inside libmicrohttpd: its head is judged when it is complete, its body
 * is collected (and drained when the request is refused), its answer queued.
 */
#ifndef MANYTUN_API_REQUEST_H
#define MANYTUN_API_REQUEST_H

#include "api/admission.h"

#include <microhttpd.h>

/* What a request needs of its surroundings. */
struct api_context {
    struct service *service;
    struct api_server *server; /* its requests are counted here */
    struct api_access access;
    bool tls; /* the TCP listeners speak TLS (tls.h) */
};

/*
 * How much of a refused body is read so that the client gets to read the answer; whoever sends
 * more is cut off.
 */
#define API_DRAIN_MAX (4 << 20)

struct api_request;

/* Who a request comes from, as far as the connection tells. */
struct api_peer {
    enum api_caller caller;
    uid_t uid;                /* over the Unix socket */
    struct inet_addr address; /* over TCP */
    struct event *run;        /* runs the connection's daemon when it is made active */
};

/* libmicrohttpd's access handler, less its closure. *state is the request's, NULL at first. */
enum MHD_Result api_request_handle(const struct api_context *context, const struct api_peer *peer,
                                   struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload_data,
                                   size_t *upload_data_size, void **state);
/* Whether its answer was queued. request may be NULL. */
bool api_request_is_answered(const struct api_request *request);
/* The bytes that the answer takes of memory. */
size_t api_request_answer_len(const struct api_request *request);
/* Whether it was answered with a stream, which has no end of its own. request may be NULL. */
bool api_request_is_stream(const struct api_request *request);
/* Wipes and frees. NULL is allowed. */
void api_request_free(struct api_request *request);

#endif
