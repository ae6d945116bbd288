/*
 * Files of wg-quick: what is read is a valid tunnel, and the same after it was printed and read
 * again with its hidden secrets; what is not has errors inside the file.
 */
#include "tests/fuzz/spec.h"

#include "base/wgquick.h"

#include <errno.h>

static size_t count_lines(const char *text, size_t size)
{
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

static void check_lines(const struct spec_errors *errors, size_t lines)
{
    fuzz_check(errors->count <= SPEC_ERRORS_MAX);
    for (size_t i = 0; i < errors->count; i++) {
        fuzz_check(errors->items[i].line <= lines);
        fuzz_check(i == 0 || errors->items[i - 1].line <= errors->items[i].line);
        fuzz_check(errors->items[i].detail[0] != '\0');
    }
}

static void check_printed(const struct spec_tunnel *tunnel)
{
    static struct spec_errors errors, warnings;
    struct spec_tunnel again;
    char key[SPEC_KEY_TEXT];
    errors.count = warnings.count = 0;
    char *text = wgquick_print(tunnel);
    fuzz_check(text);
    fuzz_check(strstr(text, spec_key_print(tunnel->private_key, key)) == NULL);
    const struct wgquick_source source = {text, strlen(text), tunnel->name, tunnel};
    fuzz_check(wgquick_read(&source, &again, &errors, &warnings) == 0);
    fuzz_check(errors.count == 0 && warnings.count == 0);
    fuzz_check(same_tunnel(tunnel, &again));
    free(text);
    spec_tunnel_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct spec_errors errors, warnings;
    struct spec_tunnel tunnel;
    char *text = malloc(size > 0 ? size : 1); /* without a NUL: the reader must not need one */

    fuzz_check(text);
    if (size > 0)
        memcpy(text, data, size);
    errors.count = warnings.count = 0;
    const struct wgquick_source source = {.text = text, .len = size, .name = "t"};
    int rc = wgquick_read(&source, &tunnel, &errors, &warnings);
    if (rc == 0) {
        fuzz_check(errors.count == 0);
        check_tunnel(&tunnel);
        check_printed(&tunnel);
        spec_tunnel_fini(&tunnel);
    } else {
        fuzz_check(rc == -EINVAL && errors.count > 0);
        fuzz_check(all_zero(&tunnel, sizeof(tunnel)));
    }
    check_lines(&errors, count_lines(text, size));
    check_lines(&warnings, count_lines(text, size));
    free(text);
    return 0;
}
