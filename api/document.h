/*
 * document: the definition that a PUT or a PATCH asks for, made complete before the codec reads it:
 * with the name from the path, and with the secrets that a client cannot read and need not repeat.
 */
#ifndef MANYTUN_API_DOCUMENT_H
#define MANYTUN_API_DOCUMENT_H

#include "api/call.h"

/* Both return a document that the caller frees (json_free), or NULL with the problem filled. */

/* The body. */
cJSON *api_document_put(struct api_call *call);
/* The present definition, which is freed in any case, with the body's merge patch on it. */
cJSON *api_document_patch(struct api_call *call, cJSON *present);

/*
 * Adds the present private key if the document has none, and to each peer that has no
 * preshared_key the one of the present peer with its public key. A preshared_key of null is taken
 * out: the peer is to have none. present may be NULL. 0 or -ENOMEM.
 */
int api_document_keep_secrets(cJSON *document, const struct spec_tunnel *present);

#endif
