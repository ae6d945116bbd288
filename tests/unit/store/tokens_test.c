#include "tests/unit/store/store_world.h"

static int see_token(void *ctx, const struct store_token *token)
{
    char *text = ctx;
    sprintf(text + strlen(text), "%s %d %lld %02x ", token->name, (int)token->role,
            (long long)token->expires_at.tv_sec, token->hash[31]);
    return 0;
}

static void test_tokens(void **state)
{
    (void)state;
    struct store_token a = {.name = "a", .role = STORE_ROLE_ADMIN, .hash = {[31] = 0x5a}};
    struct store_token b = {.name = "b", .role = STORE_ROLE_READ, .expires_at = {.tv_sec = 9}};
    size_t count = 7;
    assert_int_equal(store_count_tokens(store, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(store_insert_token(store, &b), 0);
    assert_int_equal(store_insert_token(store, &a), 0);
    assert_int_equal(store_insert_token(store, &a), -EEXIST);
    run_sql("INSERT INTO tokens VALUES ('c', 9, zeroblob(32), 0, 0), ('d', 2, zeroblob(31), 0, 0),"
            " ('D', 2, zeroblob(32), 0, 0)");
    char text[128] = "";
    assert_int_equal(store_load_tokens(store, see_token, text), 0);
    assert_string_equal(text, "a 2 0 5a b 1 9 00 ");
    assert_int_equal(store_delete_token(store, "a"), 0);
    assert_int_equal(store_delete_token(store, "a"), -ENOENT);
    text[0] = '\0';
    assert_int_equal(store_load_tokens(store, see_token, text), 0);
    assert_string_equal(text, "b 1 9 00 ");
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        store_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
