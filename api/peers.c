/*
 * peers: /v1/tunnels/{name}/peers, the peers of a tunnel one by one. A change of a peer is a change
 * of its tunnel's definition, whose generation is the entity tag.
 */
#include "api/document.h"
#include "api/handlers.h"
#include "api/object_json.h"
#include "api/page.h"
#include "api/precondition.h"
#include "base/json.h"
#include "server/unreadable.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The tunnel in the path, or NULL with the problem filled. */
static const struct service_tunnel *find_tunnel(struct api_call *call)
{
    const struct service_tunnel *tunnel = service_find_tunnel(call->service, call->name);
    if (tunnel == NULL)
        service_not_found(call->service, UNREADABLE_TUNNEL, call->name, &call->problem);
    return tunnel;
}

/* The place of the peer in the path; that behind the last if there is none. */
static size_t find_place(const struct api_call *call, const struct spec_tunnel *spec)
{
    size_t place = 0;
    while (place < spec->peers_count && strcmp(spec->peers[place].name, call->peer) != 0)
        place++;
    return place;
}

static int fail_not_found(struct api_call *call)
{
    return problem_set(&call->problem, "not_found", "the tunnel \"%s\" has no peer \"%s\"",
                       call->name, call->peer);
}

static int answer_peer(struct api_call *call, const struct service_tunnel *tunnel, size_t place)
{
    if (api_answer_json(call, 200, object_json_peer(tunnel, place)) < 0)
        return -1;
    call->answer.etag = tunnel->generation;
    return 0;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    const struct spec_peer *const *left = a;
    const struct spec_peer *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

/* The peers in the order of their names; the caller frees them. NULL = out of memory. */
static const struct spec_peer **sort_peers(const struct spec_tunnel *spec)
{
    const struct spec_peer **peers = calloc(spec->peers_count + 1, sizeof(*peers));
    if (peers == NULL)
        return NULL;
    for (size_t i = 0; i < spec->peers_count; i++)
        peers[i] = &spec->peers[i];
    qsort(peers, spec->peers_count, sizeof(*peers), compare_names);
    return peers;
}

int api_list_peers(struct api_call *call)
{
    const struct service_tunnel *tunnel = find_tunnel(call);
    if (tunnel == NULL)
        return -1;
    const struct spec_peer **peers = sort_peers(&tunnel->spec);
    struct api_page page;
    if (peers == NULL || api_page_init(&page, &call->query) < 0) {
        free(peers);
        return problem_set(&call->problem, "exhausted", "out of memory");
    }
    for (size_t i = 0; i < tunnel->spec.peers_count; i++) {
        if (strcmp(peers[i]->name, call->query.cursor) <= 0)
            continue;
        if (!api_page_wants(&page, peers[i]->name, 1 + peers[i]->allowed_ips_count) ||
            api_page_add(&page, object_json_peer(tunnel, (size_t)(peers[i] - tunnel->spec.peers))) <
                0)
            break;
    }
    free(peers);
    if (api_page_answer(&page, call) < 0)
        return -1;
    call->answer.etag = tunnel->generation;
    return 0;
}

int api_get_peer(struct api_call *call)
{
    const struct service_tunnel *tunnel = find_tunnel(call);
    if (tunnel == NULL)
        return -1;
    size_t place = find_place(call, &tunnel->spec);
    return place < tunnel->spec.peers_count ? answer_peer(call, tunnel, place)
                                            : fail_not_found(call);
}

/* --- The definition of one peer --------------------------------------------------------------- */

/* The tunnel's document with the body as its only peer, or NULL with the problem filled. */
static cJSON *read_document(struct api_call *call, const struct spec_tunnel *present)
{
    cJSON *peer = api_document_put(call);
    if (peer == NULL)
        return NULL;
    struct spec_tunnel alone = *present;
    alone.peers_count = 0;
    cJSON *document = spec_tunnel_to_json(&alone, SPEC_WITHOUT_SECRETS);
    sodium_memzero(&alone, sizeof(alone));
    if (cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(document, "peers"), peer)) {
        if (api_document_keep_secrets(document, present) == 0)
            return document;
    } else {
        json_free(peer);
    }
    json_free(document);
    problem_set(&call->problem, "exhausted", "out of memory");
    return NULL;
}

/* Makes pointers into the document pointers into the body. */
static void point_into_body(struct spec_errors *errors)
{
    static const char prefix[] = "/peers/0";
    for (size_t i = 0; i < errors->count; i++) {
        char *pointer = errors->items[i].pointer;
        size_t len = strlen(prefix);
        if (strncmp(pointer, prefix, len) == 0)
            memmove(pointer, pointer + len, strlen(pointer + len) + 1);
    }
}

/* A tunnel like the present one with the peer that is asked for as its only one. */
static int read_peer(struct api_call *call, const struct spec_tunnel *present,
                     struct spec_tunnel *single)
{
    cJSON *document = read_document(call, present);
    if (document == NULL)
        return -1;
    int rc = spec_tunnel_from_json(document, single, &call->problem.errors);
    json_free(document);
    if (rc == -ENOMEM)
        return problem_set(&call->problem, "exhausted", "out of memory");
    point_into_body(&call->problem.errors);
    if (rc < 0)
        return problem_set(&call->problem, "validation", "the peer's definition has %zu error(s)",
                           call->problem.errors.count);
    return 0;
}

/* --- Conflicts with other peers --------------------------------------------------------------- */

static int compare_prefixes(const void *a, const void *b)
{
    const struct inet_prefix *left = *(const struct inet_prefix *const *)a;
    const struct inet_prefix *right = *(const struct inet_prefix *const *)b;
    if (left->addr.family != right->addr.family)
        return left->addr.family < right->addr.family ? -1 : 1;
    if (left->bits != right->bits)
        return left->bits < right->bits ? -1 : 1;
    return memcmp(left->addr.bytes, right->addr.bytes, sizeof(left->addr.bytes));
}

static void add_conflicts(const struct spec_peer *other, const struct spec_peer *peer,
                          const struct inet_prefix **sorted, struct spec_errors *errors)
{
    if (memcmp(other->public_key, peer->public_key, SPEC_KEY_LEN) == 0)
        spec_errors_add(errors, "/public_key", "overlap", "the peer \"%s\" has this key",
                        other->name);
    for (size_t i = 0; i < other->allowed_ips_count; i++) {
        const struct inet_prefix *prefix = &other->allowed_ips[i];
        const struct inet_prefix **found =
            bsearch(&prefix, sorted, peer->allowed_ips_count, sizeof(*sorted), compare_prefixes);
        if (found == NULL)
            continue;
        char pointer[64];
        snprintf(pointer, sizeof(pointer), "/allowed_ips/%zu",
                 (size_t)(*found - peer->allowed_ips));
        spec_errors_add(errors, pointer, "overlap", "the peer \"%s\" has these allowed IPs",
                        other->name);
    }
}

/* Whether the peer can be at its place beside the others: what one has, no other may. */
static int check_conflicts(struct api_call *call, const struct spec_tunnel *spec, size_t place,
                           const struct spec_peer *peer)
{
    struct spec_errors *errors = &call->problem.errors;
    const struct inet_prefix **sorted = calloc(peer->allowed_ips_count + 1, sizeof(*sorted));
    if (sorted == NULL)
        return problem_set(&call->problem, "exhausted", "out of memory");
    for (size_t i = 0; i < peer->allowed_ips_count; i++)
        sorted[i] = &peer->allowed_ips[i];
    qsort(sorted, peer->allowed_ips_count, sizeof(*sorted), compare_prefixes);
    for (size_t i = 0; i < spec->peers_count; i++) {
        if (i != place)
            add_conflicts(&spec->peers[i], peer, sorted, errors);
    }
    free(sorted);
    return errors->count == 0
               ? 0
               : problem_set(&call->problem, "overlap",
                             "other peers of the tunnel have %zu of its things", errors->count);
}

/* --- Changing --------------------------------------------------------------------------------- */

/* Makes next, which is freed in any case, the tunnel's definition. */
static const struct service_tunnel *apply(struct api_call *call, struct spec_tunnel *next)
{
    const struct service_tunnel *tunnel;
    int rc = service_update_tunnel(call->service, next, &tunnel, &call->problem);
    spec_tunnel_fini(next); /* what was applied is zero already */
    return rc == 0 ? tunnel : NULL;
}

static int set_peer(struct api_call *call, const struct service_tunnel *tunnel, size_t place,
                    struct spec_peer *peer)
{
    bool exists = place < tunnel->spec.peers_count;
    struct spec_tunnel next;
    int rc = spec_tunnel_copy(&next, &tunnel->spec);
    if (rc < 0)
        return problem_set(&call->problem, "exhausted", "out of memory");
    rc = spec_tunnel_set_peer(&next, place, peer);
    if (rc < 0) {
        spec_tunnel_fini(&next);
        if (rc == -ENOMEM)
            return problem_set(&call->problem, "exhausted", "out of memory");
        spec_errors_add(&call->problem.errors, "", "too_many", "a tunnel may have at most %d peers",
                        SPEC_PEERS_MAX);
        return problem_set(&call->problem, "validation", "the tunnel has too many peers");
    }
    tunnel = apply(call, &next);
    if (tunnel == NULL)
        return -1;
    api_answer_change(call, exists ? 200 : 201, object_json_peer(tunnel, place));
    call->answer.etag = tunnel->generation;
    if (!exists)
        snprintf(call->answer.location, sizeof(call->answer.location), "/v1/tunnels/%s/peers/%s",
                 call->name, call->peer);
    return 0;
}

int api_put_peer(struct api_call *call)
{
    const struct service_tunnel *tunnel = find_tunnel(call);
    if (tunnel == NULL)
        return -1;
    size_t place = find_place(call, &tunnel->spec);
    bool exists = place < tunnel->spec.peers_count;
    struct spec_tunnel single;
    if (api_precondition_check(call, exists ? tunnel->generation : 0) < 0 ||
        read_peer(call, &tunnel->spec, &single) < 0)
        return -1;
    int rc = check_conflicts(call, &tunnel->spec, place, &single.peers[0]);
    if (rc == 0)
        rc = set_peer(call, tunnel, place, &single.peers[0]);
    spec_tunnel_fini(&single);
    return rc;
}

int api_delete_peer(struct api_call *call)
{
    const struct service_tunnel *tunnel = find_tunnel(call);
    if (tunnel == NULL)
        return -1;
    size_t place = find_place(call, &tunnel->spec);
    if (place == tunnel->spec.peers_count)
        return fail_not_found(call);
    struct spec_tunnel next;
    if (api_precondition_check(call, tunnel->generation) < 0)
        return -1;
    if (spec_tunnel_copy(&next, &tunnel->spec) < 0)
        return problem_set(&call->problem, "exhausted", "out of memory");
    spec_tunnel_remove_peer(&next, place);
    tunnel = apply(call, &next);
    if (tunnel == NULL)
        return -1;
    call->answer.status = 204;
    call->answer.etag = tunnel->generation;
    return 0;
}
