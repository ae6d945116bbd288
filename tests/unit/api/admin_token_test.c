#include "api/admin_token.h"

#include "api/tokens.h"
#include "base/log.h"
#include "tests/support/folder.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static char path[96];
static struct store *store;

static int set_up(void **state)
{
    (void)state;
    char error[256];
    strcpy(directory, "/tmp/token-test-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/admin.token", directory);
    return store_open(directory, &store, error);
}

static int tear_down(void **state)
{
    (void)state;
    store_close(store);
    return folder_remove(directory);
}

/* The value of an Authorization header with the token in the file. */
static const char *authorization(void)
{
    static char text[128];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    int used = snprintf(text, sizeof(text), "Bearer ");
    assert_non_null(fgets(text + used, (int)sizeof(text) - used, file));
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static enum api_role role_of(const char *value)
{
    struct tokens tokens = {0};
    assert_int_equal(tokens_load(&tokens, store, NULL), 0);
    const struct timespec now = {0};
    const struct token *token = tokens_authenticate(&tokens, value, &now);
    enum api_role role = token != NULL ? token->role : API_ROLE_NOBODY;
    tokens_fini(&tokens);
    return role;
}

static void test_first_start(void **state)
{
    (void)state;
    char error[256];
    mode_t mask = umask(0);
    assert_int_equal(admin_token_ensure(directory, store, error), 0);
    umask(mask);
    assert_int_equal(role_of(authorization()), API_ROLE_ADMIN);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_second_start_changes_nothing(void **state)
{
    (void)state;
    char error[256];
    char before[128];
    assert_int_equal(admin_token_ensure(directory, store, error), 0);
    snprintf(before, sizeof(before), "%s", authorization());
    assert_int_equal(admin_token_ensure(directory, store, error), 0);
    assert_string_equal(authorization(), before);
    /* Without the file it stays as it is. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(admin_token_ensure(directory, store, error), 0);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(role_of(before), API_ROLE_ADMIN);
}

/* A file without a hash, as a crash in between leaves it, is replaced. */
static void test_file_of_an_unfinished_start(void **state)
{
    (void)state;
    char error[256];
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("old\n", file);
    fclose(file);
    assert_int_equal(admin_token_ensure(directory, store, error), 0);
    assert_int_equal(role_of("Bearer old"), API_ROLE_NOBODY);
    assert_int_equal(role_of(authorization()), API_ROLE_ADMIN);
}

static void test_unwritable_file(void **state)
{
    (void)state;
    char error[256] = "";
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(admin_token_ensure(directory, store, error) < 0);
    assert_non_null(strstr(error, path));
    size_t count = 7;
    assert_int_equal(store_count_tokens(store, &count), 0);
    assert_int_equal(count, 0);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_first_start),
        TEST(test_second_start_changes_nothing),
        TEST(test_file_of_an_unfinished_start),
        TEST(test_unwritable_file),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
