/*
 * spec: definitions as the targets compare and judge them.
 */
#ifndef MANYTUN_TESTS_FUZZ_SPEC_H
#define MANYTUN_TESTS_FUZZ_SPEC_H

#include "tests/fuzz/fuzz.h"

#include "base/json.h"
#include "base/spec.h"
#include "base/spec_diff.h"

/* Whether a value asks for a file to be read: targets depend on nothing but their input. */
static inline bool names_file(const cJSON *json)
{
    for (const cJSON *child = json->child; child; child = child->next) {
        if ((child->string && strstr(child->string, "_file")) || names_file(child))
            return true;
    }
    return false;
}

/* Each error has a pointer, a code and a sentence, and a pointer is "" or begins with '/'. */
static inline void check_errors(const struct spec_errors *errors)
{
    fuzz_check(errors->count <= SPEC_ERRORS_MAX);
    for (size_t i = 0; i < errors->count; i++) {
        const struct spec_error *error = &errors->items[i];
        fuzz_check(error->pointer[0] == '\0' || error->pointer[0] == '/');
        fuzz_check(error->code[0] != '\0');
        fuzz_check(error->detail[0] != '\0');
    }
}

static inline bool all_zero(const void *bytes, size_t len)
{
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < len; i++) {
        if (byte[i] != 0)
            return false;
    }
    return true;
}

static inline bool same_tunnel(const struct spec_tunnel *a, const struct spec_tunnel *b)
{
    return strcmp(a->name, b->name) == 0 && spec_tunnel_diff(a, b) == 0;
}

/* A definition that was read is valid, and the same after it was written and read again. */
static inline void check_tunnel(const struct spec_tunnel *tunnel)
{
    static struct spec_errors errors;
    struct spec_tunnel again;
    errors.count = 0;
    fuzz_check(spec_name_valid(tunnel->name));
    fuzz_check(spec_tunnel_check(tunnel, &errors) == 0);
    cJSON *json = spec_tunnel_to_json(tunnel, SPEC_COMPLETE);
    fuzz_check(json);
    fuzz_check(spec_tunnel_from_json(json, &again, &errors) == 0);
    fuzz_check(errors.count == 0);
    fuzz_check(same_tunnel(tunnel, &again));
    json_free(json);
    spec_tunnel_fini(&again);
}

static inline void check_forward(const struct spec_forward *forward)
{
    static struct spec_errors errors;
    struct spec_forward again;
    errors.count = 0;
    fuzz_check(spec_forward_check(forward, &errors) == 0);
    cJSON *json = spec_forward_to_json(forward);
    fuzz_check(json);
    fuzz_check(spec_forward_from_json(json, &again, &errors) == 0);
    fuzz_check(errors.count == 0);
    fuzz_check(strcmp(forward->name, again.name) == 0);
    fuzz_check(spec_forward_equal(forward, &again));
    json_free(json);
}

/* Whether text occurs nowhere in what a value prints as. */
static inline void check_hides(const cJSON *json, const char *secret)
{
    char *printed = cJSON_PrintUnformatted(json);
    fuzz_check(printed);
    fuzz_check(strstr(printed, secret) == NULL);
    cJSON_free(printed);
}

#endif
