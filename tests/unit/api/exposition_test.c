#include "api/exposition.h"
#include "tests/unit/api/exposition_check.h"

static struct exposition_check check;

static char *finish(struct exposition *out)
{
    char *text;
    size_t len;
    assert_int_equal(exposition_finish(out, &text, &len), 0);
    text = realloc(text, len + 1);
    assert_non_null(text);
    text[len] = '\0';
    return text;
}

static void test_families(void **state)
{
    (void)state;
    struct exposition out = {0};
    const struct exposition_label labels[] = {{"a", "x"}, {"b", "y"}};
    exposition_begin(&out, "one_total", "counter", "The first.");
    exposition_integer(&out, labels, 2, UINT64_MAX);
    exposition_begin(&out, "none", "gauge", "Without samples.");
    exposition_begin(&out, "two", "gauge", "The second.");
    exposition_seconds(&out, NULL, 0, 1700000000000000001);
    char *text = finish(&out);
    assert_string_equal(text, "# HELP one_total The first.\n"
                              "# TYPE one_total counter\n"
                              "one_total{a=\"x\",b=\"y\"} 18446744073709551615\n"
                              "# HELP none Without samples.\n"
                              "# TYPE none gauge\n"
                              "# HELP two The second.\n"
                              "# TYPE two gauge\n"
                              "two 1700000000.000000001\n");
    exposition_check(&check, text);
    assert_int_equal(check.families_count, 3);
    free(text);
}

static void test_escapes(void **state)
{
    (void)state;
    struct exposition out = {0};
    const struct exposition_label label = {"a", "q\" b\\ n\n u\xc3\xa4"};
    exposition_begin(&out, "m", "gauge", "q\" b\\ n\n.");
    exposition_integer(&out, &label, 1, 0);
    char *text = finish(&out);
    assert_string_equal(text, "# HELP m q\" b\\\\ n\\n.\n"
                              "# TYPE m gauge\n"
                              "m{a=\"q\\\" b\\\\ n\\n u\xc3\xa4\"} 0\n");
    exposition_check(&check, text);
    free(text);
}

static void test_growth(void **state)
{
    (void)state;
    enum { SAMPLES = 20000 };
    struct exposition out = {0};
    exposition_begin(&out, "m_total", "counter", "Many.");
    for (int i = 0; i < SAMPLES; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", i);
        exposition_integer(&out, &(struct exposition_label){"n", value}, 1, 1);
    }
    char *text = finish(&out);
    exposition_check(&check, text);
    assert_int_equal(check.samples, SAMPLES);
    free(text);
}

static void test_nothing_is_left(void **state)
{
    (void)state;
    struct exposition out = {0};
    exposition_begin(&out, "m", "gauge", "Thrown away.");
    exposition_fini(&out);
    exposition_fini(&out);
    assert_null(out.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
