/*
 * tunnel_config: /v1/tunnels/{name}/config, a tunnel as a wg-quick file.
 */
#include "api/handlers.h"
#include "api/json_add.h"
#include "api/object_json.h"
#include "api/precondition.h"
#include "base/json.h"
#include "base/wgquick.h"
#include "server/unreadable.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int api_get_tunnel_config(struct api_call *call)
{
    const struct service_tunnel *tunnel = service_find_tunnel(call->service, call->name);
    if (tunnel == NULL)
        return service_not_found(call->service, UNREADABLE_TUNNEL, call->name, &call->problem);
    char *text = wgquick_print(&tunnel->spec);
    if (text == NULL)
        return problem_set(&call->problem, "exhausted", "out of memory");
    call->answer.status = 200;
    call->answer.content_type = "text/plain; charset=utf-8";
    call->answer.body = text;
    call->answer.body_len = strlen(text);
    call->answer.etag = tunnel->generation;
    return 0;
}

/* Reads the file; what a file cannot say stays as it is. */
static int read_file(struct api_call *call, const struct service_tunnel *present,
                     struct spec_tunnel *spec, struct spec_errors *warnings)
{
    struct wgquick_source source = {
        .text = call->body,
        .len = call->body_len,
        .name = call->name,
        .present = present != NULL ? &present->spec : NULL,
    };
    int rc = wgquick_read(&source, spec, &call->problem.errors, warnings);
    if (rc == -ENOMEM)
        return problem_set(&call->problem, "exhausted", "out of memory");
    if (rc < 0)
        return problem_set(&call->problem, "validation", "the file has %zu error(s)",
                           call->problem.errors.count);
    if (present != NULL)
        spec->listen_address = present->spec.listen_address;
    return 0;
}

/* Takes the tunnel's JSON, and returns it completed, or NULL (out of memory). */
static cJSON *with_warnings(cJSON *json, const struct spec_errors *warnings)
{
    if (json != NULL && !json_add_errors(json, "warnings", warnings)) {
        json_free(json);
        json = NULL;
    }
    return json;
}

static int rehearse(struct api_call *call, const struct spec_tunnel *spec,
                    const struct spec_errors *warnings)
{
    if (service_check_tunnel(call->service, spec, &call->problem) < 0)
        return -1;
    return api_answer_json(call, 200,
                           with_warnings(spec_tunnel_to_json(spec, SPEC_REDACTED), warnings));
}

static int apply(struct api_call *call, struct spec_tunnel *spec, bool exists,
                 const struct spec_errors *warnings)
{
    const struct service_tunnel *tunnel;
    int rc = exists ? service_update_tunnel(call->service, spec, &tunnel, &call->problem)
                    : service_put_tunnel(call->service, spec, &tunnel, &call->problem);
    if (rc < 0)
        return -1;
    api_answer_change(call, exists ? 200 : 201,
                      with_warnings(object_json_tunnel(tunnel), warnings));
    call->answer.etag = tunnel->generation;
    if (!exists)
        snprintf(call->answer.location, sizeof(call->answer.location), "/v1/tunnels/%s",
                 tunnel->spec.name);
    return 0;
}

int api_put_tunnel_config(struct api_call *call)
{
    const struct service_tunnel *present = service_find_tunnel(call->service, call->name);
    struct spec_tunnel spec;
    struct spec_errors warnings = {0};
    uint64_t generation =
        present != NULL
            ? present->generation
            : service_unreadable_generation(call->service, UNREADABLE_TUNNEL, call->name);
    if (api_precondition_check(call, generation) < 0 ||
        read_file(call, present, &spec, &warnings) < 0)
        return -1;
    int rc = call->query.dry_run ? rehearse(call, &spec, &warnings)
                                 : apply(call, &spec, present != NULL, &warnings);
    spec_tunnel_fini(&spec); /* what was applied is zero already */
    return rc;
}
