/*
 * The predecessor's "[ADDR:]PORT:HOST:PORT[:PROTOCOL]": what is read is a valid forward, what is
 * not has one error. Names resolve to nothing here.
 */
#include "tests/fuzz/fuzz.h"

#include "cli/run_config.h"

#include <netdb.h>

/* In place of the C library's (--wrap): the target depends on nothing but its input. */
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    (void)service;
    (void)hints;
    (void)list;
    fuzz_check(node);
    return EAI_NONAME;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run_errors errors;
    struct spec_forward forward;
    char *text = fuzz_text(data, size);

    errors.count = 0;
    if (run_forward_parse(text, AF_INET, &forward, &errors) == 0) {
        fuzz_check(errors.count == 0);
        fuzz_check(inet_addr_len(forward.listen_address.family) > 0);
        fuzz_check(inet_addr_len(forward.target_address.family) > 0);
        fuzz_check(forward.target_port != 0);
        fuzz_check(forward.enabled && forward.direction == SPEC_LOCAL);
    } else {
        fuzz_check(errors.count == 1 && errors.texts[0][0] != '\0');
    }
    free(text);
    return 0;
}
