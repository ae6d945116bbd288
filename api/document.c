/*
 * document: names and secrets of documents. What is wrong with their types is left for the codec
 * to report.
 */
#include "api/document.h"

#include "api/merge_patch.h"
#include "base/json.h"
#include "base/spec_diff.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

/* Gives the document the name in the path; another one is a problem. Takes the document. */
static cJSON *with_name(struct api_call *call, cJSON *document)
{
    if (!cJSON_IsObject(document))
        return document;
    const char *wanted = call->peer[0] != '\0' ? call->peer : call->name;
    const cJSON *name = json_member(document, "name");
    if (name == NULL) {
        if (cJSON_AddStringToObject(document, "name", wanted) != NULL)
            return document;
        problem_set(&call->problem, "exhausted", "out of memory");
    } else {
        if (cJSON_IsString(name) && strcmp(name->valuestring, wanted) == 0)
            return document;
        spec_errors_add(&call->problem.errors, "/name", "immutable",
                        "must be left out, or \"%s\" as in the path", wanted);
        problem_set(&call->problem, "validation", "a name cannot be changed");
    }
    json_free(document);
    return NULL;
}

cJSON *api_document_put(struct api_call *call)
{
    cJSON *document = api_call_read_json(call);
    return document != NULL ? with_name(call, document) : NULL;
}

cJSON *api_document_patch(struct api_call *call, cJSON *present)
{
    cJSON *patch = api_call_read_json(call);
    if (patch == NULL) {
        json_free(present);
        return NULL;
    }
    cJSON *document = present != NULL ? merge_patch(present, patch) : NULL;
    json_free(patch);
    json_free(present);
    if (document == NULL) {
        problem_set(&call->problem, "exhausted", "out of memory");
        return NULL;
    }
    return with_name(call, document);
}

/* --- Secrets ---------------------------------------------------------------------------------- */

static int add_key(cJSON *object, const char *name, const uint8_t key[SPEC_KEY_LEN])
{
    char text[SPEC_KEY_TEXT];
    cJSON *added = cJSON_AddStringToObject(object, name, spec_key_print(key, text));
    sodium_memzero(text, sizeof(text));
    return added != NULL ? 0 : -ENOMEM;
}

static int keep_preshared_key(cJSON *json, const struct spec_peer_index *present)
{
    const cJSON *secret = json_member(json, "preshared_key");
    const cJSON *public_key = json_member(json, "public_key");
    uint8_t key[SPEC_KEY_LEN];
    if (cJSON_IsNull(secret)) {
        cJSON_DeleteItemFromObjectCaseSensitive(json, "preshared_key");
        return 0;
    }
    if (secret != NULL || json_member(json, "preshared_key_file") != NULL ||
        !cJSON_IsString(public_key) || spec_key_parse(public_key->valuestring, key) < 0)
        return 0;
    const struct spec_peer *peer = spec_peer_index_find(present, key);
    return peer != NULL && peer->has_preshared_key
               ? add_key(json, "preshared_key", peer->preshared_key)
               : 0;
}

int api_document_keep_secrets(cJSON *document, const struct spec_tunnel *present)
{
    struct spec_peer_index index = {0};
    if (!cJSON_IsObject(document))
        return 0;
    int rc = present != NULL ? spec_peer_index_init(&index, present) : 0;
    if (rc == 0 && present != NULL && json_member(document, "private_key") == NULL &&
        json_member(document, "private_key_file") == NULL)
        rc = add_key(document, "private_key", present->private_key);
    cJSON *peer;
    cJSON_ArrayForEach(peer, cJSON_GetObjectItemCaseSensitive(document, "peers"))
    {
        if (rc == 0 && cJSON_IsObject(peer))
            rc = keep_preshared_key(peer, &index);
    }
    spec_peer_index_fini(&index);
    return rc;
}
