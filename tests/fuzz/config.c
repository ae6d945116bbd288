/*
 * Documents of whole configurations, one or two (split at the first form feed): what passes all
 * checks has unique names, each found, and forwards whose tunnels exist.
 */
#include "tests/fuzz/spec.h"

#include "base/config.h"

#include <errno.h>

static int read_document(struct config *config, const uint8_t *data, size_t size, unsigned document,
                         struct spec_errors *errors)
{
    struct json_error error;
    cJSON *json = json_read((const char *)data, size, &error);
    int rc = -EINVAL;
    if (json && !names_file(json)) {
        rc = config_read(config, json, &(struct config_source){.document = document}, errors);
        fuzz_check(rc == 0 || (rc == -EINVAL && errors->count > 0));
    }
    json_free(json);
    return rc;
}

static void check_config(const struct config *config)
{
    for (size_t i = 0; i < config->tunnels_count; i++) {
        check_tunnel(&config->tunnels[i].spec);
        fuzz_check(config_find_tunnel(config, config->tunnels[i].spec.name) == &config->tunnels[i]);
    }
    for (size_t i = 0; i < config->forwards_count; i++) {
        const struct spec_forward *forward = &config->forwards[i].spec;
        check_forward(forward);
        fuzz_check(config_find_forward(config, forward->name) == &config->forwards[i]);
        fuzz_check(config_find_tunnel(config, forward->tunnel) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct spec_errors errors;
    struct config config = {0};
    const uint8_t *end = size > 0 ? memchr(data, '\f', size) : NULL;
    size_t first = end ? (size_t)(end - data) : size;

    errors.count = 0;
    int rc = read_document(&config, data, first, 0, &errors);
    if (rc == 0 && end)
        rc = read_document(&config, end + 1, size - first - 1, 1, &errors);
    if (rc == 0)
        rc = config_check(&config, &errors);
    if (rc == 0)
        rc = config_check_forwards(&config, NULL, NULL, &errors);
    if (rc == 0) {
        fuzz_check(errors.count == 0);
        check_config(&config);
    }
    check_errors(&errors);
    config_fini(&config);
    return 0;
}
