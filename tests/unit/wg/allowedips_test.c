/* allowedips: numbered cases, and random tables against a linear search. */
#include "tests/support/cmocka_all.h"
#include "tests/support/prefix.h"

#include "engine/wg/allowedips.h"

#include <errno.h>
#include <string.h>

static struct allowedips_owner a, b, c;

static void allow(struct allowedips *table, struct allowedips_owner *owner, const char *text)
{
    struct inet_prefix prefix;
    assert_int_equal(inet_prefix_parse(text, &prefix), 0);
    assert_int_equal(allowedips_insert(table, &prefix, owner), 0);
}

static struct allowedips_owner *find(const struct allowedips *table, const char *text)
{
    struct inet_addr addr;
    assert_int_equal(inet_addr_parse(text, &addr), 0);
    return allowedips_find(table, &addr);
}

static void finish(struct allowedips *table)
{
    allowedips_remove_owner(table, &a);
    allowedips_remove_owner(table, &b);
    allowedips_remove_owner(table, &c);
    assert_null(table->root4);
    assert_null(table->root6);
}

static void longest_prefix_wins(void **state)
{
    (void)state;
    struct allowedips table = {0};
    static const struct {
        const char *addr;
        struct allowedips_owner *owner;
    } cases[] = {
        {"192.168.4.20", &a},
        {"192.168.4.0", &a},
        {"192.168.4.4", &b},
        {"192.168.200.182", &c},
        {"192.95.5.68", &c},
        {"192.95.5.96", &a},
        {"64.15.116.26", &a},
        {"64.15.116.3", &a},
        {"10.0.0.1", &b},
        {"2607:5300:6006:6b::c05f:543", &a},
        {"2607:5300:6006:6b::c02e:1ee", &c},
        {"2607:5300:6006:6bff::1", NULL},
        {"::1", NULL},
    };
    allow(&table, &a, "192.168.4.0/24");
    allow(&table, &b, "192.168.4.4/32");
    allow(&table, &c, "192.168.0.0/16");
    allow(&table, &c, "192.95.5.64/27");
    allow(&table, &a, "192.95.5.65/27"); /* host bits are masked: the same prefix moves */
    allow(&table, &c, "192.95.5.65/27");
    allow(&table, &b, "0.0.0.0/0");
    allow(&table, &a, "64.15.112.0/20");
    allow(&table, &a, "192.95.5.96/32");
    allow(&table, &c, "2607:5300:6006:6b::/64");
    allow(&table, &a, "2607:5300:6006:6b::c05f:543/128");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_ptr_equal(find(&table, cases[i].addr), cases[i].owner);
    finish(&table);
}

static void prefixes_move(void **state)
{
    (void)state;
    struct allowedips table = {0};
    allow(&table, &a, "10.0.0.0/8");
    assert_ptr_equal(find(&table, "10.1.2.3"), &a);
    allow(&table, &b, "10.0.0.0/8");
    assert_ptr_equal(find(&table, "10.1.2.3"), &b);
    assert_null(a.first);
    allow(&table, &b, "10.0.0.0/8");
    allowedips_remove_owner(&table, &b);
    assert_null(find(&table, "10.1.2.3"));
    finish(&table);
}

static void extremes(void **state)
{
    (void)state;
    struct allowedips table = {0};
    allow(&table, &a, "0.0.0.0/0");
    allow(&table, &b, "::/0");
    allow(&table, &c, "255.255.255.255/32");
    allow(&table, &c, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
    allow(&table, &c, "::/128");
    allow(&table, &c, "0.0.0.0/32");
    assert_ptr_equal(find(&table, "255.255.255.255"), &c);
    assert_ptr_equal(find(&table, "255.255.255.254"), &a);
    assert_ptr_equal(find(&table, "0.0.0.0"), &c);
    assert_ptr_equal(find(&table, "0.0.0.1"), &a);
    assert_ptr_equal(find(&table, "::"), &c);
    assert_ptr_equal(find(&table, "::1"), &b);
    assert_ptr_equal(find(&table, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), &c);
    allowedips_remove_owner(&table, &c);
    assert_ptr_equal(find(&table, "0.0.0.0"), &a);
    finish(&table);
}

static void every_length_of_one_address(void **state)
{
    (void)state;
    struct allowedips table = {0};
    static struct allowedips_owner owners[129];
    struct inet_prefix prefix;
    assert_int_equal(inet_addr_parse("a5a5:a5a5:a5a5:a5a5:a5a5:a5a5:a5a5:a5a5", &prefix.addr), 0);
    for (unsigned i = 0; i <= 128; i++) {
        prefix.bits = (uint8_t)(i * 53 % 129); /* in some order */
        assert_int_equal(allowedips_insert(&table, &prefix, &owners[prefix.bits]), 0);
    }
    /* Flipping a bit leaves the prefixes before it. */
    for (unsigned bit = 0; bit < 128; bit++) {
        struct inet_addr addr = prefix.addr;
        addr.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        assert_ptr_equal(allowedips_find(&table, &addr), &owners[bit]);
    }
    assert_ptr_equal(allowedips_find(&table, &prefix.addr), &owners[128]);
    for (unsigned i = 0; i <= 128; i++)
        allowedips_remove_owner(&table, &owners[i]);
    assert_null(table.root6);
}

static void bad_prefixes_are_refused(void **state)
{
    (void)state;
    struct allowedips table = {0};
    const struct inet_prefix long4 = {.addr.family = AF_INET, .bits = 33};
    const struct inet_prefix long6 = {.addr.family = AF_INET6, .bits = 129};
    const struct inet_prefix none = {.addr.family = AF_UNSPEC};
    assert_int_equal(allowedips_insert(&table, &long4, &a), -EINVAL);
    assert_int_equal(allowedips_insert(&table, &long6, &a), -EINVAL);
    assert_int_equal(allowedips_insert(&table, &none, &a), -EINVAL);
    finish(&table);
}

static void whole_table_is_freed_at_once(void **state)
{
    (void)state;
    struct allowedips table = {0};
    struct allowedips_owner owner = {0};
    for (unsigned i = 0; i < 255 * 256; i++) {
        struct inet_prefix prefix = {.addr = {.family = AF_INET}, .bits = 32};
        prefix.addr.bytes[0] = 10;
        prefix.addr.bytes[2] = (uint8_t)(i >> 8);
        prefix.addr.bytes[3] = (uint8_t)i;
        assert_int_equal(allowedips_insert(&table, &prefix, &owner), 0);
    }
    assert_ptr_equal(find(&table, "10.0.7.9"), &owner);
    assert_null(find(&table, "10.1.7.9"));
    allowedips_fini(&table);
    assert_null(table.root4);
}

/* --- Against brute force -------------------------------------------------------------------- */

#define OWNERS   8
#define PREFIXES 400

struct model {
    struct inet_prefix prefixes[PREFIXES];
    struct allowedips_owner *owners[PREFIXES]; /* NULL = removed */
    size_t count;
};

static uint64_t random_state;

static uint64_t next_random(void)
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* An address of few different bits, so that prefixes meet. */
static struct inet_addr random_addr(sa_family_t family)
{
    struct inet_addr addr = {.family = family};
    for (size_t i = 0; i < inet_addr_len(family); i++)
        addr.bytes[i] = (uint8_t)(next_random() % 4 ? 0 : 1u << next_random() % 8);
    return addr;
}

static void model_insert(struct model *model, const struct inet_prefix *prefix,
                         struct allowedips_owner *owner)
{
    size_t i;
    for (i = 0; i < model->count; i++)
        if (model->prefixes[i].bits == prefix->bits &&
            inet_addr_equal(&model->prefixes[i].addr, &prefix->addr))
            break;
    model->prefixes[i] = *prefix;
    model->owners[i] = owner;
    if (i == model->count)
        model->count++;
}

static struct allowedips_owner *model_find(const struct model *model, const struct inet_addr *addr)
{
    struct allowedips_owner *best = NULL;
    int best_bits = -1;
    for (size_t i = 0; i < model->count; i++) {
        if (model->owners[i] && model->prefixes[i].bits > best_bits &&
            prefix_contains(&model->prefixes[i], addr)) {
            best = model->owners[i];
            best_bits = model->prefixes[i].bits;
        }
    }
    return best;
}

static void compare(const struct allowedips *table, const struct model *model, sa_family_t family)
{
    for (int i = 0; i < 500; i++) {
        struct inet_addr addr = random_addr(family);
        assert_ptr_equal(allowedips_find(table, &addr), model_find(model, &addr));
    }
}

static void random_tables_agree_with_a_linear_search(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct allowedips_owner owners[OWNERS] = {0};
        struct allowedips table = {0};
        struct model model = {.count = 0};
        sa_family_t family = seed % 2 ? AF_INET : AF_INET6;
        random_state = seed;
        print_message("seed %u\n", (unsigned)seed);
        for (int i = 0; i < PREFIXES; i++) {
            struct inet_prefix prefix = {.addr = random_addr(family)};
            prefix.bits = (uint8_t)(next_random() % (inet_addr_len(family) * 8 + 1));
            struct allowedips_owner *owner = &owners[next_random() % OWNERS];
            assert_int_equal(allowedips_insert(&table, &prefix, owner), 0);
            inet_prefix_mask(&prefix);
            model_insert(&model, &prefix, owner);
        }
        compare(&table, &model, family);
        for (size_t o = 0; o < OWNERS; o++) {
            allowedips_remove_owner(&table, &owners[o]);
            for (size_t i = 0; i < model.count; i++)
                if (model.owners[i] == &owners[o])
                    model.owners[i] = NULL;
            compare(&table, &model, family);
        }
        assert_null(table.root4);
        assert_null(table.root6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longest_prefix_wins),
        cmocka_unit_test(prefixes_move),
        cmocka_unit_test(extremes),
        cmocka_unit_test(every_length_of_one_address),
        cmocka_unit_test(bad_prefixes_are_refused),
        cmocka_unit_test(whole_table_is_freed_at_once),
        cmocka_unit_test(random_tables_agree_with_a_linear_search),
    };
    return cmocka_run_group_tests_name("allowedips", tests, NULL, NULL);
}
