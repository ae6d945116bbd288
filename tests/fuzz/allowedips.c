/*
 * Allowed IPs against a list that is searched from end to end. Prefixes are drawn from few bytes,
 * so that they nest and meet.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/support/prefix.h"

#include "engine/wg/allowedips.h"

#define OWNERS_MAX   4
#define PREFIXES_MAX 64

struct model {
    struct inet_prefix prefixes[PREFIXES_MAX]; /* masked */
    struct allowedips_owner *owners[PREFIXES_MAX];
    size_t count;
};

static struct inet_addr take_addr(struct fuzz_input *input)
{
    struct inet_addr addr = {.family = fuzz_byte(input) & 1 ? AF_INET6 : AF_INET};
    size_t len = inet_addr_len(addr.family);
    unsigned same = fuzz_byte(input); /* so many bytes of it are those of every address */
    size_t start = same % (len + 1);
    memset(addr.bytes, 0x0a, start);
    fuzz_bytes(input, addr.bytes + start, len - start < 2 ? len - start : 2);
    return addr;
}

static struct inet_prefix take_prefix(struct fuzz_input *input)
{
    struct inet_prefix prefix = {.addr = take_addr(input)};
    prefix.bits = (uint8_t)(fuzz_byte(input) % (8 * inet_addr_len(prefix.addr.family) + 1));
    return prefix;
}

static void model_insert(struct model *model, struct inet_prefix prefix,
                         struct allowedips_owner *owner)
{
    size_t i = 0;
    inet_prefix_mask(&prefix);
    while (i < model->count && (model->prefixes[i].bits != prefix.bits ||
                                !inet_addr_equal(&model->prefixes[i].addr, &prefix.addr)))
        i++;
    model->prefixes[i] = prefix;
    model->owners[i] = owner;
    if (i == model->count)
        model->count++;
}

static void model_remove_owner(struct model *model, const struct allowedips_owner *owner)
{
    for (size_t i = model->count; i-- > 0;) {
        if (model->owners[i] == owner) {
            model->count--;
            model->prefixes[i] = model->prefixes[model->count];
            model->owners[i] = model->owners[model->count];
        }
    }
}

static struct allowedips_owner *model_find(const struct model *model, const struct inet_addr *addr)
{
    struct allowedips_owner *owner = NULL;
    int bits = -1;
    for (size_t i = 0; i < model->count; i++) {
        const struct inet_prefix *prefix = &model->prefixes[i];
        if (prefix->addr.family == addr->family && prefix->bits > bits &&
            prefix_contains(prefix, addr)) {
            owner = model->owners[i];
            bits = prefix->bits;
        }
    }
    return owner;
}

/* Everything that the model knows is found: the addresses of its prefixes. */
static void check_all(const struct allowedips *allowed, const struct model *model)
{
    for (size_t i = 0; i < model->count; i++) {
        const struct inet_addr *addr = &model->prefixes[i].addr;
        fuzz_check(allowedips_find(allowed, addr) == model_find(model, addr));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct allowedips_owner owners[OWNERS_MAX] = {{0}};
    struct allowedips allowed = {0};
    struct model model = {.count = 0};

    while (input.left > 0 && model.count < PREFIXES_MAX) {
        unsigned action = fuzz_byte(&input);
        struct allowedips_owner *owner = &owners[action % OWNERS_MAX];
        if (action >> 4 == 0) {
            allowedips_remove_owner(&allowed, owner);
            model_remove_owner(&model, owner);
            fuzz_check(owner->first == NULL);
        } else if (action >> 4 < 8) {
            struct inet_prefix prefix = take_prefix(&input);
            fuzz_check(allowedips_insert(&allowed, &prefix, owner) == 0);
            model_insert(&model, prefix, owner);
        } else {
            struct inet_addr addr = take_addr(&input);
            fuzz_check(allowedips_find(&allowed, &addr) == model_find(&model, &addr));
        }
        check_all(&allowed, &model);
    }
    for (size_t i = 0; i < OWNERS_MAX; i++)
        allowedips_remove_owner(&allowed, &owners[i]);
    fuzz_check(allowed.root4 == NULL && allowed.root6 == NULL);
    allowedips_fini(&allowed);
    return 0;
}
