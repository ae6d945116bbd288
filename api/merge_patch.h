/*
 * merge_patch: JSON Merge Patch (RFC 7396).
 */
#ifndef MANYTUN_API_MERGE_PATCH_H
#define MANYTUN_API_MERGE_PATCH_H

#include <cjson/cJSON.h>

/*
 * What target becomes by patch; target may be NULL: nothing. Members keep target's order, new ones
 * come after. The cost is the number of patch's members times that of target's, whose number is
 * expected to be small; the depth of recursion is patch's. Returns a value that the caller frees
 * (json_free), or NULL (out of memory).
 */
cJSON *merge_patch(const cJSON *target, const cJSON *patch);

#endif
