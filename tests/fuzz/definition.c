/*
 * The codec of tunnels and forwards: any JSON value as either. What is read is valid, comes back
 * the same through JSON, and a redacted tunnel shows no secret; what is not has errors.
 */
#include "tests/fuzz/spec.h"

#include <errno.h>

static void check_redacted(const struct spec_tunnel *tunnel)
{
    char key[SPEC_KEY_TEXT];
    cJSON *json = spec_tunnel_to_json(tunnel, SPEC_REDACTED);
    fuzz_check(json);
    fuzz_check(json_member(json, "private_key") == NULL);
    check_hides(json, spec_key_print(tunnel->private_key, key));
    json_free(json);
}

static void read_tunnel(const cJSON *json)
{
    static struct spec_errors errors;
    struct spec_tunnel tunnel;
    errors.count = 0;
    int rc = spec_tunnel_from_json(json, &tunnel, &errors);
    if (rc == 0) {
        fuzz_check(errors.count == 0);
        check_tunnel(&tunnel);
        check_redacted(&tunnel);
        spec_tunnel_fini(&tunnel);
    } else {
        fuzz_check(rc == -EINVAL && errors.count > 0);
        fuzz_check(all_zero(&tunnel, sizeof(tunnel)));
    }
    check_errors(&errors);
}

static void read_forward(const cJSON *json)
{
    static struct spec_errors errors;
    struct spec_forward forward;
    errors.count = 0;
    int rc = spec_forward_from_json(json, &forward, &errors);
    if (rc == 0) {
        fuzz_check(errors.count == 0);
        check_forward(&forward);
    } else {
        fuzz_check(rc == -EINVAL && errors.count > 0);
        fuzz_check(all_zero(&forward, sizeof(forward)));
    }
    check_errors(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_error error;
    cJSON *json = json_read((const char *)data, size, &error);
    if (json && !names_file(json)) {
        read_tunnel(json);
        read_forward(json);
    }
    json_free(json);
    return 0;
}
