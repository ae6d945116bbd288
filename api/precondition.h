/*
 * precondition: If-Match and If-None-Match (RFC 9110, sections 13.1.1 and 13.1.2). An object's
 * entity tag is its generation.
 */
#ifndef MANYTUN_API_PRECONDITION_H
#define MANYTUN_API_PRECONDITION_H

#include "api/call.h"

/*
 * Whether the request may go on with an object of this generation, 0 = there is none. 0, or -1 with
 * the problem filled: precondition_failed, or bad_request for a header that cannot be read.
 */
int api_precondition_check(struct api_call *call, uint64_t generation);

/* Whether the client's If-None-Match names what has this tag, so that it need not be sent again. */
bool api_precondition_not_modified(const struct api_call *call, uint64_t tag);

#endif
